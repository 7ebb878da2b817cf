/*
 * What the interrupt path costs: a write to an irqfd until the guest's handler has begun, where the vCPU runs and where it halts; a port write
 * that an ioeventfd takes; a tick of a local APIC's periodic timer, with one timer armed and with 1,024.
 *
 *   cc -O2 -pthread -o interrupts interrupts.c && slate run -- ./interrupts [rounds]
 *
 * Prints one line for each: name, nanoseconds of the best round (or pass) and of the median one. The first two are time by the clock, since
 * two threads take part; the others are processor time.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 2 << 20, FLAG = 0x500, IDT = 0x6000, GDT = 0x5000, CODE = 0x10000, HANDLER = 0x11000, VECTOR = 0x40, GSI = 30 };
enum { WRITES = 100000, PASSES = 10, TIMERS = 1024, TICK_NS = 10000000, TICKING_S = 2 };

static int device;

static void fail(const char *what) {
    fprintf(stderr, "interrupts: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int must(int result, const char *what) {
    if (result < 0) fail(what);
    return result;
}

static double ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *name, double *of, int n) {
    qsort(of, n, sizeof *of, by_value);
    printf("%-28s %10.0f %10.0f\n", name, of[0], of[n / 2]);
}

struct machine {
    int vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
};

static struct kvm_cpuid2 *cpuid(void) {
    static struct kvm_cpuid2 *all;
    if (!all) {
        all = calloc(1, sizeof *all + 256 * sizeof *all->entries);
        all->nent = 256;
        must(ioctl(device, KVM_GET_SUPPORTED_CPUID, all), "KVM_GET_SUPPORTED_CPUID");
    }
    return all;
}

/* 64-bit mode, the APIC in x2APIC mode and on, a handler that counts at FLAG and ends the interrupt. */
static struct machine machine(const void *code, size_t bytes) {
    static const uint8_t handler[] = {0xff, 0x04, 0x25, FLAG & 0xff, FLAG >> 8, 0, 0,            /* incl FLAG */
                                      0xb9, 0x0b, 0x08, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, /* mov $0x80b,%ecx; xor; xor; wrmsr */
                                      0x48, 0xcf};                                               /* iretq */
    struct machine m;
    m.vm = must(ioctl(device, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    must(ioctl(m.vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    m.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m.memory == MAP_FAILED) fail("mmap");
    uint64_t *words = (uint64_t *)m.memory;
    words[0x1000 / 8] = 0x2003;
    words[0x2000 / 8] = 0x3003;
    words[0x3000 / 8] = 0x83;
    words[GDT / 8 + 1] = 0x00af9b000000ffff;
    words[GDT / 8 + 2] = 0x00cf93000000ffff;
    words[IDT / 8 + VECTOR * 2] = (uint64_t)(HANDLER >> 16) << 48 | 0x8e00ull << 32 | 8 << 16 | (HANDLER & 0xffff);
    memcpy(m.memory + CODE, code, bytes);
    memcpy(m.memory + HANDLER, handler, sizeof handler);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)m.memory};
    must(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    m.vcpu = must(ioctl(m.vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    m.run = mmap(NULL, ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
    must(ioctl(m.vcpu, KVM_SET_CPUID2, cpuid()), "KVM_SET_CPUID2");
    struct kvm_sregs s;
    must(ioctl(m.vcpu, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
    s.cr0 = 0x80000031;
    s.cr3 = 0x1000;
    s.cr4 = 0x20;
    s.efer = 0x500;
    s.apic_base |= 0xc00;
    s.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ds = s.es = s.ss = (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    s.gdt = (struct kvm_dtable){.base = GDT, .limit = 23};
    s.idt = (struct kvm_dtable){.base = IDT, .limit = 0xfff};
    must(ioctl(m.vcpu, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
    struct kvm_lapic_state apic;
    must(ioctl(m.vcpu, KVM_GET_LAPIC, &apic), "KVM_GET_LAPIC");
    memcpy(apic.regs + 0xf0, &(uint32_t){0x1ff}, 4);
    must(ioctl(m.vcpu, KVM_SET_LAPIC, &apic), "KVM_SET_LAPIC");
    struct kvm_regs regs = {.rip = CODE, .rsp = 0x20000, .rflags = 2, .rcx = WRITES};
    must(ioctl(m.vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
    return m;
}

static void *runs(void *vcpu) {
    while (ioctl(*(int *)vcpu, KVM_RUN, 0) == 0 || errno == EINTR || errno == EAGAIN) {}
    return NULL;
}

static void irqfd(const char *name, const void *code, size_t bytes, int rounds) {
    struct machine m = machine(code, bytes);
    int event = eventfd(0, 0);
    struct {
        struct kvm_irq_routing head;
        struct kvm_irq_routing_entry entry;
    } routing = {{.nr = 1}, {.gsi = GSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = 0xfee00000, .data = VECTOR}}};
    must(ioctl(m.vm, KVM_SET_GSI_ROUTING, &routing), "KVM_SET_GSI_ROUTING");
    struct kvm_irqfd irqfd = {.fd = (uint32_t)event, .gsi = GSI};
    must(ioctl(m.vm, KVM_IRQFD, &irqfd), "KVM_IRQFD");
    pthread_t thread;
    pthread_create(&thread, NULL, runs, &m.vcpu);
    volatile uint32_t *flag = (volatile uint32_t *)(m.memory + FLAG);
    double *took = calloc(rounds, sizeof *took);
    for (int i = -100; i < rounds; i++) {
        uint32_t before = *flag;
        uint64_t one = 1;
        usleep(300); /* the guest is back in its loop, or halts */
        double begin = ns(CLOCK_MONOTONIC);
        if (write(event, &one, sizeof one) != sizeof one) fail("write");
        while (*flag == before) {}
        if (i >= 0) took[i] = ns(CLOCK_MONOTONIC) - begin;
    }
    report(name, took, rounds);
}

static void ioeventfd(void) {
    /* mov $0xf0,%edx; next: out %al,(%dx); dec %ecx; jne next; mov $WRITES,%ecx; out %al,$0x80; jmp next */
    static const uint8_t code[] = {0xba, 0xf0, 0, 0, 0, 0xee, 0xff, 0xc9, 0x75, 0xfb, 0xb9, WRITES & 0xff, WRITES >> 8 & 0xff, WRITES >> 16, 0, 0xe6, 0x80, 0xeb, 0xf2};
    struct machine m = machine(code, sizeof code);
    struct kvm_ioeventfd io = {.addr = 0xf0, .len = 1, .fd = eventfd(0, 0), .flags = KVM_IOEVENTFD_FLAG_PIO};
    must(ioctl(m.vm, KVM_IOEVENTFD, &io), "KVM_IOEVENTFD");
    double took[PASSES];
    for (int i = -2; i < PASSES; i++) {
        double begin = ns(CLOCK_THREAD_CPUTIME_ID);
        must(ioctl(m.vcpu, KVM_RUN, 0), "KVM_RUN");
        if (m.run->exit_reason != KVM_EXIT_IO || m.run->io.port != 0x80) {
            fprintf(stderr, "interrupts: exit reason %u\n", m.run->exit_reason);
            exit(1);
        }
        if (i >= 0) took[i] = (ns(CLOCK_THREAD_CPUTIME_ID) - begin) / WRITES;
    }
    uint64_t count = 0;
    if (read(io.fd, &count, sizeof count) != sizeof count || count != (uint64_t)WRITES * (PASSES + 2)) {
        fprintf(stderr, "interrupts: the eventfd counted %llu\n", (unsigned long long)count);
        exit(1);
    }
    report("ioeventfd", took, PASSES);
}

/* The APIC's timer ticks at 1 GHz; nobody has to run for it. */
static void ticks(const char *name, int timers) {
    int vm = must(ioctl(device, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
    for (int i = 0; i < timers; i++) {
        int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
        must(ioctl(vcpu, KVM_SET_CPUID2, cpuid()), "KVM_SET_CPUID2");
        struct kvm_lapic_state apic;
        must(ioctl(vcpu, KVM_GET_LAPIC, &apic), "KVM_GET_LAPIC");
        memcpy(apic.regs + 0xf0, &(uint32_t){0x1ff}, 4);
        memcpy(apic.regs + 0x320, &(uint32_t){1 << 17 | VECTOR}, 4);
        memcpy(apic.regs + 0x3e0, &(uint32_t){0xb}, 4);
        memcpy(apic.regs + 0x380, &(uint32_t){TICK_NS}, 4);
        must(ioctl(vcpu, KVM_SET_LAPIC, &apic), "KVM_SET_LAPIC");
    }
    double took[PASSES];
    for (int i = 0; i < PASSES; i++) {
        double begin = ns(CLOCK_PROCESS_CPUTIME_ID), clock = ns(CLOCK_MONOTONIC);
        usleep(TICKING_S * 1000000 / PASSES);
        took[i] = (ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / ((ns(CLOCK_MONOTONIC) - clock) / TICK_NS * timers);
    }
    report(name, took, PASSES);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 2000;
    device = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
    ticks("tick_of_one_timer", 1);
    ticks("tick_of_1024_timers", TIMERS);
    irqfd("irqfd_to_handler_running", "\xfb\xeb\xfe", 3, rounds);
    irqfd("irqfd_to_handler_halted", "\xfb\xf4\xeb\xfd", 4, rounds);
    ioeventfd();
    return 0;
}
