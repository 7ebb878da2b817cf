/*
 * What benchmarks/spine/run.sh measures with; a plain client of /dev/kvm and a plain loop, neither of which knows of Slate.
 *
 *   client touch MIB         touches each page of MIB fresh mebibytes once: the host's own price of a page; prints ns per page
 *   client create VCPUS      creates a VM with VCPUS vCPUs, runs each once to its first exit, and ends; prints its resident KiB
 *   client empty             opens nothing and ends; prints its resident KiB
 *   client exits COUNT       COUNT round trips of `out` and of `in` between a guest and this program; prints ns per round trip
 *   client timed CMD ARG...  runs a command; prints to standard error: wall milliseconds, peak resident KiB, exit status
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long resident_kib(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "VmRSS: %ld", &kib);
    if (f) fclose(f);
    return kib;
}

static int touch(long mib) {
    size_t bytes = (size_t)mib << 20;
    volatile uint64_t *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) fail("mmap");
    madvise((void *)m, bytes, MADV_NOHUGEPAGE); /* as the selftests' memory is */
    double t = now_ns();
    for (size_t i = 0; i < bytes / 8; i += 512) m[i] = 1;
    t = now_ns() - t;
    printf("%.1f\n", t / (bytes / 4096));
    return 0;
}

struct vm {
    int kvm, vm, run_size;
    uint8_t *memory;
};

/* Guest code at 64 KiB: `out %al, $0x10` and `in $0x10, %al` for ever. */
static const uint8_t loop[] = {0xe6, 0x10, 0xe4, 0x10, 0xeb, 0xfa};

static struct vm make_vm(void) {
    struct vm v;
    v.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (v.kvm < 0) fail("open /dev/kvm");
    v.vm = ioctl(v.kvm, KVM_CREATE_VM, 0);
    if (v.vm < 0) fail("KVM_CREATE_VM");
    v.run_size = ioctl(v.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    v.memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v.memory == MAP_FAILED) fail("mmap");
    *(uint64_t *)(v.memory + 0x1000) = 0x2003;
    *(uint64_t *)(v.memory + 0x2000) = 0x3003;
    for (uint64_t i = 0; i < 512; i++) *(uint64_t *)(v.memory + 0x3000 + 8 * i) = i << 21 | 0x83;
    memcpy(v.memory + 0x10000, loop, sizeof loop);
    struct kvm_userspace_memory_region region = {.memory_size = 1 << 20, .userspace_addr = (uintptr_t)v.memory};
    if (ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");
    return v;
}

static struct kvm_run *make_vcpu(struct vm *v, int id, int *fd) {
    int vcpu = ioctl(v->vm, KVM_CREATE_VCPU, id);
    if (vcpu < 0) fail("KVM_CREATE_VCPU");
    struct kvm_run *run = mmap(NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) fail("mmap of a vCPU");
    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0) fail("KVM_GET_SREGS");
    s.cr0 = 0x80000031;
    s.cr3 = 0x1000;
    s.cr4 = 0x20;
    s.efer = 0x500;
    s.cs = (struct kvm_segment){.limit = -1, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ss = s.ds = s.es = s.fs = s.gs =
        (struct kvm_segment){.limit = -1, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0) fail("KVM_SET_SREGS");
    struct kvm_regs r = {.rip = 0x10000, .rsp = 0x20000, .rflags = 2};
    if (ioctl(vcpu, KVM_SET_REGS, &r) < 0) fail("KVM_SET_REGS");
    *fd = vcpu;
    return run;
}

static void run_to_io(struct kvm_run *run, int vcpu) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) fail("KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO) {
        fprintf(stderr, "client: exit reason %u, not I/O\n", run->exit_reason);
        exit(1);
    }
}

static int create(int vcpus) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct vm v = make_vm();
    for (int i = 0; i < vcpus; i++) {
        int fd;
        struct kvm_run *run = make_vcpu(&v, i, &fd);
        run_to_io(run, fd);
    }
    printf("%ld\n", resident_kib());
    return 0;
}

static int exits(long count) {
    struct vm v = make_vm();
    int fd;
    struct kvm_run *run = make_vcpu(&v, 0, &fd);
    double best = 0, t;
    /* Ten rounds; the last is the warm one that is reported. */
    for (int round = 0; round < 10; round++) {
        t = now_ns();
        for (long i = 0; i < count; i++) {
            run_to_io(run, fd);
            ((uint8_t *)run)[run->io.data_offset] = i;
        }
        best = (now_ns() - t) / count;
    }
    printf("%.1f\n", best);
    return 0;
}

static int timed(char **command) {
    double t = now_ns();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(command[0], command);
        fail(command[0]);
    }
    int status;
    struct rusage usage;
    if (wait4(pid, &status, 0, &usage) < 0) fail("wait4");
    fprintf(stderr, "timed %.1f %ld %d\n", (now_ns() - t) / 1e6, usage.ru_maxrss,
            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "touch")) return touch(atol(argv[2]));
    if (argc == 3 && !strcmp(argv[1], "create")) return create(atoi(argv[2]));
    if (argc == 2 && !strcmp(argv[1], "empty")) return printf("%ld\n", resident_kib()) < 0;
    if (argc == 3 && !strcmp(argv[1], "exits")) return exits(atol(argv[2]));
    if (argc >= 3 && !strcmp(argv[1], "timed")) return timed(argv + 2);
    fprintf(stderr, "usage: client touch MIB | create VCPUS | empty | exits COUNT | timed COMMAND ...\n");
    return 2;
}
