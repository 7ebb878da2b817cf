/*
 * What a program sees of the kernel. Linked statically, so that Slate's loader brings it in: each test is a function, run by its name in
 * a process of its own, and must hold under the kernel alone as well. None opens /dev/kvm. Ends with 0 when it holds.
 */
#include "promises.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

extern char **environ;

static int status_of(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

/* -------------------------------------------------------------------------------------------------- a call by itself */

/* getppid() with these registers; what is in them behind it. The red zone holds 1234h meanwhile, RCX comes back less its own address. */
struct registers {
    uint64_t rdi, rsi, rdx, r10, r8, r9, rbx, rbp, r12, r13, r14, r15, rax, rcx, red_zone;
    uint64_t xmm[16][2];
};
void call_with(const struct registers *in, struct registers *out);
__asm__(".text\n.globl call_with\ncall_with:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n"
        "movdqu 120(%rdi), %xmm0; movdqu 136(%rdi), %xmm1; movdqu 232(%rdi), %xmm7; movdqu 248(%rdi), %xmm8; movdqu 360(%rdi), %xmm15\n"
        "mov 8(%rdi), %rsi; mov 16(%rdi), %rdx; mov 24(%rdi), %r10; mov 32(%rdi), %r8; mov 40(%rdi), %r9; mov 48(%rdi), %rbx\n"
        "mov 56(%rdi), %rbp; mov 64(%rdi), %r12; mov 72(%rdi), %r13; mov 80(%rdi), %r14; mov 88(%rdi), %r15; mov (%rdi), %rdi\n"
        "movq $0x1234, -128(%rsp); movq $0x1234, -8(%rsp)\n"
        "mov $110, %eax\n"
        "syscall\n"
        "1: push %rdi; mov 8(%rsp), %rdi\n" /* overwrites -8(%rsp) of above, which was looked at by nobody */
        "mov %rsi, 8(%rdi); mov %rdx, 16(%rdi); mov %r10, 24(%rdi); mov %r8, 32(%rdi); mov %r9, 40(%rdi); mov %rbx, 48(%rdi)\n"
        "mov %rbp, 56(%rdi); mov %r12, 64(%rdi); mov %r13, 72(%rdi); mov %r14, 80(%rdi); mov %r15, 88(%rdi); mov %rax, 96(%rdi)\n"
        "lea 1b(%rip), %rax; sub %rax, %rcx; mov %rcx, 104(%rdi); mov -120(%rsp), %rax; mov %rax, 112(%rdi)\n"
        "movdqu %xmm0, 120(%rdi); movdqu %xmm1, 136(%rdi); movdqu %xmm7, 232(%rdi); movdqu %xmm8, 248(%rdi); movdqu %xmm15, 360(%rdi)\n"
        "pop %rax; mov %rax, (%rdi)\n"
        "pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");

static void a_call_changes_no_register_but_three(void) {
    for (unsigned i = 0; i < 200; i++) {
        struct registers in = {0}, out = {0};
        uint64_t *words = (uint64_t *)&in;
        for (unsigned j = 0; j < 12; j++) words[j] = 0x1111111111111111u * (j + 1) + i;
        for (unsigned j = 0; j < 16; j++) in.xmm[j][0] = in.xmm[j][1] = (j == 0 || j == 1 || j == 7 || j == 8 || j == 15) * (j + 0x987654321u + i);
        in.rax = (uint64_t)getppid();
        in.red_zone = 0x1234;
        call_with(&in, &out);
        CHECK(!memcmp(&in, &out, sizeof in));
    }
}

static void the_base_of_gs_is_the_programs(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED && munmap(pages + 4096, 4096) == 0);
    uint64_t *cell = (uint64_t *)(pages + 4088); /* and nothing behind it */
    *cell = 0x77;
    CHECK(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, cell) == 0);
    for (int i = 0; i < 100; i++) {
        uint64_t value;
        getppid();
        __asm__ volatile("mov %%gs:0, %0" : "=r"(value));
        CHECK(value == 0x77);
    }
    uint64_t fs;
    CHECK(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs) == 0);
    uint64_t self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    CHECK(fs == self);
}

/* The kernel refuses what no program can have; a thread's first base is no other. */
static void a_base_of_fs_that_is_none_is_refused(void) {
    uint64_t self, none = UINT64_C(1) << 62;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    FAILS(syscall(SYS_arch_prctl, 0x1002 /* ARCH_SET_FS */, none), EPERM);
    FAILS(syscall(SYS_clone, 0x80000 | SIGCHLD /* CLONE_SETTLS */, 0, 0, 0, none), EPERM);
    uint64_t fs;
    CHECK(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs) == 0 && fs == self);
}

static void the_auxiliary_vector_is_the_programs(void) {
    CHECK(!strcmp((char *)getauxval(AT_EXECFN), arguments[0]) || strstr(arguments[0], strrchr((char *)getauxval(AT_EXECFN), '/')));
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    bool code = false;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) code |= headers[i].p_type == PT_LOAD && (headers[i].p_flags & PF_X);
    CHECK(code);
    CHECK(getauxval(AT_ENTRY) != 0 && getauxval(AT_PAGESZ) == 4096);
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0 && t.tv_sec > 0);
}

static void its_own_name_leads_to_itself(void) {
    char link[4096] = {0}, real[4096], name[64] = {0};
    CHECK(readlink("/proc/self/exe", link, sizeof link - 1) > 0);
    CHECK(realpath(arguments[0], real) && !strcmp(link, real));
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0);
    uint64_t entry = 0;
    CHECK(pread(fd, &entry, 8, 24) == 8); /* e_entry */
    CHECK((entry & 0xfff) == (getauxval(AT_ENTRY) & 0xfff));
    CHECK(prctl(PR_GET_NAME, name) == 0 && !strncmp(name, strrchr(real, '/') + 1, 15));
}

static void the_heap_grows_and_shrinks_where_it_was(void) {
    char *start = (char *)syscall(SYS_brk, 0);
    CHECK(start != NULL && (char *)syscall(SYS_brk, start + (1 << 20)) == start + (1 << 20));
    for (int i = 0; i < 1 << 20; i += 4096) CHECK(start[i] == 0);
    memset(start, 1, 1 << 20);
    CHECK((char *)syscall(SYS_brk, start) == start);
    CHECK((char *)syscall(SYS_brk, start + 8192) == start + 8192);
    CHECK(start[0] == 0 || start[0] == 1); /* its first page may have held more */
    CHECK(start[4096] == 0);
    CHECK((char *)syscall(SYS_brk, start - (1L << 40)) == start + 8192);
}

/* ----------------------------------------------------------------------------------------------------------- signals */

static volatile sig_atomic_t handled;
static void *volatile handler_stack;
static volatile int seen_code;
static void count_it(int sig, siginfo_t *info, void *context) {
    char here;
    (void)sig, (void)context;
    handled++;
    handler_stack = &here;
    seen_code = info->si_code;
}
static void on(int sig, int flags) {
    struct sigaction a = {.sa_sigaction = count_it, .sa_flags = SA_SIGINFO | flags};
    CHECK(sigaction(sig, &a, NULL) == 0);
}
static void timer(long usec) {
    CHECK(syscall(SYS_setitimer, 0, (long[4]){0, 0, usec / 1000000, usec % 1000000}, NULL) == 0);
}

static void a_signal_interrupts_a_call(void) {
    on(SIGALRM, 0);
    int ends[2];
    CHECK(pipe(ends) == 0);
    char byte;
    timer(20000);
    CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR && handled == 1);
    timer(20000);
    CHECK(pause() == -1 && errno == EINTR && handled == 2);
}

static int pipe_ends[2];
static void write_in_handler(int sig) {
    (void)sig;
    if (++handled == 3) write(pipe_ends[1], "x", 1);
    timer(5000);
}
static void a_call_is_restarted(void) {
    struct sigaction a = {.sa_handler = write_in_handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &a, NULL) == 0);
    CHECK(pipe(pipe_ends) == 0);
    char byte = 0;
    timer(5000);
    CHECK(read(pipe_ends[0], &byte, 1) == 1 && byte == 'x' && handled >= 3);
}

static void handlers_run_on_the_stack_that_was_asked_for(void) {
    char *alternate = malloc(65536), *here = __builtin_frame_address(0);
    stack_t s = {.ss_sp = alternate, .ss_size = 65536}, old;
    CHECK(sigaltstack(&s, NULL) == 0);
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == alternate && old.ss_size == 65536 && old.ss_flags == 0);
    on(SIGUSR1, SA_ONSTACK);
    on(SIGUSR2, 0);
    for (int i = 0; i < 200; i++) {
        raise(SIGUSR1);
        CHECK((char *)handler_stack > alternate && (char *)handler_stack < alternate + 65536);
        raise(SIGUSR2);
        CHECK((char *)handler_stack < here && here - (char *)handler_stack < 100000);
    }
    CHECK(handled == 400);
    s.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&s, &old) == 0 && old.ss_sp == alternate);
    raise(SIGUSR1);
    CHECK((char *)handler_stack < here && here - (char *)handler_stack < 100000);
    s = (stack_t){.ss_sp = alternate, .ss_size = 100};
    CHECK(sigaltstack(&s, NULL) == -1 && errno == ENOMEM);
}

static void look_at_stack(int sig) {
    stack_t old, other = {.ss_sp = malloc(65536), .ss_size = 65536};
    (void)sig;
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_flags == SS_ONSTACK);
    CHECK(sigaltstack(&other, NULL) == -1 && errno == EPERM);
    handled++;
}
static void the_stack_of_a_handler_is_in_use_meanwhile(void) {
    stack_t s = {.ss_sp = malloc(65536), .ss_size = 65536};
    CHECK(sigaltstack(&s, NULL) == 0);
    struct sigaction a = {.sa_handler = look_at_stack, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    for (int i = 0; i < 10; i++) raise(SIGUSR1);
    CHECK(handled == 10);
}

static void change_context(int sig, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    (void)sig, (void)info;
    handled++;
    u->uc_mcontext.gregs[REG_RIP] += 2; /* over ud2 */
    u->uc_mcontext.gregs[REG_RBX] = 0x4242;
    *(uint32_t *)((char *)u->uc_mcontext.fpregs + 160 + 3 * 16) = 0x99; /* XMM3 of the FXSAVE image */
}
static void a_handler_can_change_where_and_how_it_goes_on(void) {
    struct sigaction a = {.sa_sigaction = change_context, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGILL, &a, NULL) == 0);
    for (int i = 1; i <= 100; i++) {
        uint64_t rbx, low;
        __asm__ volatile("pxor %%xmm3, %%xmm3\n xor %%ebx, %%ebx\n ud2\n mov %%rbx, %0\n movq %%xmm3, %1" : "=r"(rbx), "=r"(low) : : "rbx", "xmm3");
        CHECK(rbx == 0x4242 && (uint32_t)low == 0x99 && handled == i);
    }
}

static sigjmp_buf way_out;
static void jump_out(int sig, siginfo_t *info, void *context) {
    (void)sig, (void)context;
    CHECK(info->si_addr == (void *)8 || sig == SIGALRM);
    siglongjmp(way_out, 1);
}
static void a_handler_can_jump_out(void) {
    struct sigaction a = {.sa_sigaction = jump_out, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &a, NULL) == 0);
    for (int i = 0; i < 500; i++) {
        if (sigsetjmp(way_out, 1) == 0) {
            *(volatile int *)8 = 1;
            CHECK(!"reached");
        }
        handled++;
    }
    CHECK(handled == 500);
    CHECK(sigaction(SIGALRM, &a, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        if (sigsetjmp(way_out, 1) == 0) {
            timer(1000);
            for (;;) pause();
        }
    }
}

static void flags_of_actions_mean_what_they_do_under_the_kernel(void) {
    struct sigaction a = {.sa_sigaction = count_it, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER}, now;
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_sigaction == count_it && (now.sa_flags & SA_RESETHAND));
    raise(SIGUSR1);
    CHECK(handled == 1 && seen_code == SI_TKILL);
    CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
    on(SIGUSR1, 0);
    union sigval value = {.sival_int = 7};
    CHECK(sigqueue(getpid(), SIGUSR1, value) == 0 && handled == 2 && seen_code == SI_QUEUE);
}

static void every_signal_can_be_blocked_and_read_back(void) {
    sigset_t all, now, old;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, &old) == 0 && !sigismember(&old, SIGSYS));
    getppid();
    CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) && sigismember(&now, SIGUSR1));
    on(SIGUSR1, 0);
    raise(SIGUSR1);
    CHECK(handled == 0);
    sigdelset(&all, SIGUSR1);
    CHECK(sigsuspend(&all) == -1 && errno == EINTR && handled == 1);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSYS) && sigismember(&now, SIGUSR1));
    raise(SIGUSR1);
    CHECK(ppoll(NULL, 0, NULL, &all) == -1 && errno == EINTR && handled == 2);
    raise(SIGUSR1);
    CHECK(pselect(0, NULL, NULL, NULL, NULL, &all) == -1 && errno == EINTR && handled == 3);
    siginfo_t info;
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    raise(SIGUSR1);
    CHECK(sigwaitinfo(&one, &info) == SIGUSR1 && info.si_pid == getpid());
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
    getppid();
}

static void signals_come_through_a_storm_of_calls(void) {
    on(SIGUSR1, 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int i = 0; i < 30000; i++) kill(parent, SIGUSR1);
        _exit(0);
    }
    double sum = 0;
    long calls = 0;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        sum += 0.5;
        calls++;
        CHECK(getppid() > 0);
    }
    CHECK(status == 0 && handled > 0 && sum == (double)calls * 0.5);
}

static __thread void *storage;
static _Atomic int strangers, seen, storm_over;
static void look_at_storage(int sig) {
    (void)sig;
    strangers += storage != &storage;
    getppid();
    strangers += storage != &storage;
    seen++;
}
static pthread_barrier_t all_are_there;
static void *calls_meanwhile(void *unused) {
    storage = &storage;
    pthread_barrier_wait(&all_are_there);
    while (!storm_over) {
        getppid();
        strangers += storage != &storage;
    }
    return unused;
}
static void handlers_have_the_storage_of_their_thread(void) {
    struct sigaction a = {.sa_handler = look_at_storage};
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0 && sigaction(SIGUSR2, &a, NULL) == 0);
    pthread_t threads[4];
    storage = &storage;
    CHECK(pthread_barrier_init(&all_are_there, NULL, 5) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, calls_meanwhile, NULL) == 0);
    pthread_barrier_wait(&all_are_there);
    for (int i = 0; i < 20000; i++) kill(getpid(), i & 1 ? SIGUSR1 : SIGUSR2);
    storm_over = 1;
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(seen > 0 && strangers == 0);
}

enum { BY_SECCOMP = 1 };
static void on_sigsys(int sig, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    (void)sig;
    handled++;
    seen_code = info->si_code;
    if (info->si_code == BY_SECCOMP) u->uc_mcontext.gregs[REG_RAX] = -ENOTTY;
}
static void its_own_sigsys_comes_to_it(void) {
    struct sigaction a = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO}, now;
    CHECK(sigaction(SIGSYS, &a, NULL) == 0);
    CHECK(sigaction(SIGSYS, NULL, &now) == 0 && now.sa_sigaction == on_sigsys);
    raise(SIGSYS);
    CHECK(handled == 1 && seen_code == SI_TKILL);
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    char text[400];
    CHECK(syscall(SYS_uname, text) == -1 && errno == ENOTTY && handled == 2 && seen_code == BY_SECCOMP);
}

static void it_dies_of_its_own_faults_and_of_others_signals(void) {
    pid_t child = fork();
    if (child == 0) {
        *(volatile int *)8 = 1;
        _exit(1);
    }
    int status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    kill(child, SIGTERM);
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    child = fork();
    if (child == 0) abort();
    status = status_of(child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ----------------------------------------------------------------------------------------------------------- threads */

static __thread int own = 5;
static void *add_many(void *sum) {
    for (int i = 0; i < 300; i++) {
        own++;
        getppid();
        __atomic_add_fetch((int *)sum, 1, __ATOMIC_SEQ_CST);
    }
    return (void *)(intptr_t)own;
}
static void threads_have_their_own_storage_and_are_joined(void) {
    int sum = 0;
    for (int round = 0; round < 10; round++) {
        pthread_t threads[16];
        for (int i = 0; i < 16; i++) CHECK(pthread_create(&threads[i], NULL, add_many, &sum) == 0);
        for (int i = 0; i < 16; i++) {
            void *result;
            CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)305);
        }
    }
    CHECK(sum == 48000 && own == 5);
}

static void *wait_for_ever(void *unused) {
    for (;;) pause();
    return unused;
}
static void a_waiting_thread_can_be_cancelled(void) {
    for (int i = 0; i < 30; i++) {
        pthread_t thread;
        void *result;
        CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
        if (i & 1) usleep(1000);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
}

static void *lock_it(void *mutex) {
    pthread_mutex_lock(mutex);
    return NULL;
}
static void a_robust_mutex_says_that_its_owner_died(void) {
    pthread_mutex_t mutex;
    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &robust);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, lock_it, &mutex) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
}

static void *read_control(void *into) {
    __asm__ volatile("stmxcsr %0" : "=m"(*(uint32_t *)into));
    return NULL;
}
static void a_thread_inherits_the_rounding_and_the_mask(void) {
    uint32_t control = 0x3f80, seen = 0;
    __asm__ volatile("ldmxcsr %0" : : "m"(control));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, read_control, &seen) == 0 && pthread_join(thread, NULL) == 0);
    CHECK((seen & 0xffc0) == 0x3f80);
}

static void *finish_later(void *unused) {
    usleep(50000);
    _exit(7);
    return unused;
}
static void the_first_thread_may_end_before_the_others(void) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, finish_later, NULL) == 0);
        syscall(SYS_exit, 3);
    }
    int status = status_of(child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* --------------------------------------------------------------------------------------------------------- processes */

static void a_forked_child_has_threads_and_signals(void) {
    on(SIGUSR1, 0);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            int sum = 0;
            pthread_t thread;
            CHECK(pthread_create(&thread, NULL, add_many, &sum) == 0 && pthread_join(thread, NULL) == 0);
            raise(SIGUSR1);
            _exit(sum == 300 && handled == 1 && getpid() == (pid_t)syscall(SYS_gettid) ? 9 : 1);
        }
        int status = status_of(child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    }
}

static void *fork_there(void *unused) {
    pid_t child = fork();
    if (child == 0) _exit(4);
    int status = status_of(child);
    CHECK(WEXITSTATUS(status) == 4);
    return unused;
}
static void any_thread_may_fork(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, fork_there, NULL) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void vfork_waits_for_exit_or_exec(void) {
    on(SIGUSR1, 0);
    for (int i = 0; i < 30; i++) {
        volatile int written = 0;
        pid_t child = vfork();
        if (child == 0) {
            written = 1;
            if (i & 1) _exit(9);
            execl("/bin/sh", "sh", "-c", "exit 4", (char *)NULL);
            _exit(1);
        }
        CHECK(written == 1); /* it was this process's memory */
        CHECK(WEXITSTATUS(status_of(child)) == (i & 1 ? 9 : 4));
        raise(SIGUSR1);
        CHECK(handled == i + 1);
    }
}

static void posix_spawn_says_what_fails(void) {
    char *const shell[] = {"sh", "-c", "exit 5", NULL};
    pid_t child;
    for (int i = 0; i < 10; i++) {
        CHECK(posix_spawn(&child, "/bin/sh", NULL, NULL, shell, environ) == 0 && WEXITSTATUS(status_of(child)) == 5);
        CHECK(posix_spawn(&child, "/nowhere", NULL, NULL, shell, environ) == ENOENT);
    }
    CHECK(system("exit 3") == 0x300);
}

static void exec_runs_what_the_kernel_would(void) {
    char script[] = "/tmp/slate-script-XXXXXX", word[8] = {0};
    int file = mkstemp(script), ends[2];
    CHECK(file >= 0 && write(file, "#!/bin/sh -e\nprintf %s \"$1\"\n", 28) == 28 && fchmod(file, 0755) == 0 && close(file) == 0);
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execl(script, "script", "word", (char *)NULL);
        _exit(1);
    }
    CHECK(status_of(child) == 0 && read(ends[0], word, 7) == 4 && !strcmp(word, "word"));
    CHECK(chmod(script, 0644) == 0);
    CHECK(execl(script, "script", (char *)NULL) == -1 && errno == EACCES);
    unlink(script);
    CHECK(execl("/nowhere", "nowhere", (char *)NULL) == -1 && errno == ENOENT);
    CHECK(syscall(SYS_execve, (char *)8, NULL, NULL) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_execve, "/bin/sh", (char **)8, NULL) == -1 && errno == EFAULT);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", arguments[0], "the_base_of_gs_is_the_programs", (char *)NULL);
        _exit(1);
    }
    CHECK(status_of(child) == 0);
}

static void *exec_there(void *unused) {
    execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
    return unused;
}
static void any_thread_may_exec(void) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_create(&thread, NULL, exec_there, NULL);
        for (;;) pause();
    }
    CHECK(WEXITSTATUS(status_of(child)) == 6);
}

static _Atomic int has_run;
static void *runs(void *unused) {
    has_run = 1;
    return unused;
}
/* One processor and a priority that no equal takes it from: its creator goes on, whoever else waits for the processor. */
static void a_thread_is_born_before_it_runs(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    const struct sched_param first = {sched_get_priority_min(SCHED_FIFO)};
    if (sched_setaffinity(0, sizeof one, &one) < 0 || syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &first) < 0) SKIP("needs the right to SCHED_FIFO");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, runs, NULL) == 0);
    CHECK(!has_run);
    pthread_join(thread, NULL);
    CHECK(has_run);
}

static const struct promise tests[] = {
    TEST(a_call_changes_no_register_but_three),
    TEST(the_base_of_gs_is_the_programs),
    TEST(a_base_of_fs_that_is_none_is_refused),
    TEST(the_auxiliary_vector_is_the_programs),
    TEST(its_own_name_leads_to_itself),
    TEST(the_heap_grows_and_shrinks_where_it_was),
    TEST(a_signal_interrupts_a_call),
    TEST(a_call_is_restarted),
    TEST(handlers_run_on_the_stack_that_was_asked_for),
    TEST(the_stack_of_a_handler_is_in_use_meanwhile),
    TEST(a_handler_can_change_where_and_how_it_goes_on),
    TEST(a_handler_can_jump_out),
    TEST(flags_of_actions_mean_what_they_do_under_the_kernel),
    TEST(every_signal_can_be_blocked_and_read_back),
    TEST(signals_come_through_a_storm_of_calls),
    TEST(handlers_have_the_storage_of_their_thread),
    TEST(its_own_sigsys_comes_to_it),
    TEST(it_dies_of_its_own_faults_and_of_others_signals),
    TEST(threads_have_their_own_storage_and_are_joined),
    TEST(a_thread_is_born_before_it_runs),
    TEST(a_waiting_thread_can_be_cancelled),
    TEST(a_robust_mutex_says_that_its_owner_died),
    TEST(a_thread_inherits_the_rounding_and_the_mask),
    TEST(the_first_thread_may_end_before_the_others),
    TEST(a_forked_child_has_threads_and_signals),
    TEST(any_thread_may_fork),
    TEST(vfork_waits_for_exit_or_exec),
    TEST(posix_spawn_says_what_fails),
    TEST(exec_runs_what_the_kernel_would),
    TEST(any_thread_may_exec),
};

int main(int argc, char **argv) {
    return KEEP(argc, argv, tests);
}
