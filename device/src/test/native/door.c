/*
 * Ways in which a client may come to /dev/kvm, and what happens to it there. Each is a function, run by its name in a process of its
 * own: door NAME [ARGUMENT]. Ends with 0 when it holds, with 77 and a line when this machine cannot show it; says the line that does
 * not hold. DoorTest runs them, docs/clients.md lists them.
 */
#include "doors.h"

#include <dlfcn.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

extern char **environ;

static void ended(pid_t child, int status) {
    int got;
    CHECK(waitpid(child, &got, 0) == child);
    if (got != status) fprintf(stderr, "the child ended with %#x\n", got);
    CHECK(got == status);
}

/* The file that comes next by a number that was the device's is a file like any other. */
static void is_ordinary(int number) {
    int fd = open("/etc/passwd", O_RDONLY);
    struct stat st;
    int pending;
    CHECK(fd == number);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ioctl(fd, FIONREAD, &pending) == 0);
    FAILS(ioctl(fd, KVM_GET_API_VERSION, 0), ENOTTY);
}

/* ------------------------------------------------------------------------------------------------------- opening it */

static void a_guest_runs(void) {
    runs(device());
}
static void opened_by_fopen(void) {
    FILE *f = fopen("/dev/kvm", "r+");
    CHECK(f);
    int fd = fileno(f);
    runs(fd);
    fclose(f);
    is_ordinary(fd);
}
static void closed_by_fclose(void) {
    int fd = device();
    FILE *f = fdopen(fd, "r+");
    runs(fd);
    fclose(f);
    is_ordinary(fd);
}
static void opened_by_freopen(void) {
    FILE *f = freopen("/dev/kvm", "r+", fopen("/etc/passwd", "r"));
    CHECK(f);
    runs(fileno(f));
}
static void opened_by_functions_looked_up_in_libc(void) {
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    int (*libc_open)(const char *, int, ...) = dlsym(libc, "open");
    int (*libc_ioctl)(int, unsigned long, ...) = dlsym(libc, "ioctl");
    long (*libc_syscall)(long, ...) = dlsym(libc, "syscall");
    int fd = libc_open("/dev/kvm", O_RDWR);
    CHECK(fd >= 0 && libc_ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    CHECK(libc_syscall(SYS_ioctl, fd, KVM_GET_API_VERSION, 0) == 12);
    runs(fd);
}
static void opened_in_another_namespace(void) {
    void *libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    if (!libc) SKIP(dlerror());
    int (*other_open)(const char *, int, ...) = dlsym(libc, "open");
    int (*other_ioctl)(int, unsigned long, ...) = dlsym(libc, "ioctl");
    int fd = other_open("/dev/kvm", O_RDWR);
    CHECK(fd >= 0 && other_ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
}
static void opened_by_a_library_that_binds_deep(void) {
    void *library = dlopen(arguments[2], RTLD_NOW | RTLD_DEEPBIND);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    int (*version)(void) = library ? (int (*)(void))dlsym(library, "version") : NULL;
    CHECK(version && version() == 12);
}
static void opened_by_syscall(void) {
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDWR | O_CLOEXEC, 0, 0};
    runs((int)syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", &how, sizeof how));
    how.resolve = 0x08; /* RESOLVE_BENEATH */
    FAILS(syscall(SYS_openat2, open("/etc", O_RDONLY | O_DIRECTORY), "../dev/kvm", &how, sizeof how), EXDEV);
    how.resolve = 0x02; /* RESOLVE_NO_MAGICLINKS */
    FAILS(syscall(SYS_openat2, AT_FDCWD, "/proc/self/root/dev/kvm", &how, sizeof how), ELOOP);
    runs((int)syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", &how, sizeof how));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/kvm", O_RDWR);
    CHECK(syscall(SYS_ioctl, fd, KVM_GET_API_VERSION, 0) == 12);
}
static void opened_by_posix_spawn(void) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 40, "/dev/kvm", O_RDWR, 0);
    char *argv[] = {arguments[0], "inherited", NULL};
    pid_t child;
    CHECK(posix_spawn(&child, arguments[0], &actions, NULL, argv, environ) == 0);
    ended(child, 0);
}
static void inherited(void) {
    runs(40);
}

static void is_device(int fd) {
    CHECK(fd >= 0);
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    close(fd);
}
static void opened_by_every_name(void) {
    char link[] = "/tmp/slate-door-XXXXXX", name[64];
    int folder = open("/dev", O_RDONLY | O_DIRECTORY);
    is_device(openat(folder, "kvm", O_RDWR));
    is_device(openat(folder, "./../dev/kvm", O_RDWR));
    is_device(open("//dev//kvm", O_RDWR));
    is_device(open("/proc/self/root/dev/kvm", O_RDWR));
    snprintf(name, sizeof name, "/proc/%d/root/dev/kvm", getppid());
    if (access("/proc/self/root", F_OK) == 0 && access(name, F_OK) == 0) is_device(open(name, O_RDWR));
    is_device(open("/dev/char/10:232", O_RDWR));
    is_device(open("/dev/kvm", O_RDONLY));
    CHECK(mkdtemp(link) && chdir(link) == 0 && symlink("/dev/kvm", "link") == 0);
    is_device(open("link", O_RDWR));
    FAILS(open("link", O_RDWR | O_NOFOLLOW), ELOOP);
    CHECK(unlink("link") == 0 && chdir("/dev") == 0 && rmdir(link) == 0);
    is_device(open("kvm", O_RDWR));
    is_device(open("/proc/self/cwd/kvm", O_RDWR));
    int kvm = device();
    snprintf(name, sizeof name, "/proc/self/fd/%d", kvm);
    is_device(open(name, O_RDWR));
    snprintf(name, sizeof name, "/proc/%d/task/%d/fd/%d", getpid(), getpid(), kvm);
    is_device(open(name, O_RDWR));
    FAILS(open("/dev/kvm", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    FAILS(open("/dev/kvm", O_RDWR | O_DIRECTORY), ENOTDIR);
    CHECK(access("/dev/kvm", R_OK | W_OK) == 0);
    FAILS(access("/dev/kvm", X_OK), EACCES);
}
static void a_path_descriptor_leads_to_it(void) {
    char name[64];
    int path = open("/dev/kvm", O_PATH);
    CHECK(path >= 0);
    FAILS(ioctl(path, KVM_GET_API_VERSION, 0), EBADF);
    snprintf(name, sizeof name, "/proc/self/fd/%d", path);
    is_device(open(name, O_RDWR));
}
static void something_lies_over_it(void) {
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS)) SKIP("this user can't have mounts of its own");
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("/etc/passwd", "/dev/kvm", NULL, MS_BIND, NULL)) SKIP("there is no /dev/kvm here that something could lie over");
    is_device(open("/dev/kvm", O_RDWR));
    FAILS(ioctl(open("/dev/null", O_RDWR), KVM_GET_API_VERSION, 0), ENOTTY);
}

static long raw(long number, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
static void needs_fence(void) {
    char text[4096];
    FILE *f = fopen("/proc/self/status", "r");
    CHECK(f);
    while (fgets(text, sizeof text, f)) {
        if (!strncmp(text, "Seccomp_filters:", 16) && atoi(text + 16) > 0) return;
    }
    SKIP("there is no fence without a device or the right to have one");
}
static void write_map(const char *path, const char *format, unsigned number) {
    FILE *map = fopen(path, "w");
    CHECK(map && fprintf(map, format, number) > 0 && fclose(map) == 0);
}
/* A tree in which /dev/kvm is a file, whatever the machine has. */
static void hide_the_device(void) {
    if (unshare(CLONE_NEWNS)) {
        unsigned user = getuid(), group = getgid();
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) SKIP("this user can't have mounts of its own");
        /* Who has no numbers in the namespace makes no file there. */
        write_map("/proc/self/setgroups", "deny", 0);
        write_map("/proc/self/uid_map", "%1$u %1$u 1", user);
        write_map("/proc/self/gid_map", "%1$u %1$u 1", group);
    }
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("none", "/dev", "tmpfs", 0, NULL)) SKIP("this user can't mount a file system");
    CHECK(raw(SYS_close, raw(SYS_open, (long)"/dev/kvm", O_CREAT | O_RDWR, 0666), 0, 0) == 0);
}
static void opened_by_instruction(void) {
    hide_the_device();
    int fd = (int)raw(SYS_open, (long)"/dev/kvm", O_RDWR | O_CLOEXEC, 0), other = dup((int)raw(SYS_open, (long)"/dev/kvm", O_RDWR, 0));
    CHECK(fd >= 0 && other >= 0);
    runs(fd);
    runs(other);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(other, F_GETFD) == 0);
}
static void opened_by_io_uring(void) {
    struct io_uring_params p = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 4, &p), fd;
    if (ring < 0) SKIP("this kernel or sandbox has no io_uring");
    hide_the_device();
    char *queue = mmap(NULL, p.cq_off.cqes + 8 * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, 4 * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    CHECK(queue != MAP_FAILED && entries != MAP_FAILED && p.features & IORING_FEAT_SINGLE_MMAP);
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)"/dev/kvm", .open_flags = O_RDWR};
    ((unsigned *)(queue + p.sq_off.array))[0] = 0;
    ++*(_Atomic unsigned *)(queue + p.sq_off.tail);
    CHECK(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
    fd = ((struct io_uring_cqe *)(queue + p.cq_off.cqes))->res;
    CHECK(fd >= 0);
    runs(fd);
}
static void requests_by_instruction_are_served(void) {
    needs_fence();
    int fd = device();
    CHECK(raw(SYS_ioctl, fd, KVM_GET_API_VERSION, 0) == 12);
    int vm = (int)raw(SYS_ioctl, fd, KVM_CREATE_VM, 0);
    CHECK(vm >= 0 && raw(SYS_ioctl, vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
}
/* The kernel's entry for 32-bit programs: number, three arguments. */
static long raw32(int number, int a, int b, int c) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"((long)number), "b"((long)a), "c"((long)b), "d"((long)c) : "r8", "r9", "r10", "r11", "memory");
    return (int)r;
}
static void requests_by_the_32_bit_entry_are_refused(void) {
    needs_fence();
    pid_t child = fork();
    int status;
    if (!child) _exit(raw32(20 /* getpid */, 0, 0, 0) != getpid());
    CHECK(waitpid(child, &status, 0) == child);
    if (status) SKIP("this kernel has no entry for 32-bit programs");
    CHECK(raw32(54 /* ioctl */, open("/dev/null", O_RDWR), KVM_CREATE_VM, 0) == -ENOSYS);
    CHECK(raw32(54, device(), KVM_CREATE_VM, 0) == -ENOSYS);
}
static void requests_on_another_descriptor_are_refused(void) {
    FAILS(ioctl(open("/dev/null", O_RDWR), KVM_CREATE_VM, 0), ENOTTY);
    FAILS(ioctl(-1, KVM_CREATE_VM, 0), EBADF);
}
static void bad_pointers_are_efault(void) {
    void *bad = (void *)4096;
    for (int i = 0; i < 2; i++) {
        FAILS(syscall(SYS_openat, AT_FDCWD, bad, O_RDWR), EFAULT);
        FAILS(syscall(SYS_openat2, AT_FDCWD, "/dev/kvm", bad, 24), EFAULT);
        FAILS(syscall(SYS_newfstatat, AT_FDCWD, "/dev/kvm", bad, 0), EFAULT);
        FAILS(syscall(SYS_stat, "/dev/kvm", bad), EFAULT);
        FAILS(syscall(SYS_statx, AT_FDCWD, "/dev/kvm", 0, STATX_ALL, bad), EFAULT);
        FAILS(syscall(SYS_fstat, device(), bad), EFAULT);
        FAILS(syscall(SYS_readlink, "/proc/self/exe", bad, 100), EFAULT);
        FAILS(syscall(SYS_execve, bad, NULL, NULL), EFAULT);
        runs(device()); /* and once more, with a JVM here */
    }
}
static void requests_by_instruction_on_another_are_refused(void) {
    needs_fence();
    CHECK(raw(SYS_ioctl, open("/dev/null", O_RDWR), KVM_CREATE_VM, 0) == -ENOTTY);
}

/* ------------------------------------------------------------------------------------------------------ exec and fork */

static void exec_hands_it_on(void) {
    dup2(device(), 40);
    execl(arguments[0], arguments[0], "inherited", NULL);
}
static void exec_without_environment(void) {
    char *argv[] = {arguments[0], "a_guest_runs", NULL}, *none[] = {NULL};
    execve(arguments[0], argv, none);
}
/* The program of the first argument, as a file without a name: by a descriptor of a deleted one, and by one that never had any. */
static void executed_by_descriptor(void) {
    for (int way = 0; way < 3; way++) {
        char name[] = "/tmp/slate-door-XXXXXX", block[65536];
        int from = open(arguments[2], O_RDONLY | O_CLOEXEC);
        int to = way ? (int)syscall(SYS_memfd_create, "program", way == 1 ? MFD_CLOEXEC : 0) : mkstemp(name);
        CHECK(from >= 0 && to >= 0);
        for (ssize_t n; (n = read(from, block, sizeof block)) > 0;) CHECK(write(to, block, (size_t)n) == n);
        if (!way) {
            CHECK(fchmod(to, 0700) == 0 && close(to) == 0 && (to = open(name, O_RDONLY | O_CLOEXEC)) >= 0 && unlink(name) == 0);
        }
        pid_t child = fork();
        if (!child) {
            char *argv[] = {arguments[2], "a_guest_runs_and_knows_its_file", NULL};
            fexecve(to, argv, environ);
            CHECK(!"executed");
        }
        ended(child, 0);
    }
}
static void a_guest_runs_and_knows_its_file(void) {
    char magic[4];
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0 && read(fd, magic, 4) == 4 && !memcmp(magic, "\177ELF", 4));
    if (!getenv("AGAIN")) {
        setenv("AGAIN", "1", 1);
        execl("/proc/self/exe", arguments[0], arguments[1], NULL);
        CHECK(!"executed again");
    }
    runs(device());
}
static void clearenv_before_use(void) {
    clearenv();
    runs(device());
}
static void children_of_one_that_only_looked(void) {
    int fd = device();
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (!child) {
            runs(i ? device() : fd);
            _exit(0);
        }
        ended(child, 0);
    }
    runs(fd);
}
static void children_of_one_that_runs(void) {
    int fd = device();
    struct machine m = boot(fd, OUT_HLT, sizeof OUT_HLT);
    pid_t child = fork();
    if (!child) {
        FAILS(ioctl(fd, KVM_CREATE_VM, 0), ENODEV);
        FAILS(ioctl(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
        FAILS(ioctl(m.vcpu, KVM_RUN, 0), EIO);
        FAILS(open("/dev/kvm", O_RDWR), ENXIO);
        execl(arguments[0], arguments[0], "a_guest_runs", NULL);
    }
    ended(child, 0);
    turn(&m);
}
static atomic_int using_it; /* 1: under way, 2: done */
static void *uses_it_first(void *fd) {
    using_it = 1;
    CHECK(ioctl((int)(intptr_t)fd, KVM_CREATE_VM, 0) >= 0);
    using_it = 2;
    return NULL;
}
/* The thread that starts it is not in the child, and half of it is. */
static void children_while_another_thread_is_the_first_to_use_it(void) {
    enum { MOST = 64 };
    pid_t children[MOST];
    int fd = device(), n = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, uses_it_first, (void *)(intptr_t)fd) == 0);
    while (!using_it) sched_yield();
    for (; n < MOST && using_it == 1; n++) {
        if (!(children[n] = fork())) {
            alarm(120);
            if (ioctl(fd, KVM_CREATE_VM, 0) < 0) { /* too late for a JVM of its own */
                FAILS(ioctl(fd, KVM_CREATE_VM, 0), ENODEV);
                FAILS(open("/dev/kvm", O_RDWR), ENXIO);
            } else {
                runs(device());
            }
            _exit(0);
        }
        nanosleep(&(struct timespec){0, 4000000}, NULL); /* children all along a start of some 100 ms */
    }
    for (int i = 0; i < n; i++) ended(children[i], 0);
    CHECK(n > 1 && pthread_join(thread, NULL) == 0);
    runs(fd);
}
static void a_child_of_vfork(void) {
    int fd = device();
    pid_t child = vfork();
    if (!child) {
        close(fd);
        _exit(0);
    }
    ended(child, 0);
    runs(fd);
}
static void a_child_of_clone(void) {
    int fd = device();
    runs(fd);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child) {
        FAILS(ioctl(fd, KVM_CREATE_VM, 0), ENODEV);
        _exit(0);
    }
    ended(child, 0);
}

static void another_root(void) {
    char empty[] = "/tmp/slate-door-XXXXXX";
    int fd = device();
    CHECK(mkdtemp(empty));
    if (chroot(empty)) SKIP("this user can't have another root");
    CHECK(chdir("/") == 0);
    runs(fd);
}
static void another_user(void) {
    int fd = device();
    if (setgroups(0, NULL)) SKIP("this user can't become another");
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    runs(fd);
}
static void a_user_namespace(void) {
    int fd = device();
    CHECK(ioctl(fd, KVM_GET_API_VERSION, 0) == 12);
    if (unshare(CLONE_NEWUSER)) SKIP("this user can't have a namespace");
    runs(fd);
}

/* ------------------------------------------------------------------------------------------------------- descriptors */

static void send_files(int to, const int *fds, int n) {
    char x = 0, room[CMSG_SPACE(16 * sizeof(int))] = {0};
    struct iovec io = {&x, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    CHECK(sendmsg(to, &m, 0) == 1);
}
static void receive_files(int from, int *fds, int n) {
    char x, room[CMSG_SPACE(16 * sizeof(int))];
    struct iovec io = {&x, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    CHECK(recvmsg(from, &m, 0) == 1);
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), (size_t)n * sizeof(int));
}
static void received_from_itself(void) {
    int pair[2], kvm = device(), got[3];
    struct machine m = boot(kvm, OUT_HLT, sizeof OUT_HLT);
    int sent[3] = {kvm, m.vm, m.vcpu};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    send_files(pair[0], sent, 3);
    for (int i = 0; i < 3; i++) close(sent[i]);
    receive_files(pair[1], got, 3);
    CHECK(ioctl(got[0], KVM_GET_API_VERSION, 0) == 12 && ioctl(got[1], KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
    m.vcpu = got[2];
    turn(&m);
}
static void received_from_another_process(void) {
    int pair[2], got[3];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pid_t child = fork();
    if (!child) {
        receive_files(pair[1], got, 3);
        FAILS(ioctl(got[1], KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
        FAILS(ioctl(got[2], KVM_RUN, 0), EIO);
        runs(got[0]);
        FAILS(ioctl(got[1], KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY), EIO);
        FAILS(ioctl(got[2], KVM_RUN, 0), EIO);
        _exit(0);
    }
    int kvm = device();
    struct machine m = boot(kvm, OUT_HLT, sizeof OUT_HLT);
    send_files(pair[0], (int[]){kvm, m.vm, m.vcpu}, 3);
    ended(child, 0);
    turn(&m);
}
static void copied_by_pidfd_getfd(void) {
    int copy = (int)syscall(438, (int)syscall(SYS_pidfd_open, getpid(), 0), device(), 0);
    if (copy < 0) SKIP("this kernel or sandbox has no pidfd_getfd()");
    runs(copy);
}
static void duplicated(void) {
    int fd = device(), a = dup3(fd, 50, O_CLOEXEC), b = fcntl(a, F_DUPFD, 60), c = fcntl(b, F_DUPFD_CLOEXEC, 70), d = dup2(c, 80);
    close(fd), close(a), close(b), close(c);
    struct machine m = boot(d, OUT_HLT, sizeof OUT_HLT);
    int vm = dup(m.vm), vcpu = dup(m.vcpu);
    close(m.vm), close(m.vcpu), close(d);
    m.vm = vm, m.vcpu = vcpu;
    turn(&m);
}
static void closed_by_close_range(void) {
    int fd = device();
    struct machine m = boot(fd, OUT_HLT, sizeof OUT_HLT);
    CHECK(syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */) == 0);
    turn(&m);
    CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
    FAILS(ioctl(fd, KVM_GET_API_VERSION, 0), EBADF);
    runs(device());
}
/* As daemons do: what is Slate's own is not the client's to close. */
static void everything_is_closed_before_a_guest_is_hot(void) {
    runs(device());
    for (int fd = 3; fd < 4096; fd++) close(fd);
    runs(device());
    CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0 && syscall(SYS_close_range, 3, 2000, 0) == 0);
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    for (int i = 0; i < 30000; i++) turn(&m);
    runs(m.device);
}
static _Atomic int looked_at, looks, how_it_ended;
static void *looks_for_ever(void *unused) {
    for (;; looks++) {
        if (looked_at < 0 || ioctl(looked_at, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1) continue;
        how_it_ended = errno;
        looked_at = -1;
    }
    return NULL;
}
/* A call that another thread makes in the middle of it finds no file. */
static void closed_by_close_range_while_it_is_used(void) {
    int kvm = device();
    char name[80];
    pthread_t id;
    looked_at = kvm;
    CHECK(pthread_create(&id, NULL, looks_for_ever, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        int vm = ioctl(kvm, KVM_CREATE_VM, 0);
        snprintf(name, sizeof name, "/sys/kernel/debug/kvm/%d-%d/remote_tlb_flush", getpid(), vm);
        CHECK(access(name, F_OK) == 0);
        looked_at = vm;
        for (int now = looks; looks < now + 2;) sched_yield();
        CHECK(close_range(vm, ~0u, 0) == 0);
        while (looked_at >= 0) sched_yield();
        CHECK(how_it_ended == EBADF);
        FAILS(access(name, F_OK), ENOENT);
    }
    FAILS(close_range(5, 4, 0), EINVAL);
    _exit(0);
}
static void closed_behind_libc(void) {
    int fd = device();
    runs(fd);
    CHECK(raw(SYS_close, fd, 0, 0) == 0);
    int file = open("/etc/passwd", O_RDONLY), pending;
    struct stat st;
    CHECK(file == fd && fstat(file, &st) == 0 && S_ISREG(st.st_mode) && ioctl(file, FIONREAD, &pending) == 0);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED);
}
static void descriptors_are_as_kvms(void) {
    int kvm = device(), epoll = epoll_create1(0);
    struct machine m = boot(kvm, OUT_HLT, sizeof OUT_HLT);
    const int fds[3] = {kvm, m.vm, m.vcpu};
    const char *const names[3] = {"/dev/kvm", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:0"};
    for (int i = 0; i < 3; i++) {
        struct pollfd p = {fds[i], POLLIN | POLLOUT, 0};
        struct epoll_event e = {.events = EPOLLIN};
        struct stat st;
        char b[64], name[64];
        CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLOUT));
        FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &e), EPERM);
        FAILS(read(fds[i], b, 1), EINVAL);
        FAILS(write(fds[i], b, 1), EINVAL);
        FAILS(ftruncate(fds[i], 0), EINVAL);
        FAILS(fsync(fds[i]), EINVAL);
        CHECK(lseek(fds[i], 8, SEEK_SET) == 0);
        CHECK(fstat(fds[i], &st) == 0);
        CHECK(i ? st.st_mode == 0600 && st.st_size == 0 : S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 232));
        snprintf(name, sizeof name, "/proc/self/fd/%d", fds[i]);
        ssize_t n = readlink(name, b, sizeof b - 1);
        CHECK(n > 0);
        b[n] = 0;
        CHECK(!strcmp(b, names[i]));
        if (i) FAILS(open(name, O_RDWR), ENXIO);
    }
    turn(&m);
}

/* ------------------------------------------------------------------------------------------------ stacks and threads */

static void *one_run(void *unused) {
    runs(device());
    return NULL;
}
static void threads_with_stacks_of(size_t bytes, int count) {
    pthread_attr_t attributes;
    pthread_t ids[64];
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, bytes) == 0);
    for (int i = 0; i < count; i++) CHECK(pthread_create(&ids[i], &attributes, one_run, NULL) == 0);
    for (int i = 0; i < count; i++) pthread_join(ids[i], NULL);
}
static void a_thread_on_four_pages(void) {
    if (sysconf(_SC_THREAD_STACK_MIN) > 16384) SKIP("this libc has no threads of 16 KiB");
    threads_with_stacks_of(16384, 1);
}
static void many_threads_on_small_stacks(void) {
    long least = sysconf(_SC_THREAD_STACK_MIN);
    threads_with_stacks_of(least > 32768 ? (size_t)least : 32768, 64);
}

static ucontext_t home, coroutine;
static struct machine shared;
static void first_use(void) {
    runs(device());
    swapcontext(&coroutine, &home);
}
static void on_a_coroutine(void (*what)(void), size_t bytes) {
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = malloc(bytes);
    coroutine.uc_stack.ss_size = bytes;
    coroutine.uc_link = &home;
    makecontext(&coroutine, what, 0);
    swapcontext(&home, &coroutine);
}
static void first_use_on_a_coroutine(void) {
    on_a_coroutine(first_use, 65536);
}
static void turns_for_ever(void) {
    for (;;) {
        turn(&shared);
        swapcontext(&coroutine, &home);
    }
}
static void *goes_on_with_it(void *unused) {
    for (int i = 0; i < 100; i++) swapcontext(&home, &coroutine);
    return NULL;
}
static void a_coroutine_moves_between_threads(void) {
    shared = boot(device(), OUT_HLT, sizeof OUT_HLT);
    on_a_coroutine(turns_for_ever, 32768);
    for (int i = 0; i < 8; i++) {
        pthread_t id;
        CHECK(pthread_create(&id, NULL, goes_on_with_it, NULL) == 0);
        pthread_join(id, NULL);
    }
}
/*
 * 64 threads on small stacks take turns with 96 coroutines on small stacks, each of which has a machine whose guest counts: no exit may be
 * lost and none may come twice, whichever thread runs it. For the seconds of the first argument, with a collector that the test starts.
 */
enum { RUNNERS = 64, COROUTINES = 96, SMALL = 32768 };
static const uint8_t COUNT[] = {0x40, 0xe7, 0x10, 0xeb, 0xfb}; /* inc ax; out 0x10, ax; again */
static struct counting {
    struct machine m;
    ucontext_t own, *runner;
    atomic_flag taken;
    uint16_t seen;
    uint64_t exits;
} *counting;
static atomic_bool over;

static void counts(int i) {
    struct counting *c = &counting[i];
    for (;;) {
        for (int k = 0; k < 50; k++) {
            CHECK(ioctl(c->m.vcpu, KVM_RUN, 0) == 0 && c->m.run->exit_reason == KVM_EXIT_IO);
            uint16_t value = *(uint16_t *)((char *)c->m.run + c->m.run->io.data_offset);
            CHECK(value == (uint16_t)(c->seen + 1));
            c->seen = value;
            c->exits++;
        }
        swapcontext(&c->own, c->runner);
    }
}
static void *takes_turns(void *number) {
    ucontext_t here;
    for (unsigned i = (unsigned)(uintptr_t)number; !over; i = i * 1664525 + 1013904223) {
        struct counting *c = &counting[(i >> 8) % COROUTINES];
        if (atomic_flag_test_and_set(&c->taken)) {
            sched_yield();
            continue;
        }
        c->runner = &here;
        swapcontext(&here, &c->own);
        atomic_flag_clear(&c->taken);
    }
    return NULL;
}
static void coroutines_move_between_threads_on_small_stacks(void) {
    int kvm = device(), seconds = atoi(arguments[2]);
    uint64_t all = 0;
    pthread_t ids[RUNNERS];
    pthread_attr_t attributes;
    counting = calloc(COROUTINES, sizeof *counting);
    for (int i = 0; i < COROUTINES; i++) {
        struct counting *c = &counting[i];
        c->m = boot(kvm, COUNT, sizeof COUNT);
        CHECK(getcontext(&c->own) == 0);
        c->own.uc_stack.ss_sp = malloc(SMALL);
        c->own.uc_stack.ss_size = SMALL;
        makecontext(&c->own, (void (*)(void))counts, 1, i);
    }
    long least = sysconf(_SC_THREAD_STACK_MIN);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, least > SMALL ? (size_t)least : SMALL) == 0);
    for (uintptr_t i = 0; i < RUNNERS; i++) CHECK(pthread_create(&ids[i], &attributes, takes_turns, (void *)(i * 7919)) == 0);
    sleep((unsigned)seconds);
    over = true;
    for (int i = 0; i < RUNNERS; i++) CHECK(pthread_join(ids[i], NULL) == 0);
    for (int i = 0; i < COROUTINES; i++) all += counting[i].exits;
    CHECK(all > 0);
    printf("%llu exits\n", (unsigned long long)all);
}
/* Until the collector has written some ten lines more. */
static void runs_behind_the_jvms_destructors(void) {
    struct stat before, now;
    uint64_t exits = 0;
    CHECK(stat(arguments[2], &before) == 0);
    do {
        CHECK(ioctl(shared.vcpu, KVM_RUN, 0) == 0 && shared.run->exit_reason == KVM_EXIT_IO);
        exits++;
        CHECK(stat(arguments[2], &now) == 0);
    } while (now.st_size < before.st_size + 1000);
    printf("%llu exits\n", (unsigned long long)exits);
}
static void a_handler_of_exit_runs_a_guest(void) {
    CHECK(atexit(runs_behind_the_jvms_destructors) == 0); /* before the JVM's, and so after them */
    shared = boot(device(), COUNT, sizeof COUNT);
    exit(0);
}
static void in_handler(int sig) {
    char untouched[1024];
    memset(untouched, 0x5a, sizeof untouched);
    runs(device());
    for (size_t i = 0; i < sizeof untouched; i++) CHECK(((volatile char *)untouched)[i] == 0x5a);
}
static void first_use_on_a_signal_stack(void) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction a = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &a, NULL) == 0);
    raise(SIGUSR1);
}
static void *ends_later(void *unused) {
    usleep(300000);
    puts("the last thread");
    fflush(stdout);
    return NULL;
}
static void the_first_thread_ends_first(void) {
    pthread_t id;
    runs(device());
    pthread_create(&id, NULL, ends_later, NULL);
    pthread_exit(NULL);
}

/* ----------------------------------------------------------------------------------------------------------- filters */

static int filter(const int *allowed, int n, uint32_t otherwise, unsigned flags) {
    struct sock_filter f[64];
    int k = 0;
    f[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    for (int i = 0; i < n; i++) f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], (uint8_t)(n - i), 0);
    f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
    f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog p = {(unsigned short)k, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
/* What this program itself does after that. */
static const int OWN[] = {SYS_ioctl, SYS_write, SYS_exit_group, SYS_fstat, SYS_newfstatat, SYS_lseek, SYS_tgkill};
enum { OWNS = sizeof OWN / sizeof *OWN };

static void a_filter_that_kills_the_process(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    CHECK(filter(OWN, OWNS, SECCOMP_RET_KILL_PROCESS, SECCOMP_FILTER_FLAG_TSYNC) == 0);
    for (int i = 0; i < 20000; i++) turn(&m);
    exit(0); /* with all that Slate does at an end */
}
static void a_filter_that_kills_the_thread(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    CHECK(filter(OWN, OWNS, SECCOMP_RET_KILL_THREAD, 0) == 0);
    for (int i = 0; i < 1000; i++) turn(&m);
    write(1, "turned\n", 7);
    raw(SYS_uname, 0, 0, 0); /* the end of the only thread */
}
static _Atomic bool began, filtered;
static void *ends_below_a_filter(void *unused) {
    began = true;
    while (!filtered) sched_yield();
    return unused;
}
static void a_thread_ends_below_a_filter(void) {
    const int allowed[] = {SYS_futex, SYS_exit, SYS_exit_group, SYS_madvise, SYS_munmap, SYS_mprotect, SYS_rt_sigprocmask, SYS_sched_yield, SYS_write, SYS_getppid};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, ends_below_a_filter, NULL) == 0);
    while (!began) sched_yield();
    CHECK(filter(allowed, sizeof allowed / sizeof *allowed, SECCOMP_RET_KILL_PROCESS, SECCOMP_FILTER_FLAG_TSYNC) == 0);
    for (int i = 0; i < 1000; i++) getppid();
    filtered = true;
    CHECK(pthread_join(thread, NULL) == 0);
}
static void a_filter_before_the_first_vm(void) {
    int kvm = device();
    const int allowed[] = {SYS_ioctl, SYS_write, SYS_exit_group, SYS_mmap, SYS_munmap, SYS_close, SYS_fstat, SYS_newfstatat, SYS_lseek};
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(filter(allowed, sizeof allowed / sizeof *allowed, SECCOMP_RET_KILL_PROCESS, 0) == 0);
    runs(kvm);
    CHECK(mprotect(page, 4096, PROT_READ) == 0); /* libc's malloc does so, when Slate's threads allocate, too */
}
static void a_filter_before_the_device(void) {
    struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p) == 0);
    FAILS(ioctl(device(), KVM_CREATE_VM, 0), ENODEV);
}

/* ----------------------------------------------------------------------------------------------------------- the end */

static void ends_by(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    turn(&m);
    const char *how = arguments[2];
    if (!strcmp(how, "_exit")) _exit(0);
    if (!strcmp(how, "quick_exit")) quick_exit(0);
    if (!strcmp(how, "exit_group")) syscall(SYS_exit_group, 0);
    if (!strcmp(how, "SIGTERM")) raise(SIGTERM);
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "exec")) execl("/bin/true", "true", NULL);
    if (!strcmp(how, "closed")) close(2);
}
static void standard_error_is_an_image(void) {
    char name[] = "/tmp/slate-door-XXXXXX";
    close(2);
    CHECK(mkstemp(name) == 2);
    unlink(name);
    runs(device());
    struct stat st;
    if (fstat(2, &st) || st.st_size) _exit(1);
}
/* What Slate says at the end meets a pipe that nobody reads: no reason for another end. */
static void nobody_reads_standard_error(void) {
    int ends[2];
    CHECK(pipe(ends) == 0 && close(ends[0]) == 0 && dup2(ends[1], 2) == 2);
    execl(arguments[0], arguments[0], "a_guest_runs", NULL);
}
/* Of a thread that has its accesses checked for alignment, while Java makes others. */
static void accesses_are_checked_for_alignment(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    turn(&m);
    for (int i = 0; i < 3000; i++) {
        unsigned long long flags = __builtin_ia32_readeflags_u64();
        struct kvm_regs regs;
        __builtin_ia32_writeeflags_u64(flags | 1 << 18);
        int r = ioctl(m.vcpu, KVM_GET_REGS, &regs), ran = ioctl(m.vcpu, KVM_RUN, 0);
        unsigned long long after = __builtin_ia32_readeflags_u64();
        __builtin_ia32_writeeflags_u64(flags);
        CHECK(r == 0 && ran == 0 && after & 1 << 18);
    }
}
static void a_jvm_that_cannot_start(void) {
    FAILS(ioctl(device(), KVM_CREATE_VM, 0), ENODEV);
}

static const struct promise tests[] = {
    TEST(a_guest_runs), TEST(opened_by_fopen), TEST(closed_by_fclose), TEST(opened_by_freopen), TEST(opened_by_functions_looked_up_in_libc),
    TEST(opened_in_another_namespace), TEST(opened_by_syscall), TEST(opened_by_posix_spawn), TEST(opened_by_every_name),
    TEST(a_path_descriptor_leads_to_it), TEST(something_lies_over_it), TEST(opened_by_instruction), TEST(opened_by_io_uring), TEST(requests_by_instruction_are_served),
    TEST(requests_on_another_descriptor_are_refused), TEST(requests_by_instruction_on_another_are_refused), TEST(requests_by_the_32_bit_entry_are_refused),
    TEST(bad_pointers_are_efault), TEST(exec_hands_it_on),
    TEST(exec_without_environment), TEST(clearenv_before_use), TEST(children_of_one_that_only_looked), TEST(children_of_one_that_runs),
    TEST(children_while_another_thread_is_the_first_to_use_it),
    TEST(a_child_of_vfork), TEST(a_child_of_clone), TEST(another_root), TEST(another_user), TEST(a_user_namespace), TEST(received_from_itself),
    TEST(received_from_another_process), TEST(copied_by_pidfd_getfd), TEST(duplicated), TEST(closed_by_close_range), TEST(closed_by_close_range_while_it_is_used), TEST(everything_is_closed_before_a_guest_is_hot), TEST(closed_behind_libc),
    TEST(descriptors_are_as_kvms), TEST(a_thread_on_four_pages), TEST(many_threads_on_small_stacks), TEST(first_use_on_a_coroutine),
    TEST(a_coroutine_moves_between_threads), TEST(first_use_on_a_signal_stack), TEST(the_first_thread_ends_first),
    TEST(a_filter_that_kills_the_process),
    TEST(a_filter_before_the_first_vm), TEST(a_filter_before_the_device), TEST(standard_error_is_an_image), 
    TEST(accesses_are_checked_for_alignment),
    /* What the test starts in a way of its own. */
    TEST(inherited), TEST(coroutines_move_between_threads_on_small_stacks), TEST(a_handler_of_exit_runs_a_guest), TEST(executed_by_descriptor), TEST(a_guest_runs_and_knows_its_file), TEST(nobody_reads_standard_error), TEST(opened_by_a_library_that_binds_deep), TEST(a_filter_that_kills_the_thread), TEST(a_thread_ends_below_a_filter), TEST(ends_by),
    TEST(a_jvm_that_cannot_start),
};
enum { TESTS = sizeof tests / sizeof *tests, BY_THE_TEST = 11 };

int main(int argc, char **argv) {
    return keep_promises(argc, argv, tests, TESTS - BY_THE_TEST, TESTS);
}
