/*
 * Throws random ioctl sequences at /dev/kvm: any call on any descriptor, with arguments that are right, nearly right and garbage, from
 * two threads at once. What the calls give does not matter; that the process lives does.
 *
 *   fuzz SEED SEQUENCES [FIRST]
 *
 * A sequence is up to 24 calls on one machine. Prints the number of calls that succeeded and of each errno; on a crash the handler
 * prints the sequence's number, so that `fuzz SEED 1 NUMBER` repeats it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum { EVENTS = 4, VCPUS = 3, MEMORY = 256 << 10, GUARD = 64 << 10, SEQUENCES_OF_A_MACHINE = 50, CALLS = 24 };

static const unsigned long requests[] = {
    KVM_GET_API_VERSION, KVM_CREATE_VM, KVM_CHECK_EXTENSION, KVM_GET_VCPU_MMAP_SIZE, KVM_GET_MSR_INDEX_LIST,
    KVM_GET_MSR_FEATURE_INDEX_LIST, KVM_GET_SUPPORTED_CPUID, KVM_GET_EMULATED_CPUID, KVM_X86_GET_MCE_CAP_SUPPORTED, KVM_GET_MSRS,
    KVM_CREATE_VCPU, KVM_SET_USER_MEMORY_REGION, KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG, KVM_SET_NR_MMU_PAGES, KVM_GET_NR_MMU_PAGES,
    KVM_SET_TSS_ADDR, KVM_SET_IDENTITY_MAP_ADDR, KVM_SET_BOOT_CPU_ID, KVM_CREATE_IRQCHIP, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP,
    KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_CREATE_DEVICE, KVM_SET_CLOCK, KVM_GET_CLOCK,
    KVM_X86_SET_MSR_FILTER, KVM_ENABLE_CAP, KVM_GET_STATS_FD, KVM_SET_TSC_KHZ, KVM_GET_TSC_KHZ, KVM_RUN, KVM_GET_REGS, KVM_SET_REGS,
    KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_FPU, KVM_SET_FPU, KVM_GET_XSAVE, KVM_SET_XSAVE,
    KVM_GET_XSAVE2, KVM_GET_XCRS, KVM_SET_XCRS, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
    KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_SET_CPUID, KVM_SET_CPUID2, KVM_GET_CPUID2, KVM_SET_MSRS, KVM_GET_LAPIC, KVM_SET_LAPIC,
    KVM_INTERRUPT, KVM_NMI, KVM_SMI, KVM_TRANSLATE, KVM_SET_GUEST_DEBUG, KVM_SET_SIGNAL_MASK, KVM_TPR_ACCESS_REPORTING,
    KVM_SET_VAPIC_ADDR, KVM_X86_SETUP_MCE, KVM_X86_SET_MCE, KVM_KVMCLOCK_CTRL, KVM_GET_NESTED_STATE, KVM_SET_NESTED_STATE,
    KVM_RESET_DIRTY_RINGS, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR,
    KVM_CREATE_PIT, KVM_CREATE_PIT2, KVM_GET_PIT, KVM_SET_PIT, KVM_GET_PIT2, KVM_SET_PIT2, KVM_REINJECT_CONTROL, KVM_IRQFD, KVM_IOEVENTFD,
    KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO, KVM_SET_PMU_EVENT_FILTER, KVM_HYPERV_EVENTFD, KVM_GET_SUPPORTED_HV_CPUID,
    KVM_XEN_HVM_CONFIG, KVM_XEN_HVM_GET_ATTR, KVM_XEN_HVM_SET_ATTR, KVM_XEN_HVM_EVTCHN_SEND, KVM_XEN_VCPU_GET_ATTR, KVM_XEN_VCPU_SET_ATTR,
};
enum { REQUESTS = sizeof requests / sizeof *requests };

static int descriptors[2 + VCPUS]; /* device, VM, vCPUs */
static struct kvm_run *runs[VCPUS];
static uint8_t *memory;
static atomic_int events[EVENTS]; /* eventfds: closed and made anew while they are in use */
static _Atomic long current_sequence;
static _Atomic long succeeded, failed[4096];

static uint64_t state;
static __thread uint64_t *generator = &state;

static uint64_t next(void) { /* splitmix64 */
    uint64_t z = *generator += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static unsigned below(unsigned n) {
    return (unsigned)(next() % n);
}

/* Numbers at the edges of things, mostly. */
static uint64_t word(void) {
    static const uint64_t edges[] = {0, 1, 2, 8, 0xff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 32, 1ULL << 47, ~0ULL, 1ULL << 63, 0xfee00000, 0xfffff000};
    switch (below(6)) {
    case 0: return next();
    case 1: return edges[below(sizeof edges / sizeof *edges)];
    case 2: return below(64);
    case 3: return (uint64_t)below(1 << 20) << 12;
    case 4: return (uintptr_t)memory + (below(MEMORY) & ~0xfffULL);
    default: return 1ULL << below(64);
    }
}

static void forget(void) {
    if (runs[0]) {
        for (int i = 0; i < VCPUS; i++) {
            munmap(runs[i], 12288);
            close(descriptors[2 + i]);
        }
        close(descriptors[1]);
        munmap(memory - GUARD, MEMORY + 2 * GUARD);
    }
}

static void machine(void) {
    forget();
    /* Calls write to addresses in it, and must not reach what happens to lie behind it. */
    memory = mmap(NULL, MEMORY + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory += GUARD;
    mprotect(memory, MEMORY, PROT_READ | PROT_WRITE);
    descriptors[1] = ioctl(descriptors[0], KVM_CREATE_VM, 0);
    if (descriptors[1] < 0) {
        perror("KVM_CREATE_VM");
        exit(1);
    }
    switch (below(4)) {
    case 0:
    case 1: ioctl(descriptors[1], KVM_CREATE_IRQCHIP, 0); break;
    case 2: {
        struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
        ioctl(descriptors[1], KVM_ENABLE_CAP, &split);
        break;
    }
    default: break;
    }
    uint64_t *tables = (uint64_t *)memory;
    tables[0x4000 / 8] = 0x5000 | 7;
    tables[0x5000 / 8] = 0x6000 | 7;
    tables[0x6000 / 8] = 0x87;
    for (int i = 0x10000; i < MEMORY; i++) memory[i] = (uint8_t)next();
    struct kvm_userspace_memory_region r = {.flags = below(2), .memory_size = MEMORY, .userspace_addr = (uintptr_t)memory};
    ioctl(descriptors[1], KVM_SET_USER_MEMORY_REGION, &r);
    for (int i = 0; i < VCPUS; i++) {
        int fd = descriptors[2 + i] = ioctl(descriptors[1], KVM_CREATE_VCPU, i);
        runs[i] = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (runs[i] == MAP_FAILED) {
            perror("mmap of a vCPU");
            exit(1);
        }
        struct kvm_sregs s;
        ioctl(fd, KVM_GET_SREGS, &s);
        if (i < 2) {
            s.cr0 = 0x80000031;
            s.cr3 = 0x4000;
            s.cr4 = 0x220;
            s.efer = 0x500;
            s.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
            ioctl(fd, KVM_SET_SREGS, &s);
        }
        struct kvm_regs regs = {.rip = 0x10000 + below(0x8000), .rsp = 0x9000, .rflags = 2};
        ioctl(fd, KVM_SET_REGS, &regs);
        struct kvm_mp_state mp = {0};
        ioctl(fd, KVM_SET_MP_STATE, &mp);
    }
}

static int event(void) {
    return below(16) ? events[below(EVENTS)] : (int)word();
}

/* An argument of the interrupt path that may well be taken. False: there is none for this request. */
static int likely(unsigned long request, void *buffer) {
    switch (request) {
    case KVM_IRQFD: *(struct kvm_irqfd *)buffer = (struct kvm_irqfd){.fd = (uint32_t)event(), .gsi = below(26), .flags = below(4), .resamplefd = (uint32_t)event()}; return 1;
    case KVM_IOEVENTFD:
        *(struct kvm_ioeventfd *)buffer = (struct kvm_ioeventfd){.datamatch = below(4), .addr = below(2) ? below(256) : word(), .len = below(5) ? 1u << below(4) : 0, .fd = event(), .flags = below(16)};
        return 1;
    case KVM_IRQ_LINE:
    case KVM_IRQ_LINE_STATUS: *(struct kvm_irq_level *)buffer = (struct kvm_irq_level){{below(26)}, below(2)}; return 1;
    case KVM_SIGNAL_MSI: *(struct kvm_msi *)buffer = (struct kvm_msi){.address_lo = 0xfee00000 | below(1 << 20), .data = (uint32_t)next() & 0xffff}; return 1;
    case KVM_REGISTER_COALESCED_MMIO:
    case KVM_UNREGISTER_COALESCED_MMIO:
        *(struct kvm_coalesced_mmio_zone *)buffer = (struct kvm_coalesced_mmio_zone){.addr = below(2) ? below(256) : word(), .size = below(64), .pio = below(2)};
        return 1;
    case KVM_SET_GSI_ROUTING: {
        struct kvm_irq_routing *table = buffer;
        *table = (struct kvm_irq_routing){.nr = below(40)};
        for (unsigned i = 0; i < table->nr; i++) {
            struct kvm_irq_routing_entry *e = &table->entries[i];
            *e = (struct kvm_irq_routing_entry){.gsi = below(40), .type = 1 + below(below(8) ? 2 : 6)};
            if (e->type == KVM_IRQ_ROUTING_IRQCHIP) {
                e->u.irqchip.irqchip = below(3);
                e->u.irqchip.pin = below(e->u.irqchip.irqchip == 2 ? 24 : 8);
            } else {
                e->u.msi.address_lo = 0xfee00000 | below(1 << 20);
                e->u.msi.data = (uint32_t)next() & 0xffff;
            }
        }
        return 1;
    }
    default: return 0;
    }
}

static void one_call(uint64_t *buffer) {
    unsigned long request = requests[below(REQUESTS)];
    if (below(4) == 0) request = KVM_RUN;
    if (below(20) == 0) request ^= 1UL << below(32);
    unsigned which = below(2 + VCPUS);
    if (below(3)) { /* the kind of descriptor that the call is for, more often than not */
        unsigned nr = request & 0xff;
        int of_vm = nr == 0xbd || nr == 0xc8 || nr == 0xc9 || nr == 0xd0; /* Hyper-V's and Xen's of a VM */
        which = nr < 0x40 ? 0 : nr < 0x80 || of_vm ? 1 : 2 + below(VCPUS);
    }
    uint64_t argument = (uintptr_t)buffer;
    unsigned long bytes = _IOC_SIZE(request);
    if (bytes == 0) {
        argument = request == KVM_RUN && below(50) ? 0 : word();
    } else {
        if (bytes > 4096) bytes = 4096;
        if (below(3) && likely(request, buffer)) {
        } else if (below(3) == 0 && request & _IOC_READ << 30) {
            /* as it was read, with one word changed */
            ioctl(descriptors[which], request, buffer);
            buffer[below((unsigned)bytes / 8 + 1)] = word();
        } else if (below(2)) {
            for (unsigned i = 0; i < bytes / 8 + 40; i++) buffer[i] = below(3) ? 0 : word();
            if (below(2)) ((uint32_t *)buffer)[0] = below(40);
        }
        if (request == KVM_SET_SIGNAL_MASK) ((uint8_t *)buffer)[5] &= ~(1 << 5); /* SIGALRM must come through */
        if (below(30) == 0) argument = word();
    }
    /* The client's own side of the run area. */
    struct kvm_run *run = runs[which < 2 ? below(VCPUS) : which - 2];
    if (below(4) == 0) run->immediate_exit = (uint8_t)below(2);
    if (below(10) == 0) {
        run->kvm_valid_regs = below(9);
        run->kvm_dirty_regs = below(9);
    }
    if (below(20) == 0) ((uint64_t *)run)[below(1536)] = word();
    int r = ioctl(descriptors[which], request, argument);
    if (r < 0) {
        failed[errno & 4095]++;
    } else {
        succeeded++;
        if (request == KVM_CREATE_VM || request == KVM_GET_STATS_FD || request == KVM_CREATE_VCPU) {
            if (r > 2 && r != descriptors[0]) close(r);
        }
    }
    switch (below(60)) {
    case 0: madvise(memory + (below(MEMORY - 0x4000) & ~0xfff), 0x4000, MADV_DONTNEED); break;
    case 1: mprotect(memory + 0x20000, 0x1000, below(2) ? PROT_READ : PROT_READ | PROT_WRITE); break;
    case 2: mmap(memory + 0x30000, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
    case 3: /* not munmap: a mapping of Slate's might take the place */
        mmap(memory + 0x3f000, 0x1000, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        break;
    case 4: {
        int fresh = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        close(atomic_exchange(&events[below(EVENTS)], fresh));
        break;
    }
    case 5:
    case 6:
    case 7: {
        uint64_t n = 1;
        if (write(events[below(EVENTS)], &n, sizeof n) < 0) failed[errno]++;
        break;
    }
    default: break;
    }
}

static atomic_int phase; /* odd: the second thread works; even: it waits */
static atomic_int idle;

static void *second(void *unused) {
    static uint64_t own = 99;
    static uint64_t buffer[4096];
    generator = &own;
    (void)unused;
    for (;;) {
        if (phase & 1) {
            one_call(buffer);
        } else {
            idle = 1;
            usleep(50);
            if (phase & 1) idle = 0;
        }
    }
    return NULL;
}

static void tick(int sig) {
    (void)sig;
}

static void crash(int sig) {
    char text[100];
    int n = snprintf(text, sizeof text, "fuzz: signal %d in sequence %ld\n", sig, current_sequence);
    if (write(2, text, (size_t)n) < 0) _exit(3);
    signal(sig, SIG_DFL);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    long sequences = argc > 2 ? atol(argv[2]) : 1000, first = argc > 3 ? atol(argv[3]) : 0;
    static uint64_t buffer[4096];
    struct sigaction a = {.sa_handler = tick}, c = {.sa_handler = crash};
    sigset_t none; /* of what this process inherits */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    sigaction(SIGALRM, &a, NULL);
    sigaction(SIGSEGV, &c, NULL);
    sigaction(SIGBUS, &c, NULL);
    struct itimerval timer = {{0, 1000}, {0, 1000}}; /* a guest that computes is interrupted */
    setitimer(ITIMER_REAL, &timer, NULL);
    descriptors[0] = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < EVENTS; i++) events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    machine();
    pthread_t t;
    pthread_create(&t, NULL, second, NULL);
    for (long s = first; s < first + sequences; s++) {
        current_sequence = s;
        state = seed * 0x100000001b3ULL + (uint64_t)s;
        if (s % SEQUENCES_OF_A_MACHINE == 0) {
            phase &= ~1;
            idle = 0;
            while (!idle) { /* it may be in a guest that sleeps */
                pthread_kill(t, SIGALRM);
                usleep(20);
            }
            machine();
            phase = (s / SEQUENCES_OF_A_MACHINE) & 1;
        }
        for (unsigned calls = 1 + below(CALLS); calls > 0; calls--) one_call(buffer);
    }
    printf("%ld sequences, seed %llu: %ld calls succeeded", sequences, (unsigned long long)seed, (long)succeeded);
    for (int e = 0; e < 4096; e++) {
        if (failed[e]) printf(", %ld %s", (long)failed[e], strerrorname_np(e));
    }
    printf("\n");
    return 0;
}
