/* What the process was started with. The client may clean its environment and close standard error before Slate speaks. */
#include "slate.h"

#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

extern char **environ;

static const char *variables[64];
const char *const *slate_variables = variables;
const char *slate_library;

void slate_set_variable(const char *text) {
    size_t i = 0;
    while (variables[i]) i++;
    if (i < sizeof variables / sizeof *variables - 1) variables[i] = text;
}

const char *slate_variable(const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; variables[i]; i++) {
        if (!strncmp(variables[i], name, n) && variables[i][n] == '=') return variables[i] + n + 1;
    }
    return NULL;
}

/* In pages of their own: the client's heap shall be as without Slate. */
static void keep_variables(void) {
    size_t bytes = 0, count = 0;
    for (char **e = environ; e && *e; e++) {
        if (!strncmp(*e, "SLATE_", 6)) bytes += strlen(*e) + 1;
    }
    if (!bytes) return;
    long at = raw(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at >= -4095) return;
    char *to = (char *)at;
    for (char **e = environ; *e && count < sizeof variables / sizeof *variables - 1; e++) {
        if (strncmp(*e, "SLATE_", 6)) continue;
        variables[count++] = to;
        to = stpcpy(to, *e) + 1;
    }
}

/* ---- Standard error as it was: a descriptor of our own, by a number that clients do not come to ---- */

static int own = -1;
static dev_t own_device;
static ino_t own_inode;

static bool is_standard_error(int fd) {
    struct stat st;
    return fd >= 0 && raw(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) == 0 && st.st_dev == own_device && st.st_ino == own_inode;
}

static void keep_standard_error(int from) {
    struct stat st;
    if (raw(SYS_fstat, from, (long)&st, 0, 0, 0, 0)) return;
    struct rlimit limit = {1024, 1024};
    raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&limit, 0, 0);
    long least = limit.rlim_cur < 64 ? 3 : limit.rlim_cur < 1024 ? (long)limit.rlim_cur - 16 : 1008;
    own_device = st.st_dev;
    own_inode = st.st_ino;
    own = (int)raw(SYS_fcntl, from, F_DUPFD_CLOEXEC, least, 0, 0, 0);
}

bool is_own_fd(int fd) {
    return fd == own && is_standard_error(fd);
}

int own_fd(void) {
    return is_own_fd(own) ? own : -1;
}

void own_fd_moves(int fd) {
    if (is_own_fd(fd)) own = (int)raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1, 0, 0, 0);
}

/* Nobody reads any more, or the file may not grow: that is no reason for the client to end. */
void slate_write(const char *text, size_t bytes) {
    const uint64_t signals = UINT64_C(1) << (SIGPIPE - 1) | UINT64_C(1) << (SIGXFSZ - 1);
    uint64_t mask;
    raw(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signals, (long)&mask, sizeof mask, 0, 0);
    int fd = is_own_fd(own) ? own : is_standard_error(2) ? 2 : -1;
    while (fd >= 0 && bytes) {
        long n = raw(SYS_write, fd, (long)text, (long)bytes, 0, 0, 0);
        if ((n == -EPIPE || n == -EFBIG) && seccomp_allows(SYS_rt_sigtimedwait))
            raw(SYS_rt_sigtimedwait, (long)&signals, 0, (long)&(struct timespec){0}, sizeof signals, 0, 0);
        if (n <= 0 && n != -EINTR) break;
        if (n > 0) {
            text += n;
            bytes -= (size_t)n;
        }
    }
    raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask, 0, 0);
}

void slate_say(const char *format, ...) {
    char text[1024];
    int n = snprintf(text, sizeof text, "slate: ");
    va_list list;
    va_start(list, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, list);
    va_end(list);
    if ((size_t)n > sizeof text - 2) n = sizeof text - 2;
    text[n++] = '\n';
    slate_write(text, (size_t)n);
}

/* Our own name in LD_PRELOAD. */
static void find_library(void) {
    static char name[4096];
    for (const char *p = getenv("LD_PRELOAD"); p && *p;) {
        size_t n = strcspn(p, ": ");
        if (n > 12 && n < sizeof name && !memcmp(p + n - 12, "/libslate.so", 12)) {
            memcpy(name, p, n);
            slate_library = name;
            return;
        }
        p += n + strspn(p + n, ": ");
    }
}

void jvm_load(void);

__attribute__((constructor)) static void start(void) {
    keep_variables();
    keep_standard_error(2);
    files_start();
    find_library();
    if (slate_library) { /* else loaded by System.load, for its natives alone */
        libc_patch(slate_libc("gnu_get_libc_version"), slate_libc("syscall")); /* no dlopen(): it leaves traces in the client's heap */
        fence_start();
    }
    jvm_load();
}
