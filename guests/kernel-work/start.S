#include "long-mode.S"

/* The kernel's half of GS, by SWAPGS: its stack, and room for the user's stack pointer. */
#define KERNEL_STACK %gs:0
#define USER_STACK   %gs:8

#define USER_CODE 0x2b
#define USER_DATA 0x23

    .text
/* uint64_t enter_user(void (*code)(void), uint64_t stack, uint64_t rdi, uint64_t rsi): until the code makes the system call 0; its RDI. */
    .globl  enter_user
enter_user:
    pushq   %rbx
    pushq   %rbp
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, kernel_return
    pushq   $USER_DATA
    pushq   %rsi
    pushq   $0x202
    pushq   $USER_CODE
    pushq   %rdi
    movq    %rdx, %rdi
    movq    %rcx, %rsi
    iretq

/* As a kernel's: its stack, the user's registers on it, a function by number. */
    .globl  system_call
system_call:
    swapgs
    movq    %rsp, USER_STACK
    movq    KERNEL_STACK, %rsp
    pushq   %rcx
    pushq   %r11
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    pushq   %r8
    pushq   %r9
    pushq   %r10
    testq   %rax, %rax
    jz      1f
    call    *system_calls(, %rax, 8)
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %r11
    popq    %rcx
    movq    USER_STACK, %rsp
    swapgs
    sysretq
1:  swapgs
    movq    %rdi, %rax
    movq    kernel_return, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbp
    popq    %rbx
    ret

/* User code: RDI system calls, each of which adds what it gets. */
    .globl  call_often
call_often:
    movq    %rdi, %rbx
    xorl    %ebp, %ebp
1:  movq    %rbx, %rdi
    movl    $1, %eax
    syscall
    addq    %rax, %rbp
    decq    %rbx
    jnz     1b
    movq    %rbp, %rdi
    xorl    %eax, %eax
    syscall

/* User code: writes a word to each of the RSI pages from RDI on, and adds what stands beside. */
    .globl  touch_pages
touch_pages:
    xorl    %ebx, %ebx
1:  movq    %rsi, (%rdi)
    addq    8(%rdi), %rbx
    addq    $4096, %rdi
    decq    %rsi
    jnz     1b
    movq    %rbx, %rdi
    xorl    %eax, %eax
    syscall

    .bss
    .balign 8
kernel_return:
    .skip   8
