/*
 * One kind of exit in a tight loop, timed by the guest's time-stamp counter: the workload of the experiment exit-latency.
 *
 * Parameters: memory bytes, kind (enum kind below), samples in a batch, address of the batch's buffer (64 bits a sample), address of
 * the pages that PAGE_FAULT touches, one a sample, ticks from arming the timer to its deadline (HLT_TIMER).
 *
 * Marks: 100 when the buffer holds a batch; the loader empties it, and lets the guest run on for another. Each sample is the ticks
 * between the two RDTSC around the instruction, so it holds the cost of one RDTSC, which EMPTY shows; HLT_TIMER's is the ticks from the
 * deadline to the first instruction of the interrupt's handler.
 */
#include "guest.h"

enum kind { EMPTY, CPUID, PIO, MMIO, TSC_DEADLINE, CR0_WP, INVLPG, GUEST_FAULT, PAGE_FAULT, HLT_PENDING, HLT_TIMER };

#define MARK_BATCH 100
#define FAILED_KIND 1
#define FAILED_EXCEPTION 2

#define IO_PORT 0x40
#define NOWHERE ((volatile uint32_t *)0xd0000000ul) /* in no memslot */
#define NOT_MAPPED 0x700000000000ul                 /* in none of the guest's page tables */
#define CR0_WP_BIT (1ul << 16)

#define APIC 0xfee00000ul
#define APIC_EOI 0x0b0
#define APIC_SPURIOUS 0x0f0
#define APIC_ICR 0x300
#define APIC_LVT_TIMER 0x320
#define MSR_TSC_DEADLINE 0x6e0
#define TIMER_VECTOR 0x40
#define SELF_VECTOR 0x41

static struct gate idt[256];
static volatile uint64_t handler_tsc;

struct frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

static inline void apic_write(uint64_t offset, uint32_t value) { *(volatile uint32_t *)(APIC + offset) = value; }

__attribute__((interrupt)) static void interrupted(struct frame *frame)
{
    handler_tsc = rdtsc();
    (void)frame;
    apic_write(APIC_EOI, 0);
}

/* The faulting instruction, which has two bytes, is left out. */
__attribute__((interrupt)) static void page_fault(struct frame *frame, uint64_t error)
{
    (void)error;
    frame->rip += 2;
}

__attribute__((interrupt)) static void general_protection(struct frame *frame, uint64_t error)
{
    (void)frame;
    (void)error;
    mark(FAILED_EXCEPTION);
}

static inline void cpuid(void)
{
    uint32_t a = 0, b, c = 0, d;

    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

#define SAMPLE(statement)                      \
    for (uint64_t i = 0; i < samples; i++) {   \
        uint64_t start = rdtsc();              \
        statement;                             \
        buffer[i] = rdtsc() - start;           \
    }                                          \
    break

static void batch(enum kind kind, uint64_t samples, volatile uint64_t *buffer, const uint64_t *parameters)
{
    switch (kind) {
    case EMPTY:
        SAMPLE();
    case CPUID:
        SAMPLE(cpuid());
    case PIO:
        SAMPLE(in32(IO_PORT));
    case MMIO:
        SAMPLE((void)*NOWHERE);
    case TSC_DEADLINE:
        SAMPLE(wrmsr(MSR_TSC_DEADLINE, start + (1ul << 40)));
    case CR0_WP:
        SAMPLE(write_cr0(read_cr0() ^ CR0_WP_BIT));
    case INVLPG:
        /* The page is read after the time is taken, so that the next round has something to drop. */
        for (uint64_t i = 0; i < samples; i++) {
            uint64_t start = rdtsc();

            invlpg(parameters[4]);
            buffer[i] = rdtsc() - start;
            (void)*(volatile uint8_t *)parameters[4];
        }
        break;
    case GUEST_FAULT:
        SAMPLE(asm volatile("movb (%0), %%al" : : "a"(NOT_MAPPED) : "memory"));
    case PAGE_FAULT:
        SAMPLE(*(volatile uint8_t *)(parameters[4] + i * PAGE) = 1);
    case HLT_PENDING:
        for (uint64_t i = 0; i < samples; i++) {
            asm volatile("cli");
            apic_write(APIC_ICR, 0x40000 | SELF_VECTOR);
            uint64_t start = rdtsc();
            asm volatile("sti; hlt" : : : "memory");
            buffer[i] = rdtsc() - start;
        }
        asm volatile("cli");
        break;
    case HLT_TIMER:
        for (uint64_t i = 0; i < samples; i++) {
            asm volatile("cli");
            uint64_t deadline = rdtsc() + parameters[5];
            handler_tsc = 0;
            wrmsr(MSR_TSC_DEADLINE, deadline);
            while (!handler_tsc)
                asm volatile("sti; hlt; cli" : : : "memory");
            buffer[i] = handler_tsc - deadline;
        }
        break;
    default:
        mark(FAILED_KIND);
    }
}

int main(const uint64_t *parameters)
{
    set_gate(&idt[13], (void (*)(void))general_protection);
    set_gate(&idt[14], (void (*)(void))page_fault);
    set_gate(&idt[TIMER_VECTOR], (void (*)(void))interrupted);
    set_gate(&idt[SELF_VECTOR], (void (*)(void))interrupted);
    load_idt(idt, 256);
    apic_write(APIC_SPURIOUS, 0x1ff);
    apic_write(APIC_LVT_TIMER, 2 << 17 | TIMER_VECTOR); /* TSC-deadline mode (SDM 3A 12.5.4.1) */
    for (;;) {
        batch(parameters[1], parameters[2], (volatile uint64_t *)parameters[3], parameters);
        mark(MARK_BATCH);
    }
}
