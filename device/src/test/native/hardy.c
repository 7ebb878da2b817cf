/*
 * A client that does what a process with a JVM in it might not outlive: threads that end on memory of a guest's, small limits, bad
 * pointers. As client.c: each test is a function, run by its name in a process of its own.
 */
#include "guests.h"

#include <asm/prctl.h>
#include <libgen.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static struct machine boot(void) {
    static const uint8_t HLT[] = {0xf4};
    struct machine m = make_vm(open_device(O_CLOEXEC));
    give_memory(&m, MAP_PRIVATE, HLT, sizeof HLT);
    make_vcpu(&m, 0);
    return m;
}

/* Threads that have nothing to do with KVM, whose stacks are memory slots: libc gives these back on the threads' last way. */
enum { NEIGHBOURS = 40 };
static pthread_barrier_t all_are_there;
static void *is_there(void *stack) {
    pthread_attr_t attributes;
    size_t bytes;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0 && pthread_attr_getstack(&attributes, stack, &bytes) == 0);
    pthread_barrier_wait(&all_are_there);
    pthread_barrier_wait(&all_are_there);
    return NULL;
}
static int mappings(void) {
    int lines = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    for (int c; (c = getc(maps)) != EOF;) lines += c == '\n';
    fclose(maps);
    return lines;
}
static void threads_end_on_stacks_that_are_memory_slots(void) {
    struct machine m = boot();
    int before = 0;
    pthread_barrier_init(&all_are_there, NULL, NEIGHBOURS + 1);
    for (int slot = 1; slot < 5 * NEIGHBOURS;) {
        pthread_t ids[NEIGHBOURS];
        void *stacks[NEIGHBOURS];
        for (int i = 0; i < NEIGHBOURS; i++) CHECK(pthread_create(&ids[i], NULL, is_there, &stacks[i]) == 0);
        pthread_barrier_wait(&all_are_there);
        for (int i = 0; i < NEIGHBOURS; i++, slot++) {
            struct kvm_userspace_memory_region page = {slot, 0, (1 + slot) * MEMORY, 4096, (uintptr_t)stacks[i]};
            CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &page) == 0);
        }
        pthread_barrier_wait(&all_are_there);
        for (int i = 0; i < NEIGHBOURS; i++) CHECK(pthread_join(ids[i], NULL) == 0);
        if (!before) before = mappings();
    }
    /* The later rounds left nothing of their threads behind; behind a thread of the loader's there is one that ends a little later. */
    for (int i = 0; mappings() >= before + NEIGHBOURS; i++) {
        CHECK(i < 1000);
        usleep(10000);
    }
}

static void *makes_machines(void *unused) {
    for (int i = 0; i < 100; i++) {
        struct machine m = boot();
        CHECK(munmap(m.run, ioctl(m.device, KVM_GET_VCPU_MMAP_SIZE, 0)) == 0 && close(m.vcpu) == 0 && close(m.vm) == 0 && close(m.device) == 0);
        CHECK(munmap(m.memory, MEMORY) == 0);
    }
    return NULL;
}
/* Slate lifts it for its own files. */
static void the_limit_of_file_sizes_stays(void) {
    struct rlimit limit = {4096, RLIM_INFINITY};
    if (!getenv("LIMITED")) {
        setenv("LIMITED", "1", 1);
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        execv("/proc/self/exe", arguments);
    }
    pthread_t ids[8];
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&ids[i], NULL, makes_machines, NULL) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(ids[i], NULL) == 0);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == 4096);
}

/* With and without a JVM: EFAULT, as the kernel says it. */
static void bad_pointers_are_errnos(void) {
    char *const bad = (char *)16, *none[] = {NULL}, *texts[] = {bad, NULL};
    struct sock_fprog filter = {1, (void *)bad};
    struct msghdr message = {.msg_control = bad, .msg_controllen = 64};
    int sockets[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    for (int round = 0; round < 2; round++) {
        FAILS(execve(bad, none, none), EFAULT);
        FAILS(execve("/bin/true", (char **)bad, none), EFAULT);
        FAILS(execve("/bin/true", texts, none), EFAULT);
        FAILS(execve("/bin/true", none, (char **)bad), EFAULT);
        FAILS(execve("/bin/true", none, texts), EFAULT);
        FAILS(sendmsg(sockets[0], (struct msghdr *)bad, 0), EFAULT);
        FAILS(sendmsg(sockets[0], &message, 0), EFAULT);
        FAILS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, bad), EFAULT);
        FAILS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), EFAULT);
        FAILS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), EFAULT);
        if (!round) boot();
    }
}

/* The kernel passes over what a thread's end finds there; whoever stands in for it must outlive the fault. */
static void *leaves_a_bad_list(void *head) {
    CHECK(syscall(SYS_set_robust_list, head, 24) == 0);
    return NULL;
}
static void a_list_of_robust_futexes_that_is_garbage(void) {
    uintptr_t astray[3] = {16, 8, 0};
    void *heads[] = {(void *)16, (void *)-4096, astray};
    boot();
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        pthread_t id;
        CHECK(pthread_create(&id, NULL, leaves_a_bad_list, heads[i]) == 0 && pthread_join(id, NULL) == 0);
    }
}

/* A client that tries them all is told of a few, and its log stays short. */
static void requests_of_every_number_and_size(void) {
    if (!getenv("LOGGED")) {
        setenv("LOGGED", "1", 1);
        CHECK(dup2(memfd_create("log", 0), STDERR_FILENO) == STDERR_FILENO);
        execv("/proc/self/exe", arguments);
    }
    struct machine m = boot();
    static uint8_t room[1 << 14];
    for (int number = 0; number < 256; number++) {
        for (unsigned way = 1; way < 4; way++) {
            ioctl(m.vm, _IOC(way, 0xae, number, 0x3ffd), room);
            ioctl(m.vcpu, _IOC(way, 0xae, number, 0x3ffd), room);
        }
    }
    static char log[1 << 16];
    int lines = 0;
    CHECK(pread(STDERR_FILENO, log, sizeof log - 1, 0) > 0);
    for (char *at = log; (at = strchr(at, '\n')); at++) lines++;
    CHECK(lines > 2 && lines <= 10);
}

/* Java asks for a variable a second after the machine is made; by then the client may have none. */
static void an_environment_that_is_none_any_more(void) {
    char path[4096];
    if (!getenv("XDG_RUNTIME_DIR") || strcmp(getenv("XDG_RUNTIME_DIR"), dirname(strcpy(path, arguments[0])))) {
        setenv("XDG_RUNTIME_DIR", dirname(strcpy(path, arguments[0])), 1);
        execv("/proc/self/exe", arguments);
    }
    snprintf(path, sizeof path, "%s/slate/kvm/%d-", getenv("XDG_RUNTIME_DIR"), getpid());
    struct machine m = boot();
    sprintf(path + strlen(path), "%d", m.vm);
    clearenv();
    for (int i = 0; access(path, F_OK); i++) {
        CHECK(i < 3000);
        usleep(10000);
    }
}

/* What a thread takes from itself KVM does not miss. */
static void turns(void) {
    struct machine m = boot();
    for (int i = 0; i < 2000; i++) {
        begin_real(&m, (struct kvm_regs){0});
        CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_HLT);
    }
}
static void a_thread_without_cpuid(void) {
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) SKIP("this processor cannot make CPUID fault");
    turns();
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_CPUID) == 0);
}
static void a_thread_without_cpuid_later(void) {
    turns();
    a_thread_without_cpuid();
}
static void a_thread_without_the_tsc(void) {
    int may;
    CHECK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0);
    turns();
    CHECK(prctl(PR_GET_TSC, &may) == 0 && may == PR_TSC_SIGSEGV);
}
static void a_folder_that_is_gone(void) {
    char folder[] = "/tmp/slate-gone-XXXXXX";
    CHECK(mkdtemp(folder) && chdir(folder) == 0 && rmdir(folder) == 0);
    turns();
}

static const struct promise tests[] = {
    TEST(a_thread_without_cpuid),
    TEST(a_thread_without_cpuid_later),
    TEST(a_thread_without_the_tsc),
    TEST(a_folder_that_is_gone),
    TEST(an_environment_that_is_none_any_more),
    TEST(a_list_of_robust_futexes_that_is_garbage),
    TEST(requests_of_every_number_and_size),
    TEST(threads_end_on_stacks_that_are_memory_slots),
    TEST(the_limit_of_file_sizes_stays),
    TEST(bad_pointers_are_errnos),
};

int main(int argc, char **argv) {
    return KEEP(argc, argv, tests);
}
