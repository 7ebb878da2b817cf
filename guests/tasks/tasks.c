/*
 * A multitasker whose switches are all the processor's (SDM 3A chapter 7): jumps between tasks, calls and returns, faults and interrupts
 * through task gates, a task at privilege 3 with a table of its own, one of 16 bits, one with its own page tables, the trap bit.
 */
#include "guest32.h"

struct tss {
    uint16_t link, r0;
    uint32_t esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, map;
};

struct tss16 {
    uint16_t link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

enum { MAIN = 0x28, A = 0x30, B = 0x38, FAULT = 0x40, GATE_A = 0x48, LDT = 0x50, SMALL = 0x58, USER = 0x60, SERVICE = 0x68, PAGED = 0x70,
       CODE16 = 0x78, GATE_SERVICE = 0x80 };

static struct tss main_tss, a_tss, b_tss, fault_tss, user_tss, service_tss, paged_tss;
static struct tss16 small_tss;
static uint8_t stacks[8][4096] __attribute__((aligned(16)));
static uint64_t idt[64], ldt[2];
static uint32_t directory[1024] __attribute__((aligned(4096))), other_directory[1024] __attribute__((aligned(4096)));
static volatile uint32_t a_count, b_count, faults, services, traps, user_sum;

#define SWITCH_TO(selector) asm volatile("ljmp %0, $0" : : "i"(selector) : "memory")
#define CALL_TASK(selector) asm volatile("lcall %0, $0" : : "i"(selector) : "memory")

static void task(struct tss *t, unsigned selector, void (*entry)(void), int stack)
{
    t->eip = (uint32_t)entry;
    t->eflags = 2;
    t->esp = t->esp0 = (uint32_t)stacks[stack] + sizeof stacks[0];
    t->cs = 8;
    t->es = t->ss = t->ds = t->fs = t->gs = t->ss0 = 16;
    t->map = sizeof *t;
    t->cr3 = (uint32_t)directory;
    set_descriptor(selector, (uint32_t)t, sizeof *t - 1, 0x89, 0);
}

static unsigned access_of(unsigned selector) { return gdt[selector >> 3] >> 40 & 0xff; }

/* Jumped to and fro: everything it holds in registers must be there when it goes on. */
static void run_a(void)
{
    uint32_t x = 1, y = 2, z = 3;

    for (;;) {
        x = x * 1664525 + 1013904223;
        y += x;
        z ^= y;
        a_count++;
        asm volatile("ljmp %3, $0" : "+r"(x), "+r"(y), "+r"(z) : "i"(B) : "memory");
        if (x == 0)
            fail(1);
    }
}

static void run_b(void)
{
    for (;;) {
        b_count++;
        SWITCH_TO(MAIN);
    }
}

/* Called: returns by IRET, and goes on behind it at the next call. */
static void run_service(void)
{
    for (;;) {
        uint32_t flags;

        asm volatile("pushfl\n\tpopl %0" : "=r"(flags));
        expect(flags & 0x4000, 2);
        expect(service_tss.link == MAIN || service_tss.link == USER, 3);
        services++;
        asm volatile("iretl" : : : "memory");
    }
}

/* The handler of #UD, a task of its own: the interrupted one's registers lie in its TSS. */
static void run_fault(void)
{
    for (;;) {
        struct tss *t = fault_tss.link == MAIN ? &main_tss : &user_tss;

        expect(*(uint16_t *)t->eip == 0x0b0f, 4);
        t->eip += 2;
        faults++;
        asm volatile("iretl" : : : "memory");
    }
}

/* Privilege 3, with its data in its own table, where selector 0xf is. */
static void run_user(void)
{
    for (;;) {
        uint32_t sum = 0;

        for (int i = 0; i < 16; i++) {
            uint32_t v;

            asm volatile("movl %%ds:(%1), %0" : "=r"(v) : "r"(i * 4));
            sum += v;
        }
        asm volatile("movl %0, %%es:(%1)" : : "r"(sum), "r"(&user_sum) : "memory");
        asm volatile("int $0x30" : : : "memory");
        asm volatile("lcall %0, $0" : : "i"(GATE_SERVICE | 3) : "memory");
        asm volatile("ud2" : : : "memory");
        /* Not to be had from here: the gate to task A is the kernel's. */
        asm volatile("int $0x31" : : : "memory");
    }
}

/* With page tables of its own. */
static void run_paged(void)
{
    for (;;) {
        *(volatile uint32_t *)0x800000 = 0x600d;
        asm volatile("iretl" : : : "memory");
    }
}

asm(".globl debug_entry\n"
    "debug_entry:\n"
    "    pushl %eax\n"
    "    movl %dr6, %eax\n"
    "    movl %eax, debug_dr6\n"
    "    incl traps\n"
    "    popl %eax\n"
    "    iretl\n"
    ".globl back_to_main\n"
    "back_to_main:\n"
    "    ljmp $0x28, $0\n"
    "    jmp back_to_main\n"
    /* The 16-bit task: 16 bits of AX, and back. */
    ".globl small_entry\n"
    ".code16\n"
    "small_entry:\n"
    "    addw $0x1111, %ax\n"
    "    iretw\n"
    "    jmp small_entry\n"
    ".code32\n");
extern void debug_entry(void), back_to_main(void), small_entry(void);
volatile uint32_t debug_dr6;

int main(void)
{
    uint32_t data[16], sum = 0;

    for (int i = 0; i < 1024; i++)
        directory[i] = other_directory[i] = (uint32_t)i << 22 | 0x87;
    other_directory[2] = 0xc00087; /* 8 MiB lies at 12 MiB there */
    asm volatile("movl %0, %%cr4" : : "r"(0x10));
    asm volatile("movl %0, %%cr3" : : "r"(directory));
    asm volatile("movl %0, %%cr0" : : "r"(0x80000031));
    task(&main_tss, MAIN, main_tss.eip ? 0 : (void (*)(void))0, 0);
    task(&a_tss, A, run_a, 1);
    task(&b_tss, B, run_b, 2);
    task(&fault_tss, FAULT, run_fault, 3);
    task(&service_tss, SERVICE, run_service, 4);
    task(&user_tss, USER, run_user, 5);
    task(&paged_tss, PAGED, run_paged, 6);
    gdt[GATE_A >> 3] = gate(A, 0, 0x85);
    gdt[GATE_SERVICE >> 3] = gate(SERVICE, 0, 0xe5);
    idt[6] = gate(FAULT, 0, 0x85);
    idt[0x30] = gate(SERVICE, 0, 0xe5);
    idt[0x31] = gate(8, (uint32_t)back_to_main, 0xee);
    idt[1] = gate(8, (uint32_t)debug_entry, 0x8e);
    load_idt(idt, 64);
    asm volatile("ltr %w0" : : "r"(MAIN));
    expect(access_of(MAIN) == 0x8b, 5);

    /* Jumps: the old task is free again, the new one busy. */
    for (int i = 0; i < 1000; i++)
        SWITCH_TO(A);
    expect(a_count == 1000 && b_count == 1000, 6);
    expect(access_of(MAIN) == 0x8b && access_of(A) == 0x89 && access_of(B) == 0x89, 7);
    SWITCH_TO(GATE_A);
    expect(a_count == 1001, 8);
    print("jumps\n");

    /* Calls: both are busy meanwhile, and NT is the called one's only. */
    for (int i = 0; i < 100; i++)
        CALL_TASK(SERVICE);
    asm volatile("int $0x30" : : : "memory");
    expect(services == 101 && access_of(SERVICE) == 0x89 && access_of(MAIN) == 0x8b, 9);
    uint32_t flags;
    asm volatile("pushfl\n\tpopl %0" : "=r"(flags));
    expect(!(flags & 0x4000), 10);
    print("calls\n");

    for (int i = 0; i < 10; i++)
        asm volatile("ud2" : : : "memory");
    expect(faults == 10, 11);
    print("faults\n");

    for (int i = 0; i < 16; i++)
        sum += data[i] = i * i + 7;
    ldt[1] = (gdt[0x20 >> 3] & 0xff00ffff0000ffff & ~0xff00000000000000ull) | (uint64_t)((uint32_t)data & 0xffffff) << 16
             | (uint64_t)((uint32_t)data >> 24) << 56 | 0x00c0f30000000000ull;
    set_descriptor(LDT, (uint32_t)ldt, sizeof ldt - 1, 0x82, 0);
    user_tss.ldt = LDT;
    user_tss.cs = 0x1b;
    user_tss.ss = user_tss.es = 0x23;
    user_tss.ds = 0xf;
    user_tss.fs = user_tss.gs = 0;
    SWITCH_TO(USER);
    expect(user_sum == sum, 12);
    expect(services == 103 && faults == 11, 13);
    print("user\n");

    set_descriptor(CODE16, (uint32_t)small_entry, 0xffff, 0x9b, 0);
    small_tss = (struct tss16){.ip = 0, .flags = 2, .ax = 0x2222, .es = 16, .cs = CODE16, .ss = 16, .ds = 16, .sp = 0x8000};
    set_descriptor(SMALL, (uint32_t)&small_tss, sizeof small_tss - 1, 0x81, 0);
    CALL_TASK(SMALL);
    CALL_TASK(SMALL);
    expect(small_tss.ax == 0x4444 && small_tss.link == MAIN, 14);
    print("16 bits\n");

    paged_tss.cr3 = (uint32_t)other_directory;
    *(volatile uint32_t *)0x800000 = 1;
    CALL_TASK(PAGED);
    expect(*(volatile uint32_t *)0x800000 == 1 && *(volatile uint32_t *)0xc00000 == 0x600d, 15);
    print("page tables\n");

    service_tss.trap = 1;
    CALL_TASK(SERVICE);
    expect(traps == 1 && services == 104 && debug_dr6 == 0xffff8ff0, 16);
    print("trap bit\n");
    return 0;
}
