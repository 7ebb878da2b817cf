/*
 * A 32-bit guest under PAE paging (SDM 3A 4.4): pages of both sizes, NX, write protection, reserved bits, frames above 4 GiB's reach of
 * 32-bit entries, and directory pointers that count from when CR3 was loaded.
 */
#include "guest32.h"

enum { P = 1, W = 2, U = 4, PS = 0x80 };
#define NX (1ull << 63)

static uint64_t pointers[4] __attribute__((aligned(32))), low[512] __attribute__((aligned(4096))), high[512] __attribute__((aligned(4096))),
    other[512] __attribute__((aligned(4096))), table[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));
static uint64_t idt[32];

volatile uint32_t fault_code, fault_address, fault_resume, fault_count;

asm(".globl page_fault\n"
    "page_fault:\n"
    "    popl fault_code\n"
    "    pushl %eax\n"
    "    movl %cr2, %eax\n"
    "    movl %eax, fault_address\n"
    "    incl fault_count\n"
    "    movl fault_resume, %eax\n"
    "    movl %eax, 4(%esp)\n"
    "    popl %eax\n"
    "    iretl\n");
extern void page_fault(void);

/* The error code of the page fault that an access raises, or -1. */
static int read_at(uint32_t address)
{
    fault_code = -1;
    asm volatile("movl $1f, fault_resume\n\tmovb (%0), %%al\n1:" : : "r"(address) : "eax", "memory");
    return fault_code;
}

static int write_at(uint32_t address, uint8_t value)
{
    fault_code = -1;
    asm volatile("movl $1f, fault_resume\n\tmovb %1, (%0)\n1:" : : "r"(address), "q"(value) : "memory");
    return fault_code;
}

static int run_at(uint32_t address)
{
    fault_code = -1;
    asm volatile("movl $1f, fault_resume\n\tmovl %%esp, %%ebx\n\tcall *%0\n1:\n\tmovl %%ebx, %%esp" : : "r"(address) : "ebx", "memory");
    return fault_code;
}

static void flush(void)
{
    asm volatile("movl %%cr3, %%eax\n\tmovl %%eax, %%cr3" : : : "eax", "memory");
}

int main(void)
{
    const uint32_t V = 0x40000000; /* the second pointer's first page */

    for (uint64_t i = 0; i < 512; i++) {
        low[i] = i << 21 | PS | W | P;
        other[i] = P | W | PS | (i == 0 ? 0x400000 : 0);
    }
    high[0] = (uint32_t)table | W | P;
    pointers[0] = (uint32_t)low | P;
    pointers[1] = (uint32_t)high | P;
    idt[14] = gate(8, (uint32_t)page_fault, 0x8e);
    load_idt(idt, 32);
    asm volatile("movl %%cr4, %%eax\n\torl $0x20, %%eax\n\tmovl %%eax, %%cr4" : : : "eax");
    asm volatile("movl %0, %%cr3" : : "r"(pointers));
    asm volatile("wrmsr" : : "c"(0xc0000080), "a"(0x800), "d"(0));
    asm volatile("movl %0, %%cr0" : : "r"(0x80010031));
    print("paging\n");

    expect(read_at(V) == 0 && fault_address == V, 1);
    expect(write_at(V + 5, 1) == 2 && fault_address == V + 5, 2);
    table[0] = (uint32_t)page | P;
    page[0] = 0xc3;
    expect(read_at(V) == -1 && (table[0] & 0x20), 3);
    expect(write_at(V, 1) == 3, 4);
    expect(run_at(V) == -1, 5);
    table[0] = (uint32_t)page | W | P | NX;
    flush();
    expect(run_at(V) == 0x11 && fault_address == V, 6);
    expect(write_at(V, 0xc3) == -1 && (table[0] & 0x60) == 0x60, 7);
    table[0] = (uint32_t)page | W | P | 1ull << 60;
    flush();
    expect(read_at(V) == 9, 8);
    table[0] = (uint32_t)page | W | P;
    high[0] |= NX;
    flush();
    expect(run_at(V) == 0x11, 9);
    high[0] &= ~NX;
    print("rights\n");

    /* Bits 13 to 20 of a large page's entry are reserved. */
    high[1] = 0x400000 | PS | W | P | 1 << 13;
    expect(read_at(V + 0x200000) == 9, 10);
    high[1] = 0x400000 | PS | W | P;
    expect(write_at(V + 0x212345, 0x77) == -1 && *(uint8_t *)0x412345 == 0x77, 11);
    print("large pages\n");

    /* The four pointers are registers: memory counts at the next load of CR3. */
    *(volatile uint8_t *)0x400000 = 0x55;
    pointers[1] = (uint32_t)other | P;
    asm volatile("invlpg (%0)" : : "r"(V) : "memory");
    expect(*(volatile uint8_t *)V == 0xc3, 12);
    flush();
    expect(*(volatile uint8_t *)V == 0x55, 13);
    pointers[1] = 0;
    flush();
    expect(read_at(V) == 0, 14);
    print("pointers\n");
    expect(fault_count == 8, 15);
    return 0;
}
