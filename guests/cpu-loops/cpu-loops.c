/*
 * Loops that say how fast a processor is: the workload of `slate speed cpu` and `slate speed vcpus`.
 *
 * Parameters: memory bytes, loop (enum loop), rounds. Writes B, runs the rounds, writes E and the loop's answer in hexadecimal, and
 * returns 0 when all rounds gave the same one. Data lies from 2 MiB on and needs 4 MiB, the chase's 64. The last loops need AVX2 and FMA.
 * loops.c and what it calls know nothing of the bare machine: benchmarks/clients/native-loops.c runs them on the host.
 */
#include "guest.h"
#include "loops.h"

#define FAILED_ANSWER 1
#define FAILED_LOOP 2

static void put(char character) { out8(PORT_CHARACTER, character); }

/* CR4.OSXSAVE, and x87, SSE and AVX in XCR0 (SDM 3A 2.6). */
static void enable_avx(void)
{
    uint64_t cr4;

    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    asm volatile("mov %0, %%cr4" : : "r"(cr4 | 1 << 18));
    asm volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
}

int main(const uint64_t *parameters)
{
    if (parameters[1] >= LOOPS)
        return FAILED_LOOP;
    if (parameters[1] >= FIRST_VECTOR)
        enable_avx();
    return run_loop(parameters[1], parameters[2], put) ? 0 : FAILED_ANSWER;
}
