/*
 * The client's side of `slate speed`. It knows nothing of Slate; every mode prints one line of numbers.
 *
 *   measure touch THREADS MIB   no KVM: threads write one word to every fresh page of MIB each; seconds of the slowest
 *   measure create              creates a virtual machine and ends
 *   measure exits COUNT         nanoseconds for each of COUNT round trips of a guest's `in`, after as many to warm up
 *   measure memory VCPUS        resident bytes: before /dev/kvm is opened, with a VM of 4 vCPUs that have run, and for each
 *                               of VCPUS further ones that have run
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MEMORY_SIZE = 2 << 20, PML4 = 0x1000, PDPT = 0x2000, PAGE_DIRECTORY = 0x3000, CODE = 0x10000 };

static void fail(const char *what) {
    fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------------------------------------------ plain loop */

struct slice {
    volatile uint64_t *words;
    size_t bytes;
    double seconds;
};

static pthread_barrier_t barrier;

static void *touch_slice(void *argument) {
    struct slice *slice = argument;
    pthread_barrier_wait(&barrier);
    double begin = now();
    for (size_t at = 0; at < slice->bytes; at += PAGE) {
        slice->words[at / 8] = at;
    }
    slice->seconds = now() - begin;
    return NULL;
}

static void touch(int threads, size_t mib) {
    size_t bytes = mib << 20;
    uint8_t *memory = mmap(NULL, bytes * threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    madvise(memory, bytes * threads, MADV_NOHUGEPAGE); /* as the selftests do with guest memory */
    struct slice slices[threads];
    pthread_t ids[threads];
    pthread_barrier_init(&barrier, NULL, threads);
    for (int i = 0; i < threads; i++) {
        slices[i] = (struct slice){(uint64_t *)(memory + i * bytes), bytes, 0};
        if (pthread_create(&ids[i], NULL, touch_slice, &slices[i])) fail("pthread_create");
    }
    double slowest = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        if (slices[i].seconds > slowest) slowest = slices[i].seconds;
    }
    printf("%.6f\n", slowest);
}

/* ------------------------------------------------------------------------------------------------- virtual machine */

static int kvm, vm, run_size;

static void create_vm(void) {
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) fail("open /dev/kvm");
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) fail("KVM_CREATE_VM");
}

/* A guest that reads port 0x40 for ever, in 64-bit mode with 2 MiB of identity-mapped memory. */
static void load_guest(void) {
    static const uint8_t code[] = {0xe4, 0x40, 0xeb, 0xfc}; /* 1: in $0x40,%al; jmp 1b */
    uint8_t *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    *(uint64_t *)(memory + PML4) = PDPT | 3;
    *(uint64_t *)(memory + PDPT) = PAGE_DIRECTORY | 3;
    *(uint64_t *)(memory + PAGE_DIRECTORY) = 0x83;
    memcpy(memory + CODE, code, sizeof code);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");
    run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < 0) fail("KVM_GET_VCPU_MMAP_SIZE");
}

static int create_vcpu(int id) {
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, id);
    if (vcpu < 0) fail("KVM_CREATE_VCPU");
    struct kvm_sregs sregs;
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) fail("KVM_GET_SREGS");
    sregs.cr0 = 0x80000031; /* PG, NE, ET, PE */
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20;   /* PAE */
    sregs.efer = 0x500; /* LMA, LME */
    sregs.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs =
        (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0) fail("KVM_SET_SREGS");
    struct kvm_regs regs = {.rip = CODE, .rsp = 0x20000, .rflags = 2};
    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0) fail("KVM_SET_REGS");
    struct kvm_run *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) fail("mmap of a vCPU");
    return vcpu;
}

static void round_trips(int vcpu, long count) {
    for (long i = 0; i < count; i++) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR) fail("KVM_RUN");
    }
}

static long resident_bytes(void) {
    long size, resident;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%ld %ld", &size, &resident) != 2) fail("/proc/self/statm");
    fclose(statm);
    return resident * PAGE;
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (!strcmp(mode, "touch") && argc == 4) {
        touch(atoi(argv[2]), atol(argv[3]));
    } else if (!strcmp(mode, "create") && argc == 2) {
        create_vm();
    } else if (!strcmp(mode, "exits") && argc == 3) {
        long count = atol(argv[2]);
        create_vm();
        load_guest();
        int vcpu = create_vcpu(0);
        round_trips(vcpu, count);
        double begin = now();
        round_trips(vcpu, count);
        printf("%.1f\n", (now() - begin) * 1e9 / count);
    } else if (!strcmp(mode, "memory") && argc == 3) {
        int more = atoi(argv[2]);
        long before = resident_bytes();
        create_vm();
        load_guest();
        for (int i = 0; i < 4; i++) {
            round_trips(create_vcpu(i), 1000);
        }
        long with_four = resident_bytes();
        for (int i = 0; i < more; i++) {
            round_trips(create_vcpu(4 + i), 100);
        }
        printf("%ld %ld %ld\n", before, with_four, (resident_bytes() - with_four) / more);
    } else {
        fprintf(stderr, "measure: one of: touch THREADS MIB, create, exits COUNT, memory VCPUS\n");
        return 2;
    }
    return 0;
}
