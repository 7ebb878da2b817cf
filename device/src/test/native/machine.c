/*
 * A client of /dev/kvm that uses what of a machine is not its own: eventfds that raise interrupts and eventfds that take writes, the
 * ring of coalesced writes. As client.c: each test is a function, run by its name in a process of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        errno = 0; \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s does not hold (errno %d, %s)\n", __func__, __LINE__, #condition, errno, strerror(errno)); \
            exit(1); \
        } \
    } while (0)
#define FAILS(call, number) CHECK((call) == -1 && errno == (number))

static int device, vm;

static void make_machine(void) {
    device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    CHECK(device >= 0);
    vm = ioctl(device, KVM_CREATE_VM, 0);
    CHECK(vm >= 0);
    CHECK(ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0);
}

/* Requests of the first 8259. */
static int requests(void) {
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
    CHECK(ioctl(vm, KVM_GET_IRQCHIP, &chip) == 0);
    return chip.chip.pic.irr;
}

/* The hypervisor hears of a write by a thread of its own: waits for it, at the end as long as the test's time limit. */
static void await_request(int bits) {
    while ((requests() & bits) != bits) usleep(1000);
}

static int irqfd(int fd, int gsi, int flags) {
    struct kvm_irqfd irqfd = {.fd = fd, .gsi = gsi, .flags = flags};
    return ioctl(vm, KVM_IRQFD, &irqfd);
}

static void add(int fd) {
    uint64_t one = 1;
    CHECK(write(fd, &one, sizeof one) == sizeof one);
}

static void await_empty(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 0) == 1) usleep(1000);
}

static void an_addition_raises_its_line_and_is_taken_out(void) {
    make_machine();
    int fd = eventfd(0, EFD_NONBLOCK);
    CHECK(irqfd(fd, 5, 0) == 0);
    FAILS(irqfd(dup(fd), 6, 0), EBUSY);
    CHECK(requests() == 0);
    add(fd);
    await_request(1 << 5);
    await_empty(fd);
    syscall(SYS_write, fd, &(uint64_t){1}, 8); /* past libc */
    await_empty(fd);
    CHECK(irqfd(fd, 5, KVM_IRQFD_FLAG_DEASSIGN) == 0);
    add(fd);
    uint64_t count;
    CHECK(read(fd, &count, sizeof count) == sizeof count && count == 1);
}

static void what_stands_in_a_counter_raises_its_line_once_and_stays(void) {
    make_machine();
    int fd = eventfd(3, EFD_NONBLOCK);
    CHECK(irqfd(fd, 7, 0) == 0);
    await_request(1 << 7);
    uint64_t count;
    CHECK(read(fd, &count, sizeof count) == sizeof count && count == 3);
}

static void a_counter_outlives_the_clients_descriptor(void) {
    make_machine();
    int fd = eventfd(0, EFD_NONBLOCK);
    int other = dup(fd);
    CHECK(irqfd(fd, 5, 0) == 0);
    close(fd);
    add(other);
    await_request(1 << 5);
}

static void descriptors_of_other_kinds_are_refused(void) {
    make_machine();
    FAILS(irqfd(-1, 5, 0), EBADF);
    FAILS(irqfd(device, 5, 0), EINVAL);
    FAILS(irqfd(open("/dev/null", O_RDWR), 5, 0), EINVAL);
    FAILS(irqfd(eventfd(0, 0), 5, 4), EINVAL);
    struct kvm_irqfd resample = {.fd = eventfd(0, 0), .gsi = 5, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = -1};
    FAILS(ioctl(vm, KVM_IRQFD, &resample), EBADF);
    struct kvm_ioeventfd io = {.addr = 0x1000, .len = 4, .fd = -1};
    FAILS(ioctl(vm, KVM_IOEVENTFD, &io), EBADF);
    io.len = 3;
    FAILS(ioctl(vm, KVM_IOEVENTFD, &io), EINVAL);
}

static struct kvm_run *real_mode_vcpu(int id, const uint8_t *code, size_t bytes, int *fd) {
    static uint8_t *memory;
    if (!memory) {
        memory = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct kvm_userspace_memory_region region = {.memory_size = 1 << 16, .userspace_addr = (uintptr_t)memory};
        CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    }
    memcpy(memory + 0x1000, code, bytes);
    *fd = ioctl(vm, KVM_CREATE_VCPU, id);
    CHECK(*fd >= 0);
    struct kvm_run *run = mmap(NULL, ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    CHECK(run != MAP_FAILED);
    struct kvm_sregs sregs;
    CHECK(ioctl(*fd, KVM_GET_SREGS, &sregs) == 0);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    CHECK(ioctl(*fd, KVM_SET_SREGS, &sregs) == 0);
    struct kvm_regs regs = {.rip = 0x1000, .rflags = 2, .rax = 7};
    CHECK(ioctl(*fd, KVM_SET_REGS, &regs) == 0);
    return run;
}

static const uint8_t TWO_WRITES[] = {0xe6, 0x50, 0xe6, 0x51}; /* out 50h, al; out 51h, al */

static void a_write_that_an_eventfd_takes_makes_no_exit(void) {
    make_machine();
    int taken = eventfd(0, EFD_NONBLOCK), vcpu;
    struct kvm_ioeventfd io = {.addr = 0x50, .len = 1, .fd = taken, .flags = KVM_IOEVENTFD_FLAG_PIO};
    CHECK(ioctl(vm, KVM_IOEVENTFD, &io) == 0);
    struct kvm_run *run = real_mode_vcpu(0, TWO_WRITES, sizeof TWO_WRITES, &vcpu);
    CHECK(ioctl(vcpu, KVM_RUN, 0) == 0);
    CHECK(run->exit_reason == KVM_EXIT_IO && run->io.port == 0x51);
    uint64_t count;
    CHECK(read(taken, &count, sizeof count) == sizeof count && count == 1);
    io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    CHECK(ioctl(vm, KVM_IOEVENTFD, &io) == 0);
    FAILS(ioctl(vm, KVM_IOEVENTFD, &io), ENOENT);
}

static void the_ring_of_coalesced_writes_is_one_for_all_vcpus(void) {
    make_machine();
    int page = ioctl(device, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO), first, second;
    CHECK(page > 0);
    struct kvm_coalesced_mmio_zone zone = {.addr = 0x50, .size = 1, .pio = 1};
    CHECK(ioctl(vm, KVM_REGISTER_COALESCED_MMIO, &zone) == 0);
    struct kvm_run *one = real_mode_vcpu(0, TWO_WRITES, sizeof TWO_WRITES, &first);
    struct kvm_run *two = real_mode_vcpu(1, TWO_WRITES, sizeof TWO_WRITES, &second);
    CHECK(ioctl(first, KVM_RUN, 0) == 0);
    CHECK(one->exit_reason == KVM_EXIT_IO && one->io.port == 0x51);
    struct kvm_coalesced_mmio_ring *ring = (void *)((char *)two + page * 4096);
    CHECK(ring->first == 0 && ring->last == 1);
    CHECK(ring->coalesced_mmio[0].phys_addr == 0x50 && ring->coalesced_mmio[0].len == 1 && ring->coalesced_mmio[0].pio == 1);
    CHECK(ring->coalesced_mmio[0].data[0] == 7);
    CHECK(((struct kvm_coalesced_mmio_ring *)((char *)one + page * 4096))->last == 1);
    CHECK(one != two && one->exit_reason != two->exit_reason);
}

static void a_name_that_is_only_looked_at_is_the_kernels_affair(void) {
    int fd = open("/dev/kvm", O_PATH | O_CLOEXEC);
    CHECK(fd < 0 ? access("/dev", F_OK) == 0 : ioctl(fd, KVM_GET_API_VERSION, 0) == -1);
}

static void garbage_in_every_new_structure_is_an_errno(void) {
    static const unsigned long requests[] = {KVM_IRQ_LINE, KVM_IRQ_LINE_STATUS, KVM_SIGNAL_MSI, KVM_SET_GSI_ROUTING, KVM_IRQFD,
        KVM_IOEVENTFD, KVM_REGISTER_COALESCED_MMIO, KVM_UNREGISTER_COALESCED_MMIO, KVM_CREATE_PIT2, KVM_SET_PIT2, KVM_SET_PIT,
        KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_REINJECT_CONTROL};
    make_machine();
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    printf("seed %u\n", seed);
    srand(seed);
    static uint8_t garbage[1 << 16];
    for (int round = 0; round < 3000; round++) {
        for (size_t i = 0; i < 1024; i++) garbage[i] = rand() % 3 ? rand() : 0;
        unsigned long request = requests[rand() % (sizeof requests / sizeof *requests)];
        long r = ioctl(vm, request, rand() % 8 ? garbage : NULL);
        CHECK(r >= -1 && !(r == -1 && errno == EIO));
    }
    CHECK(ioctl(device, KVM_GET_API_VERSION, 0) == 12);
}

#define TEST(name) {#name, name}
static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    TEST(an_addition_raises_its_line_and_is_taken_out),
    TEST(what_stands_in_a_counter_raises_its_line_once_and_stays),
    TEST(a_counter_outlives_the_clients_descriptor),
    TEST(descriptors_of_other_kinds_are_refused),
    TEST(a_write_that_an_eventfd_takes_makes_no_exit),
    TEST(the_ring_of_coalesced_writes_is_one_for_all_vcpus),
    TEST(a_name_that_is_only_looked_at_is_the_kernels_affair),
    TEST(garbage_in_every_new_structure_is_an_errno),
};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (argc < 2) {
            puts(tests[i].name);
        } else if (!strcmp(argv[1], tests[i].name)) {
            tests[i].run();
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}
