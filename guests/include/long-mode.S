/*
 * The start of a 64-bit guest: from 32-bit protected mode (EBX = parameters) to main(parameters) in 64-bit mode, the first 4 GiB mapped
 * one to one by pages of 2 MiB (SDM 3A 4.5, 10.8.5). To be included once, by the guest's own .S file.
 */
    .section .text.start, "ax"
    .code32
    .globl _start
_start:
    movl    $stack_top, %esp
    lgdt    gdt_pointer

    movl    $boot_pdpt + 3, boot_pml4
    movl    $boot_directories + 3, %eax
    xorl    %ecx, %ecx
1:  movl    %eax, boot_pdpt(, %ecx, 8)
    addl    $4096, %eax
    incl    %ecx
    cmpl    $4, %ecx
    jne     1b
    movl    $0x83, %eax             /* present, writable, large */
    xorl    %ecx, %ecx
2:  movl    %eax, boot_directories(, %ecx, 8)
    addl    $0x200000, %eax
    incl    %ecx
    cmpl    $2048, %ecx
    jne     2b

    movl    $0x620, %eax            /* PAE, OSFXSR, OSXMMEXCPT */
    movl    %eax, %cr4
    movl    $boot_pml4, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx       /* EFER: LME, NXE */
    movl    $0x900, %eax
    xorl    %edx, %edx
    wrmsr
    movl    $0x80010033, %eax       /* PG, WP, NE, ET, MP, PE */
    movl    %eax, %cr0
    ljmp    $8, $3f

    .code64
3:  movl    $16, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    xorl    %eax, %eax
    movl    %eax, %fs
    movl    %eax, %gs
    movl    %ebx, %edi
    call    main
    movl    $0xf4, %edx
    outl    %eax, %dx
4:  cli
    hlt
    jmp     4b

    .section .rodata
    .balign 8
gdt:
    .quad   0
    .quad   0x00af9b000000ffff      /* 8: 64-bit code */
    .quad   0x00cf93000000ffff      /* 16: data */
gdt_pointer:
    .word   . - gdt - 1
    .long   gdt

    .section .bss
    .balign 4096
    .globl  boot_pml4
boot_pml4:
    .skip   4096
boot_pdpt:
    .skip   4096
boot_directories:
    .skip   4 * 4096
    .skip   16384
stack_top:
