/*
 * The client's end. What was asked for (statistics, a recording, a trace, counts) is kept whichever way it goes, but for SIGKILL; and
 * when the last of its threads is gone the process is, although the JVM's threads live.
 */
#include "slate.h"

#include <pthread.h>
#include <stdlib.h>

bool end_is_awaited(void) {
    static const char *const BY[] = {"SLATE_STATS", "SLATE_JFR", "SLATE_TRACE", "SLATE_HEAT", "SLATE_GDB"};
    static _Atomic int awaited = -1;
    if (awaited < 0) {
        size_t i = 0;
        while (i < sizeof BY / sizeof *BY && !slate_variable(BY[i])) i++;
        awaited = i < sizeof BY / sizeof *BY;
    }
    return awaited;
}

void end_of_client(void) {
    if (jvm_running() && !self.depth && is_ours() && end_is_awaited()) jvm_exit();
}

PUBLIC void _exit(int status) {
    end_of_client();
    for (;;) raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
}
PUBLIC void _Exit(int) __attribute__((alias("_exit")));
PUBLIC void quick_exit(int status) {
    end_of_client();
    REAL(quick_exit)(status);
    __builtin_unreachable();
}
PUBLIC void abort(void) {
    end_of_client();
    REAL(abort)();
    __builtin_unreachable();
}

/* ---- Threads ---- */

enum { MOST = 512 };
static _Atomic int own[MOST]; /* thread numbers of Slate's and the JVM's */

void end_own_thread(bool begins) {
    int me = (int)raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
    for (int i = 0; i < MOST; i++) {
        int was = begins ? 0 : me;
        if (atomic_compare_exchange_strong(&own[i], &was, begins ? me : 0)) return;
    }
}

static bool is_own(int thread) {
    for (int i = 0; i < MOST; i++) {
        if (atomic_load(&own[i]) == thread) return true;
    }
    return false;
}

/* The letter of the thread's state, 'X' when it is gone. */
static char state_of(int thread) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    long fd = own_open(path, O_RDONLY);
    if (fd < 0) return fd == -ENOENT || fd == -ESRCH ? 'X' : 'R';
    long n = raw(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    text[n > 0 ? n : 0] = 0;
    const char *name = strrchr(text, ')');
    return name && name[1] ? name[2] : 'X';
}

bool end_any_thread(bool (*wanted)(int thread), bool unknown) {
    char entries[2048];
    long fd = own_open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    if (fd < 0) return unknown;
    bool found = false;
    long n;
    while (!found && (n = raw(SYS_getdents64, fd, (long)entries, sizeof entries, 0, 0, 0)) > 0) {
        for (long at = 0; at < n && !found;) {
            struct {
                uint64_t ino, off;
                unsigned short length;
                unsigned char type;
                char name[];
            } *entry = (void *)(entries + at);
            at += entry->length;
            int thread = atoi(entry->name);
            found = thread && wanted(thread);
        }
    }
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return found;
}

static bool clients_lives(int thread) {
    if (is_own(thread)) return false;
    char state = state_of(thread);
    return state != 'Z' && state != 'X';
}
/* Whether any of the client's threads lives. */
static bool lives(void) {
    return end_any_thread(clients_lives, true);
}

static atomic_bool filtered, blind;
static atomic_bool ended;      /* since the last look */
static atomic_bool first_ends; /* the first thread is on its way: it will be gone */
static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;

void end_blind(void) {
    pthread_mutex_lock(&looking); /* not while the keeper looks */
    atomic_store(&blind, true);
    pthread_mutex_unlock(&looking);
}

static bool looks_alive(bool *leader) {
    pthread_mutex_lock(&looking);
    bool alive = atomic_load(&blind) || lives();
    *leader = atomic_load(&blind) || state_of((int)raw(SYS_getpid, 0, 0, 0, 0, 0, 0)) != 'Z';
    pthread_mutex_unlock(&looking);
    return alive;
}

void end_watch(void) {
    atomic_store(&filtered, true);
    keeper_wake();
}
void end_look(void) {
    atomic_store(&ended, true);
    keeper_wake();
}
void end_thread_gone(void) {
    if (raw(SYS_gettid, 0, 0, 0, 0, 0, 0) == raw(SYS_getpid, 0, 0, 0, 0, 0, 0)) atomic_store(&first_ends, true);
    end_look();
}

bool end_poll(void) {
    bool leader;
    bool look = atomic_exchange(&ended, false); /* before the look: who ends meanwhile sets it again */
    if ((!look && !atomic_load(&filtered) && !atomic_load(&first_ends)) || atomic_load(&blind)) return false;
    if (looks_alive(&leader)) {
        if (!leader) atomic_store(&first_ends, true); /* a client whose first thread lives ends with it */
        return atomic_load(&filtered) || atomic_load(&first_ends);
    }
    if (!atomic_load(&filtered)) _exit(0);
    const char *help = seccomp_option();
    slate_say("the last thread of the program was killed, by its own seccomp filter as it seems; the program ends.%s%s", help ? " To have no filter: " : "", help ? help : "");
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    REAL(sigaction)(SIGSYS, &dfl, NULL);
    uint64_t set = UINT64_C(1) << (SIGSYS - 1);
    raw(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&set, 0, sizeof set, 0, 0);
    raw(SYS_tgkill, raw(SYS_getpid, 0, 0, 0, 0, 0, 0), raw(SYS_gettid, 0, 0, 0, 0, 0, 0), SIGSYS, 0, 0, 0);
    return true;
}
