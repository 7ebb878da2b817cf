/*
 * A monitor of a virtual-8086 task (SDM 3B chapter 21): IRET into it, INT n and CLI as general protection faults at IOPL 0, interrupts
 * reflected through the task's own vector table, ports by the TSS's bitmap, and the way out.
 */
#include "guest32.h"

struct frame {
    uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax, error, eip, cs, eflags, esp, ss, es, ds, fs, gs;
};

static struct {
    uint32_t link, esp0, ss0, rest[22];
    uint16_t trap, map;
    uint8_t bits[33];
} __attribute__((packed)) tss;
static uint64_t idt[32];
static uint8_t stack[4096] __attribute__((aligned(16)));
static unsigned faults, interrupts, port_faults;
uint32_t monitor_esp;

asm(".globl protection_entry, enter_v86\n"
    "protection_entry:\n"
    "    pushal\n"
    "    movl $16, %eax\n"
    "    movl %eax, %ds\n"
    "    movl %eax, %es\n"
    "    movl %esp, %eax\n"
    "    pushl %eax\n"
    "    call protection\n"
    "    addl $4, %esp\n"
    "    testl %eax, %eax\n"
    "    jnz 1f\n"
    "    popal\n"
    "    addl $4, %esp\n"
    "    iretl\n"
    "1:  movl monitor_esp, %esp\n"
    "    popal\n"
    "    ret\n"
    /* To 0:7000 with a stack at 0:6ff0, VM set, IOPL 0, IF set. */
    "enter_v86:\n"
    "    pushal\n"
    "    movl %esp, monitor_esp\n"
    "    pushl $0\n"
    "    pushl $0\n"
    "    pushl $0x40\n"
    "    pushl $0\n"
    "    pushl $0\n"
    "    pushl $0x6ff0\n"
    "    pushl $0x20202\n"
    "    pushl $0\n"
    "    pushl $0x7000\n"
    "    iretl\n"
    /* The task, copied to 0:7000. */
    ".globl v86_start, v86_end\n"
    ".code16\n"
    "v86_start:\n"
    "    movw %ds:0x10, %ax\n"      /* DS is 0x40: 0x410 */
    "    movw $0x1111, %bx\n"
    "    int $0x21\n"               /* adds 0x2222 to BX */
    "    cli\n"
    "    sti\n"
    "    pushw %bx\n"
    "    movw $0x100, %bx\n"
    "    movw %bx, %es\n"
    "    popw %es:0\n"              /* 0x1000 */
    "    movb $0x2e, %al\n"
    "    outb %al, $0xe9\n"         /* allowed */
    "    outb %al, $0x81\n"         /* not */
    "    hlt\n"
    "v86_int:\n"
    "    addw $0x2222, %bx\n"
    "    iretw\n"
    "v86_end:\n"
    ".code32\n");
extern void protection_entry(void), enter_v86(void);
extern uint8_t v86_start[], v86_end[];

uint32_t protection(struct frame *f)
{
    uint8_t *at = (uint8_t *)((f->cs & 0xffff) * 16 + f->eip);
    uint16_t *sp = (uint16_t *)((f->ss & 0xffff) * 16 + (f->esp & 0xffff));

    faults++;
    expect(f->eflags & 0x20000, 1);
    expect(f->error == 0, 2);
    switch (*at) {
    case 0xcd:
        interrupts++;
        sp[-1] = f->eflags;
        sp[-2] = f->cs;
        sp[-3] = f->eip + 2;
        f->esp -= 6;
        f->eip = *(uint16_t *)(at[1] * 4);
        f->cs = *(uint16_t *)(at[1] * 4 + 2);
        return 0;
    case 0xcf:
        f->eip = sp[0];
        f->cs = sp[1];
        f->esp += 6;
        return 0;
    case 0xfa:
    case 0xfb:
        f->eip++;
        return 0;
    case 0xe6:
        port_faults++;
        expect(at[1] == 0x81, 3);
        f->eip += 2;
        return 0;
    case 0xf4:
        expect((f->ebx & 0xffff) == 0x100, 4);
        expect((f->eax & 0xff00) == 0x5500, 5);
        return 1;
    default:
        fail(6);
    }
}

int main(void)
{
    for (uint8_t *from = v86_start, *to = (uint8_t *)0x7000; from < v86_end; from++, to++)
        *to = *from;
    *(volatile uint16_t *)0x410 = 0x5566;
    *(volatile uint16_t *)(0x21 * 4) = 0x7000 + (v86_end - v86_start) - 5;
    *(volatile uint16_t *)(0x21 * 4 + 2) = 0;
    tss.esp0 = (uint32_t)stack + sizeof stack;
    tss.ss0 = 16;
    tss.map = __builtin_offsetof(typeof(tss), bits);
    tss.bits[0x81 >> 3] = 1 << (0x81 & 7);
    tss.bits[32] = 0xff;
    set_descriptor(0x28, (uint32_t)&tss, sizeof tss - 1, 0x89, 0);
    asm volatile("ltr %w0" : : "r"(0x28));
    idt[13] = gate(8, (uint32_t)protection_entry, 0x8e);
    load_idt(idt, 32);
    for (int i = 0; i < 10; i++)
        enter_v86();
    expect(*(volatile uint16_t *)0x1000 == 0x3333, 7);
    expect(interrupts == 10 && port_faults == 10 && faults == 60, 8);
    print("virtual 8086\n");
    return 0;
}
