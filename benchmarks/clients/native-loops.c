/*
 * The loops of guests/cpu-loops on the host itself: native-loops LOOP ROUNDS. Writes what the guest writes, and after it the processor time in
 * nanoseconds between B and E on a line of its own; only a line that says so where the host lacks what the loop needs.
 */
#include "loops.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t begin, end;

static uint64_t processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ul + now.tv_nsec;
}

static void put(char character)
{
    if (character == 'E')
        end = processor_time();
    putchar(character);
    if (character == 'B')
        begin = processor_time();
}

int main(int count, char **arguments)
{
    enum { BYTES = 66 << 20 };
    uint64_t loop = count == 3 ? strtoul(arguments[1], 0, 10) : LOOPS;

    if (loop >= LOOPS)
        return 2;
    if (loop >= FIRST_VECTOR && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) {
        puts("no AVX2");
        return 0;
    }
    /* Linked above it (-Ttext-segment), so that it is free. */
    void *data = mmap((void *)DATA, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (data != (void *)DATA) {
        perror("native-loops: mmap");
        return 1;
    }
    /* As QEMU asks for its guest's memory. */
    madvise(data, BYTES, MADV_HUGEPAGE);
    int same = run_loop(loop, strtoul(arguments[2], 0, 10), put);
    printf("%lu\n", end - begin);
    return !same;
}
