/*
 * A client of /dev/kvm that looks at what a client can see of the shim. Each test is a function, run by its name in a process of its
 * own: client NAME. Ends with 0 when it holds; says the line that does not.
 */
#include "guests.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static const uint8_t SPIN[] = {0xeb, 0xfe};             /* jmp . */
static const uint8_t PORT_LOOP[] = {0xec, 0xeb, 0xfd};  /* in al, dx; jmp back */
static const uint8_t STORE_LOOP[] = {0x48, 0x89, 0x07, 0xeb, 0xfb}; /* mov [rdi], rax; jmp back */

static void add_vcpu(struct machine *m, int id) {
    make_vcpu(m, id);
    begin_long(m, (struct kvm_regs){.rsp = 0x8000, .rdx = 0x40, .rdi = 0x10000});
}

/* A VM with one vCPU in 64-bit mode that is about to execute the code. */
static struct machine boot(const uint8_t *code, size_t bytes) {
    struct machine m = make_vm(open_device(O_CLOEXEC));
    give_memory(&m, MAP_PRIVATE, code, bytes);
    add_vcpu(&m, 0);
    return m;
}
#define BOOT(code) boot(code, sizeof code)

static void set_timer(long usec, long interval) {
    struct itimerval t = {{0, interval}, {0, usec}};
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

/* ------------------------------------------------------------------------------------------------------ the device */

static void is_device(int fd) {
    CHECK(fd >= 0);
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    close(fd);
}

static void every_spelling_of_the_path_is_slates(void) {
    char link[] = "/tmp/slate-test-XXXXXX", nested[PATH_MAX], self[64];
    int folder = open("/dev", O_RDONLY | O_DIRECTORY);
    is_device(open("/dev/kvm", O_RDWR));
    is_device(open64("/dev/kvm", O_RDONLY));
    is_device(open("/dev//kvm", O_RDWR));
    is_device(open("/dev/../dev/./kvm", O_RDWR));
    is_device(openat(folder, "kvm", O_RDWR));
    is_device(openat64(AT_FDCWD, "/dev/kvm", O_RDWR));
    is_device((int)syscall(SYS_open, "/dev/kvm", O_RDWR));
    is_device((int)syscall(SYS_openat, folder, "kvm", O_RDWR));
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDWR, 0, 0};
    is_device((int)syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", &how, sizeof how));
    FILE *stream = fopen("/dev/kvm", "r+");
    CHECK(stream != NULL);
    is_device(fileno(stream));
    CHECK(mkdtemp(link) != NULL);
    snprintf(nested, sizeof nested, "%s/device", link);
    CHECK(symlink("/dev/kvm", nested) == 0);
    is_device(open(nested, O_RDWR));
    unlink(nested);
    snprintf(nested, sizeof nested, "%s/dev", link);
    CHECK(symlink("/dev", nested) == 0);
    strcat(nested, "/kvm");
    is_device(open(nested, O_RDWR));
    *strrchr(nested, '/') = 0;
    unlink(nested);
    rmdir(link);
    int fd = open_device(O_CLOEXEC);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    is_device(open(self, O_RDWR));
    snprintf(self, sizeof self, "/dev/fd/%d", fd);
    is_device(open(self, O_RDWR));
    CHECK(chdir("/dev") == 0);
    is_device(open("kvm", O_RDWR));
    is_device(open("./kvm", O_RDWR));
}

static void the_device_looks_like_kvms(void) {
    struct stat st;
    CHECK(access("/dev/kvm", R_OK | W_OK) == 0);
    CHECK(stat("/dev/kvm", &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0xae8);
    struct statx sx;
    CHECK(statx(AT_FDCWD, "/dev/kvm", 0, STATX_ALL, &sx) == 0 && sx.stx_rdev_major == 10 && sx.stx_rdev_minor == 232);
    FAILS(open("/dev/kvm", O_RDWR | O_DIRECTORY), ENOTDIR);
    FAILS(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    int fd = open_device(O_CLOEXEC);
    CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
    char byte;
    FAILS(read(fd, &byte, 1), EINVAL);
    FAILS(write(fd, "x", 1), EINVAL);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    int inherited = open("/dev/kvm", O_RDWR);
    CHECK(fcntl(inherited, F_GETFD) == 0);
    FAILS(open((char *)8, O_RDWR), EFAULT);
}

static void descriptors_live_as_the_kernels_do(void) {
    struct machine m = BOOT(PORT_LOOP);
    CHECK(fcntl(m.vm, F_GETFD) == FD_CLOEXEC && fcntl(m.vcpu, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(m.vm, F_GETFL) == O_RDWR && fcntl(m.vcpu, F_GETFL) == O_RDWR);
    FAILS(fcntl(m.vm, F_GET_SEALS), EINVAL);
    int copy = dup(m.vcpu), high = fcntl(m.vcpu, F_DUPFD_CLOEXEC, 700), third = dup2(m.vcpu, 800), fourth = dup3(m.vcpu, 801, O_CLOEXEC);
    CHECK(high >= 700 && third == 800 && fourth == 801);
    close(m.device);
    close(m.vm);
    close(m.vcpu);
    FAILS(ioctl(m.vcpu, KVM_RUN, 0), EBADF);
    CHECK(ioctl(copy, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
    close(copy);
    CHECK(ioctl(high, KVM_RUN, 0) == 0);
    CHECK(close_range(700, 800, 0) == 0);
    FAILS(ioctl(high, KVM_RUN, 0), EBADF);
    CHECK(ioctl(fourth, KVM_RUN, 0) == 0);
    int other = open("/dev/null", O_RDWR);
    CHECK(dup2(other, fourth) == fourth);
    FAILS(ioctl(fourth, KVM_RUN, 0), ENOTTY);
    close(other);
    /* A number that was KVM's and is another file's now. */
    struct machine n = BOOT(PORT_LOOP);
    int number = n.vcpu;
    close(n.vcpu);
    other = open("/dev/null", O_RDWR);
    CHECK(other == number);
    FAILS(ioctl(other, KVM_RUN, 0), ENOTTY);
}

static void the_run_area_is_one_for_all_mappings(void) {
    struct machine m = BOOT(PORT_LOOP);
    struct kvm_run *second = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
    CHECK(second != MAP_FAILED && second != m.run);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
    CHECK(second->exit_reason == KVM_EXIT_IO && second->io.port == 0x40 && second->io.data_offset == 4096);
    CHECK(second->io.direction == KVM_EXIT_IO_IN && second->io.size == 1 && second->io.count == 1);
    ((uint8_t *)m.run)[4096] = 0x5a;
    second->immediate_exit = 1;
    FAILS(ioctl(m.vcpu, KVM_RUN, 0), EINTR);
    CHECK(m.run->exit_reason == KVM_EXIT_IO); /* immediate_exit leaves it */
    struct kvm_regs regs;
    CHECK(ioctl(m.vcpu, KVM_GET_REGS, &regs) == 0 && (uint8_t)regs.rax == 0x5a && regs.rip == CODE + 1);
}

static void statistics_are_a_file(void) {
    struct machine m = BOOT(PORT_LOOP);
    int fd = ioctl(m.vcpu, KVM_GET_STATS_FD, NULL);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    struct kvm_stats_header header;
    CHECK(read(fd, &header, sizeof header) == sizeof header);
    char id[48];
    CHECK(read(fd, id, sizeof id) == sizeof id && !strncmp(id, "kvm-", 4));
    CHECK(header.name_size == 48 && header.num_desc == 45);
    uint64_t before[4096], after[4096];
    ssize_t bytes = pread(fd, before, sizeof before, header.data_offset);
    for (int i = 0; i < 10; i++) CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
    CHECK(pread(fd, after, sizeof after, header.data_offset) == bytes);
    uint64_t exits = 0;
    for (unsigned i = 0; i < header.num_desc; i++) {
        char desc[16 + 48];
        CHECK(pread(fd, desc, sizeof desc, header.desc_offset + i * sizeof desc) == sizeof desc);
        struct kvm_stats_desc *d = (void *)desc;
        if (!strcmp(desc + 16, "io_exits")) exits = after[d->offset / 8] - before[d->offset / 8];
    }
    CHECK(exits == 10);
    FAILS(write(fd, "x", 1), EBADF);
    FAILS(ioctl(fd, KVM_RUN, 0), ENOTTY);
    close(fd);
    FAILS(fcntl(fd, F_GETFD), EBADF);
}

static long number_in(const char *path) {
    char text[32] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    CHECK(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atol(text);
}

static void debugfs_shows_the_counters_of_the_moment(void) {
    struct machine m = BOOT(PORT_LOOP);
    char path[256];
    snprintf(path, sizeof path, "/sys/kernel/debug/kvm/%d-%d/io_exits", getpid(), m.vm);
    for (int i = 1; i <= 5; i++) {
        CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
        CHECK(number_in(path) == i);
        CHECK(number_in("/sys/kernel/debug/kvm/io_exits") == i);
    }
    snprintf(path, sizeof path, "/sys/kernel/debug/kvm/%d-%d/vcpu0/guest_mode", getpid(), m.vm);
    CHECK(number_in(path) == 0);
    FAILS(open("/sys/kernel/debug/kvm/no_such", O_RDONLY), ENOENT);
    /* Other processes see the same in a folder, a second after. */
    const char *root = getenv("SLATE_STATS_FOLDER");
    if (!root) return;
    snprintf(path, sizeof path, "%s/%d-%d/io_exits", root, getpid(), m.vm);
    for (int i = 0; number_in(path) != 5 && i < 1000; i++) usleep(10000);
    CHECK(number_in(path) == 5);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
    for (int i = 0; number_in(path) != 6 && i < 1000; i++) usleep(10000);
    CHECK(number_in(path) == 6);
}

static void module_parameters_are_slates(void) {
    char text[8] = "";
    FILE *file = fopen("/sys/module/kvm_amd/parameters/npt", "r");
    CHECK(file != NULL && fgets(text, sizeof text, file) && !strcmp(text, "Y\n"));
    int fd = open("/sys/module/kvm/parameters/tdp_mmu", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, 1) == 1 && (text[0] == 'Y' || text[0] == 'N'));
    FAILS(open("/sys/module/kvm_amd/parameters/npt", O_RDWR), EACCES);
    FAILS(open("/sys/module/kvm/parameters/no_such", O_RDONLY), ENOENT);
    CHECK(access("/sys/module/kvm_amd/parameters/npt", R_OK) == 0);
    FAILS(access("/sys/module/kvm_intel/parameters/ept", R_OK), ENOENT);
    struct stat st;
    CHECK(stat("/sys/module/kvm_amd/parameters/npt", &st) == 0 && S_ISREG(st.st_mode));
}

static void has_text(const char *path, const char *wanted) {
    char text[64] = "";
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(text, sizeof text, file));
    fclose(file);
    CHECK(!strcmp(text, wanted));
}

static void nx_parameters_can_be_written(void) {
    const char *nx = "/sys/module/kvm/parameters/nx_huge_pages";
    const char *ratio = "/sys/module/kvm/parameters/nx_huge_pages_recovery_ratio";
    const char *period = "/sys/module/kvm/parameters/nx_huge_pages_recovery_period_ms";
    has_text(nx, "N\n");
    has_text(ratio, "60\n");
    has_text(period, "0\n");
    struct machine m = BOOT(PORT_LOOP);
    int fd = open(nx, O_WRONLY | O_TRUNC | O_CREAT, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, "1\n", 2) == 2);
    has_text(nx, "Y\n");
    FAILS(write(fd, "maybe", 5), EINVAL);
    FAILS(write(fd, "never", 5), EBUSY); /* there is a VM */
    FAILS(ioctl(fd, KVM_RUN, 0), ENOTTY);
    CHECK(dup2(fd, fd + 1) == fd + 1 && close(fd) == 0);
    CHECK(write(fd + 1, "off", 3) == 3);
    CHECK(close(fd + 1) == 0);
    has_text(nx, "N\n");
    FILE *file = fopen(ratio, "w");
    CHECK(file != NULL && fputs("0x10\n", file) >= 0 && fclose(file) == 0);
    has_text(ratio, "16\n");
    file = fopen(period, "w");
    CHECK(file != NULL && fputs("4294967296", file) >= 0 && fclose(file) == EOF);
    has_text(period, "0\n");
    FAILS(open("/sys/module/kvm_amd/parameters/npt", O_WRONLY), EACCES);
    CHECK(access(nx, R_OK | W_OK) == 0);
    FAILS(access("/sys/module/kvm_amd/parameters/npt", W_OK), EACCES);
    /* A 0 clears a counter. */
    char path[256];
    snprintf(path, sizeof path, "/sys/kernel/debug/kvm/%d-%d/exits", getpid(), m.vm);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && number_in(path) == 1);
    fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    FAILS(write(fd, "1", 1), EINVAL);
    CHECK(write(fd, "0", 1) == 1 && number_in(path) == 0);
    snprintf(path, sizeof path, "/sys/kernel/debug/kvm/%d-%d/pages_4k", getpid(), m.vm);
    FAILS(open(path, O_WRONLY), EACCES);
}

static void memory_can_be_mapped_before_the_guest_needs_it(void) {
    struct machine m = BOOT(PORT_LOOP);
    struct {
        uint64_t gpa, size, flags, padding[5];
    } range = {.gpa = 0, .size = MEMORY};
    enum { PRE_FAULT = 0xc040aed5 };
    CHECK(ioctl(m.vm, KVM_CHECK_EXTENSION, 236) == 1);
    char path[256];
    snprintf(path, sizeof path, "/sys/kernel/debug/kvm/%d-%d/pages_4k", getpid(), m.vm);
    CHECK(number_in(path) == 0);
    CHECK(ioctl(m.vcpu, PRE_FAULT, &range) == 0 && range.size == 0 && range.gpa == MEMORY);
    CHECK(number_in(path) == MEMORY / 4096);
    range.gpa = MEMORY - 4096, range.size = 8192;
    CHECK(ioctl(m.vcpu, PRE_FAULT, &range) == 0 && range.size == 4096 && range.gpa == MEMORY);
    FAILS(ioctl(m.vcpu, PRE_FAULT, &range), ENOENT);
    range.gpa = 1, range.size = 4096;
    FAILS(ioctl(m.vcpu, PRE_FAULT, &range), EINVAL);
    range.gpa = 0, range.size = 0;
    FAILS(ioctl(m.vcpu, PRE_FAULT, &range), EINVAL);
    range.size = 4096, range.flags = 1;
    FAILS(ioctl(m.vcpu, PRE_FAULT, &range), EINVAL);
    FAILS(ioctl(m.vcpu, PRE_FAULT, NULL), EFAULT);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
}

/* ----------------------------------------------------------------------------------------------------------- forks */

static int in_child(void (*body)(void *), void *context) {
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body(context);
        exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void use_in_child(void *context) {
    struct machine *m = context;
    struct kvm_regs regs;
    FAILS(ioctl(m->vm, KVM_CREATE_VCPU, 1), EIO);
    FAILS(ioctl(m->vcpu, KVM_RUN, 0), EIO);
    FAILS(ioctl(m->vcpu, KVM_GET_REGS, &regs), EIO);
    FAILS(open("/dev/kvm", O_RDWR), ENXIO);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, m->vcpu, 0) == MAP_FAILED);
    munmap(m->memory, MEMORY);
    close(m->vcpu);
    close(m->vm);
}

static void a_forked_child_cannot_use_its_parents_machine(void) {
    struct machine m = BOOT(PORT_LOOP);
    CHECK(in_child(use_in_child, &m) == 0);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
}

static void run_a_machine(void *unused) {
    struct machine m = BOOT(PORT_LOOP);
    for (int i = 0; i < 3; i++) CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
}

static void children_of_a_parent_without_a_machine_have_their_own(void) {
    int fd = open("/dev/kvm", O_RDWR); /* opened, not used */
    CHECK(in_child(run_a_machine, NULL) == 0);
    CHECK(in_child(run_a_machine, NULL) == 0);
    is_device(fd);
}

static void run_again(void *unused) {
    execl("/proc/self/exe", "client", "the_run_area_is_one_for_all_mappings", NULL);
}

static void a_program_that_a_client_executes_has_its_own(void) {
    struct machine m = BOOT(PORT_LOOP);
    CHECK(in_child(run_again, NULL) == 0);
    CHECK(system("true") == 0);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
}

static void a_child_of_vfork_closes_only_its_own(void) {
    struct machine m = BOOT(PORT_LOOP);
    int null = open("/dev/null", O_RDWR);
    pid_t pid = vfork();
    if (pid == 0) {
        close(m.vm);
        dup2(null, m.vcpu);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && ioctl(m.vm, KVM_CHECK_EXTENSION, 0) == 1);
}

/* --------------------------------------------------------------------------------------------------------- signals */

static struct machine the;
static atomic_int handled;

static void count(int sig) {
    handled++;
}

static void a_signal_ends_kvm_run_and_its_handler_has_run_then(void) {
    the = BOOT(SPIN);
    struct sigaction a = {.sa_handler = count, .sa_flags = SA_RESTART}, old;
    CHECK(sigaction(SIGALRM, &a, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        int before = handled;
        set_timer(2000, 2000); /* again and again: on a busy machine the first may come before KVM_RUN */
        FAILS(ioctl(the.vcpu, KVM_RUN, 0), EINTR);
        CHECK(handled > before);
        set_timer(0, 0);
        CHECK(the.run->exit_reason == KVM_EXIT_INTR);
    }
    CHECK(sigaction(SIGALRM, NULL, &old) == 0 && old.sa_handler == count && old.sa_flags & SA_RESTART);
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGALRM));
}

static void run_from_the_handler(int sig, siginfo_t *info, void *context) {
    handled++;
    the.run->immediate_exit = 1;
    int r = ioctl(the.vcpu, KVM_RUN, 0);
    if (r != -1 || errno != EINTR) _exit(7);
    the.run->immediate_exit = 0;
    if (info->si_signo != SIGALRM || sig != SIGALRM) _exit(8);
}

static void a_handler_can_call_kvm_run_itself(void) {
    the = BOOT(SPIN);
    struct sigaction a = {.sa_sigaction = run_from_the_handler, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGALRM, &a, NULL) == 0);
    set_timer(2000, 2000);
    FAILS(ioctl(the.vcpu, KVM_RUN, 0), EINTR);
    CHECK(handled > 0);
}

static sigjmp_buf away;

static void jump(int sig) {
    siglongjmp(away, 1);
}

static void a_handler_can_jump_out_of_kvm_run(void) {
    the = BOOT(SPIN);
    signal(SIGALRM, jump);
    for (volatile int i = 0; i < 5; i++) {
        if (sigsetjmp(away, 1) == 0) {
            set_timer(1000, 0);
            ioctl(the.vcpu, KVM_RUN, 0);
            CHECK(0);
        }
    }
    struct kvm_regs regs;
    CHECK(ioctl(the.vcpu, KVM_GET_REGS, &regs) == 0 && regs.rip == CODE);
}

static void the_vcpus_mask_lets_a_blocked_signal_interrupt(void) {
    the = BOOT(SPIN);
    sigset_t usr1, pending;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    struct {
        struct kvm_signal_mask head;
        uint64_t mask;
    } __attribute__((packed)) set = {{.len = 8}, 0};
    FAILS(ioctl(the.vcpu, KVM_SET_SIGNAL_MASK, (void *)8), EFAULT);
    set.head.len = 4;
    FAILS(ioctl(the.vcpu, KVM_SET_SIGNAL_MASK, &set), EINVAL);
    set.head.len = 8;
    CHECK(ioctl(the.vcpu, KVM_SET_SIGNAL_MASK, &set) == 0);
    for (int i = 0; i < 5; i++) {
        /* The default action of SIGUSR1 is to end the process: it must not be taken. */
        kill(getpid(), SIGUSR1);
        FAILS(ioctl(the.vcpu, KVM_RUN, 0), EINTR);
        CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
        int sig;
        CHECK(sigwait(&usr1, &sig) == 0 && sig == SIGUSR1);
        CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));
    }
    struct sigaction a;
    CHECK(sigaction(SIGUSR1, NULL, &a) == 0 && a.sa_handler == SIG_DFL);
}

static void actions_read_back_as_they_were_set(void) {
    is_device(open_device(O_CLOEXEC));
    for (int sig = 1; sig < 32; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP) continue;
        struct sigaction a = {.sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER | SA_RESETHAND}, b, dfl = {.sa_handler = SIG_DFL};
        sigaddset(&a.sa_mask, SIGUSR2);
        CHECK(sigaction(sig, &a, &b) == 0 && b.sa_handler == SIG_DFL);
        CHECK(sigaction(sig, NULL, &b) == 0 && b.sa_handler == count && (b.sa_flags & 0x5fffffff & ~0x04000000) == (a.sa_flags & 0x5fffffff));
        CHECK(sigismember(&b.sa_mask, SIGUSR2) && !sigismember(&b.sa_mask, SIGUSR1));
        CHECK(sigaction(sig, &dfl, &b) == 0 && b.sa_handler == count);
        CHECK(signal(sig, SIG_IGN) == SIG_DFL && signal(sig, count) == SIG_IGN && signal(sig, SIG_DFL) == count);
    }
    CHECK(signal(SIGKILL, count) == SIG_ERR && signal(0, count) == SIG_ERR && signal(99, count) == SIG_ERR);
    struct sigaction once = {.sa_handler = count, .sa_flags = SA_RESETHAND}, now;
    sigaction(SIGWINCH, &once, NULL);
    raise(SIGWINCH);
    CHECK(handled == 1 && sigaction(SIGWINCH, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
}

static void *fault_address;

static void on_fault(int sig, siginfo_t *info, void *context) {
    fault_address = info->si_addr;
    handled++;
    siglongjmp(away, 1);
}

static void a_fault_of_the_clients_goes_to_the_client(void) {
    the = BOOT(PORT_LOOP);
    CHECK(ioctl(the.vcpu, KVM_RUN, 0) == 0);
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &a, NULL) == 0);
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (volatile int i = 1; i <= 3; i++) {
        if (sigsetjmp(away, 1) == 0) {
            page[i] = 1;
            CHECK(0);
        }
        CHECK(handled == i && fault_address == page + i);
        /* ... and Slate's own are mended. */
        FAILS(ioctl(the.vcpu, KVM_GET_REGS, page), EFAULT);
        CHECK(handled == i);
    }
}

static void die_of_a_fault(void *unused) {
    run_a_machine(NULL);
    *(volatile int *)16 = 1;
}
static void die_of_a_pipe(void *unused) {
    run_a_machine(NULL);
    int ends[2];
    if (pipe(ends)) exit(9);
    close(ends[0]);
    if (write(ends[1], "x", 1) < 0) exit(10);
}

static void a_client_dies_of_its_own_faults_as_ever(void) {
    int status = in_child(die_of_a_fault, NULL);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = in_child(die_of_a_pipe, NULL);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
}

static void *spin_for_ever(void *context) {
    struct machine *m = context;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    handled = 1;
    for (;;) ioctl(m->vcpu, KVM_RUN, 0);
}

static void a_thread_can_be_cancelled_inside_kvm_run(void) {
    the = BOOT(SPIN);
    for (int i = 0; i < 5; i++) {
        pthread_t t;
        void *result;
        handled = 0;
        CHECK(pthread_create(&t, NULL, spin_for_ever, &the) == 0);
        while (!handled) usleep(100);
        usleep(i * 3000);
        CHECK(pthread_cancel(t) == 0);
        CHECK(pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
    }
    the.run->immediate_exit = 1;
    FAILS(ioctl(the.vcpu, KVM_RUN, 0), EINTR);
}

/* ------------------------------------------------------------------------------------------------------- bad input */

static void unknown_ioctls_are_refused(void) {
    struct machine m = BOOT(PORT_LOOP);
    char buffer[8192] = {0};
    FAILS(ioctl(m.device, 0xae99, buffer), EINVAL);
    FAILS(ioctl(m.vm, 0xae99, buffer), ENOTTY);
    FAILS(ioctl(m.vcpu, 0xae70, buffer), EINVAL);
    FAILS(ioctl(m.vcpu, 0x5401 /* TCGETS */, buffer), EINVAL);
    FAILS(ioctl(m.vm, 0x5401, buffer), ENOTTY);
    /* Calls of another kind of descriptor. */
    FAILS(ioctl(m.device, KVM_RUN, 0), EINVAL);
    FAILS(ioctl(m.vm, KVM_RUN, 0), ENOTTY);
    FAILS(ioctl(m.vcpu, KVM_CREATE_VCPU, 1), EINVAL);
    /* A wrong size is another number. */
    FAILS(ioctl(m.vcpu, _IOR(KVMIO, 0x81, char[140]), buffer), EINVAL);
    FAILS(ioctl(m.vcpu, _IOW(KVMIO, 0x84, char[400]), buffer), EINVAL);
    FAILS(ioctl(m.vm, _IOW(KVMIO, 0x46, char[24]), buffer), ENOTTY);
    FAILS(ioctl(m.vcpu, KVM_RUN, 1), EINVAL);
    FAILS(ioctl(m.device, KVM_GET_API_VERSION, 1), EINVAL);
    FAILS(ioctl(m.device, KVM_CREATE_VM, 77), EINVAL);
    FAILS(ioctl(m.vm, KVM_CREATE_VCPU, 0), EEXIST);
    FAILS(ioctl(m.vm, KVM_CREATE_VCPU, 4096), EINVAL);
    FAILS(ioctl(m.vm, KVM_CREATE_VCPU, -1), EINVAL);
    CHECK(ioctl(m.device, KVM_CHECK_EXTENSION, -1L) == 0 && ioctl(m.device, KVM_CHECK_EXTENSION, 1L << 40) == 0);
}

static void bad_pointers_are_efault(void) {
    struct machine m = BOOT(PORT_LOOP);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    char *readable = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *bad[] = {NULL, (void *)8, page + 4094, (void *)0x7ffffffff000, (void *)-4096L, (void *)0x800000000000};
    unsigned long vcpu_calls[] = {KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_MSRS,
                                  KVM_SET_MSRS, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_MP_STATE,
                                  KVM_SET_MP_STATE, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
                                  KVM_SET_GUEST_DEBUG, KVM_ENABLE_CAP, KVM_GET_XCRS, KVM_SET_XCRS, KVM_X86_SETUP_MCE};
    unsigned long vm_calls[] = {KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, KVM_ENABLE_CAP, KVM_X86_SET_MSR_FILTER};
    for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
        for (size_t i = 0; i < sizeof vcpu_calls / sizeof *vcpu_calls; i++) FAILS(ioctl(m.vcpu, vcpu_calls[i], bad[b]), EFAULT);
        for (size_t i = 0; i < sizeof vm_calls / sizeof *vm_calls; i++) FAILS(ioctl(m.vm, vm_calls[i], bad[b]), EFAULT);
        FAILS(ioctl(m.device, KVM_GET_SUPPORTED_CPUID, bad[b]), EFAULT);
        FAILS(ioctl(m.device, KVM_GET_MSR_INDEX_LIST, bad[b]), EFAULT);
    }
    FAILS(ioctl(m.vcpu, KVM_GET_REGS, readable), EFAULT);
    /* Lists longer than what is there. */
    struct kvm_cpuid2 *cpuid = (void *)(page + 4096 - 8 - 40);
    cpuid->nent = 2;
    FAILS(ioctl(m.vcpu, KVM_SET_CPUID2, cpuid), EFAULT);
    cpuid->nent = 257;
    FAILS(ioctl(m.vcpu, KVM_SET_CPUID2, cpuid), E2BIG);
    cpuid->nent = 1;
    FAILS(ioctl(m.device, KVM_GET_SUPPORTED_CPUID, cpuid), E2BIG);
    struct kvm_msrs *msrs = (void *)(page + 4096 - 8 - 16);
    msrs->nmsrs = 2;
    FAILS(ioctl(m.vcpu, KVM_GET_MSRS, msrs), EFAULT);
    msrs->nmsrs = 256;
    FAILS(ioctl(m.vcpu, KVM_GET_MSRS, msrs), E2BIG);
    /* The bitmap of a dirty log. */
    struct kvm_userspace_memory_region region = {.slot = 0, .flags = KVM_MEM_LOG_DIRTY_PAGES, .memory_size = MEMORY, .userspace_addr = (uintptr_t)m.memory};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = (void *)16};
    FAILS(ioctl(m.vm, KVM_GET_DIRTY_LOG, &log), EFAULT);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
}

static void slots_are_checked(void) {
    struct machine m = BOOT(PORT_LOOP);
    struct kvm_userspace_memory_region r = {.slot = 1, .guest_phys_addr = 1 << 30, .memory_size = 8192, .userspace_addr = (uintptr_t)m.memory};
    struct kvm_userspace_memory_region bad;
#define REFUSED(change, number) \
    bad = r; \
    change; \
    FAILS(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &bad), number)
    REFUSED(bad.guest_phys_addr += 8, EINVAL);
    REFUSED(bad.memory_size += 8, EINVAL);
    REFUSED(bad.userspace_addr += 8, EINVAL);
    REFUSED(bad.guest_phys_addr = 4096, EEXIST);
    REFUSED(bad.slot = 32764, EINVAL);
    REFUSED(bad.slot = 2 << 16, EINVAL);
    REFUSED(bad.slot = 0xffffffff, EINVAL);
    REFUSED(bad.flags = 1 << 7, EINVAL);
    REFUSED(bad.memory_size = 0, EINVAL);
    REFUSED(bad.memory_size = -4096L, EINVAL);
    REFUSED(bad.guest_phys_addr = -4096L, EINVAL);
    REFUSED(bad.userspace_addr = 1UL << 60, EINVAL);
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
    r.memory_size = 0;
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
}

static void memory_that_is_not_there_is_efault(void) {
    struct machine m = BOOT(STORE_LOOP);
    uint8_t *hole = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, 1 << 20);
    struct kvm_userspace_memory_region r = {.slot = 1, .guest_phys_addr = 1 << 20, .memory_size = 4096, .userspace_addr = (uintptr_t)hole};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &r) == 0);
    struct kvm_regs regs = {.rip = CODE, .rdi = 1 << 20, .rflags = 2};
    CHECK(ioctl(m.vcpu, KVM_SET_REGS, &regs) == 0);
    FAILS(ioctl(m.vcpu, KVM_RUN, 0), EFAULT);
    CHECK(mmap(hole, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == hole);
    FAILS(ioctl(m.vcpu, KVM_RUN, 0), EFAULT); /* it stores */
    CHECK(mprotect(hole, 4096, PROT_READ | PROT_WRITE) == 0);
    signal(SIGALRM, count);
    set_timer(5000, 5000);
    FAILS(ioctl(m.vcpu, KVM_RUN, 0), EINTR);
}

static void *unmap_soon(void *memory) {
    usleep(20000);
    munmap(memory, 4096);
    return NULL;
}
static void *protect_soon(void *memory) {
    usleep(20000);
    mprotect(memory, 4096, PROT_READ);
    return NULL;
}

static void memory_taken_away_while_the_guest_runs_is_efault(void) {
    void *(*takers[])(void *) = {unmap_soon, protect_soon};
    for (int i = 0; i < 2; i++) {
        struct machine m = BOOT(STORE_LOOP);
        pthread_t t;
        CHECK(pthread_create(&t, NULL, takers[i], m.memory + 0x10000) == 0);
        FAILS(ioctl(m.vcpu, KVM_RUN, 0), EFAULT);
        pthread_join(t, NULL);
    }
}

static void garbage_as_guest_code_ends_in_an_exit(void) {
    struct machine m = BOOT(SPIN);
    srandom(4711);
    signal(SIGALRM, count);
    set_timer(2000, 2000);
    for (int i = 0; i < 300; i++) {
        for (int b = 0; b < 2048; b++) m.memory[CODE + b] = (uint8_t)random();
        struct kvm_regs regs = {.rip = CODE + (random() & 1023), .rsp = 0x8000, .rdi = 0x10000, .rsi = 0x18000, .rcx = 8, .rflags = 2};
        CHECK(ioctl(m.vcpu, KVM_SET_REGS, &regs) == 0);
        for (int runs = 0; runs < 20; runs++) {
            int r = ioctl(m.vcpu, KVM_RUN, 0);
            CHECK(r == 0 || r == -1);
            if (r == 0 && (m.run->exit_reason == KVM_EXIT_SHUTDOWN || m.run->exit_reason == KVM_EXIT_INTERNAL_ERROR)) break;
        }
    }
    set_timer(0, 0);
}

/* --------------------------------------------------------------------------------------------------------- threads */

static void *run_once(void *context) {
    struct machine *m = context;
    handled++;
    return (void *)(long)ioctl(m->vcpu, KVM_RUN, 0);
}

static void two_threads_take_turns_on_a_vcpu(void) {
    struct machine m = BOOT(PORT_LOOP);
    pthread_t t[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&t[i], NULL, run_once, &m) == 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(t[i], &result);
        CHECK(result == 0);
    }
    CHECK(m.run->exit_reason == KVM_EXIT_IO);
}

static void *many_calls(void *context) {
    struct machine *m = context;
    struct kvm_regs regs;
    while (!handled) {
        int r = ioctl(m->vcpu, KVM_GET_REGS, &regs);
        if (r < 0 && errno != EBADF && errno != ENOTTY && errno != EINVAL) return (void *)(long)errno;
    }
    return NULL;
}

static void a_descriptor_can_be_closed_while_others_use_it(void) {
    struct machine m = BOOT(PORT_LOOP);
    pthread_t t[3];
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&t[i], NULL, many_calls, &m) == 0);
    for (int i = 0; i < 200; i++) {
        int copy = dup(m.vcpu);
        close(m.vcpu);
        int back;
        // EBUSY: another thread is about to open a file there.
        do back = dup2(copy, m.vcpu);
        while (back < 0 && errno == EBUSY);
        CHECK(back == m.vcpu);
        close(copy);
    }
    close(m.vm);
    close(m.vcpu);
    usleep(2000);
    handled = 1;
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(t[i], &result);
        CHECK(result == NULL);
    }
}

static void *run_for_ever(void *context) {
    struct machine *m = context;
    handled++;
    ioctl(m->vcpu, KVM_RUN, 0);
    return NULL;
}

static void a_client_can_exit_while_its_vcpus_run(void) {
    struct machine m = BOOT(SPIN);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, run_for_ever, &m) == 0);
    while (!handled) usleep(100);
    usleep(3000);
    exit(0);
}

/* Also where each request takes a quick way of its own: no signal stays blocked, none comes twice, and no register and no storage is lost. */
static __thread volatile long storage[512]; /* so that what lies below FS is the client's */
static void signals_come_through_a_storm_of_exits(void) {
    struct machine m = BOOT(PORT_LOOP);
    struct sigaction a = {.sa_handler = count};
    CHECK(sigaction(SIGALRM, &a, NULL) == 0);
    for (int i = 0; i < 512; i++) storage[i] = -i;
    long had[512], *end;
    __asm__("mov %%fs:0, %0" : "=r"(end));
    errno = 0;
    memcpy(had, end - 512, sizeof had);
    set_timer(100, 100);
    double sum = 0;
    int exits = 0, interrupted = 0;
    for (int i = 0; i < 60000 || handled < 100; i++) {
        double before = sum;
        int r = ioctl(m.vcpu, KVM_RUN, 0);
        int error = errno;
        CHECK(r == 0 || error == EINTR);
        exits += r == 0;
        interrupted += r != 0;
        sum = before + 0.25;
        CHECK(ioctl(m.device, KVM_GET_API_VERSION, 0) == 12);
    }
    set_timer(0, 0);
    CHECK(sum == (exits + interrupted) * 0.25);
    CHECK(!memcmp(had, end - 512, sizeof had));
    sigset_t blocked;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && sigisemptyset(&blocked));
    int before = handled;
    raise(SIGALRM);
    CHECK(handled == before + 1);
}

static const struct promise tests[] = {
    TEST(every_spelling_of_the_path_is_slates),
    TEST(the_device_looks_like_kvms),
    TEST(descriptors_live_as_the_kernels_do),
    TEST(the_run_area_is_one_for_all_mappings),
    TEST(statistics_are_a_file),
    TEST(debugfs_shows_the_counters_of_the_moment),
    TEST(module_parameters_are_slates),
    TEST(nx_parameters_can_be_written),
    TEST(memory_can_be_mapped_before_the_guest_needs_it),
    TEST(a_forked_child_cannot_use_its_parents_machine),
    TEST(children_of_a_parent_without_a_machine_have_their_own),
    TEST(a_program_that_a_client_executes_has_its_own),
    TEST(a_child_of_vfork_closes_only_its_own),
    TEST(a_signal_ends_kvm_run_and_its_handler_has_run_then),
    TEST(a_handler_can_call_kvm_run_itself),
    TEST(a_handler_can_jump_out_of_kvm_run),
    TEST(the_vcpus_mask_lets_a_blocked_signal_interrupt),
    TEST(actions_read_back_as_they_were_set),
    TEST(a_fault_of_the_clients_goes_to_the_client),
    TEST(a_client_dies_of_its_own_faults_as_ever),
    TEST(a_thread_can_be_cancelled_inside_kvm_run),
    TEST(unknown_ioctls_are_refused),
    TEST(bad_pointers_are_efault),
    TEST(slots_are_checked),
    TEST(memory_that_is_not_there_is_efault),
    TEST(memory_taken_away_while_the_guest_runs_is_efault),
    TEST(garbage_as_guest_code_ends_in_an_exit),
    TEST(two_threads_take_turns_on_a_vcpu),
    TEST(a_descriptor_can_be_closed_while_others_use_it),
    TEST(a_client_can_exit_while_its_vcpus_run),
    TEST(signals_come_through_a_storm_of_exits),
};

int main(int argc, char **argv) {
    return KEEP(argc, argv, tests);
}
