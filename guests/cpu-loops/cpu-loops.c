/*
 * Loops that say how fast a processor is: the workload of `slate speed cpu`.
 *
 * Parameters: memory bytes, loop (enum loop below), rounds. Writes B, runs the rounds, writes E, and returns 0 when the loop's answer
 * is right. Data lies from 2 MiB on and needs 4 MiB.
 */
#include "guest.h"

enum loop { SIEVE, SCATTER, COPY, CRC, FLOAT, CALLS };

#define FAILED_ANSWER 1
#define FAILED_LOOP 2

#define DATA 0x200000ul

/* Marks the composites below a million in a table of bytes. */
static uint64_t sieve(void)
{
    enum { LIMIT = 1000000 };
    uint8_t *composite = (uint8_t *)DATA;
    uint64_t primes = 0;

    for (uint64_t i = 0; i < LIMIT; i++) {
        composite[i] = 0;
        asm volatile("" ::: "memory"); /* a loop, not a call of memset */
    }
    for (uint64_t i = 2; i < LIMIT; i++) {
        if (composite[i])
            continue;
        primes++;
        for (uint64_t multiple = i * i; multiple < LIMIT; multiple += i)
            composite[multiple] = 1;
    }
    return primes == 78498;
}

/* Counts hashes in two MiB of 64-bit counters: every access a cache line and page of its own. */
static uint64_t scatter(void)
{
    uint64_t *counter = (uint64_t *)DATA, key = 1, sum = 0;

    for (uint64_t i = 0; i < 2000000; i++) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        sum += ++counter[key >> 46];
    }
    return sum != 0;
}

/* Copies a MiB in 64-bit words. */
static uint64_t copy(void)
{
    volatile uint64_t *from = (uint64_t *)DATA, *to = (uint64_t *)(DATA + (2 << 20));

    for (uint64_t k = 0; k < 8; k++)
        for (uint64_t i = 0; i < (1 << 20) / 8; i += 4) {
            to[i] = from[i];
            to[i + 1] = from[i + 1];
            to[i + 2] = from[i + 2];
            to[i + 3] = from[i + 3];
        }
    return to[77] == from[77];
}

/* CRC-32 by table, a byte at a time (reflected 0x04c11db7). */
static uint64_t crc(void)
{
    static uint32_t table[256];
    uint8_t *text = (uint8_t *)DATA;
    uint32_t sum = ~0u;

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;

        for (int k = 0; k < 8; k++)
            v = v >> 1 ^ (v & 1 ? 0xedb88320u : 0);
        table[i] = v;
    }
    for (uint64_t i = 0; i < (1 << 20); i++)
        sum = sum >> 8 ^ table[(uint8_t)(sum ^ text[i])];
    return sum != 0;
}

/* Sums 1/k^2 in double precision: a divide, two multiplies and an addition a term, so far as the sum is right. */
static uint64_t floating(void)
{
    uint64_t sum, rounds = 1000000;

    asm volatile("cvtsi2sd %2, %%xmm1\n" /* 1.0 */
                 "xorps %%xmm0, %%xmm0\n"
                 "movaps %%xmm1, %%xmm2\n"
                 "1: movaps %%xmm2, %%xmm3\n"
                 "mulsd %%xmm2, %%xmm3\n"
                 "movaps %%xmm1, %%xmm4\n"
                 "divsd %%xmm3, %%xmm4\n"
                 "addsd %%xmm4, %%xmm0\n"
                 "addsd %%xmm1, %%xmm2\n"
                 "dec %1\n"
                 "jnz 1b\n"
                 "movq %%xmm0, %0\n"
                 : "=&r"(sum), "+r"(rounds)
                 : "r"(1ul)
                 : "cc");
    return sum >> 32 == 0x3ffa51a5; /* 1.64493306... */
}

__attribute__((noinline)) static uint64_t add(uint64_t a) { return a + 3; }
__attribute__((noinline)) static uint64_t shift(uint64_t a) { return a << 1 ^ a >> 5; }
__attribute__((noinline)) static uint64_t negate(uint64_t a) { return ~a; }
__attribute__((noinline)) static uint64_t multiply(uint64_t a) { return a * 0x9e3779b97f4a7c15ul; }

/* Calls one of four functions through a pointer, in an order that follows from the data. */
static uint64_t calls(void)
{
    static uint64_t (*volatile functions[4])(uint64_t) = {add, shift, negate, multiply};
    uint64_t a = 1;

    for (uint64_t i = 0; i < 1000000; i++)
        a = functions[(a >> 17 ^ i) & 3](a);
    return a != 0;
}

int main(const uint64_t *parameters)
{
    static uint64_t (*const loops[])(void) = {sieve, scatter, copy, crc, floating, calls};
    int good = 1;

    if (parameters[1] > CALLS)
        return FAILED_LOOP;
    out8(PORT_CHARACTER, 'B');
    for (uint64_t i = 0; i < parameters[2]; i++)
        good &= loops[parameters[1]]() & 1;
    out8(PORT_CHARACTER, good ? 'E' : 'X');
    return good ? 0 : FAILED_ANSWER;
}
