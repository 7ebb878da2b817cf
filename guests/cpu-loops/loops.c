/* The loops that need no vector registers but SSE2's, and what runs them. */
#include "loops.h"
#include "rounds.h"

void fill(uint64_t start, uint64_t words)
{
    uint64_t *at = (uint64_t *)start, key = start;

    for (uint64_t i = 0; i < words; i++) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        at[i] = key ^ key >> 32;
    }
}

static void zero(uint64_t start, uint64_t words)
{
    uint64_t *to = (uint64_t *)start;

    asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0ul) : "memory");
}

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
    return primes;
}

/* Counts hashes in two MiB of 64-bit counters: every access a cache line and page of its own. */
static uint64_t scatter(void)
{
    uint64_t *counter = (uint64_t *)DATA, key = 1, sum = 0;

    zero(DATA, 1 << 18);
    for (uint64_t i = 0; i < 2000000; i++) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        sum += ++counter[key >> 46];
    }
    return sum;
}

static void prepare_copy(void) { fill(DATA, (1 << 20) / 8); }

/* Copies a MiB in 64-bit words, eight times. */
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
    uint64_t sum = 0;
    for (uint64_t i = 0; i < (1 << 20) / 8; i += 997)
        sum = sum * 31 + to[i];
    return sum;
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
    return sum;
}

/* Sums 1/k^2 in double precision: a divide, two multiplies and an addition a term, as bits. */
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
    return sum; /* 1.64493306... */
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
    return a;
}

/* Hoare's partition around the middle one; each half by a call of its own. */
__attribute__((noinline)) static void quicksort(uint32_t *low, uint32_t *high)
{
    uint32_t pivot = low[(high - low) / 2], *i = low, *j = high;

    while (i <= j) {
        while (*i < pivot)
            i++;
        while (*j > pivot)
            j--;
        if (i <= j) {
            uint32_t other = *i;

            *i++ = *j;
            *j-- = other;
        }
    }
    if (low < j)
        quicksort(low, j);
    if (i < high)
        quicksort(i, high);
}

/* Sorts a hundred thousand random 32-bit numbers. */
static uint64_t sort(void)
{
    enum { COUNT = 100000 };
    uint32_t *number = (uint32_t *)DATA;
    uint64_t key = 1, sum = 0;

    for (uint64_t i = 0; i < COUNT; i++) {
        key = key * 6364136223846793005ul + 1442695040888963407ul;
        number[i] = (uint32_t)(key >> 32);
        sum += number[i];
    }
    quicksort(number, number + COUNT - 1);
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i && number[i - 1] > number[i])
            return 0;
        sum = sum * 31 + number[i];
    }
    return sum;
}

enum { LINES = 1 << 20, LINE = 64 };

/* One ring through each of a million cache lines, 64 MiB: a generator of full period says which comes next. Before the first round. */
static void make_ring(void)
{
    uint64_t at = 0;

    do {
        uint64_t next = (at * 1664525 + 1013904223) % LINES;

        *(uint64_t *)(DATA + at * LINE) = DATA + next * LINE;
        at = next;
    } while (at);
}

/* Follows the ring to the last line before its first. */
static uint64_t chase(void)
{
    uint64_t at = DATA;

    for (uint64_t i = 1; i < LINES; i++)
        at = *(volatile uint64_t *)at;
    return at;
}

enum code { PUSH, LOAD, STORE, ADD, SUBTRACT, MULTIPLY, XOR, SHIFT, JUMP_IF, END };

/* Runs bytecode on a stack; what an instruction does is found by a table of jumps. */
__attribute__((noinline)) static uint64_t interpret(const uint8_t *code, uint64_t *variable)
{
    uint64_t stack[16], *top = stack;

    for (const uint8_t *at = code;;)
        switch (*at++) {
        case PUSH: *top++ = *at++; break;
        case LOAD: *top++ = variable[*at++]; break;
        case STORE: variable[*at++] = *--top; break;
        case ADD: top--; top[-1] += *top; break;
        case SUBTRACT: top--; top[-1] -= *top; break;
        case MULTIPLY: top--; top[-1] *= *top; break;
        case XOR: top--; top[-1] ^= *top; break;
        case SHIFT: top--; top[-1] >>= *top & 63; break;
        case JUMP_IF:
            if (*--top)
                at = code + *at;
            else
                at++;
            break;
        case END: return variable[1];
        default: return 0;
        }
}

/* A hash of the numbers from 100,000 down. */
static uint64_t bytecode(void)
{
    static const uint8_t code[] = {
        LOAD, 1, PUSH, 31, MULTIPLY, LOAD, 0, ADD, STORE, 1,    /* v1 = v1 * 31 + v0 */
        LOAD, 1, LOAD, 1, PUSH, 7, SHIFT, XOR, STORE, 1,        /* v1 ^= v1 >> 7 */
        LOAD, 0, PUSH, 1, SUBTRACT, STORE, 0, LOAD, 0, JUMP_IF, 0, END};
    uint64_t variable[2] = {100000, 1};

    return interpret(code, variable);
}

static const struct {
    void (*prepare)(void); /* before the first round, out of the count */
    uint64_t (*run)(void);
} loops[] = {
    [SIEVE] = {0, sieve},
    [SCATTER] = {0, scatter},
    [COPY] = {prepare_copy, copy},
    [CRC] = {prepare_copy, crc},
    [FLOAT] = {0, floating},
    [CALLS] = {0, calls},
    [QUICKSORT] = {0, sort},
    [CHASE] = {make_ring, chase},
    [BYTECODE] = {0, bytecode},
    [SHA] = {prepare_copy, sha},
    [MATRIX] = {prepare_matrix, matrix},
    [STRINGS] = {prepare_strings, strings},
};

int run_loop(uint64_t loop, uint64_t rounds, void (*put)(char))
{
    if (loops[loop].prepare)
        loops[loop].prepare();
    return run_rounds(loops[loop].run, rounds, put);
}
