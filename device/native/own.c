/*
 * Slate's own descriptors. KVM needs none beside those that it gives to its client. So Slate's stand above the numbers that the client
 * may have (RLIMIT_NOFILE), where the hard limit or the right to raise it leaves room there: a table that is full for the client is not
 * full for Slate, and the client finds its numbers as they are on KVM. The limit itself is the client's, and away only for as long as a
 * descriptor is made.
 */
#include "slate.h"

#include <sys/resource.h>

enum {
    ROOM = 4096,
    WIDE = 65536,  /* nobody fills such a table by mistake, and a number above it would make the kernel's large */
    SMALL = 1024,  /* below this a client may well come to the end of its table */
    SELDOM = 960,  /* where numbers can't be above the client's: one that clients hardly come to */
};

static atomic_flag lock = ATOMIC_FLAG_INIT; /* guards what follows; the limit is the process's */
static int depth;
static struct rlimit was, lifted; /* lifted.rlim_cur 0: it is as it was */

static _Atomic uint64_t owned[MAX_FDS / 64]; /* a bit for each that stays open */
static _Atomic int end;                      /* above all of them */

static void acquire(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
static void release(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static long limit(const struct rlimit *set, struct rlimit *old) {
    return raw(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)set, (long)old, 0, 0);
}

static void lift(void) {
    lifted.rlim_cur = 0;
    if ((seccomp_filtered() && !seccomp_allows(SYS_prlimit64)) || limit(NULL, &was) < 0 || was.rlim_cur >= WIDE) return;
    rlim_t wanted = was.rlim_cur + ROOM, may = was.rlim_max < wanted ? was.rlim_max : wanted;
    struct rlimit high = {wanted, was.rlim_max < wanted ? wanted : was.rlim_max};
    if (limit(&high, NULL) < 0) {
        high = (struct rlimit){may, was.rlim_max};
        if (may == was.rlim_cur || limit(&high, NULL) < 0) return;
    }
    lifted = high;
}

void own_begin(void) {
    enter();
    acquire();
    if (depth++ == 0) lift();
    release();
}

long own_end(long fd) {
    acquire();
    long least = lifted.rlim_cur ? (long)was.rlim_cur : was.rlim_cur > SELDOM + 64 ? SELDOM : 0;
    if (fd >= 0 && fd < least) {
        long high = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, least, 0, 0, 0);
        if (high >= 0) {
            raw(SYS_close, fd, 0, 0, 0, 0, 0);
            fd = high;
        }
    }
    if (fd >= 0 && fd < MAX_FDS) {
        atomic_fetch_or(&owned[fd / 64], UINT64_C(1) << fd % 64);
        if (fd >= atomic_load(&end)) atomic_store(&end, (int)fd + 1);
    }
    if (--depth == 0 && lifted.rlim_cur) {
        struct rlimit now; /* another thread of the client's may have set it meanwhile */
        if (limit(NULL, &now) == 0 && now.rlim_cur == lifted.rlim_cur && now.rlim_max == lifted.rlim_max) limit(&was, NULL);
    }
    release();
    leave();
    return fd;
}

long own_close(long fd) {
    if (fd >= 0 && fd < MAX_FDS) atomic_fetch_and(&owned[fd / 64], ~(UINT64_C(1) << fd % 64));
    return raw(SYS_close, fd, 0, 0, 0, 0, 0);
}

bool own_is(int fd) {
    return (unsigned)fd < (unsigned)atomic_load_explicit(&end, memory_order_relaxed) && owned[fd / 64] >> fd % 64 & 1;
}

unsigned own_next(unsigned fd) {
    for (; fd < (unsigned)atomic_load(&end); fd++) {
        if (own_is((int)fd)) return fd;
    }
    return UINT32_MAX;
}

long own_open(const char *path, int flags) {
    own_begin();
    long fd = raw(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0, 0, 0);
    own_end(-1);
    return fd;
}

bool own_can(int count) {
    int fds[64], n = 0;
    own_begin();
    while (n < count && n < 64 && (fds[n] = (int)raw(SYS_eventfd2, 0, O_CLOEXEC, 0, 0, 0, 0)) >= 0) n++;
    bool can = n == count;
    while (n-- > 0) raw(SYS_close, fds[n], 0, 0, 0, 0, 0);
    own_end(-1);
    return can;
}

bool own_may_run_out(void) {
    own_begin();
    bool may = !lifted.rlim_cur && was.rlim_cur < SMALL;
    own_end(-1);
    return may;
}

/* Of a child of fork(), whose parent's threads may have been in the middle of it. */
void own_in_child(void) {
    release();
    if (depth && lifted.rlim_cur) limit(&was, NULL);
    depth = 0;
    for (int i = 0; i <= atomic_load(&end) / 64 && i < MAX_FDS / 64; i++) atomic_store(&owned[i], 0); /* the JVM's, which is not here */
}
