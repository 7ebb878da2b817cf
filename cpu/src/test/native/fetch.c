// Asks the host's own processor how long instructions are, and which bytes are none.
//
//   fetch FILE BITS     FILE is mapped shared: slots of 32 bytes, filled by the parent; BITS is 16, 32 or 64
//
// An instruction of n bytes is put at the end of a page that nothing follows. With n - 1 of its bytes the fetch faults; with n it does
// not. The parent gives the bytes and n (0: do not ask, show 15 bytes); the answer is whether the fetch fault came, and which exception
// the whole instruction ended with (1, the single-step trap, when it simply ran).
//
// The parent writes a 4-byte count to standard input; the helper answers with the count when it is through. Slot 0 is the helper's: the
// number of the slot at work, for the parent to see which bytes killed the helper. All registers point to where nothing is mapped, so
// that loads and stores fault; a seccomp filter makes system calls fail.
#define _GNU_SOURCE
#include <asm/ldt.h>
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

struct slot {
    uint8_t code[16];
    uint8_t length;    // in: 0..15
    uint8_t cut;       // out: n - 1 bytes gave the fetch fault
    uint8_t trap;      // out: exception number of n bytes; 255: the fetch fault again
    uint8_t error;     // out: low byte of its error code
    uint8_t pad[12];
};

static struct slot *slots;
static uint32_t count, current;
static int running, whole;
static ucontext_t home;
static uint8_t home_fx[512];
static uint8_t *alias;        // writable view of the code page
static unsigned long end;     // linear address behind the code page
static unsigned long offset;  // of `end` in the code segment
static unsigned short cs;
static int bits;
static unsigned long fs_base;

static const int regs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void enter(ucontext_t *u) {
    struct slot *s = &slots[current];
    greg_t *g = u->uc_mcontext.gregs;
    int n = s->length ? s->length - (whole ? 0 : 1) : 15;
    *(volatile uint32_t *)slots = current;
    memcpy(alias + 4096 - n, s->code, n);
    for (int i = 0; i < 16; i++) g[regs[i]] = bits == 64 ? 0x234500000000L + i * 0x1000000L : 0x60000000L + i * 0x1000000L;
    if (bits == 16) {
        for (int i = 0; i < 16; i++) g[regs[i]] = 0x60008000L + i * 0x1000000L;
    }
    g[REG_EFL] = 0x302;
    g[REG_RIP] = offset - n;
    g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffL) | cs;
    memcpy(u->uc_mcontext.fpregs, home_fx, 512);
}

// True: the case is through.
static int leave(ucontext_t *u) {
    struct slot *s = &slots[current];
    greg_t *g = u->uc_mcontext.gregs;
    // At `end` itself the instruction is through: the kernel has emulated it, or it was a system call, which takes TF away for a while.
    int fetch = g[REG_TRAPNO] == 14 && (g[REG_ERR] & 16) && (unsigned long)g[REG_CR2] == end && (unsigned long)g[REG_RIP] != offset;
    if (!whole && s->length) {
        s->cut = fetch;
        whole = 1;
        return 0;
    }
    s->trap = fetch ? 255 : g[REG_TRAPNO];
    s->error = g[REG_ERR];
    return 1;
}

static void handler(int sig, siginfo_t *si, void *p) {
    ucontext_t *u = p;
    (void)si;
    // In compatibility mode a test may have changed these.
    if (bits != 64) __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
    if (sig == SIGUSR1) {
        home = *u;
        memcpy(home_fx, u->uc_mcontext.fpregs, 512);
        running = 1;
        current = 1;
        whole = 0;
    } else if (!running) {
        _exit(3);
    } else if (leave(u)) {
        current++;
        whole = 0;
    }
    while (current < count && slots[current].length == 1) {
        // No bytes at all are no instruction.
        slots[current].cut = 1;
        whole = 1;
        break;
    }
    if (current < count) {
        enter(u);
        return;
    }
    running = 0;
    memcpy(u->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(gregset_t));
    memcpy(u->uc_mcontext.fpregs, home_fx, 512);
    u->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" ::"r"(0));
    __asm__ volatile("wrfsbase %0" ::"r"(fs_base));
}

static void confine(void) {
#define ALLOW(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
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
        perror("fetch: seccomp");
        exit(2);
    }
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    bits = atoi(argv[2]);
    int fd = open(argv[1], O_RDWR);
    off_t size = lseek(fd, 0, SEEK_END);
    slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (slots == MAP_FAILED) fail("fetch: slots");
    int code = memfd_create("code", 0);
    if (code < 0 || ftruncate(code, 4096)) fail("fetch: memfd");
    unsigned long at = bits == 64 ? 0x123456780000UL : 0x20001000UL;
    if (mmap((void *)at, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, code, 0) == MAP_FAILED) fail("fetch: code");
    alias = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, code, 0);
    if (alias == MAP_FAILED) fail("fetch: alias");
    end = offset = at + 4096;
    cs = bits == 64 ? 0x33 : 0x23;
    if (bits == 16) {
        struct user_desc d = {.entry_number = 0, .base_addr = 0x20000000, .limit = 0xffff, .seg_32bit = 0, .contents = 2, .useable = 1};
        if (syscall(SYS_modify_ldt, 1, &d, sizeof d)) fail("fetch: modify_ldt");
        cs = 7;
        offset = 0x2000;
    }
    __asm__ volatile("rdfsbase %0" : "=r"(fs_base));
    stack_t ss = {.ss_sp = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = 1 << 16};
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
        syscall(__NR_tgkill, pid, tid, SIGUSR1);
        if (write(1, &n, 4) != 4) return 1;
    }
    return 0;
}
