/* Where things lie in a client thread's block; for C and for trap.S. */
#ifndef SLATE_PLACES_H
#define SLATE_PLACES_H

/*
 * One block a client thread, aligned to its size: a page of stubs that may make system calls, a page with struct task, and the rest
 * is the alternate signal stack. All blocks lie in one arena, which is the range that user dispatch lets through.
 */
#define BLOCK_BYTES 0x10000
#define ARENA_BYTES 0x10000000
#define TASK_PLACE 0x1000
#define STACK_PLACE 0x2000

/* Stubs, from the block's start. */
#define STUB_CALL 0x00      /* a call as the client made it */
#define STUB_CALL_DONE 0x02
#define STUB_CHANGED 0x10   /* one with other arguments; the registers are put back behind it */
#define STUB_CHANGED_DONE 0x12
#define STUB_UNBLOCK 0x50   /* signals that waited for the end of a quick request come in */
#define STUB_UNBLOCK_DONE 0x52
#define STUBS_OF_CLIENT 0xa0 /* what lies below runs with the client's registers */
#define STUB_SIGRETURN 0xa0

/* In struct task. */
#define TASK_RETURN 0x00
#define TASK_SAVED 0x08 /* rdi, rsi, rdx, r10, r8, r9 */
#define TASK_SELECTOR 0x38
#define TASK_HOST_FS 0x40
#define TASK_CLIENT_FS 0x48
#define TASK_HOST_RSP 0x50
/* ... of a quick request */
#define TASK_UNBLOCK 0x58
#define TASK_RESULT 0x60
#define TASK_RBX 0x68
#define TASK_RSP 0x70
#define TASK_FS 0x78   /* where FS is exchanged by calls: what it is, or is about to be */
#define TASK_SELF 0x80
#define TASK_REGISTERS 0xc0 /* XSAVE area, in a line of its own; what follows up to the page's end is there for it */

/* In struct thread. */
#define SELF_HELD 0x10

/* What a call is to a site that was rewritten. */
#define CALL_TRAPS 0  /* it goes the long way */
#define CALL_PLAIN 1  /* none of Slate's */
#define CALL_FILE 2   /* Slate's where RDI is one of its descriptors */
#define CALL_IOCTL 3
#define CALLS 512
#define FILES (1 << 20)

/* In struct ucontext, as the kernel has it. */
#define UCONTEXT_RIP 0xa8

#endif
