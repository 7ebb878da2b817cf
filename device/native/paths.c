/* Which names are KVM's, however they are spelt. The machine's own device is looked at (stat), never opened. */
#include "slate.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const char *const PSEUDO[] = {"/sys/module/kvm/", "/sys/module/kvm_amd/", "/sys/module/kvm_intel/", "/sys/kernel/debug/kvm/"};

bool path_is_device(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(10, 232);
}
static long look(int dirfd, const char *path, struct stat *st, int flags) {
    return raw(SYS_newfstatat, dirfd, (long)path, (long)st, flags, 0, 0);
}

/* Where a name leads is looked for in pages that are mapped for it: a client's thread may have a stack of four pages. */
struct room {
    char name[PATH_MAX], target[PATH_MAX], joined[2 * PATH_MAX];
};

/* Text of dirfd's folder, or of the working directory, in r->joined. */
static bool folder_of(int dirfd, struct room *r) {
    long n;
    if (dirfd == AT_FDCWD) {
        n = raw(SYS_getcwd, (long)r->joined, PATH_MAX, 0, 0, 0, 0) - 1; /* counts the end */
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)r->joined, PATH_MAX - 1, 0, 0);
    }
    if (n < 0) return false;
    r->joined[n] = 0;
    return true;
}

/* r->joined without "//", "/./" and "/../", by text, in r->name. */
static bool normalize(struct room *r) {
    size_t at = 0;
    r->name[at] = 0;
    for (char *p = r->joined; *p;) {
        while (*p == '/') p++;
        size_t length = strcspn(p, "/");
        if (length == 0) break;
        if (length == 2 && p[0] == '.' && p[1] == '.') {
            while (at && r->name[--at] != '/') {
            }
            r->name[at] = 0;
        } else if (!(length == 1 && p[0] == '.')) {
            if (at + length + 2 > sizeof r->name) return false;
            r->name[at++] = '/';
            memcpy(r->name + at, p, length);
            r->name[at += length] = 0;
        }
        p += length;
    }
    return true;
}

static bool join(struct room *r, const char *folder, const char *path) {
    size_t n = folder ? strlen(folder) : 0;
    if (n + strlen(path) + 2 > sizeof r->joined) return false;
    if (folder) {
        memmove(r->joined, folder, n);
        r->joined[n++] = '/';
    }
    strcpy(r->joined + n, path);
    return normalize(r);
}

/* The third is how bubblewrap sees the machine's while it builds a sandbox. */
static bool is_name(const char *name) {
    return !strcmp(name, "/dev/kvm") || !strcmp(name, "/dev/char/10:232") || !strcmp(name, "/oldroot/dev/kvm");
}

/* Follows links by hand to a /dev/kvm that need not exist. */
static bool leads_to_kvm(int dirfd, const char *path, struct room *r) {
    if (path[0] == '/' ? !join(r, NULL, path) : !folder_of(dirfd, r) || !join(r, r->joined, path)) return false;
    for (int i = 0; i < 8; i++) {
        if (is_name(r->name)) return true;
        long n = raw(SYS_readlinkat, AT_FDCWD, (long)r->name, (long)r->target, sizeof r->target - 1, 0, 0);
        char *slash = strrchr(r->name, '/');
        if (n < 0) {
            /* Not a link itself; its folder may be one. */
            if (!slash || slash == r->name || strcmp(slash, "/kvm")) return false;
            *slash = 0;
            struct stat here, dev;
            return look(AT_FDCWD, r->name, &here, 0) == 0 && look(AT_FDCWD, "/dev", &dev, 0) == 0 && here.st_dev == dev.st_dev &&
                   here.st_ino == dev.st_ino;
        }
        r->target[n] = 0;
        *slash = 0;
        if (r->target[0] == '/' ? !join(r, NULL, r->target) : !join(r, r->name, r->target)) return false;
    }
    return false;
}

static bool in_room(int dirfd, const char *path) {
    long at = raw(SYS_mmap, 0, sizeof(struct room), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at >= -4095) return false;
    bool leads = leads_to_kvm(dirfd, path, (struct room *)at);
    raw(SYS_munmap, at, sizeof(struct room), 0, 0, 0, 0);
    return leads;
}

/* What the kernel calls the file that a name leads to. */
static long resolve(int dirfd, const char *path, char *name, size_t bytes) {
    own_begin();
    long fd = raw(SYS_openat, dirfd, (long)path, O_PATH | O_CLOEXEC, 0, 0, 0);
    own_end(-1);
    if (fd < 0) return fd;
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)name, (long)bytes - 1, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    name[n > 0 ? n : 0] = 0;
    return n;
}

/* A descriptor of Slate's by one of its names in /proc. */
static enum path kind_of_file(int dirfd, const char *path, const struct stat *st) {
    uint32_t handle = file_by_inode(st->st_dev, st->st_ino);
    if (handle) {
        uint32_t kind = slate_files[handle].kind;
        file_put(handle);
        return kind == KIND_SYSTEM || kind == KIND_NAME ? PATH_KVM : kind == KIND_VM || kind == KIND_VCPU ? PATH_CLOSED : PATH_OTHER;
    }
    char name[32];
    resolve(dirfd, path, name, sizeof name);
    if (!strncmp(name, "/memfd:slate:kvm", 16)) return name[16] == ' ' ? PATH_KVM : PATH_CLOSED;
    return PATH_OTHER;
}

enum path path_kind(int dirfd, const char *path, const char **pseudo) {
    struct stat st, node;
    if (!path) return PATH_OTHER;
    long r = look(dirfd, path, &st, 0); /* also says EFAULT for us */
    if (r == -EFAULT) return PATH_OTHER;
    if (r == 0 && path_is_device(&st)) return PATH_KVM;
    if (path[0] == '/') {
        for (size_t i = 0; i < sizeof PSEUDO / sizeof *PSEUDO; i++) {
            if (!strncmp(path, PSEUDO[i], strlen(PSEUDO[i]))) {
                if (pseudo) *pseudo = path;
                return PATH_PSEUDO;
            }
        }
    }
    if (r == 0) {
        if (S_ISREG(st.st_mode) && st.st_nlink == 0) return kind_of_file(dirfd, path, &st);
        /* Something else may lie over the device: /dev/null, a file. */
        char name[32];
        bool same = !S_ISDIR(st.st_mode) && look(AT_FDCWD, "/dev/kvm", &node, 0) == 0 && node.st_ino == st.st_ino && node.st_dev == st.st_dev;
        return same && resolve(dirfd, path, name, sizeof name) > 0 && is_name(name) ? PATH_KVM : PATH_OTHER;
    }
    if (r != -ENOENT) return PATH_OTHER;
    const char *slash = strrchr(path, '/');
    bool called = !strcmp(slash ? slash + 1 : path, "kvm") || is_name(path);
    return (called || look(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) && in_room(dirfd, path) ? PATH_KVM : PATH_OTHER;
}

long path_open_kvm(int flags) {
    if (flags & O_DIRECTORY) return -ENOTDIR;
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return -EEXIST;
    if (jvm_inherited()) {
        slate_say("this process is a fork of one that already runs virtual machines on Slate, and a JVM does not survive fork(): "
                  "open /dev/kvm before the parent does, or after exec().");
        return -ENXIO;
    }
    if (jvm_foreign()) {
        slate_say("this program is a Java program, and a process has one JVM: it can't open /dev/kvm here. It can use Slate as a library "
                  "(examples/java/Machine.java), or start its VMM as a process of its own.");
        return -ENXIO;
    }
    uint32_t handle = file_new(KIND_SYSTEM);
    if (!handle) return -EMFILE;
    long fd = file_descriptor("slate:kvm", 0);
    if (fd >= 0 && !(flags & O_CLOEXEC)) raw(SYS_fcntl, fd, F_SETFD, 0, 0, 0, 0);
    return file_install(handle, (int)fd);
}

/* A name of the device and no more: its descriptor leads to the device when it is opened again by way of /proc. */
long path_open_name(int dirfd, const char *path, int flags) {
    struct stat st;
    if (look(dirfd, path, &st, 0) == 0 && path_is_device(&st)) return -ENOSYS; /* the kernel has one: bubblewrap mounts it */
    uint32_t handle = file_new(KIND_NAME);
    if (!handle) return -EMFILE;
    own_begin();
    long fd = own_end(file_descriptor("slate:kvm", 0));
    if (fd >= 0) {
        char link[40];
        snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
        long name = raw(SYS_openat, AT_FDCWD, (long)link, O_PATH | (flags & O_CLOEXEC), 0, 0, 0);
        own_close(fd);
        fd = name;
    }
    return file_install(handle, (int)fd);
}

/* With write access the descriptor is one of ours, so that write() finds the file. */
long path_open_pseudo(const char *path, int flags) {
    int mode = jvm_pseudo_mode(path);
    if (!mode) return -ENOENT;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (writes && !(mode & 0222)) return -EACCES; /* as of a parameter that can only be read */
    size_t bytes = 0;
    char *content = jvm_pseudo_file(path, &bytes);
    if (!content) return -ENOENT;
    if (writes) own_begin();
    long fd = file_memory("slate-parameter", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    if (writes) fd = own_end(fd);
    if (fd >= 0) {
        raw(SYS_write, fd, (long)content, (long)bytes, 0, 0, 0);
        raw(SYS_lseek, fd, 0, SEEK_SET, 0, 0, 0);
    }
    free(content);
    if (fd < 0 || !writes) return fd;
    /* Whoever writes past our write() shall hear that nothing came of it. */
    char self_path[64];
    snprintf(self_path, sizeof self_path, "/proc/self/fd/%ld", fd);
    long only = raw(SYS_openat, AT_FDCWD, (long)self_path, O_RDONLY | (flags & O_CLOEXEC), 0, 0, 0);
    own_close(fd);
    fd = only;
    if (fd < 0) return fd;
    uint32_t handle = file_new(KIND_PSEUDO);
    char *name = handle ? strdup(path) : NULL;
    if (!name) {
        if (handle) file_put(handle);
        raw(SYS_close, fd, 0, 0, 0, 0, 0);
        return -ENOMEM;
    }
    slate_files[handle].path = name;
    return file_install(handle, (int)fd);
}

long path_write_pseudo(uint32_t handle, const void *from, size_t bytes) {
    char text[4096]; /* the kernel takes a page at most */
    if (bytes > sizeof text) bytes = sizeof text;
    if (slate_copy(text, from, bytes)) return -EFAULT;
    int error = jvm_pseudo_write(slate_files[handle].path, text, bytes);
    return error ? error : (long)bytes;
}

/* A JVM does not start in a folder that has been deleted or that its root does not reach. */
char *path_getcwd(char *to, size_t bytes) {
    if (getcwd(to, bytes)) return to;
    return errno == ENOENT && to && bytes > 1 ? strcpy(to, "/") : NULL;
}
