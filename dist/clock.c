/*
 * Preloaded into the JVM that writes a distribution's AOT cache, and nowhere else: its monotonic clock stands still. The archived heap
 * holds soft references with the clock's time in them, the only bytes of the cache that differ from one build to the next.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *time) {
    if (id != CLOCK_MONOTONIC) return (int)syscall(SYS_clock_gettime, id, time);
    *time = (struct timespec){.tv_sec = 1000000000}; /* later than any deadline that was reckoned from it: nothing times out */
    return 0;
}
