/* Promises of a test's program: each is a function, run by its name in a process of its own. Included once, before other headers. */
#ifndef PROMISES_H
#define PROMISES_H

#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Says the line that does not hold, and ends with 1. */
#define CHECK(condition) \
    do { \
        errno = 0; \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold (errno %d, %s)\n", __func__, __LINE__, #condition, errno, strerror(errno)); \
            fflush(stdout); \
            _exit(1); \
        } \
    } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))
/* This machine cannot show it. */
#define SKIP(why) \
    do { \
        fprintf(stderr, "skipped: %s\n", why); \
        _exit(77); \
    } while (0)

static char **arguments; /* of this program */

struct promise {
    const char *name;
    void (*run)(void);
};
#define TEST(name) {#name, name}

/* What nohup, a shell or another test's runner has set for its children is not what a promise is about. */
static void no_signal_is_ignored_or_blocked(void) {
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL); /* but SIGKILL, SIGSTOP, and libc's own */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What main() does: without a name it lists the first `listed` of `count` promises; the others are started by tests in ways of their own. */
static int keep_promises(int argc, char **argv, const struct promise *promises, size_t listed, size_t count) {
    arguments = argv;
    for (size_t i = 0; i < count; i++) {
        if (argc < 2) {
            if (i < listed) puts(promises[i].name);
        } else if (!strcmp(argv[1], promises[i].name)) {
            no_signal_is_ignored_or_blocked();
            promises[i].run();
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
#define KEEP(argc, argv, promises) keep_promises(argc, argv, promises, sizeof promises / sizeof *promises, sizeof promises / sizeof *promises)

#endif
