/*
 * A client of /dev/kvm that uses what of a machine is not its own: eventfds that raise interrupts and eventfds that take writes, the
 * ring of coalesced writes. As client.c: each test is a function, run by its name in a process of its own.
 */
#include "guests.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

static struct machine machine;

static void make_machine(void) {
    machine = make_vm(open_device(O_CLOEXEC));
    CHECK(ioctl(machine.vm, KVM_CREATE_IRQCHIP, 0) == 0);
}

/* Requests of the first 8259. */
static int requests(void) {
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_MASTER};
    CHECK(ioctl(machine.vm, KVM_GET_IRQCHIP, &chip) == 0);
    return chip.chip.pic.irr;
}

/* The hypervisor hears of a write by a thread of its own: waits for it, at the end as long as the test's time limit. */
static void await_request(int bits) {
    while ((requests() & bits) != bits) usleep(1000);
}

static int irqfd(int fd, int gsi, int flags) {
    struct kvm_irqfd irqfd = {.fd = fd, .gsi = gsi, .flags = flags};
    return ioctl(machine.vm, KVM_IRQFD, &irqfd);
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
    FAILS(irqfd(machine.device, 5, 0), EINVAL);
    FAILS(irqfd(open("/dev/null", O_RDWR), 5, 0), EINVAL);
    FAILS(irqfd(eventfd(0, 0), 5, 4), EINVAL);
    struct kvm_irqfd resample = {.fd = eventfd(0, 0), .gsi = 5, .flags = KVM_IRQFD_FLAG_RESAMPLE, .resamplefd = -1};
    FAILS(ioctl(machine.vm, KVM_IRQFD, &resample), EBADF);
    struct kvm_ioeventfd io = {.addr = 0x1000, .len = 4, .fd = -1};
    FAILS(ioctl(machine.vm, KVM_IOEVENTFD, &io), EBADF);
    io.len = 3;
    FAILS(ioctl(machine.vm, KVM_IOEVENTFD, &io), EINVAL);
}

static const uint8_t TWO_WRITES[] = {0xe6, 0x50, 0xe6, 0x51}; /* out 50h, al; out 51h, al */

static struct machine add_vcpu(int id) {
    if (!machine.memory) give_memory(&machine, MAP_PRIVATE, TWO_WRITES, sizeof TWO_WRITES);
    struct machine m = machine;
    make_vcpu(&m, id);
    begin_real(&m, (struct kvm_regs){.rax = 7});
    return m;
}

static void a_write_that_an_eventfd_takes_makes_no_exit(void) {
    make_machine();
    int taken = eventfd(0, EFD_NONBLOCK);
    struct kvm_ioeventfd io = {.addr = 0x50, .len = 1, .fd = taken, .flags = KVM_IOEVENTFD_FLAG_PIO};
    CHECK(ioctl(machine.vm, KVM_IOEVENTFD, &io) == 0);
    struct machine m = add_vcpu(0);
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
    CHECK(m.run->exit_reason == KVM_EXIT_IO && m.run->io.port == 0x51);
    uint64_t count;
    CHECK(read(taken, &count, sizeof count) == sizeof count && count == 1);
    io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
    CHECK(ioctl(machine.vm, KVM_IOEVENTFD, &io) == 0);
    FAILS(ioctl(machine.vm, KVM_IOEVENTFD, &io), ENOENT);
}

static void the_ring_of_coalesced_writes_is_one_for_all_vcpus(void) {
    make_machine();
    int page = ioctl(machine.device, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    CHECK(page > 0);
    struct kvm_coalesced_mmio_zone zone = {.addr = 0x50, .size = 1, .pio = 1};
    CHECK(ioctl(machine.vm, KVM_REGISTER_COALESCED_MMIO, &zone) == 0);
    struct machine first = add_vcpu(0), second = add_vcpu(1);
    struct kvm_run *one = first.run, *two = second.run;
    CHECK(ioctl(first.vcpu, KVM_RUN, 0) == 0);
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
        long r = ioctl(machine.vm, request, rand() % 8 ? garbage : NULL);
        CHECK(r >= -1 && !(r == -1 && errno == EIO));
    }
    CHECK(ioctl(machine.device, KVM_GET_API_VERSION, 0) == 12);
}

static const struct promise tests[] = {
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
    return KEEP(argc, argv, tests);
}
