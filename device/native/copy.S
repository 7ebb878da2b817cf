/*
 * long slate_copy(void *to, const void *from, size_t bytes): 0, or -EFAULT when either side is not there. The fault handler
 * (signals.c) knows the address of the one instruction that touches memory.
 */
    .text
    .globl  slate_copy, slate_copy_access, slate_copy_failed
    .hidden slate_copy, slate_copy_access, slate_copy_failed
    .type   slate_copy, @function
slate_copy:
    movq    %rdx, %rcx
slate_copy_access:
    rep movsb
    xorl    %eax, %eax
    ret
slate_copy_failed:
    movq    $-14, %rax
    ret
    .size   slate_copy, . - slate_copy
    .section .note.GNU-stack, "", @progbits
