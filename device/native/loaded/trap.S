/*
 * The way from a client that the loader brought in to Slate and back. Every signal comes here: a system call by user dispatch as
 * SIGSYS, and the client's own. The kernel delivers them on the block's alternate stack, which disarms itself (SS_AUTODISARM), so that
 * RSP tells the block while FS is still the client's; a signal on top of Slate comes on Slate's own stack, where FS is Slate's.
 *
 * Order: FS becomes Slate's before RSP leaves the block, and the client's after RSP is back in it. So wherever FS is not Slate's, RSP
 * lies in the block. The selector says whose code ran; between these labels, and in the sigreturn stub, it says BLOCK and Slate runs.
 *
 * A kernel that does not offer FSGSBASE keeps FS and GS itself, even where the processor would take the instructions: there FS is exchanged
 * by arch_prctl(), which the selector must let through. Nobody needs to ask for it: it is what was asked for last.
 */
#include "places.h"

#define SYS_IOCTL 16
#define SYS_ARCH_PRCTL 158
#define ARCH_SET_FS 0x1002

    .hidden slate_fs_by_call

/* `to` becomes FS, of the task in register `task`. */
.macro get_fs task, to
    movq    TASK_FS(\task), \to
    cmpb    $0, slate_fs_by_call(%rip)
    jne     9f
    rdfsbase \to
9:
.endm

/* FS becomes `from`, for the task in RBX. A signal in between finds what FS is about to be, and gives that back. Takes what a call takes. */
.macro set_fs from
    movq    \from, %rsi
    cmpb    $0, slate_fs_by_call(%rip)
    jne     8f
    wrfsbase %rsi
    jmp     9f
8:  movq    %rsi, TASK_FS(%rbx)
    movl    $ARCH_SET_FS, %edi
    movl    $SYS_ARCH_PRCTL, %eax
    syscall
9:
.endm

/* R11 becomes the task, unless the client has made GS its own. */
.macro get_task
    cmpb    $0, slate_fs_by_call(%rip)
    jne     8f
    rdgsbase %r11
    jmp     9f
8:  movq    %gs:TASK_SELF, %r11
9:  subq    slate_arena(%rip), %r11
    cmpq    $ARENA_BYTES, %r11
    jae     back
    addq    slate_arena(%rip), %r11
.endm
#define REGISTER_SETS 0xe7 /* x87, SSE, AVX, AVX-512 */

    .text
    .globl  slate_trap, slate_resume
    .hidden slate_trap, slate_resume, slate_arena, slate_task, slate_from_client, slate_on_host
    .type   slate_trap, @function
    .type   slate_resume, @function
begin:
slate_trap: /* rdi: signal, rsi: siginfo, rdx: ucontext */
    movl    %edi, %ebp
    movq    %rsi, %r15
    movq    %rdx, %r14
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
2:  movzbl  TASK_SELECTOR(%rbx), %r13d
    movb    $0, TASK_SELECTOR(%rbx) /* SYSCALL_DISPATCH_FILTER_ALLOW */
    get_fs  %rbx, %r12
    set_fs  TASK_HOST_FS(%rbx)
    testb   %r13b, %r13b
    jz      on_host
    movq    UCONTEXT_RIP(%r14), %rax
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
    movl    %ebp, %edi
    movq    %r15, %rsi
    movq    %r14, %rdx
    movq    %rbx, %rcx
    call    slate_from_client /* (signal, siginfo, ucontext, task) */
to_client: /* rbx: task, r14: ucontext in its block */
    movq    %r14, %rsp
    set_fs  TASK_CLIENT_FS(%rbx)
    movb    $1, TASK_SELECTOR(%rbx) /* SYSCALL_DISPATCH_FILTER_BLOCK */
    leaq    (STUB_SIGRETURN - TASK_PLACE)(%rbx), %rax
    jmp     *%rax

on_host: /* it goes on where it was, with what was there */
    subq    $8, %rsp
    movl    %ebp, %edi
    movq    %r15, %rsi
    movq    %r14, %rdx
    call    slate_on_host /* (signal, siginfo, ucontext) */
    movq    %r14, %rsp
    set_fs  %r12
    movb    %r13b, TASK_SELECTOR(%rbx)
    leaq    (STUB_SIGRETURN - TASK_PLACE)(%rbx), %rax
    jmp     *%rax

not_a_clients_thread: /* one of the JVM's */
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
 * way back is gone from its beginning again, by `again`: it looks for signals that wait. Behind `given` the client is where the call ends.
 */
    .globl  slate_quick, slate_quick_taken, slate_quick_giving, slate_quick_given, slate_quick_again, slate_quick_end
    .hidden slate_quick, slate_quick_taken, slate_quick_giving, slate_quick_given, slate_quick_again, slate_quick_end
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
    get_task
    movq    %rcx, TASK_RETURN(%r11)
    subq    $(TASK_PLACE - STUB_CALL), %r11
    jmp     *%r11
back:
    leaq    -2(%rcx), %r11
    jmp     *%r11
slates:
    cmpl    $SYS_IOCTL, %eax
    jne     back
    get_task
    movq    %rcx, TASK_RETURN(%r11)
    movq    %rdi, TASK_SAVED(%r11)
    movq    %rsi, TASK_SAVED + 8(%r11)
    movq    %rdx, TASK_SAVED + 16(%r11)
    movq    %r10, TASK_SAVED + 24(%r11)
    movq    %r8, TASK_SAVED + 32(%r11)
    movq    %r9, TASK_SAVED + 40(%r11)
    movq    %rbx, TASK_RBX(%r11)
    movq    %rsp, TASK_RSP(%r11)
    get_fs  %r11, %r8
    movq    %r8, TASK_CLIENT_FS(%r11)
    movq    $0, TASK_UNBLOCK(%r11)
    movb    $0, TASK_SELECTOR(%r11)
slate_quick_taken:
    movq    %r11, %rbx
    set_fs  TASK_HOST_FS(%rbx)
    movq    TASK_HOST_RSP(%rbx), %rsp
    movl    $REGISTER_SETS, %eax
    xorl    %edx, %edx
    xsavec64 TASK_REGISTERS(%rbx)
    vzeroupper
    movl    $0x1f80, -8(%rsp)
    ldmxcsr -8(%rsp)
    movq    TASK_SAVED(%rbx), %rdi
    movq    TASK_SAVED + 8(%rbx), %rsi
    movq    TASK_SAVED + 16(%rbx), %rdx
    movq    %rbx, %rcx
    call    slate_quick_ioctl /* (descriptor, request, argument, task) */
    movq    %rax, TASK_RESULT(%rbx)
slate_quick_giving: /* FS is Slate's */
    movq    self@gottpoff(%rip), %rax
    movq    %fs:SELF_HELD(%rax), %rcx
    orq     %rcx, TASK_UNBLOCK(%rbx)
    movq    $0, %fs:SELF_HELD(%rax)
    movl    $REGISTER_SETS, %eax
    xorl    %edx, %edx
    xrstor64 TASK_REGISTERS(%rbx)
    movq    TASK_RSP(%rbx), %rsp
    set_fs  TASK_CLIENT_FS(%rbx)
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
slate_quick_again:
    set_fs  TASK_HOST_FS(%rbx)
    jmp     slate_quick_giving
slate_quick_end:
    .size   slate_quick, . - slate_quick

    .section .note.GNU-stack, "", @progbits
