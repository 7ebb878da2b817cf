/*
 * How a program has to be started so that it stays on Slate: as it is, with the library preloaded, or by the loader. For every client,
 * however it came here itself.
 */
#include "loaded.h"

#include <elf.h>
#include <limits.h>
#include <sys/stat.h>

enum way { WAY_PLAIN, WAY_LOAD, WAY_SCRIPT };

struct program {
    int file;                   /* of one that has no name (deleted, or never had one): what the loader inherits, plus 1; 0: it has */
    char path[PATH_MAX];        /* of the file to execute */
    char interpreter[PATH_MAX]; /* WAY_SCRIPT: of the first line; `argument` is what follows it, or empty */
    char argument[256];
};

static bool has_go_note(int fd, const Elf64_Phdr *p) {
    char note[512];
    ssize_t n = pread(fd, note, p->p_filesz < sizeof note ? p->p_filesz : sizeof note, (off_t)p->p_offset);
    for (ssize_t at = 0; at + 16 <= n;) {
        uint32_t words[3];
        memcpy(words, note + at, sizeof words);
        if (words[0] == 4 && !memcmp(note + at + 12, "Go\0", 4)) return true;
        at += 12 + (ssize_t)((words[0] + 3) & ~3u) + (ssize_t)((words[1] + 3) & ~3u);
    }
    return false;
}

/* What is made for 32 bits runs as it is, behind the fence (../exec.c). */
static enum way way_of_elf(int fd, const Elf64_Ehdr *header) {
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64) return WAY_PLAIN;
    Elf64_Phdr segments[64];
    size_t bytes = header->e_phnum * sizeof *segments;
    if (header->e_phentsize != sizeof *segments || header->e_phnum > 64 || pread(fd, segments, bytes, (off_t)header->e_phoff) != (ssize_t)bytes) return WAY_PLAIN;
    bool dynamic = false;
    for (int i = 0; i < header->e_phnum; i++) {
        char name[PATH_MAX] = {0};
        const Elf64_Phdr *p = &segments[i];
        if (p->p_type == PT_NOTE && has_go_note(fd, p)) return WAY_LOAD; /* Go makes its calls itself, however it is linked */
        if (p->p_type != PT_INTERP || p->p_filesz >= sizeof name || pread(fd, name, p->p_filesz, (off_t)p->p_offset) < 0) continue;
        dynamic = true;
        if (strstr(name, "ld-musl")) return WAY_LOAD;
    }
    return dynamic ? WAY_PLAIN : WAY_LOAD;
}

/* Whether the name that the kernel tells of an open file leads to it. */
static bool is_named(int fd, const char *name) {
    struct stat file, there;
    return raw(SYS_fstat, fd, (long)&file, 0, 0, 0, 0) == 0 && raw(SYS_newfstatat, AT_FDCWD, (long)name, (long)&there, 0, 0, 0) == 0 &&
           file.st_dev == there.st_dev && file.st_ino == there.st_ino;
}

static enum way way_of(int dirfd, const char *path, int flags, struct program *out) {
    bool ours = is_ours(); /* a child of vfork() has the kernel's limits for itself, and its parent's memory */
    if (ours) own_begin();
    int fd = (int)raw(SYS_openat, dirfd, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    if (fd == -ENOENT && flags & AT_EMPTY_PATH && !*path) fd = (int)raw(SYS_fcntl, dirfd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
    if (ours) own_end(-1);
    if (fd < 0) return WAY_PLAIN; /* the kernel says why, or runs what cannot be read */
    char link[64], head[512] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)out->path, sizeof out->path - 1, 0, 0);
    if (n > 0) out->path[n] = 0;
    enum way way = WAY_PLAIN;
    ssize_t got = n > 0 ? pread(fd, head, sizeof head - 1, 0) : -1;
    if (got >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) {
        way = way_of_elf(fd, (const Elf64_Ehdr *)head);
    } else if (got > 2 && head[0] == '#' && head[1] == '!') {
        char *line = head + 2;
        line[strcspn(line, "\n")] = 0;
        line += strspn(line, " \t");
        size_t length = strcspn(line, " \t");
        char *rest = line + length + strspn(line + length, " \t");
        size_t end = strlen(rest);
        while (end && (rest[end - 1] == ' ' || rest[end - 1] == '\t' || rest[end - 1] == '\r')) end--;
        if (length && length < sizeof out->interpreter && end < sizeof out->argument) {
            memcpy(out->interpreter, line, length);
            out->interpreter[length] = 0;
            memcpy(out->argument, rest, end);
            out->argument[end] = 0;
            way = WAY_SCRIPT;
        }
    }
    if (way == WAY_LOAD && !is_named(fd, out->path)) {
        long copy = raw(SYS_fcntl, fd, F_DUPFD, 64, 0, 0, 0);
        if (copy < 0) copy = raw(SYS_fcntl, fd, F_DUPFD, 3, 0, 0, 0);
        if (copy >= 0) {
            out->file = (int)copy + 1;
            snprintf(out->path, sizeof out->path, "/proc/self/fd/%ld", copy);
        }
    }
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return way;
}

/* How many pointers stand in the client's vector; -EFAULT. */
static long count(char *const *vector) {
    if (!vector) return 0;
    for (long n = 0;; n++) {
        char *entry;
        if (slate_read(&entry, vector + n, sizeof entry)) return -EFAULT;
        if (!entry) return n;
    }
}

/* Memory for one exec, in pages of its own: this may be a child of vfork(), which shares its parent's heap and goes on without it. */
static void *take(struct exec_plan *plan, size_t bytes) {
    void *p = plan->at;
    plan->at += (bytes + 15) & -16ul;
    return p;
}
static char *keep(struct exec_plan *plan, const char *text) {
    return strcpy(take(plan, strlen(text) + 1), text);
}

void exec_forget(struct exec_plan *plan) {
    if (plan->memory) raw(SYS_munmap, (long)plan->memory, (long)plan->bytes, 0, 0, 0, 0);
    plan->memory = NULL;
    if (plan->program) raw(SYS_close, plan->program - 1, 0, 0, 0, 0, 0);
    plan->program = 0;
}

/* INTERPRETER [ARGUMENT] SCRIPT ARGUMENTS, as the kernel makes of a script; as long as the last interpreter is none that is loaded. */
static long follow(struct exec_plan *plan, int dirfd, const char *path, long n, int flags) {
    struct program *p = take(plan, sizeof *p);
    char **arguments = plan->arguments;
    for (int depth = 0; depth < 5; depth++) {
        p->path[0] = p->argument[0] = 0;
        p->file = 0;
        enum way way = way_of(dirfd, path, flags, p);
        plan->program = p->file;
        if (way == WAY_PLAIN || raw(SYS_faccessat, AT_FDCWD, (long)p->path, X_OK, 0, 0, 0) < 0) return 0;
        if (way == WAY_LOAD) {
            plan->file = keep(plan, slate_library);
            plan->at += 16; /* the loader's name may be longer */
            strcpy(strrchr(plan->file, '/') + 1, "slate-loader");
            memmove(arguments + 2, arguments, (size_t)(n + 1) * sizeof *arguments);
            arguments[0] = plan->file;
            arguments[1] = keep(plan, p->path);
            if (!n) { /* without a name of its own */
                arguments[2] = arguments[1];
                arguments[3] = NULL;
            }
            return 1;
        }
        char *name = keep(plan, depth || dirfd != AT_FDCWD || !*path ? p->path : path);
        long shift = p->argument[0] ? 2 : 1;
        if (n == 0) n = 1;
        memmove(arguments + shift + 1, arguments + 1, (size_t)n * sizeof *arguments);
        arguments[0] = keep(plan, p->interpreter);
        if (shift == 2) arguments[1] = keep(plan, p->argument);
        arguments[shift] = name;
        n += shift;
        arguments[n] = NULL;
        path = arguments[0];
        dirfd = AT_FDCWD;
        flags = 0;
    }
    return 0; /* the kernel says that it is too deep */
}

long exec_plan(struct exec_plan *plan, int dirfd, const char *path, char *const *argv, int flags) {
    *plan = (struct exec_plan){0};
    long n = count(argv);
    if (n < 0) return n;
    if (!slate_library || !path || raw(SYS_faccessat, AT_FDCWD, (long)slate_library, R_OK, 0, 0, 0) < 0) return 0;
    plan->bytes = (size_t)(n + 32) * sizeof(char *) + sizeof(struct program) + 16 * PATH_MAX;
    long at = raw(SYS_mmap, 0, (long)plan->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at >= -4095) return at;
    plan->memory = plan->at = (char *)at;
    plan->arguments = take(plan, (size_t)(n + 32) * sizeof(char *));
    if (n) memcpy(plan->arguments, argv, (size_t)n * sizeof(char *));
    plan->arguments[n] = NULL;
    long r = follow(plan, dirfd, path, n, flags);
    if (r <= 0) exec_forget(plan);
    return r;
}

/* The program in place of this one; returns what failed. */
long exec_on_slate(struct exec_plan *plan, int dirfd, const char *path, char *const *argv, char *const *envp, int flags) {
    long r = exec_plan(plan, dirfd, path, argv, flags);
    if (r < 0) return r;
    char **environment = exec_environment(dirfd, path, envp, flags);
    if (r) {
        r = raw(SYS_execve, (long)plan->file, (long)plan->arguments, (long)environment, 0, 0, 0);
    } else if (dirfd == AT_FDCWD && !flags) {
        r = raw(SYS_execve, (long)path, (long)argv, (long)environment, 0, 0, 0);
    } else {
        r = raw(SYS_execveat, dirfd, (long)path, (long)argv, (long)environment, flags, 0);
    }
    exec_forget(plan);
    return r;
}

long loaded_exec(struct task *t, struct kernel_ucontext *c, int dirfd, const char *path, char **argv, char **envp, int flags) {
    if (!exec_is_readable(path, envp)) return -EFAULT;
    if (loaded_is_itself(path)) path = loaded_file;
    uint64_t mask = c->mask, old = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&old, 8, 0, 0); /* the new program inherits the client's */
    long r = exec_on_slate(&t->plan, dirfd, path, argv, envp, flags);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, 8, 0, 0);
    return r;
}
