/*
 * What the JDK's libraries call in place of libc's functions (bind.c leads them here), for the JVM is a guest in the client's process: its
 * output is not the client's, its end no reason for the client to end, and its threads and libraries come in ways that the client does not see.
 */
#include "slate.h"

#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>

enum { SAID_BYTES = 4096 };
static _Atomic bool hears; /* the JVM starts */
static char said[SAID_BYTES + 1]; /* what it wants to say to the client's descriptors meanwhile, several of its threads perhaps */
static _Atomic size_t said_bytes; /* may be more than there is room for */

void bindings_hear(bool begins) {
    hears = begins;
}

static void note(const char *text, size_t n) {
    size_t at = atomic_fetch_add(&said_bytes, n);
    if (at < SAID_BYTES) memcpy(said + at, text, n < SAID_BYTES - at ? n : SAID_BYTES - at);
}
/* The JVM has no memory for itself: what it says of that, and an hs_err's head, is one line of Slate's at its end. */
static bool starved;
static bool tells_of_memory(const char *text, size_t n) {
    static const char *const OF_IT[] = {"insufficient memory", "os::commit_memory", "Not enough space", "Could not reserve", "pthread_create failed"};
    for (size_t i = 0; i < sizeof OF_IT / sizeof *OF_IT; i++) {
        if (memmem(text, n, OF_IT[i], strlen(OF_IT[i]))) return true;
    }
    return false;
}
static ssize_t jvm_write(int fd, const void *from, size_t n) {
    if (fd == 1 || fd == 2) starved |= tells_of_memory(from, n);
    if (starved && !hears && (fd == 1 || fd == 2)) return (ssize_t)n;
    if (hears && (fd == 1 || fd == 2)) {
        note(from, n);
        return (ssize_t)n;
    }
    if (fd == 1 || fd == 2) { /* a warning, an hs_err: to where standard error was, or nowhere */
        slate_write(from, n);
        return (ssize_t)n;
    }
    return result(raw(SYS_write, fd, (long)from, (long)n, 0, 0, 0));
}
int bindings_print(FILE *file, const char *format, va_list list) {
    char text[512];
    if (file != stdout && file != stderr) return vfprintf(file, format, list); /* a log of its own */
    int n = vsnprintf(text, sizeof text, format, list);
    jvm_write(2, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
    return n;
}

static void say_starved(void) {
    if (starved) slate_say("the JVM that Slate runs on gets no more memory, and the program ends with it: ulimit -a shows what this process may have.");
}

/* The JVM gives up. While it starts that is no reason for the client to end. */
static void jvm_gives_up(int status) {
    if (hears && self.jvm_thread) keeper_start_failed();
    say_starved();
    raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
    __builtin_unreachable();
}
static void jvm_abort(void) {
    if (hears) jvm_gives_up(1);
    say_starved();
    REAL(abort)();
}

/* What Java sees as its environment, as it was at its start: the client's may be none (clearenv), or change under a thread that reads it. */
static char **jvm_environment = (char *[]){NULL};
static void keep_environment(void) {
    size_t count = 0, at = 0;
    while (environ && environ[count]) count++;
    char **copy = heap_calloc(count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        if ((copy[at] = heap_strdup(environ[i]))) at++;
    }
    if (copy) jvm_environment = copy;
}

/* The user's options are for the user's Java programs. */
static char *jvm_getenv(const char *name) {
    static const char *const HIDDEN[] = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS", "JAVA_OPTIONS"};
    for (size_t i = 0; i < sizeof HIDDEN / sizeof *HIDDEN; i++) {
        if (!strcmp(name, HIDDEN[i])) return NULL;
    }
    size_t length = strlen(name);
    for (char **e = jvm_environment; *e; e++) {
        if (!strncmp(*e, name, length) && (*e)[length] == '=') return *e + length + 1;
    }
    return NULL;
}

struct birth {
    void *(*function)(void *);
    void *argument;
};
static void *born(void *birth) {
    struct birth b = *(struct birth *)birth;
    heap_free(birth);
    self.jvm_thread = true;
    end_own_thread(true);
    void *r = b.function(b.argument);
    end_own_thread(false);
    return r;
}
static int jvm_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*function)(void *), void *argument) {
    if (seccomp_filtered() && !seccomp_allows_threads()) return EAGAIN; /* libjvm does with fewer compiler threads */
    struct birth *birth = heap_malloc(sizeof *birth);
    if (!birth) return EAGAIN;
    *birth = (struct birth){function, argument};
    int error = REAL(pthread_create)(id, attributes, born, birth);
    if (error) heap_free(birth);
    return error;
}

/* What the JDK's libraries open is Slate's own. */
static int jvm_open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    own_begin();
    return (int)result(own_end(raw(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, mode, 0, 0)));
}
static int jvm_close(int fd) {
    return (int)result(own_close(fd));
}
/* libc's own, past a sanitizer's: a number that the client has later was no thread's of its before. */
static struct {
    void *(*dlopen)(const char *, int);
    FILE *(*fopen)(const char *, const char *);
    int (*fclose)(FILE *);
    DIR *(*opendir)(const char *);
    int (*closedir)(DIR *);
} libc = {dlopen, fopen, fclose, opendir, closedir};
static FILE *jvm_fopen(const char *path, const char *mode) {
    /* A thread of the JVM's reads its release, for an hs_err that Slate does not write, while the client may be counting its descriptors. */
    size_t length = strlen(path), end = sizeof "/release" - 1;
    if (length > end && !strcmp(path + length - end, "/release")) {
        errno = ENOENT;
        return NULL;
    }
    own_begin();
    FILE *file = libc.fopen(path, mode);
    own_end(-1);
    return file;
}
static int jvm_fclose(FILE *file) {
    return libc.fclose(file);
}
static DIR *jvm_opendir(const char *path) {
    own_begin();
    DIR *folder = libc.opendir(path);
    own_end(-1);
    return folder;
}
static int jvm_closedir(DIR *folder) {
    return libc.closedir(folder);
}

/* What Java looks up in libc to make memory for machine code (ExecutableMemory): a file of Slate's, whatever the client's limits are. */
static int jvm_memfd_create(const char *name, unsigned flags) {
    own_begin();
    return (int)result(own_end(raw(SYS_memfd_create, (long)name, flags, 0, 0, 0, 0)));
}
static int jvm_ftruncate(int fd, off_t bytes) {
    return (int)result(file_size(fd, (size_t)bytes));
}
static void *jvm_dlsym(void *library, const char *name) {
    if (!strcmp(name, "memfd_create")) return (void *)jvm_memfd_create;
    if (!strcmp(name, "ftruncate")) return (void *)jvm_ftruncate;
    if (!strcmp(name, "close")) return (void *)jvm_close;
    return dlsym(library, name);
}

/* An AOT cache names jars by where they stood when it was made (dist/build.sh), and Java asks for the place with each class until it finds it. */
static const char BUILT[] = "/tmp/slate-dist/";
static const char *jars; /* the folder that they are in now; null: where the cache says */
void bindings_jars(const char *folder) {
    jars = folder;
}
static char *jvm_realpath(const char *path, char *real) {
    char here[4096];
    if (jars && !strncmp(path, BUILT, sizeof BUILT - 1)) {
        snprintf(here, sizeof here, "%s%s", jars, strrchr(path, '/'));
        path = here;
    }
    return realpath(path, real);
}

struct load {
    const char *file;
    int mode;
};
static const char *jdk; /* its folder */
static bool bound; /* libjvm is, and others are as they come */
static __thread bool loads; /* one of the JDK's libraries */
static void bind_libraries(void);
static void *load_there(void *load) {
    const struct load *l = load;
    bool outer = loads;
    loads = true;
    own_begin();
    void *library = libc.dlopen(l->file, l->mode);
    own_end(-1);
    loads = outer;
    if (library && bound) bind_libraries();
    return library;
}

/*
 * exit() would destroy libjvm's objects while Java's threads go on with them: a collection then calls what is no more, and handlers that the
 * client named before the JVM started still run guests. So they are never destroyed; the JVM lives until the process does not.
 */
int __cxa_atexit(void (*function)(void *), void *argument, void *library);
PUBLIC int __cxa_atexit(void (*function)(void *), void *argument, void *library) {
    Dl_info of;
    if (UNLIKELY(loads) && dladdr(library, &of) && !strncmp(of.dli_fname, jdk, strlen(jdk))) return 0;
    return REAL(__cxa_atexit)(function, argument, library);
}

static void *jvm_dlopen(const char *file, int mode) {
    struct load load = {file, mode};
    return file && !hears ? keeper_does(load_there, &load) : load_there(&load);
}

enum { OF_LIBJVM = 9 }; /* of the names below, the first are libjvm's alone */
static struct binding bindings[] = {
    {"sigaction", (void *)jvm_sigaction, false},
    {"pthread_getattr_np", (void *)jvm_getattr, false},
    {"pthread_create", (void *)jvm_pthread_create, false},
    {"mprotect", (void *)jvm_mprotect, false},
    {"write", (void *)jvm_write, false},
    {"vfprintf", (void *)bindings_print, false}, /* of an option that is wrong, before the JVM has learnt where it shall print */
    {"exit", (void *)jvm_gives_up, false},
    {"_exit", (void *)jvm_gives_up, false},
    {"abort", (void *)jvm_abort, false},
    {"malloc", (void *)heap_malloc, false},
    {"calloc", (void *)heap_calloc, false},
    {"realloc", (void *)heap_realloc, false},
    {"free", (void *)heap_free, false},
    {"posix_memalign", (void *)heap_posix_memalign, false},
    {"aligned_alloc", (void *)heap_aligned_alloc, false},
    {"strdup", (void *)heap_strdup, false},
    {"__strdup", (void *)heap_strdup, false},
    {"qsort", (void *)heap_qsort, false},
    {"getenv", (void *)jvm_getenv, false},
    {"dlopen", (void *)jvm_dlopen, false},
    {"dlsym", (void *)jvm_dlsym, false},
    {"open", (void *)jvm_open, false},
    {"open64", (void *)jvm_open, false},
    {"close", (void *)jvm_close, false},
    {"fopen", (void *)jvm_fopen, false},
    {"fopen64", (void *)jvm_fopen, false},
    {"fclose", (void *)jvm_fclose, false},
    {"opendir", (void *)jvm_opendir, false},
    {"closedir", (void *)jvm_closedir, false},
    {"environ", &jvm_environment, false},
    {"getcwd", (void *)path_getcwd, false},
    {"realpath", (void *)jvm_realpath, false},
};
enum { BINDINGS = sizeof bindings / sizeof *bindings };

static void bind_libraries(void) {
    rebind(jdk, libc.dlopen, bindings + OF_LIBJVM, BINDINGS - OF_LIBJVM);
}

void *bindings_open(const char *folder, const char *libjvm) {
    jdk = folder;
    void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (library) {
        libc.dlopen = (void *(*)(const char *, int))dlsym(library, "dlopen");
        libc.fopen = (FILE * (*)(const char *, const char *)) dlsym(library, "fopen");
        libc.fclose = (int (*)(FILE *))dlsym(library, "fclose");
        libc.opendir = (DIR * (*)(const char *)) dlsym(library, "opendir");
        libc.closedir = (int (*)(DIR *))dlsym(library, "closedir");
    }
    struct load load = {libjvm, RTLD_NOW | RTLD_GLOBAL};
    return load_there(&load);
}

bool bindings_make(const char *libjvm) {
    keep_environment();
    rebind(libjvm, libc.dlopen, bindings, BINDINGS);
    for (int i = 0; i < 3; i++) {
        if (bindings[i].found) continue;
        slate_say("%s calls no %s() that Slate can stand before; use a JDK 25 of Temurin or Debian.", libjvm, bindings[i].name);
        return false;
    }
    bind_libraries();
    return bound = true;
}

/* What the JVM said before it gave up. */
COLD void bindings_say_why(void) {
    if (!hears) return;
    hears = false;
    if (starved) {
        slate_say("the JVM did not start: there is too little memory or address space, or no more threads, for this process (ulimit -a shows its limits).");
        return;
    }
    const char *text = said + strspn(said, "# \n"); /* a frame of an hs_err's head */
    char *newline = strchr(text, '\n');              /* the second line has the reason, and no more follow */
    if (newline) {
        size_t frame = strspn(newline, "# \n");
        memset(newline, ' ', frame);
        memmove(newline + 1, newline + frame, strlen(newline + frame) + 1);
    }
    if (!*text) text = "it gives no reason; `slate doctor` says what is missing.";
    slate_say("the JVM did not start: %.*s", (int)strcspn(text, "\n"), text);
}
