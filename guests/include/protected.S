/*
 * The start of a 32-bit guest: a stack, flat segments of both privileges (8 and 16 for 0, 24 and 32 for 3) in a table with room, and
 * main(parameters), whose result becomes the last mark. To be included once, by the guest's own .S file.
 */
    .section .text.start, "ax"
    .code32
    .globl _start
_start:
    movl    $stack_top, %esp
    lgdt    gdt_pointer
    ljmp    $8, $1f
1:  movl    $16, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    %eax, %fs
    movl    %eax, %gs
    pushl   %ebx
    call    main
    movl    $0xf4, %edx
    outl    %eax, %dx
2:  cli
    hlt
    jmp     2b

    .data
    .balign 8
    .globl  gdt
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff      /* 08: code, privilege 0 */
    .quad   0x00cf93000000ffff      /* 10: data, privilege 0 */
    .quad   0x00cffb000000ffff      /* 18: code, privilege 3 */
    .quad   0x00cff3000000ffff      /* 20: data, privilege 3 */
    .fill   59, 8, 0
gdt_pointer:
    .word   . - gdt - 1
    .long   gdt

    .bss
    .balign 4096
    .skip   16384
stack_top:
