/* Which names are KVM's, however they are spelt. The machine's own device is looked at (stat), never opened. */
#include "slate.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char *const PSEUDO[] = {"/sys/module/kvm/", "/sys/module/kvm_amd/", "/sys/module/kvm_intel/", "/sys/kernel/debug/kvm/"};

/* Text of dirfd's folder, or of the working directory. */
static bool folder_of(int dirfd, char *out, size_t bytes) {
    char link[64];
    if (dirfd == AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/cwd");
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
    }
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)out, (long)bytes - 1, 0, 0);
    if (n < 0) return false;
    out[n] = 0;
    return true;
}

/* Joins and takes out "//", "/./" and "/../" by text. */
static bool normalize(int dirfd, const char *path, char *out, size_t bytes) {
    char joined[2 * PATH_MAX];
    size_t n = 0;
    if (path[0] != '/') {
        if (!folder_of(dirfd, joined, PATH_MAX)) return false;
        n = strlen(joined);
        joined[n++] = '/';
    }
    if (strlen(path) >= sizeof joined - n) return false;
    strcpy(joined + n, path);
    size_t at = 0;
    out[at] = 0;
    for (char *p = joined; *p;) {
        while (*p == '/') p++;
        size_t length = strcspn(p, "/");
        if (length == 0) break;
        if (length == 2 && p[0] == '.' && p[1] == '.') {
            while (at && out[--at] != '/') {
            }
            out[at] = 0;
        } else if (!(length == 1 && p[0] == '.')) {
            if (at + length + 2 > bytes) return false;
            out[at++] = '/';
            memcpy(out + at, p, length);
            out[at += length] = 0;
        }
        p += length;
    }
    return true;
}

/* A descriptor of ours by its name in /proc or /dev/fd, or -1. */
static int descriptor_in(const char *path) {
    char process[64], threads[64];
    snprintf(process, sizeof process, "/proc/%d/fd/", getpid());
    snprintf(threads, sizeof threads, "/proc/self/task/%d/fd/", (int)raw(SYS_gettid, 0, 0, 0, 0, 0, 0));
    const char *const folders[] = {"/proc/self/fd/", "/dev/fd/", "/proc/thread-self/fd/", process, threads};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n)) continue;
        char *end;
        long fd = strtol(path + n, &end, 10);
        if (end != path + n && !*end && fd >= 0 && fd < MAX_FDS) return (int)fd;
    }
    return -1;
}

/* Follows links by hand to a /dev/kvm that need not exist. */
static bool links_to_kvm(int dirfd, const char *path) {
    char name[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];
    if (!normalize(dirfd, path, name, sizeof name)) return false;
    for (int i = 0; i < 8; i++) {
        if (!strcmp(name, "/dev/kvm")) return true;
        long n = raw(SYS_readlinkat, AT_FDCWD, (long)name, (long)target, sizeof target - 1, 0, 0);
        if (n < 0) {
            /* Not a link itself; its folder may be one. */
            char *slash = strrchr(name, '/');
            if (!slash || slash == name || strcmp(slash, "/kvm")) return false;
            *slash = 0;
            struct stat here, dev;
            return raw(SYS_newfstatat, AT_FDCWD, (long)name, (long)&here, 0, 0, 0) == 0 &&
                   raw(SYS_newfstatat, AT_FDCWD, (long)"/dev", (long)&dev, 0, 0, 0) == 0 && here.st_dev == dev.st_dev &&
                   here.st_ino == dev.st_ino;
        }
        target[n] = 0;
        snprintf(folder, sizeof folder, "%s", name);
        *strrchr(folder, '/') = 0;
        if (target[0] == '/') {
            if (!normalize(AT_FDCWD, target, name, sizeof name)) return false;
        } else {
            char joined[2 * PATH_MAX];
            snprintf(joined, sizeof joined, "%s/%s", folder, target);
            if (!normalize(AT_FDCWD, joined, name, sizeof name)) return false;
        }
    }
    return false;
}

enum path path_kind(int dirfd, const char *path, const char **pseudo) {
    if (!path) return PATH_OTHER;
    int saved = errno;
    enum path kind = PATH_OTHER;
    struct stat st;
    long r = raw(SYS_newfstatat, dirfd, (long)path, (long)&st, 0, 0, 0); /* also says EFAULT for us */
    if (r == -EFAULT) goto done;
    if (r == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232)) {
        kind = PATH_KVM;
        goto done;
    }
    if (path[0] == '/') {
        for (size_t i = 0; i < sizeof PSEUDO / sizeof *PSEUDO; i++) {
            if (!strncmp(path, PSEUDO[i], strlen(PSEUDO[i]))) {
                if (pseudo) *pseudo = path;
                kind = PATH_PSEUDO;
                goto done;
            }
        }
        int fd = !strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/fd/", 8) ? descriptor_in(path) : -1;
        if (fd >= 0 && is_kvm_fd(fd)) {
            uint32_t handle = file_get(fd);
            if (handle && slate_files[handle].kind == KIND_SYSTEM) kind = PATH_KVM;
            if (handle) file_put(handle);
            goto done;
        }
    }
    if (r == -ENOENT && links_to_kvm(dirfd, path)) kind = PATH_KVM;
done:
    errno = saved;
    return kind;
}

int path_open_kvm(int flags) {
    if (flags & O_DIRECTORY) return (int)result(-ENOTDIR);
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return (int)result(-EEXIST);
    if (jvm_inherited()) {
        slate_say("this process is a fork of one that already runs virtual machines on Slate, and a JVM does not survive fork(): "
                  "open /dev/kvm before the parent does, or after exec().");
        return (int)result(-ENXIO);
    }
    uint32_t handle = file_new(KIND_SYSTEM);
    if (!handle) return (int)result(-EMFILE);
    return (int)result(file_install(handle, epoll_create1(flags & O_CLOEXEC)));
}

/* With write access the descriptor is one of ours, so that write() finds the file. */
int path_open_pseudo(const char *path, int flags) {
    int mode = jvm_pseudo_mode(path);
    if (!mode) return (int)result(-ENOENT);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (writes && !(mode & 0222)) return (int)result(-EACCES); /* as of a parameter that can only be read */
    size_t bytes = 0;
    char *content = jvm_pseudo_file(path, &bytes);
    if (!content) return (int)result(-ENOENT);
    long fd = raw(SYS_memfd_create, (long)"slate-parameter", flags & O_CLOEXEC ? MFD_CLOEXEC : 0, 0, 0, 0, 0);
    if (fd >= 0) {
        raw(SYS_write, fd, (long)content, (long)bytes, 0, 0, 0);
        raw(SYS_lseek, fd, 0, SEEK_SET, 0, 0, 0);
    }
    free(content);
    if (fd < 0 || !writes) return (int)result(fd);
    /* Whoever writes past our write() shall hear that nothing came of it. */
    char self_path[64];
    snprintf(self_path, sizeof self_path, "/proc/self/fd/%ld", fd);
    long only = raw(SYS_openat, AT_FDCWD, (long)self_path, O_RDONLY | (flags & O_CLOEXEC), 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    fd = only;
    if (fd < 0) return (int)result(fd);
    uint32_t handle = file_new(KIND_PSEUDO);
    char *name = handle ? strdup(path) : NULL;
    if (!name) {
        if (handle) file_put(handle);
        raw(SYS_close, fd, 0, 0, 0, 0, 0);
        return (int)result(-ENOMEM);
    }
    slate_files[handle].path = name;
    return (int)result(file_install(handle, (int)fd));
}

long path_write_pseudo(uint32_t handle, const void *from, size_t bytes) {
    char text[4096]; /* the kernel takes a page at most */
    if (bytes > sizeof text) bytes = sizeof text;
    if (slate_copy(text, from, bytes)) return -EFAULT;
    int error = jvm_pseudo_write(slate_files[handle].path, text, bytes);
    return error ? error : (long)bytes;
}
