/*
 * What a kernel does all day, each by itself: the second half of `slate speed cpu`.
 *
 * Parameters: memory bytes, work (enum work below), rounds. Characters as rounds.h says. Needs 16 MiB.
 */
#include "guest.h"
#include "rounds.h"

enum work { SYSTEM_CALL, PAGE_FAULT, SWITCH, INTERRUPT, CODE, WORKS };

#define FAILED_ANSWER 1
#define FAILED_WORK 2

#define PRESENT 1ul
#define WRITABLE 2ul
#define USER 4ul
#define LARGE 0x80ul
#define GLOBAL 0x100ul
#define FRAME 0x000ffffffffff000ul
#define ENTRIES 512ul

/* Page tables and frames from here on; the frames' addresses in user space, which the second entry of the top-level table maps. */
#define POOL 0x400000ul
#define BASE (1ul << 39)

typedef uint64_t table[ENTRIES];

extern table boot_pml4;
void system_call(void);
void call_often(void);
void touch_pages(void);
uint64_t enter_user(void (*code)(void), uint64_t stack, uint64_t rdi, uint64_t rsi);

static struct gate idt[256];
static uint64_t next_frame = POOL;
static _Alignas(16) uint8_t kernel_stack[8192], fault_stack[8192], user_stack[4096];

struct frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

static uint64_t zeroed_frame(void)
{
    uint64_t frame = next_frame, to = frame, count = ENTRIES;

    next_frame += PAGE;
    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0ul) : "memory");
    return frame;
}

static uint64_t *next_level(uint64_t *entries, uint64_t index)
{
    if (!(entries[index] & PRESENT))
        entries[index] = zeroed_frame() | PRESENT | WRITABLE | USER;
    return (uint64_t *)(entries[index] & FRAME);
}

static uint64_t *entry(uint64_t *pml4, uint64_t address)
{
    return next_level(next_level(next_level(pml4, address >> 39 & 511), address >> 30 & 511), address >> 21 & 511) + (address >> 12 & 511);
}

/* ---------------------------------------------------------------- what a kernel sets up once */

static uint64_t add_one(uint64_t v) { return v + 1; }
uint64_t (*const system_calls[])(uint64_t) = {0, add_one};

static struct {
    uint64_t kernel_stack, user_stack;
} per_cpu = {(uint64_t)(kernel_stack + sizeof kernel_stack), 0};

/* The segments that SYSCALL and SYSRET assume, and a task with a stack for what comes from user mode (SDM 3A 5.8.8, 7.7). */
static void load_segments(void)
{
    static struct __attribute__((packed)) {
        uint32_t reserved;
        uint64_t rsp[3];
        uint8_t more[76];
    } task;
    static uint64_t gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff, 0, 0};
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof gdt - 1, (uint64_t)gdt};

    task.rsp[0] = (uint64_t)(fault_stack + sizeof fault_stack);
    gdt[6] = (sizeof task - 1) | ((uint64_t)&task & 0xffffff) << 16 | 0x890000000000 | ((uint64_t)&task >> 24 & 0xff) << 56;
    asm volatile("lgdt %0; ltr %w1" : : "m"(pointer), "r"(48) : "memory");
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);                  /* EFER.SCE */
    wrmsr(0xc0000081, 8ul << 32 | 0x1bul << 48);               /* STAR */
    wrmsr(0xc0000082, (uint64_t)system_call);                  /* LSTAR */
    wrmsr(0xc0000084, 0x700);                                  /* SFMASK: TF, IF, DF */
    wrmsr(0xc0000102, (uint64_t)&per_cpu);                     /* KERNEL_GS_BASE */
}

/* The image is for users, too, so that they can run here; what the kernel maps is global. */
static void map_kernel(void)
{
    uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & FRAME), *directory = (uint64_t *)(pdpt[0] & FRAME);
    uint64_t cr4;

    boot_pml4[0] |= USER;
    pdpt[0] |= USER;
    for (uint64_t i = 0; i < ENTRIES; i++)
        directory[i] |= USER | GLOBAL;
    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    asm volatile("mov %0, %%cr4" : : "r"(cr4 | 0x80) : "memory");
    write_cr3(read_cr3());
}

/* ---------------------------------------------------------------- system calls */

static uint64_t make_calls(void)
{
    return enter_user(call_often, (uint64_t)(user_stack + sizeof user_stack), 10000, 0);
}

/* ---------------------------------------------------------------- page faults */

enum { PAGES = 1024 };
static uint64_t faults, first_frame;

/* A zeroed frame for the page. */
__attribute__((interrupt)) static void page_fault(struct frame *frame, uint64_t error)
{
    (void)frame;
    (void)error;
    faults++;
    *entry(boot_pml4, read_cr2()) = zeroed_frame() | PRESENT | WRITABLE | USER;
}

static void prepare_faults(void)
{
    for (uint64_t i = 0; i < PAGES; i++)
        entry(boot_pml4, BASE + i * PAGE);
    first_frame = next_frame;
}

/* User code touches pages that are not there; then they go. */
static uint64_t make_faults(void)
{
    uint64_t before = faults;
    uint64_t sum = enter_user(touch_pages, (uint64_t)(user_stack + sizeof user_stack), BASE, PAGES);

    for (uint64_t i = 0; i < PAGES; i++)
        *entry(boot_pml4, BASE + i * PAGE) = 0;
    next_frame = first_frame;
    write_cr3((uint64_t)boot_pml4);
    return (faults - before) << 32 | sum;
}

/* ---------------------------------------------------------------- two address spaces */

enum { WORKING_SET = 16 };
static uint64_t *space[2];

static void prepare_switches(void)
{
    for (int i = 0; i < 2; i++) {
        space[i] = (uint64_t *)zeroed_frame();
        space[i][0] = boot_pml4[0];
        for (uint64_t page = 0; page < WORKING_SET; page++) {
            uint64_t frame = zeroed_frame();

            *(uint64_t *)frame = 100 * i + page;
            *entry(space[i], BASE + page * PAGE) = frame | PRESENT | WRITABLE | USER;
        }
    }
}

/* Each in turn reads and writes its pages, which lie at the same addresses. */
static uint64_t make_switches(void)
{
    uint64_t sum = 0;

    for (uint64_t n = 0; n < 1000; n++) {
        write_cr3((uint64_t)space[n & 1]);
        for (uint64_t page = 0; page < WORKING_SET; page++) {
            volatile uint64_t *at = (volatile uint64_t *)(BASE + page * PAGE);

            sum = sum * 31 + at[0];
            at[1] = n;
        }
    }
    return sum;
}

/* ---------------------------------------------------------------- interrupts */

#define APIC 0xfee00000ul
#define VECTOR 0x40
static volatile uint64_t interrupts;

static void write_apic(uint32_t at, uint32_t v) { *(volatile uint32_t *)(APIC + at) = v; }

__attribute__((interrupt)) static void interrupt(struct frame *frame)
{
    (void)frame;
    interrupts++;
    write_apic(0xb0, 0); /* EOI */
}

static void prepare_interrupts(void)
{
    write_apic(0xf0, 0x1ff); /* SVR: on */
}

/* The processor sends itself one, which its handler ends (SDM 3A 11.6.1: ICR with the shorthand for self). */
static uint64_t make_interrupts(void)
{
    uint64_t before = interrupts;

    asm volatile("sti");
    for (uint64_t n = 0; n < 1000; n++) {
        uint64_t so_far = interrupts;

        write_apic(0x300, 1 << 18 | VECTOR);
        while (interrupts == so_far)
            asm volatile("pause");
    }
    asm volatile("cli");
    return interrupts - before;
}

/* ---------------------------------------------------------------- code that is written and run at once */

enum { ROOM = 64 << 10, FUNCTION = 64 };

/* Writes one function after the other, each with constants of its own, and calls each once. */
static uint64_t make_code(void)
{
    uint64_t sum = 0;

    for (uint64_t n = 0; n < ROOM / FUNCTION; n++) {
        uint8_t *at = (uint8_t *)(POOL + n * FUNCTION), *start = at;

        *at++ = 0x48; /* mov rax, rdi */
        *at++ = 0x89;
        *at++ = 0xf8;
        for (uint32_t k = 0; k < 8; k++) {
            *at++ = 0x48; /* xor, add rax, constant */
            *at++ = k & 1 ? 0x05 : 0x35;
            *(uint32_t *)at = (uint32_t)(sum + n * k) & 0x7fffffff;
            at += 4;
        }
        *at = 0xc3;
        sum = ((uint64_t (*)(uint64_t))start)(sum);
    }
    return sum;
}

static void put(char character) { out8(PORT_CHARACTER, character); }

int main(const uint64_t *parameters)
{
    static const struct {
        void (*prepare)(void);
        uint64_t (*run)(void);
    } works[] = {
        [SYSTEM_CALL] = {0, make_calls},
        [PAGE_FAULT] = {prepare_faults, make_faults},
        [SWITCH] = {prepare_switches, make_switches},
        [INTERRUPT] = {prepare_interrupts, make_interrupts},
        [CODE] = {0, make_code},
    };
    uint64_t work = parameters[1];

    if (work >= WORKS)
        return FAILED_WORK;
    load_segments();
    map_kernel();
    set_gate(&idt[14], (void (*)(void))page_fault);
    set_gate(&idt[VECTOR], (void (*)(void))interrupt);
    load_idt(idt, 256);
    if (works[work].prepare)
        works[work].prepare();
    return run_rounds(works[work].run, parameters[2], put) ? 0 : FAILED_ANSWER;
}
