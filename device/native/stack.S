/*
 * long slate_switch(long a, long b, long c, void *f, uintptr_t top): f(a, b, c) with the stack pointer below `top`. Debuggers and
 * unwinders see the caller behind it.
 */
    .text
    .globl  slate_switch
    .hidden slate_switch
    .type   slate_switch, @function
slate_switch:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    movq    %r8, %rsp
    andq    $-16, %rsp
    call    *%rcx
    leave
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size   slate_switch, . - slate_switch

/*
 * A patched system call of libc's comes here (libc.c): RAX has its number, the others its arguments, and only RCX, R11 and the
 * flags may change. Returns with the carry flag and the answer in RAX, or without it and everything ready for the kernel.
 */
    .globl  slate_site
    .hidden slate_site
    .type   slate_site, @function
slate_site:
    .cfi_startproc
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rax                /* -8: the number, later the answer */
    pushq   %r9                 /* the arguments, as an array that begins at -56 */
    pushq   %r8
    pushq   %r10
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    subq    $264, %rsp
    andq    $-16, %rsp
    movups  %xmm0, (%rsp)
    movups  %xmm1, 16(%rsp)
    movups  %xmm2, 32(%rsp)
    movups  %xmm3, 48(%rsp)
    movups  %xmm4, 64(%rsp)
    movups  %xmm5, 80(%rsp)
    movups  %xmm6, 96(%rsp)
    movups  %xmm7, 112(%rsp)
    movups  %xmm8, 128(%rsp)
    movups  %xmm9, 144(%rsp)
    movups  %xmm10, 160(%rsp)
    movups  %xmm11, 176(%rsp)
    movups  %xmm12, 192(%rsp)
    movups  %xmm13, 208(%rsp)
    movups  %xmm14, 224(%rsp)
    movups  %xmm15, 240(%rsp)
    movq    %rax, %rdi
    leaq    -56(%rbp), %rsi
    leaq    -8(%rbp), %rdx
    call    door
    movups  (%rsp), %xmm0
    movups  16(%rsp), %xmm1
    movups  32(%rsp), %xmm2
    movups  48(%rsp), %xmm3
    movups  64(%rsp), %xmm4
    movups  80(%rsp), %xmm5
    movups  96(%rsp), %xmm6
    movups  112(%rsp), %xmm7
    movups  128(%rsp), %xmm8
    movups  144(%rsp), %xmm9
    movups  160(%rsp), %xmm10
    movups  176(%rsp), %xmm11
    movups  192(%rsp), %xmm12
    movups  208(%rsp), %xmm13
    movups  224(%rsp), %xmm14
    movups  240(%rsp), %xmm15
    negb    %al                 /* carry: answered */
    leaq    -56(%rbp), %rsp
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %r10
    popq    %r8
    popq    %r9
    popq    %rax
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size   slate_site, . - slate_site
    .section .note.GNU-stack, "", @progbits
