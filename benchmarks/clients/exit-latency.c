/*
 * What a client pays for one call: an ioctl that does next to nothing, reading the registers, and a port read that comes out of the
 * guest and goes back in, while it is new and two million exits later, when the second compiler is through with what serves it even on a
 * busy machine. Processor time of the calling thread is measured, so that other load on the machine counts less.
 *
 *   cc -O2 -o exit-latency exit-latency.c && slate run -- ./exit-latency [rounds [instruction]]
 *
 * With `instruction` requests are made by a SYSCALL that is no libc's, with a number that no constant before it tells: in a program that is
 * linked statically it traps each time, as no loader can rewrite such a place.
 *
 * Prints one line for each: name, nanoseconds of the best of ten passes, and of the median one. Outliers therefore do not count.
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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PASSES = 10, LATER = 2000000 };

static int device, vm, vcpu;
static struct kvm_run *run;

static void fail(const char *what) {
    fprintf(stderr, "exit-latency: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int (*request)(int, unsigned long, void *);

static int by_libc(int fd, unsigned long number, void *argument) {
    return ioctl(fd, number, argument);
}

static volatile long ioctl_number = SYS_ioctl;
static int by_instruction(int fd, unsigned long number, void *argument) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(ioctl_number), "D"(fd), "S"(number), "d"(argument) : "rcx", "r11", "memory");
    if (r >= 0) return (int)r;
    errno = (int)-r;
    return -1;
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void api_version(void) {
    if (request(device, KVM_GET_API_VERSION, NULL) != KVM_API_VERSION) fail("KVM_GET_API_VERSION");
}

static void get_regs(void) {
    struct kvm_regs regs;
    if (request(vcpu, KVM_GET_REGS, &regs) < 0) fail("KVM_GET_REGS");
}

static void port_read(void) {
    if (request(vcpu, KVM_RUN, NULL) < 0) fail("KVM_RUN");
    if (run->exit_reason != KVM_EXIT_IO) {
        fprintf(stderr, "exit-latency: exit reason %u\n", run->exit_reason);
        exit(1);
    }
}

static void immediate_exit(void) {
    if (request(vcpu, KVM_RUN, NULL) == 0 || errno != EINTR) fail("KVM_RUN with immediate_exit");
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(const char *name, void (*call)(void), int rounds) {
    double ns[PASSES];
    for (int pass = 0; pass < PASSES; pass++) {
        double begin = cpu_ns();
        for (int i = 0; i < rounds; i++) call();
        ns[pass] = (cpu_ns() - begin) / rounds;
    }
    qsort(ns, PASSES, sizeof *ns, by_value);
    printf("%-28s best %7.0f ns   median %7.0f ns\n", name, ns[0], ns[PASSES / 2]);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 100000;
    request = argc > 2 && !strcmp(argv[2], "instruction") ? by_instruction : by_libc;
    device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (device < 0) fail("open /dev/kvm");
    vm = ioctl(device, KVM_CREATE_VM, 0);
    if (vm < 0) fail("KVM_CREATE_VM");

    /* A 64-bit guest at 1000h: in al, dx; jmp back. */
    static const uint8_t code[] = {0xec, 0xeb, 0xfd};
    uint8_t *memory = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *tables = (uint64_t *)memory;
    tables[0x4000 / 8] = 0x5000 | 3;
    tables[0x5000 / 8] = 0x6000 | 3;
    tables[0x6000 / 8] = 0x83; /* 2 MiB from 0 */
    memcpy(memory + 0x1000, code, sizeof code);
    struct kvm_userspace_memory_region region = {.memory_size = 0x10000, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0) fail("KVM_CREATE_VCPU");
    run = mmap(NULL, ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) fail("mmap of the vCPU");

    struct kvm_sregs sregs;
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) fail("KVM_GET_SREGS");
    sregs.cr0 = 0x80000031;
    sregs.cr3 = 0x4000;
    sregs.cr4 = 0x220;
    sregs.efer = 0x500;
    sregs.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    sregs.ss = sregs.ds = sregs.es =
        (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0) fail("KVM_SET_SREGS");
    struct kvm_regs regs = {.rip = 0x1000, .rdx = 0x40, .rflags = 2};
    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0) fail("KVM_SET_REGS");

    measure("KVM_GET_API_VERSION", api_version, rounds);
    measure("KVM_GET_REGS", get_regs, rounds);
    measure("port read and back (KVM_RUN)", port_read, rounds);
    for (int i = 0; i < LATER; i++) port_read();
    measure("port read, 2 million later", port_read, rounds);
    run->immediate_exit = 1;
    measure("KVM_RUN with immediate_exit", immediate_exit, rounds);
    return 0;
}
