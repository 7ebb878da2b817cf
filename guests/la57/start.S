#include "long-mode.S"

/*
 * From 4-level to 5-level paging, which only outside long mode can be done (SDM 3A 4.5.1): to compatibility mode, paging off, CR4.LA57,
 * paging on. RDI = physical address of the five-level root, below 4 GiB.
 */
    .text
    .code64
    .globl  enable_la57
enable_la57:
    pushq   %rbx
    lgdt    wide_gdt_pointer(%rip)
    movl    %edi, %ebx
    pushq   $24
    leaq    1f(%rip), %rax
    pushq   %rax
    lretq

    .code32
1:  movl    %cr0, %eax
    andl    $0x7fffffff, %eax
    movl    %eax, %cr0
    movl    %cr4, %eax
    orl     $0x1000, %eax
    movl    %eax, %cr4
    movl    %ebx, %cr3
    movl    %cr0, %eax
    orl     $0x80000000, %eax
    movl    %eax, %cr0
    ljmp    $8, $2f

    .code64
2:  popq    %rbx
    ret

    .globl  protection_entry
protection_entry:
    popq    fault_code(%rip)
    incq    fault_count(%rip)
    pushq   %rax
    movq    fault_resume(%rip), %rax
    movq    %rax, 8(%rsp)
    popq    %rax
    iretq

    .section .rodata
    .balign 8
wide_gdt:
    .quad   0
    .quad   0x00af9b000000ffff      /* 8: 64-bit code */
    .quad   0x00cf93000000ffff      /* 16: data */
    .quad   0x00cf9b000000ffff      /* 24: 32-bit code */
wide_gdt_pointer:
    .word   . - wide_gdt - 1
    .quad   wide_gdt
