// Executes single instructions on the host's own processor, in batches, for comparison with the interpreter.
//
//   silicon FILE        FILE is mapped shared: slots of SLOT bytes, filled by the parent
//
// The parent writes a 4-byte count to standard input; the helper runs that many slots and answers with the count. A case is entered by
// rewriting the context of a signal handler, with TF set, and left by the trap after one instruction or by its fault: one signal each.
// A seccomp filter leaves read, write, exit_group and rt_sigreturn, so that a stray system call does nothing.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SLOT 4096
#define CODE 0x20000000UL
#define DATA 0x10000000UL
#define WINDOW 0x600
#define WINDOW_BYTES 256
#define FX_BYTES 416

struct image {
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t rip; // in: number of code bytes
    uint8_t code[16];
    uint8_t fx[FX_BYTES];
    uint8_t window[WINDOW_BYTES];
    uint64_t sum;
    uint32_t trap, error;
    uint64_t address;
};

static uint8_t *slots;
static uint32_t count, current;
static int running;
static ucontext_t home;
static uint8_t home_fx[512];

static const int regs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct image *in(uint32_t i) { return (struct image *)(slots + (size_t)i * SLOT); }
static struct image *out(uint32_t i) { return (struct image *)(slots + (size_t)i * SLOT + SLOT / 2); }

static void enter(ucontext_t *u) {
    struct image *c = in(current);
    greg_t *g = u->uc_mcontext.gregs;
    memset((void *)DATA, 0, 4096);
    memcpy((void *)(DATA + WINDOW), c->window, WINDOW_BYTES);
    memcpy((void *)(CODE + 64), c->code, 16);
    for (int i = 0; i < 16; i++) g[regs[i]] = c->gpr[i];
    g[REG_EFL] = c->rflags | 0x100;
    g[REG_RIP] = CODE + 64;
    uint8_t *fp = (uint8_t *)u->uc_mcontext.fpregs;
    memcpy(fp, c->fx, FX_BYTES);
    // The kernel restores what the header of the extended area lists.
    *(uint64_t *)(fp + 512) |= 3;
}

static void leave(ucontext_t *u) {
    struct image *r = out(current);
    greg_t *g = u->uc_mcontext.gregs;
    for (int i = 0; i < 16; i++) r->gpr[i] = g[regs[i]];
    r->rflags = g[REG_EFL];
    r->rip = g[REG_RIP];
    memcpy(r->fx, u->uc_mcontext.fpregs, FX_BYTES);
    memcpy(r->window, (void *)(DATA + WINDOW), WINDOW_BYTES);
    uint64_t sum = 0;
    for (int i = 0; i < 512; i++) sum = sum * 31 + ((volatile uint64_t *)DATA)[i];
    r->sum = sum;
    r->trap = g[REG_TRAPNO];
    r->error = g[REG_ERR];
    r->address = g[REG_CR2];
}

static void handler(int sig, siginfo_t *si, void *p) {
    ucontext_t *u = p;
    (void)si;
    // NT, AC and ID are not of the signal frame: what a case left in them goes on until it is cleared here.
    __asm__ volatile("pushfq; andq $~0x244000, (%%rsp); popfq" ::: "memory", "cc");
    if (sig == SIGUSR1) {
        home = *u;
        memcpy(home_fx, u->uc_mcontext.fpregs, 512);
        running = 1;
        current = 0;
    } else if (!running) {
        _exit(3);
    } else {
        leave(u);
        current++;
    }
    if (current < count) {
        enter(u);
        return;
    }
    running = 0;
    memcpy(u->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(gregset_t));
    memcpy(u->uc_mcontext.fpregs, home_fx, 512);
    u->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
}

static void confine(void) {
#define ALLOW(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(__NR_read),
        ALLOW(__NR_write),
        ALLOW(__NR_rt_sigreturn),
        ALLOW(__NR_exit_group),
        ALLOW(__NR_tgkill),
        ALLOW(__NR_rt_sigprocmask),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
    };
    struct sock_fprog prog = {sizeof f / sizeof f[0], f};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)) {
        perror("silicon: seccomp");
        exit(2);
    }
}

static void *map(unsigned long at, size_t bytes, int prot) {
    void *p = mmap((void *)at, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
        perror("silicon: mmap");
        exit(2);
    }
    return p;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int fd = open(argv[1], O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (slots == MAP_FAILED) {
        perror("silicon: slots");
        return 2;
    }
    map(DATA, 4096, PROT_READ | PROT_WRITE);
    map(DATA + 4096, 4096, PROT_READ);
    map(CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    stack_t ss = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&ss, NULL);
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&sa.sa_mask);
    int sigs[] = {SIGUSR1, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < sizeof sigs / sizeof sigs[0]; i++) sigaction(sigs[i], &sa, NULL);
    int pid = getpid(), tid = gettid();
    confine();
    uint32_t n;
    while (read(0, &n, 4) == 4) {
        count = n;
        current = 0;
        syscall(__NR_tgkill, pid, tid, SIGUSR1);
        if (write(1, &n, 4) != 4) return 1;
    }
    return 0;
}
