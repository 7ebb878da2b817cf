/*
 * The way from a client that the loader brought in to Slate and back. Every signal comes here: a system call by user dispatch as
 * SIGSYS, and the client's own. The kernel delivers them on the block's alternate stack, which disarms itself (SS_AUTODISARM), so that
 * RSP tells the block while FS is still the client's; a signal on top of Slate comes on Slate's own stack, where FS is Slate's.
 *
 * Order: FS becomes Slate's before RSP leaves the block, and the client's after RSP is back in it. So wherever FS is not Slate's, RSP
 * lies in the block. The selector says whose code ran; between these labels, and in the sigreturn stub, it says BLOCK and Slate runs.
 */
#include "places.h"

#define SYS_IOCTL 16
#define REGISTER_SETS 0xe7 /* x87, SSE, AVX, AVX-512 */

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

/*
 * The quick way, from a site that was rewritten (rewrite.c): no signal, no copy of the context. RAX holds the number, RCX the address
 * behind the site's own instruction, which still stands there: whatever is not sure goes back to it and traps.
 *
 * A signal may come anywhere. Up to `taken` nothing of the client's has changed but RCX and R11, which a system call changes too: the
 * thread is put before its instruction again. Behind it the selector says that Slate runs, and the signal waits. From `giving` on the
 * way back is gone from its beginning again, which looks for signals that wait; behind `given` the client is where the call ends.
 */
    .globl  slate_quick, slate_quick_taken, slate_quick_giving, slate_quick_given, slate_quick_end
    .hidden slate_quick, slate_quick_taken, slate_quick_giving, slate_quick_given, slate_quick_end
    .hidden slate_call_kind, slate_fds, slate_quick_ioctl, self
    .type   slate_quick, @function
    .p2align 6
slate_quick:
    cmpq    $CALLS, %rax
    jae     back
    leaq    slate_call_kind(%rip), %r11
    movzbl  (%r11, %rax), %r11d
    cmpl    $CALL_PLAIN, %r11d
    je      plain
    jb      back
    cmpq    $FILES, %rdi
    jae     back
    leaq    slate_fds(%rip), %r11
    cmpl    $0, (%r11, %rdi, 4)
    jne     slates
    cmpl    $SYS_IOCTL, %eax
    jne     plain
    movl    %esi, %r11d
    shrl    $8, %r11d
    cmpb    $0xae, %r11b
    je      back
plain: /* the thread makes it itself, in its stub */
    rdgsbase %r11
    subq    slate_arena(%rip), %r11
    cmpq    $ARENA_BYTES, %r11
    jae     back
    addq    slate_arena(%rip), %r11
    movq    %rcx, TASK_RETURN(%r11)
    subq    $(TASK_PLACE - STUB_CALL), %r11
    jmp     *%r11
back:
    leaq    -2(%rcx), %r11
    jmp     *%r11
slates:
    cmpl    $SYS_IOCTL, %eax
    jne     back
    rdgsbase %r11 /* the task, unless the client has made GS its own */
    subq    slate_arena(%rip), %r11
    cmpq    $ARENA_BYTES, %r11
    jae     back
    addq    slate_arena(%rip), %r11
    movq    %rcx, TASK_RETURN(%r11)
    movq    %rdi, TASK_SAVED(%r11)
    movq    %rsi, TASK_SAVED + 8(%r11)
    movq    %rdx, TASK_SAVED + 16(%r11)
    movq    %r10, TASK_SAVED + 24(%r11)
    movq    %r8, TASK_SAVED + 32(%r11)
    movq    %r9, TASK_SAVED + 40(%r11)
    movq    %rbx, TASK_RBX(%r11)
    movq    %rsp, TASK_RSP(%r11)
    rdfsbase %r8
    movq    %r8, TASK_CLIENT_FS(%r11)
    movq    $0, TASK_UNBLOCK(%r11)
    movb    $0, TASK_SELECTOR(%r11)
slate_quick_taken:
    movq    %r11, %rbx
    movq    TASK_HOST_FS(%rbx), %r8
    wrfsbase %r8
    movq    TASK_HOST_RSP(%rbx), %rsp
    movq    %rdx, %r8
    movl    $REGISTER_SETS, %eax
    xorl    %edx, %edx
    xsavec64 TASK_REGISTERS(%rbx)
    vzeroupper
    movl    $0x1f80, -8(%rsp)
    ldmxcsr -8(%rsp)
    movq    %r8, %rdx
    movq    %rbx, %rcx
    call    slate_quick_ioctl /* (descriptor, request, argument, task) */
    movq    %rax, TASK_RESULT(%rbx)
slate_quick_giving:
    movq    TASK_HOST_FS(%rbx), %rax
    wrfsbase %rax
    movq    self@gottpoff(%rip), %rax
    movq    %fs:SELF_HELD(%rax), %rcx
    orq     %rcx, TASK_UNBLOCK(%rbx)
    movq    $0, %fs:SELF_HELD(%rax)
    movl    $REGISTER_SETS, %eax
    xorl    %edx, %edx
    xrstor64 TASK_REGISTERS(%rbx)
    movq    TASK_RSP(%rbx), %rsp
    movq    TASK_CLIENT_FS(%rbx), %rax
    wrfsbase %rax
    cmpq    $0, TASK_UNBLOCK(%rbx)
    jne     1f
    movq    TASK_SAVED(%rbx), %rdi
    movq    TASK_SAVED + 8(%rbx), %rsi
    movq    TASK_SAVED + 16(%rbx), %rdx
    movq    TASK_SAVED + 24(%rbx), %r10
    movq    TASK_SAVED + 32(%rbx), %r8
    movq    TASK_SAVED + 40(%rbx), %r9
    movq    TASK_RESULT(%rbx), %rax
    movq    TASK_RETURN(%rbx), %rcx
    movb    $1, TASK_SELECTOR(%rbx)
slate_quick_given:
    movq    TASK_RBX(%rbx), %rbx
    jmp     *%rcx
1:  movl    $1, %edi /* SIG_UNBLOCK */
    leaq    TASK_UNBLOCK(%rbx), %rsi
    xorl    %edx, %edx
    movl    $8, %r10d
    movl    $14, %eax /* rt_sigprocmask */
    leaq    (STUB_UNBLOCK - TASK_PLACE)(%rbx), %rcx
    movb    $1, TASK_SELECTOR(%rbx)
    movq    TASK_RBX(%rbx), %rbx
    jmp     *%rcx
slate_quick_end:
    .size   slate_quick, . - slate_quick

    .section .note.GNU-stack, "", @progbits
