/*
 * The way from a client that the loader brought in to Slate and back. Every signal comes here: a system call by user dispatch as
 * SIGSYS, and the client's own. The kernel delivers them on the block's alternate stack, which disarms itself (SS_AUTODISARM), so that
 * RSP tells the block while FS is still the client's; a signal on top of Slate comes on Slate's own stack, where FS is Slate's.
 *
 * Order: FS becomes Slate's before RSP leaves the block, and the client's after RSP is back in it. So wherever FS is not Slate's, RSP
 * lies in the block. The selector says whose code ran; between these labels, and in the sigreturn stub, it says BLOCK and Slate runs.
 */
#include "places.h"

    .text
    .globl  slate_trap, slate_resume
    .hidden slate_trap, slate_resume, slate_arena, slate_task, slate_from_client, slate_on_host
    .type   slate_trap, @function
    .type   slate_resume, @function
begin:
slate_trap: /* rdi: signal, rsi: siginfo, rdx: ucontext */
    movq    slate_arena(%rip), %rax
    movq    %rsp, %rcx
    subq    %rax, %rcx
    cmpq    $ARENA_BYTES, %rcx
    jae     1f
    movq    %rsp, %rbx
    andq    $-BLOCK_BYTES, %rbx
    addq    $TASK_PLACE, %rbx
    jmp     2f
1:  movq    slate_task@gottpoff(%rip), %rax
    movq    %fs:(%rax), %rbx
    testq   %rbx, %rbx
    jz      not_a_clients_thread
2:  movq    %rdx, %r14
    rdfsbase %r12
    movzbl  TASK_SELECTOR(%rbx), %r13d
    movq    TASK_HOST_FS(%rbx), %rax
    wrfsbase %rax
    movb    $0, TASK_SELECTOR(%rbx) /* SYSCALL_DISPATCH_FILTER_ALLOW */
    testb   %r13b, %r13b
    jz      on_host
    movq    UCONTEXT_RIP(%rdx), %rax
    leaq    begin(%rip), %rcx
    movq    %rax, %r8
    subq    %rcx, %r8
    cmpq    $(end - begin), %r8
    jb      on_host
    subq    slate_arena(%rip), %rax
    cmpq    $ARENA_BYTES, %rax
    jae     from_client
    andl    $(BLOCK_BYTES - 1), %eax
    cmpl    $STUBS_OF_CLIENT, %eax
    jae     on_host
from_client:
    movq    %r12, TASK_CLIENT_FS(%rbx)
    movq    TASK_HOST_RSP(%rbx), %rsp
    movq    %rbx, %rcx
    call    slate_from_client /* (signal, siginfo, ucontext, task) */
to_client: /* rbx: task, r14: ucontext in its block */
    movq    %r14, %rsp
    movq    TASK_CLIENT_FS(%rbx), %rax
    wrfsbase %rax
    movb    $1, TASK_SELECTOR(%rbx) /* SYSCALL_DISPATCH_FILTER_BLOCK */
    leaq    (STUB_SIGRETURN - TASK_PLACE)(%rbx), %rax
    jmp     *%rax

on_host: /* it goes on where it was, with what was there */
    subq    $8, %rsp
    call    slate_on_host /* (signal, siginfo, ucontext) */
    movq    %r14, %rsp
    wrfsbase %r12
    movb    %r13b, TASK_SELECTOR(%rbx)
    leaq    (STUB_SIGRETURN - TASK_PLACE)(%rbx), %rax
    jmp     *%rax

not_a_clients_thread: /* one of the JVM's */
    movq    %rdx, %r14
    subq    $8, %rsp
    call    slate_on_host
    movq    %r14, %rsp
    movl    $15, %eax
    syscall
    ud2

/* void slate_resume(struct task *, struct ucontext *): the thread's first way into the client; what it calls later runs below here. */
slate_resume:
    pushq   %rbp
    movq    %rsp, %rax
    andq    $-16, %rax
    movq    %rax, TASK_HOST_RSP(%rdi)
    movq    %rdi, %rbx
    movq    %rsi, %r14
    jmp     to_client
end:
    .size   slate_trap, . - slate_trap

    .section .note.GNU-stack, "", @progbits
