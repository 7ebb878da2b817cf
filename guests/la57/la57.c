/* A guest under 5-level paging: 57-bit addresses of both halves, what is canonical now, and that LA57 stands while long mode does. */
#include "guest.h"

static uint64_t root[512] __attribute__((aligned(PAGE))), l4[512] __attribute__((aligned(PAGE))), l3[512] __attribute__((aligned(PAGE))),
    l2[512] __attribute__((aligned(PAGE)));
extern uint64_t boot_pml4[];
extern void enable_la57(uint64_t root), protection_entry(void);
uint64_t fault_code, fault_count, fault_resume;
static struct gate idt[32];

/* Whether a read of the address raises #GP; another fault would end the guest. */
static int faults(uint64_t address)
{
    uint64_t before = fault_count;

    asm volatile("movq $1f, fault_resume\n\tmovb (%0), %%al\n1:" : : "r"(address) : "rax", "memory");
    return fault_count != before;
}

int main(void)
{
    uint32_t a = 7, b, c = 0, d;
    volatile uint64_t *low = (uint64_t *)0x00ff800000000000, *high = (uint64_t *)0xff00000000200000;

    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (!(c >> 16 & 1))
        return 1;
    set_gate(&idt[13], protection_entry);
    load_idt(idt, 32);
    if (!faults((uint64_t)low))
        return 2;
    root[0] = (uint64_t)boot_pml4 | 3;
    root[511] = root[255] = root[256] = (uint64_t)l4 | 3;
    l4[256] = l4[0] = (uint64_t)l3 | 3;
    l3[0] = (uint64_t)l2 | 3;
    l2[0] = 0x400083;
    l2[1] = 0x600083;
    enable_la57((uint64_t)root);
    *low = 0x1122334455667788;
    *high = 0x99aabbccddeeff00;
    if (*(volatile uint64_t *)0x400000 != 0x1122334455667788 || *(volatile uint64_t *)0x600000 != 0x99aabbccddeeff00)
        return 3;
    /* 48 bits' hole is gone, 57 bits' is there. */
    if (!faults(0x0100000000000000) || !faults(0xfeffffffffffffff))
        return 4;
    /* LA57 cannot be changed in long mode. */
    uint64_t before = fault_count;
    asm volatile("movq $1f, fault_resume\n\tmov %%cr4, %%rax\n\tandl $0xffffefff, %%eax\n\tmov %%rax, %%cr4\n1:" : : : "rax", "memory");
    if (fault_count != before + 1)
        return 5;
    for (const char *text = "five levels\n"; *text; text++)
        out8(PORT_CHARACTER, *text);
    return 0;
}
