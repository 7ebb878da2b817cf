/* See README.md. Addresses are offsets in segment F000. */
    .section .text.start, "ax"
    .code16
start:
    cli
    cld
    lgdtl   %cs:gdt_pointer
    movl    %cr0, %eax
    orl     $1, %eax
    movl    %eax, %cr0
    ljmpl   $8, $0xf0000 + flat

    .code32
flat:
    movl    $16, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    %eax, %fs
    movl    %eax, %gs
    movl    $0x8000, %ebx
    movl    $0x100000, %eax
    jmp     *%eax

    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff
    .quad   0x00cf93000000ffff
gdt_pointer:
    .word   . - gdt - 1
    .long   0xf0000 + gdt

    .section .text.reset, "ax"
    .code16
    .globl  reset
reset:
    ljmp    $0xf000, $start
