/*
 * exec by a client that the loader brought in, and how a program has to be started so that it stays on Slate: with the library
 * preloaded, by the loader, or not at all.
 */
#include "loaded.h"

#include <elf.h>
#include <limits.h>

enum way { WAY_PRELOAD, WAY_LOAD, WAY_SCRIPT, WAY_FAILS, WAY_REFUSED };

struct program {
    char path[PATH_MAX];      /* of the file to execute */
    char interpreter[PATH_MAX]; /* WAY_SCRIPT: of the first line; `argument` is what follows it, or empty */
    char argument[256];
    const char *why; /* WAY_REFUSED */
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

static enum way way_of_elf(int fd, const Elf64_Ehdr *header, struct program *out) {
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64) {
        out->why = "it is made for another processor or for 32 bits";
        return WAY_REFUSED;
    }
    Elf64_Phdr segments[64];
    size_t bytes = header->e_phnum * sizeof *segments;
    if (header->e_phentsize != sizeof *segments || header->e_phnum > 64 || pread(fd, segments, bytes, (off_t)header->e_phoff) != (ssize_t)bytes) return WAY_FAILS;
    bool dynamic = false;
    for (int i = 0; i < header->e_phnum; i++) {
        char name[PATH_MAX] = {0};
        const Elf64_Phdr *p = &segments[i];
        if (p->p_type == PT_NOTE && has_go_note(fd, p)) return WAY_LOAD; /* Go makes its calls itself, however it is linked */
        if (p->p_type != PT_INTERP || p->p_filesz >= sizeof name || pread(fd, name, p->p_filesz, (off_t)p->p_offset) < 0) continue;
        dynamic = true;
        if (strstr(name, "ld-musl")) return WAY_LOAD;
    }
    return dynamic ? WAY_PRELOAD : WAY_LOAD;
}

static enum way way_of(int dirfd, const char *path, int flags, struct program *out) {
    int fd = (int)raw(SYS_openat, dirfd, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
    if (fd == -ENOENT && flags & AT_EMPTY_PATH && !*path) fd = (int)raw(SYS_fcntl, dirfd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
    if (fd < 0) return WAY_FAILS; /* the kernel says why, or runs what cannot be read */
    char link[64], head[512] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)link, (long)out->path, sizeof out->path - 1, 0, 0);
    if (n > 0) out->path[n] = 0;
    enum way way = WAY_FAILS;
    ssize_t got = n > 0 ? pread(fd, head, sizeof head - 1, 0) : -1;
    if (got >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) {
        way = way_of_elf(fd, (const Elf64_Ehdr *)head, out);
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
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return way;
}

/* Memory for one exec. A child of vfork() shares its parent's heap and goes on without it: its parent unmaps what is left. */
struct scratch {
    char *at, *end;
};
static void *take(struct scratch *s, size_t bytes) {
    bytes = (bytes + 15) & -16ul;
    if ((size_t)(s->end - s->at) < bytes) return NULL;
    void *p = s->at;
    s->at += bytes;
    return p;
}

/* How many pointers stand in the client's vector; -EFAULT. */
static long count(char **vector) {
    if (!vector) return 0;
    for (long n = 0;; n++) {
        char *entry;
        if (slate_copy(&entry, vector + n, sizeof entry)) return -EFAULT;
        if (!entry) return n;
    }
}

static bool begins(const char *client, const char *with) {
    for (; *with; with++, client++) {
        char c;
        if (slate_copy(&c, client, 1) || c != *with) return false;
    }
    return true;
}

extern char **environ;

/* The client's environment with what Slate needs of its own; the last entry is for LD_PRELOAD. */
static char **environment(struct scratch *s, char **envp, long n, const char *library) {
    long own = 0;
    while (environ[own]) own++;
    char **out = take(s, (size_t)(n + own + 2) * sizeof *out);
    if (!out) return NULL;
    long at = 0;
    char *preloaded = NULL;
    for (long i = 0; i < n; i++) {
        if (begins(envp[i], "LD_PRELOAD=")) {
            preloaded = envp[i] + 11;
        } else {
            out[at++] = envp[i];
        }
    }
    long clients = at;
    for (long i = 0; i < own; i++) {
        if (strncmp(environ[i], "SLATE_", 6)) continue;
        char name[128];
        size_t length = strcspn(environ[i], "=") + 1;
        if (length >= sizeof name) continue;
        memcpy(name, environ[i], length);
        name[length] = 0;
        bool there = false;
        for (long j = 0; j < clients && !there; j++) there = begins(out[j], name);
        if (!there) out[at++] = environ[i];
    }
    size_t old = 0;
    char c;
    while (preloaded && slate_copy(&c, preloaded + old, 1) == 0 && c) old++;
    char *text = take(s, strlen(library) + old + 16);
    if (!text) return NULL;
    bool there = preloaded && old >= strlen(library) && memmem(preloaded, old, library, strlen(library));
    snprintf(text, strlen(library) + old + 16, "LD_PRELOAD=%s%s%.*s", there ? "" : library, !there && old ? ":" : "", (int)old, preloaded ? preloaded : "");
    out[at++] = text;
    out[at] = NULL;
    return out;
}

static const char *library(void) {
    static char path[PATH_MAX];
    Dl_info own;
    if (!path[0] && dladdr(path, &own)) snprintf(path, sizeof path, "%s", own.dli_fname);
    return path;
}

static long exec_with(struct scratch *s, int dirfd, const char *path, char **argv, long argc, char **envp, long envc, int flags) {
    struct program *p = take(s, sizeof *p);
    char **arguments = take(s, (size_t)(argc + 16) * sizeof *arguments);
    char **env = environment(s, envp, envc, library());
    if (!p || !arguments || !env) return -ENOMEM;
    long n = argc;
    memcpy(arguments, argv, (size_t)argc * sizeof *argv);
    arguments[n] = NULL;
    bool script = false;
    for (int depth = 0; depth < 5; depth++) {
        switch (way_of(dirfd, path, flags, p)) {
        case WAY_FAILS: return raw(SYS_execveat, dirfd, (long)path, (long)arguments, (long)env, flags, 0);
        case WAY_PRELOAD: return raw(SYS_execveat, dirfd, (long)path, (long)arguments, (long)env, flags, 0);
        case WAY_REFUSED: slate_say("%s is not run: %s, and could reach the machine's own /dev/kvm.", p->path, p->why); return -EACCES;
        case WAY_LOAD: {
            char *loader = take(s, PATH_MAX), *file = take(s, strlen(p->path) + 1);
            if (!loader || !file || raw(SYS_faccessat, AT_FDCWD, (long)p->path, X_OK, 0, 0, 0) < 0) return -EACCES;
            strcpy(file, p->path);
            snprintf(loader, PATH_MAX, "%s", library());
            char *slash = strrchr(loader, '/');
            strcpy(slash ? slash + 1 : loader, "slate-loader");
            memmove(arguments + 2, arguments, (size_t)(n + 1) * sizeof *arguments);
            arguments[0] = loader;
            arguments[1] = file;
            if (!n) { /* without a name of its own */
                arguments[2] = file;
                arguments[3] = NULL;
            }
            return raw(SYS_execve, (long)loader, (long)arguments, (long)env, 0, 0, 0);
        }
        case WAY_SCRIPT: { /* as the kernel does: INTERPRETER [ARGUMENT] SCRIPT ARGUMENTS */
            if (raw(SYS_faccessat, AT_FDCWD, (long)p->path, X_OK, 0, 0, 0) < 0) return -EACCES;
            char *interpreter = take(s, strlen(p->interpreter) + 1), *argument = p->argument[0] ? take(s, strlen(p->argument) + 1) : NULL;
            char *name = take(s, PATH_MAX);
            if (!interpreter || !name || (p->argument[0] && !argument)) return -ENOMEM;
            strcpy(interpreter, p->interpreter);
            if (argument) strcpy(argument, p->argument);
            snprintf(name, PATH_MAX, "%s", script ? p->path : *path && dirfd == AT_FDCWD ? path : p->path);
            long shift = argument ? 2 : 1;
            if (n == 0) n = 1;
            memmove(arguments + shift + 1, arguments + 1, (size_t)n * sizeof *arguments);
            arguments[0] = interpreter;
            if (argument) arguments[1] = argument;
            arguments[shift] = name;
            n += shift;
            path = interpreter;
            dirfd = AT_FDCWD;
            flags = 0;
            script = true;
            break;
        }
        }
    }
    return -ELOOP;
}

static struct scratch make_room(long argc, long envc) {
    size_t bytes = 65536 + (size_t)(argc + envc) * 2 * sizeof(char *) + ((size_t)1 << 18);
    long at = raw(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at >= -4095) return (struct scratch){0};
    return (struct scratch){(char *)at, (char *)at + bytes};
}

/* For whoever is Slate's own: runs the program in place of this one. Returns what failed. */
long exec_on_slate(const char *path, char **argv, char **envp) {
    long argc = count(argv), envc = count(envp);
    struct scratch s = make_room(argc, envc);
    return exec_with(&s, AT_FDCWD, path, argv, argc, envp, envc, 0);
}

long loaded_exec(struct task *t, struct kernel_ucontext *c, int dirfd, const char *path, char **argv, char **envp, int flags) {
    char name[PATH_MAX];
    size_t i = 0;
    do {
        if (i == sizeof name) return -ENAMETOOLONG;
        if (slate_copy(name + i, path + i, 1)) return -EFAULT;
    } while (name[i++]);
    if (loaded_is_itself(name)) snprintf(name, sizeof name, "%s", loaded_program);
    long argc = count(argv), envc = count(envp);
    if (argc < 0 || envc < 0) return -EFAULT;
    if (argc > 1 << 20 || envc > 1 << 20) return -E2BIG;
    struct scratch s = make_room(argc, envc);
    if (!s.at) return -ENOMEM;
    t->exec_memory = s.at;
    t->exec_bytes = (size_t)(s.end - s.at);
    uint64_t mask = c->mask, old = 0;
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, (long)&old, 8, 0, 0); /* the new program inherits the client's */
    long r = exec_with(&s, dirfd, name, argv, argc, envp, envc, flags);
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, 8, 0, 0);
    raw(SYS_munmap, (long)t->exec_memory, (long)t->exec_bytes, 0, 0, 0, 0);
    t->exec_memory = NULL;
    return r;
}
