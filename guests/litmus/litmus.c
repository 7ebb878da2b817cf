/*
 * Litmus tests of x86's memory order (SDM 3A 9.2.3, APM 2 7.2) and of the atomicity of locked operations.
 *
 * parameters: bytes of memory, number of processors, test, batches; the guest adds: address of `work`, to be started on the other
 * processors with the first one's control registers, RDI = processor and a stack each; rounds done; weak outcomes seen (allowed by TSO,
 * not by sequential consistency); forbidden outcomes seen.
 *
 * A batch is ROUNDS independent rounds on lines of their own, so that the processors meet only at its ends.
 */
#include "guest.h"

#define ROUNDS 2048

enum { SB, SB_MFENCE, SB_XCHG, SB_CMPXCHG, MP, LB, R, R_MFENCE, TWO_PLUS_TWO_W, IRIW, SPLIT, SPLIT_PAGE, WIDE, ACROSS };

struct line {
    volatile uint32_t value;
    uint32_t rest[15];
};

static struct line x[ROUNDS], y[ROUNDS];
static volatile uint32_t r[4][ROUNDS][2];
static uint64_t *p;
static volatile uint32_t arrived, generation, stop;
/* For the tests of atomicity: an aligned word that one processor stores to, and what the others change beside it. */
static uint8_t area[3 * PAGE] __attribute__((aligned(4096)));
static volatile uint64_t lost;

static void meet(unsigned processors)
{
    uint32_t now = generation;

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == processors) {
        arrived = 0;
        __atomic_store_n(&generation, now + 1, __ATOMIC_SEQ_CST);
    } else {
        while (generation == now)
            asm volatile("pause");
    }
}

#define STORE_LOAD(between)                                                                                                          \
    asm volatile("movl $1, (%1)\n\t" between "movl (%2), %0" : "=&r"(a) : "r"(mine), "r"(other), "a"(7), "c"(9), "r"(&scratch) : "memory", "cc")

static void round(unsigned test, unsigned cpu, unsigned i)
{
    volatile uint32_t *mine = cpu == 0 ? &x[i].value : &y[i].value, *other = cpu == 0 ? &y[i].value : &x[i].value;
    uint32_t a = 0, b = 0, scratch = 0;

    switch (test) {
    case SB:
        STORE_LOAD("");
        break;
    case SB_MFENCE:
        STORE_LOAD("mfence\n\t");
        break;
    case SB_XCHG:
        a = 1;
        asm volatile("xchgl %0, (%2)\n\tmovl (%3), %1" : "+r"(a), "=&r"(b) : "r"(mine), "r"(other) : "memory");
        a = b;
        break;
    case SB_CMPXCHG: /* which fails: 7 is not there */
        asm volatile("movl $1, (%1)\n\tmovl $7, %%eax\n\tlock cmpxchgl %%ecx, (%3)\n\tmovl (%2), %0"
                     : "=&r"(a) : "r"(mine), "r"(other), "r"(&scratch) : "memory", "cc", "eax", "ecx");
        break;
    case MP:
        if (cpu == 0)
            asm volatile("movl $1, (%0)\n\tmovl $1, (%1)" : : "r"(&x[i]), "r"(&y[i]) : "memory");
        else
            asm volatile("movl (%2), %0\n\tmovl (%3), %1" : "=&r"(a), "=&r"(b) : "r"(&y[i]), "r"(&x[i]) : "memory");
        break;
    case LB:
        asm volatile("movl (%1), %0\n\tmovl $1, (%2)" : "=&r"(a) : "r"(mine), "r"(other) : "memory");
        break;
    case R:
    case R_MFENCE:
        if (cpu == 0 && test == R)
            asm volatile("movl $1, (%0)\n\tmovl $1, (%1)" : : "r"(&x[i]), "r"(&y[i]) : "memory");
        else if (cpu == 0)
            asm volatile("movl $1, (%0)\n\tmfence\n\tmovl $1, (%1)" : : "r"(&x[i]), "r"(&y[i]) : "memory");
        else if (test == R)
            asm volatile("movl $2, (%2)\n\tmovl (%1), %0" : "=&r"(a) : "r"(&x[i]), "r"(&y[i]) : "memory");
        else
            asm volatile("movl $2, (%2)\n\tmfence\n\tmovl (%1), %0" : "=&r"(a) : "r"(&x[i]), "r"(&y[i]) : "memory");
        break;
    case TWO_PLUS_TWO_W:
        asm volatile("movl $1, (%0)\n\tmovl $2, (%1)" : : "r"(mine), "r"(other) : "memory");
        break;
    case IRIW:
        if (cpu < 2)
            *mine = 1;
        else if (cpu == 2)
            asm volatile("movl (%2), %0\n\tmovl (%3), %1" : "=&r"(a), "=&r"(b) : "r"(&x[i]), "r"(&y[i]) : "memory");
        else
            asm volatile("movl (%2), %0\n\tmovl (%3), %1" : "=&r"(a), "=&r"(b) : "r"(&y[i]), "r"(&x[i]) : "memory");
        break;
    }
    r[cpu][i][0] = a;
    r[cpu][i][1] = b;
}

/* 0: what sequential consistency gives, too; 1: weak, but allowed; 2: forbidden. */
static int verdict(unsigned test, unsigned i)
{
    uint32_t r0 = r[0][i][0], r1 = r[1][i][0];

    switch (test) {
    case SB:
        return r0 == 0 && r1 == 0 ? 1 : 0;
    case SB_MFENCE:
    case SB_XCHG:
    case SB_CMPXCHG:
        return r0 == 0 && r1 == 0 ? 2 : 0;
    case MP:
        return r1 == 1 && r[1][i][1] == 0 ? 2 : 0;
    case LB:
        return r0 == 1 && r1 == 1 ? 2 : 0;
    case R:
        return y[i].value == 2 && r1 == 0 ? 1 : 0;
    case R_MFENCE:
        return y[i].value == 2 && r1 == 0 ? 2 : 0;
    case TWO_PLUS_TWO_W:
        return x[i].value == 1 && y[i].value == 1 ? 2 : 0;
    default:
        return r[2][i][0] == 1 && r[2][i][1] == 0 && r[3][i][0] == 1 && r[3][i][1] == 0 ? 2 : 0;
    }
}

/*
 * One processor stores rising numbers into its own aligned word and looks whether they stay; the others make locked operations that
 * cover this word and change what lies beside it. Taken apart into a load and a store they would bring an old number back.
 */
static void guarded(unsigned test, unsigned cpu)
{
    /* Where the locked operand starts, and the aligned word in it that is only stored to. */
    uint8_t *at = test == SPLIT ? area + 64 - 4 : test == SPLIT_PAGE ? area + PAGE - 4 : test == WIDE ? area + 128 : area + 192 + 4;
    volatile uint32_t *own = (volatile uint32_t *)at;

    if (cpu == 0) {
        for (uint32_t n = 1; n <= ROUNDS; n++) {
            *own = n;
            for (int i = 0; i < 20; i++)
                if (*own != n) {
                    lost++;
                    *own = n;
                }
        }
        stop = 1;
        return;
    }
    do {
        if (test == WIDE) {
            uint64_t *w = (uint64_t *)at, low = w[0], high = w[1];
            asm volatile("lock cmpxchg16b %0" : "+m"(*(uint8_t(*)[16])w), "+a"(low), "+d"(high) : "b"(low), "c"(high + 1) : "cc", "memory");
        } else {
            asm volatile("lock addq %1, (%0)" : : "r"(at), "r"(1ul << 32) : "memory", "cc");
            r[cpu][0][0]++;
        }
    } while (!stop);
}

void work(uint64_t cpu)
{
    unsigned processors = p[1], test = p[2];

    for (uint64_t batch = 0; batch < p[3]; batch++) {
        meet(processors);
        if (test >= SPLIT) {
            guarded(test, cpu);
        } else {
            for (unsigned i = 0; i < ROUNDS; i++)
                round(test, cpu, i);
        }
        meet(processors);
        if (cpu == 0) {
            uint64_t sum = 0;

            for (unsigned i = 0; i < ROUNDS && test < SPLIT; i++) {
                int v = verdict(test, i);

                p[6] += v == 1;
                p[7] += v == 2;
                x[i].value = y[i].value = 0;
            }
            if (test >= SPLIT) {
                /* Nothing that was added may be missing either. */
                uint32_t *beside = (uint32_t *)((test == SPLIT ? area + 64 : test == SPLIT_PAGE ? area + PAGE : area + 200));
                for (unsigned c = 1; c < processors; c++)
                    sum += r[c][0][0];
                p[7] += lost + (test != WIDE && *beside != (uint32_t)sum);
                p[6] += sum;
                lost = 0;
                stop = 0;
                *beside = 0;
                for (unsigned c = 1; c < processors; c++)
                    r[c][0][0] = 0;
            }
            p[5] += ROUNDS;
        }
    }
    meet(processors);
    if (cpu != 0)
        mark(0);
}

int main(uint64_t *parameters)
{
    p = parameters;
    p[4] = (uint64_t)work;
    mark(100);
    work(0);
    return 0;
}
