/*
 * From real mode to 32-bit protected mode, back to real mode with segments that have kept their 4 GiB limits, to long
 * mode in one step (SDM 3A 10.8.5, 10.9): every transition that firmware and boot loaders make.
 */
    .text
    .code16
    .globl _start
_start:
    cli
    ljmp    $0, $1f
1:  xorw    %ax, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    movw    $0x7c00, %sp
    movw    $in_real, %si
    call    print

    /* Interrupts through the vector table; INT clears IF and TF and IRET brings them back. */
    movw    $service, 0x40 * 4
    movw    $0, 0x40 * 4 + 2
    movw    $divide_error, 0
    movw    $0, 2
    sti
    int     $0x40
    pushfw
    popw    %bx
    cli
    movl    $1, %ecx
    cmpw    $0x1234, %ax
    jne     fail
    testw   $0x200, %bx
    jz      fail

    /* A fault: the handler steps over the DIV of two bytes. */
    movl    $2, %ecx
    xorw    %dx, %dx
    xorw    %bx, %bx
    movw    $7, %ax
    divw    %bx
    cmpw    $0xd1d1, %dx
    jne     fail

    /* Segments are paragraphs, and offsets wrap at 64 KiB. */
    movl    $3, %ecx
    movw    $0x0800, %ax
    movw    %ax, %es
    movw    $0xbeef, %es:0x10
    movw    $0x07ff, %ax
    movw    %ax, %es
    cmpw    $0xbeef, %es:0x20
    jne     fail
    movw    $0xfffe, %bx
    movb    $0x5a, %es:(%bx)
    addw    $2, %bx
    movb    $0xa5, %es:(%bx)
    cmpb    $0xa5, %es:0
    jne     fail

    /* A call to another segment and back, decimal arithmetic, strings. */
    movl    $4, %ecx
    lcall   $0x0010, $far_function - 0x100
    cmpw    $0x0777, %ax
    jne     fail
    movb    $0x15, %al
    addb    $0x27, %al
    daa
    cmpb    $0x42, %al
    jne     fail
    xorw    %ax, %ax
    movw    %ax, %es
    movw    $in_real, %si
    movw    $0x0600, %di
    movl    $0, %ecx
    movw    $8, %cx
    cld
    rep movsb
    movw    $in_real, %si
    movw    $0x0600, %di
    movw    $8, %cx
    repe cmpsb
    movl    $5, %ecx
    jne     fail

    /* Protected mode. */
    lgdtl   gdt_pointer
    movl    %cr0, %eax
    orb     $1, %al
    movl    %eax, %cr0
    ljmpl   $0x08, $protected

    .code32
protected:
    movl    $0x10, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    $0x9000, %esp
    movl    $in_protected, %esi
    call    print32
    /* Memory above what 16 bits reach. */
    movl    $0x12345678, 0x90000
    pushl   0x90000
    popl    %eax
    movl    $6, %ecx
    cmpl    $0x12345678, %eax
    jne     fail32
    /* Back: a 16-bit segment first; ES keeps its 4 GiB. */
    ljmp    $0x18, $half

    .code16
half:
    movw    $0x20, %ax
    movw    %ax, %ds
    movw    %ax, %ss
    movl    %cr0, %eax
    andb    $0xfe, %al
    movl    %eax, %cr0
    ljmp    $0, $again
again:
    xorw    %ax, %ax
    movw    %ax, %ds
    movw    %ax, %ss
    movw    $0x7c00, %sp
    movw    $back, %si
    call    print
    /* "Unreal" mode: ES still reaches beyond 64 KiB. */
    movl    $7, %ecx
    movl    $0x90000, %edi
    cmpl    $0x12345678, %es:(%edi)
    jne     fail

    /* Long mode from real mode: PE and PG in one write. */
    movl    $0x1000, %edi
    movl    $0x3000 / 4, %ecx
    xorl    %eax, %eax
    xorw    %bx, %bx
    movw    %bx, %es
    cld
    rep stosl
    movl    $0x2003, 0x1000
    movl    $0x3003, 0x2000
    movl    $0x0083, 0x3000
    movl    $0x20, %eax
    movl    %eax, %cr4
    movl    $0x1000, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx
    rdmsr
    orl     $0x100, %eax
    wrmsr
    movl    %cr0, %eax
    orl     $0x80000001, %eax
    movl    %eax, %cr0
    ljmpl   $0x28, $long_mode

    .code64
long_mode:
    movl    $0x10, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    $0x9000, %esp
    movl    $0xc0000080, %ecx
    rdmsr
    movl    $8, %ecx
    testl   $0x400, %eax
    jz      fail64
    movabsq $0x123456789abcdef0, %rax
    pushq   %rax
    popq    %r15
    movl    $9, %ecx
    cmpq    %rax, %r15
    jne     fail64
    leaq    in_long(%rip), %rsi
1:  lodsb
    testb   %al, %al
    jz      2f
    outb    %al, $0xe9
    jmp     1b
2:  xorl    %ecx, %ecx
fail64:
    movl    %ecx, %eax
    movl    $0xf4, %edx
    outl    %eax, %dx
1:  hlt
    jmp     1b

    .code32
fail32:
    movl    %ecx, %eax
    movl    $0xf4, %edx
    outl    %eax, %dx
1:  hlt
    jmp     1b

print32:
    lodsb
    testb   %al, %al
    jz      1f
    outb    %al, $0xe9
    jmp     print32
1:  ret

    .code16
fail:
    movl    %ecx, %eax
    movw    $0xf4, %dx
    outl    %eax, %dx
1:  hlt
    jmp     1b

print:
    lodsb
    testb   %al, %al
    jz      1f
    outb    %al, $0xe9
    jmp     print
1:  ret

service:
    movw    $0x1234, %ax
    iretw

divide_error:
    pushw   %bp
    movw    %sp, %bp
    addw    $2, 2(%bp)
    popw    %bp
    movw    $0xd1d1, %dx
    iretw

far_function:
    movw    $0x0777, %ax
    lretw

in_real:
    .asciz  "real mode\n"
in_protected:
    .asciz  "protected mode\n"
back:
    .asciz  "real mode again\n"
in_long:
    .asciz  "long mode\n"

    .balign 8
gdt:
    .quad   0
    .quad   0x00cf9b000000ffff      /* 08: 32-bit code */
    .quad   0x00cf93000000ffff      /* 10: data, 4 GiB */
    .quad   0x00009b000000ffff      /* 18: 16-bit code */
    .quad   0x000093000000ffff      /* 20: data, 64 KiB */
    .quad   0x00af9b000000ffff      /* 28: 64-bit code */
gdt_pointer:
    .word   . - gdt - 1
    .long   gdt
