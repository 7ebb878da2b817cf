/* Whether a JVM fits into what this process may have (setrlimit, ulimit): what it would end of, or end the client of, is said before. */
#include "slate.h"

#include <sys/resource.h>

/* MiB that this process may still have of something that is limited; *had of it already. False: it is not limited. */
COLD static bool is_limited(int what, int place, unsigned long *had, unsigned long *may) {
    struct rlimit limit;
    char text[128] = "", *at = text;
    if (raw(SYS_prlimit64, 0, what, 0, (long)&limit, 0, 0) < 0 || limit.rlim_cur == RLIM_INFINITY) return false;
    long fd = own_open("/proc/self/statm", O_RDONLY);
    if (fd >= 0) {
        raw(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
        raw(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    for (int i = 0; i <= place; i++) *had = strtoul(at, &at, 10) >> 8;
    *may = limit.rlim_cur >> 20;
    return true;
}

/* What the JVM takes of the address space, and of writable memory. With less, parts of it end without a word. */
enum { NEEDED_MIB = 1400, NEEDED_DATA_MIB = 160, AMPLE_DATA_MIB = 640 };
enum { STATM_SIZE = 0, STATM_DATA = 5 };
COLD bool room_for_jvm(void) {
    unsigned long had, may;
    if (is_limited(RLIMIT_AS, STATM_SIZE, &had, &may) && may < had + NEEDED_MIB) {
        slate_say("the JVM did not start: it takes %d MiB of address space, and of the %lu MiB that this process may have (ulimit -v) it has %lu.",
                  NEEDED_MIB, may, had);
        return false;
    }
    if (is_limited(RLIMIT_DATA, STATM_DATA, &had, &may) && may < had + NEEDED_DATA_MIB) {
        slate_say("the JVM did not start: it takes %d MiB of memory, and of the %lu MiB that this process may have (ulimit -d) it has %lu.", NEEDED_DATA_MIB,
                  may, had);
        return false;
    }
    return true;
}
/* A JVM ends when it gets no memory for itself: its heap must not be what uses it up. */
COLD unsigned long room_for_heap(void) {
    unsigned long had, may;
    return is_limited(RLIMIT_DATA, STATM_DATA, &had, &may) && may < had + AMPLE_DATA_MIB ? (may - had) / 4 : 0;
}

/*
 * What the JVM has open at a time while it starts, with some to spare. Where that is taken out of the client's descriptors the client may
 * close some and come again, as with KVM.
 */
enum { NEEDED_FILES = 24 };
COLD bool room_for_descriptors(void) {
    static bool said_so;
    if (own_can(NEEDED_FILES)) return true;
    if (!said_so) slate_say("the JVM takes %d descriptors of its own to start, and of those that this process may have (ulimit -n) fewer are left.", NEEDED_FILES);
    said_so = true;
    return false;
}
