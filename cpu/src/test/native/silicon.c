// Executes short instruction sequences on the host's own processor, in batches, for comparison with the interpreter.
//
//   silicon FILE SLOTS      FILE is mapped shared: SLOTS slots of 4096 bytes (inputs, and at half of it results), then their code
//
// The parent writes three 4-byte numbers to standard input: first slot, number of slots, and how to run them; the helper answers with the
// number. The arguments after SLOTS are the entries of a local descriptor table: base, limit, bits. Run directly (0), a case is entered by a jump and left by the jump that the parent has put after its code; only a fault costs
// a signal. Stepped (1: 64-bit code, 2: 32-bit), it is entered by rewriting the context of a signal handler, with TF set, and left by
// the trap after so many instructions or by its fault: that is for what may jump. A seccomp filter leaves read, write, exit_group and
// rt_sigreturn, so that a stray system call does nothing.
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
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define SLOT 4096
#define CODE 0x2f400000UL // twice, or half, no other address here
#define CODE_BYTES 128
#define DATA 0x10000000UL
#define ALIAS (DATA - 0x10000) // the same page once more: what wraps at 64 KiB meets it
#define WINDOW 0x600
#define WINDOW_BYTES 256
#define XSAVE_BYTES 832
#define NO_FAULT 0xffffffffu // no exception's number: a division's is 0

struct image {
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t rip; // in: address of the code
    uint32_t trap, error;
    uint64_t address;
    uint64_t sum;
    uint32_t code_bytes, instructions;
    uint8_t code[64];
    uint16_t selectors[8]; // ES CS SS DS FS GS; with CS 0: the flat ones
    uint8_t xsave[XSAVE_BYTES]; // at 256: aligned to 64
    uint8_t window[WINDOW_BYTES];
};

_Static_assert(offsetof(struct image, xsave) == 256, "the assembly below knows this");
_Static_assert(offsetof(struct image, rflags) == 128, "and this");

static uint8_t *slots;
static uint32_t last, current;
static uint32_t steps;
static int running;
static int bits32, segmented;
static unsigned short cs32; // a flat 32-bit code segment; 0: there is none
static ucontext_t home;
static uint8_t home_fx[XSAVE_BYTES];

// Of the assembly.
struct image *case_out;
uint64_t case_rsp, case_target, case_regs[17];
void enter_case(struct image *in);
extern char leave_case[], fault_case[];

__asm__(".text\n"
        ".globl enter_case, leave_case, fault_case\n"
        "enter_case:\n"
        "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, case_rsp(%rip)\n"
        "  mov $7, %eax\n  xor %edx, %edx\n  xrstor64 256(%rdi)\n"
        "  pushq 128(%rdi)\n  popfq\n"
        "  mov 0(%rdi), %rax\n  mov 8(%rdi), %rcx\n  mov 16(%rdi), %rdx\n  mov 24(%rdi), %rbx\n"
        "  mov 32(%rdi), %rsp\n  mov 40(%rdi), %rbp\n  mov 48(%rdi), %rsi\n"
        "  mov 64(%rdi), %r8\n  mov 72(%rdi), %r9\n  mov 80(%rdi), %r10\n  mov 88(%rdi), %r11\n"
        "  mov 96(%rdi), %r12\n  mov 104(%rdi), %r13\n  mov 112(%rdi), %r14\n  mov 120(%rdi), %r15\n"
        "  mov 56(%rdi), %rdi\n"
        "  jmp *case_target(%rip)\n"
        "leave_case:\n"
        "  mov %rax, case_regs+0(%rip)\n  mov %rcx, case_regs+8(%rip)\n  mov %rdx, case_regs+16(%rip)\n"
        "  mov %rbx, case_regs+24(%rip)\n  mov %rsp, case_regs+32(%rip)\n  mov %rbp, case_regs+40(%rip)\n"
        "  mov %rsi, case_regs+48(%rip)\n  mov %rdi, case_regs+56(%rip)\n  mov %r8, case_regs+64(%rip)\n"
        "  mov %r9, case_regs+72(%rip)\n  mov %r10, case_regs+80(%rip)\n  mov %r11, case_regs+88(%rip)\n"
        "  mov %r12, case_regs+96(%rip)\n  mov %r13, case_regs+104(%rip)\n  mov %r14, case_regs+112(%rip)\n"
        "  mov %r15, case_regs+120(%rip)\n"
        "  mov case_rsp(%rip), %rsp\n"
        "  pushfq\n  popq case_regs+128(%rip)\n"
        "  mov case_out(%rip), %rdi\n  mov $7, %eax\n  xor %edx, %edx\n  xsave64 256(%rdi)\n"
        "fault_case:\n"
        "  pushq $0x202\n  popfq\n"
        "  fninit\n  pushq $0x1f80\n  ldmxcsr (%rsp)\n  pop %rax\n  vzeroupper\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
        "  ret\n");

static const int regs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct image *in(uint32_t i) { return (struct image *)(slots + (size_t)i * SLOT); }
static struct image *out(uint32_t i) { return (struct image *)(slots + (size_t)i * SLOT + SLOT / 2); }

static void memory_in(const struct image *c) { memcpy((void *)(DATA + WINDOW), c->window, WINDOW_BYTES); }

// Takes the window, and leaves the page zero.
static void memory_out(struct image *r) {
    memcpy(r->window, (void *)(DATA + WINDOW), WINDOW_BYTES);
    memset((void *)(DATA + WINDOW), 0, WINDOW_BYTES);
    uint64_t sum = 0, any = 0;
    const uint64_t *w = (const uint64_t *)DATA;
    for (int i = 0; i < 512; i++) any |= w[i];
    if (any) {
        for (int i = 0; i < 512; i++) sum += w[i] * (2 * i + 1);
        memset((void *)DATA, 0, 4096);
    }
    r->sum = sum;
}

static uint64_t fs_base;
static uint16_t left[4]; // DS, ES, FS, GS that a case left

// The data segments are not of the signal frame.
static void leave_segments(void) {
    __asm__ volatile("mov %%ds, %0; mov %%es, %1; mov %%fs, %2; mov %%gs, %3" : "=m"(left[0]), "=m"(left[1]), "=m"(left[2]), "=m"(left[3]));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%fs; mov %1, %%gs" ::"r"(0x2b), "r"(0));
    __asm__ volatile("wrfsbase %0" ::"r"(fs_base));
}

static void enter_segments(ucontext_t *u, const struct image *c) {
    greg_t *g = u->uc_mcontext.gregs;
    const uint16_t *s = c->selectors;
    g[REG_CSGSFS] = s[1] | (uint64_t)s[2] << 48;
    __asm__ volatile("mov %0, %%ds; mov %1, %%es; mov %2, %%fs; mov %3, %%gs" ::"r"(s[3]), "r"(s[0]), "r"(s[4]), "r"(s[5]));
}

static void leave(ucontext_t *u) {
    struct image *r = out(current);
    greg_t *g = u->uc_mcontext.gregs;
    if (segmented) {
        r->selectors[0] = left[1];
        r->selectors[1] = g[REG_CSGSFS];
        r->selectors[2] = (uint64_t)g[REG_CSGSFS] >> 48;
        r->selectors[3] = left[0];
        r->selectors[4] = left[2];
        r->selectors[5] = left[3];
    }
    for (int i = 0; i < 16; i++) r->gpr[i] = g[regs[i]];
    r->rflags = g[REG_EFL];
    r->rip = g[REG_RIP];
    memcpy(r->xsave, u->uc_mcontext.fpregs, XSAVE_BYTES);
    r->trap = g[REG_TRAPNO];
    r->error = g[REG_ERR];
    r->address = g[REG_CR2];
}

static void fx_in(ucontext_t *u, const uint8_t *xsave) {
    uint8_t *fp = (uint8_t *)u->uc_mcontext.fpregs;
    // Not the bytes that the kernel keeps for itself; its header says which components it restores.
    memcpy(fp, xsave, 416);
    memcpy(fp + 576, xsave + 576, 256);
    *(uint64_t *)(fp + 512) |= 7;
}

static void enter(ucontext_t *u) {
    struct image *c = in(current);
    greg_t *g = u->uc_mcontext.gregs;
    memory_in(c);
    for (int i = 0; i < 16; i++) g[regs[i]] = c->gpr[i];
    g[REG_EFL] = c->rflags | 0x100;
    g[REG_RIP] = c->rip;
    g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffL) | (bits32 ? cs32 : 0x33);
    // SS is restored as it is told (UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS).
    u->uc_flags |= 6;
    fx_in(u, c->xsave);
    steps = c->instructions;
    if (segmented) enter_segments(u, c);
}

static void handler(int sig, siginfo_t *si, void *p) {
    ucontext_t *u = p;
    greg_t *g = u->uc_mcontext.gregs;
    (void)si;
    // NT, AC and ID are not of the signal frame: what a case left in them goes on until it is cleared here.
    __asm__ volatile("pushfq; andq $~0x244400, (%%rsp); popfq" ::: "memory", "cc");
    if (segmented && running == 1) leave_segments();
    if (sig == SIGUSR1) {
        home = *u;
        memcpy(home_fx, u->uc_mcontext.fpregs, XSAVE_BYTES);
        running = 1;
    } else if (running == 2) {
        leave(u);
        g[REG_RIP] = (greg_t)fault_case;
        g[REG_RSP] = case_rsp;
        g[REG_EFL] = 0x202;
        return;
    } else if (running == 0) {
        _exit(3);
    } else {
        if (sig == SIGTRAP && g[REG_TRAPNO] == 1 && --steps != 0 && !segmented) return;
        leave(u);
        memory_out(out(current));
        current++;
    }
    if (current < last) {
        enter(u);
        return;
    }
    running = 0;
    memcpy(u->uc_mcontext.gregs, home.uc_mcontext.gregs, sizeof(gregset_t));
    u->uc_flags |= 6;
    memcpy(u->uc_mcontext.fpregs, home_fx, XSAVE_BYTES);
    g[REG_EFL] &= ~0x100L;
}

static void direct(void) {
    running = 2;
    for (; current < last; current++) {
        struct image *c = in(current);
        struct image *r = out(current);
        memory_in(c);
        case_target = c->rip;
        case_out = r;
        r->trap = NO_FAULT;
        enter_case(c);
        if (r->trap == NO_FAULT) {
            memcpy(r->gpr, case_regs, 128);
            r->rflags = case_regs[16];
            r->rip = c->rip + c->code_bytes;
            r->trap = 1;
            r->error = 0;
            r->address = 0;
        }
        memory_out(r);
    }
    running = 0;
}

// LZCNT (1) and TZCNT (2), where they are not BSR and BSF: a processor whose CPUID or kernel does not offer them may have them all the same.
static uint64_t hidden(void) {
    uint64_t leading, trailing;
    __asm__("rep bsr %1, %0" : "=r"(leading) : "r"(1UL) : "cc");
    __asm__("rep bsf %1, %0" : "=r"(trailing) : "r"(0UL), "0"(0UL) : "cc");
    return (leading == 63) | (trailing == 64) << 1;
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
    if (argc < 3) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // it waits by turning: not for a build that was killed
    int fd = open(argv[1], O_RDWR);
    size_t n = atoi(argv[2]);
    slots = mmap(NULL, n * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    void *code = mmap((void *)CODE, n * CODE_BYTES, PROT_READ | PROT_EXEC,
                      MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, fd, n * SLOT);
    if (slots == MAP_FAILED || code == MAP_FAILED) {
        perror("silicon: slots");
        return 2;
    }
    int data = memfd_create("data", 0);
    if (data < 0 || ftruncate(data, 4096)) return 2;
    for (int i = 0; i < 2; i++) {
        if (mmap((void *)(i ? ALIAS : DATA), 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, data, 0) == MAP_FAILED) {
            perror("silicon: data");
            return 2;
        }
    }
    map(DATA + 4096, 4096, PROT_READ);
    stack_t ss = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&ss, NULL);
    struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    int sigs[] = {SIGUSR1, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (unsigned i = 0; i < sizeof sigs / sizeof sigs[0]; i++) sigaction(sigs[i], &sa, NULL);
    // What a 64-bit program has in DS and ES is of no use to 32-bit code.
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(0x2b));
    // Not every kernel has the usual 0x23.
    struct user_desc d = {.entry_number = 0, .limit = 0xfffff, .limit_in_pages = 1, .seg_32bit = 1, .contents = 2, .useable = 1};
    cs32 = syscall(SYS_modify_ldt, 1, &d, sizeof d) ? 0x23 : 7;
    uint64_t entries = 0;
    for (; (int)entries < argc - 3; entries++) {
        unsigned long base, limit, bits;
        if (sscanf(argv[3 + entries], "%lu,%lu,%lu", &base, &limit, &bits) != 3) return 2;
        struct user_desc e = {.entry_number = entries, .base_addr = base, .limit = limit, .seg_32bit = bits & 1, .contents = bits >> 1 & 3,
                              .read_exec_only = bits >> 3 & 1, .limit_in_pages = bits >> 4 & 1, .useable = 1};
        if (syscall(SYS_modify_ldt, 1, &e, sizeof e)) break;
    }
    // It takes FSGSBASE to set FS as it was.
    if (getauxval(AT_HWCAP2) & 2) {
        __asm__ volatile("rdfsbase %0" : "=r"(fs_base));
    } else {
        entries = 0;
    }
    int pid = getpid(), tid = gettid();
    confine();
    // The parent needs an address to put behind the code, the selector to compare, and what CPUID may hide.
    uint64_t told[4] = {(uint64_t)leave_case, cs32, entries, hidden()};
    if (write(1, told, sizeof told) != sizeof told) return 1;
    uint32_t order[3];
    while (read(0, order, 12) == 12) {
        current = order[0];
        last = order[0] + order[1];
        if (order[2] == 0) {
            direct();
        } else {
            bits32 = order[2] == 2;
            segmented = order[2] == 3;
            syscall(__NR_tgkill, pid, tid, SIGUSR1);
        }
        if (write(1, &order[1], 4) != 4) return 1;
    }
    return 0;
}
