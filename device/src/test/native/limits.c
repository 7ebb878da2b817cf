/* A client under limits (setrlimit, ulimit): door's neighbour, run by DoorTest as that is. */
#include "doors.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Soft limits, as `ulimit` sets them. */
static void limits(int which, rlim_t value) {
    struct rlimit limit;
    CHECK(getrlimit(which, &limit) == 0);
    limit.rlim_cur = value;
    CHECK(setrlimit(which, &limit) == 0);
}
static void small_limits(void) {
    limits(RLIMIT_STACK, 65536);
    limits(RLIMIT_AS, 3ul << 30);
    limits(RLIMIT_DATA, 1ul << 28);
    limits(RLIMIT_NOFILE, 24);
    limits(RLIMIT_FSIZE, 0);
    limits(RLIMIT_CORE, 0);
    limits(RLIMIT_MEMLOCK, 0);
    execl(arguments[0], arguments[0], "a_guest_runs_for_long", NULL);
}
/* Until it is hot, and beyond. */
static void a_guest_runs_for_long(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    for (int i = 0; i < 20000; i++) turn(&m);
}
/* It sets them itself, as jailers do. */
static void files_may_not_grow(void) {
    limits(RLIMIT_FSIZE, 0);
    a_guest_runs_for_long();
}
static void the_clients_limits_stay(void) {
    struct rlimit before[RLIM_NLIMITS], after;
    CHECK(getrlimit(RLIMIT_NOFILE, &before[0]) == 0);
    limits(RLIMIT_NOFILE, before[0].rlim_max / 2 + 1);
    for (int i = 0; i < RLIM_NLIMITS; i++) CHECK(getrlimit(i, &before[i]) == 0);
    runs(device());
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        /* Not in the moment in which a thread of Slate's has the limit away (own.c). */
        for (int tries = 0; tries < 1000; tries++) {
            CHECK(getrlimit(i, &after) == 0);
            if (after.rlim_cur == before[i].rlim_cur) break;
            usleep(1000);
        }
        if (after.rlim_cur != before[i].rlim_cur) fprintf(stderr, "limit %d\n", i);
        CHECK(after.rlim_cur == before[i].rlim_cur && after.rlim_max == before[i].rlim_max);
    }
}

/* -------------------------------------------------------------------------------------------------- few descriptors */

enum { TABLE = 64, EVENT = 20, USED = 4 };

/* Descriptors until there can be no more; how many. */
static int filled[TABLE], fills;
/* What is above the table was made in a moment in which a thread of Slate's had the limit away (own.c). */
#define IN_THE_TABLE(call) \
    ({ \
        int at_; \
        while ((at_ = call) >= TABLE) close(at_); \
        at_; \
    })
static int fill(void) {
    for (int n = 0;; n++) {
        int fd;
        CHECK((fd = IN_THE_TABLE(dup(0))) >= 0 || errno == EMFILE);
        if (fd < 0) return n;
        filled[fills++] = fd;
    }
}
static void give_up(int n) {
    while (n-- > 0) CHECK(close(filled[--fills]) == 0);
}
/* A table of 64, with so many left: the last ones. */
static void few(int left) {
    dup2(eventfd(0, 0), EVENT);
    fill();
    give_up(left);
}
/* In a process of its own for each. */
static void for_each(const int *left, int n, void (*what)(int)) {
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        int status;
        if (!child) {
            what(left[i]);
            fflush(stdout);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (status) fprintf(stderr, "with %d left: %#x\n", left[i], status);
        CHECK(status == 0);
    }
}
/* What makes a descriptor: the lowest number that is free while there is one, else EMFILE. */
#define MAKES(call, used, left) \
    ({ \
        int made_; \
        CHECK((made_ = IN_THE_TABLE(call)) == ((used) < (left) ? TABLE - (left) + (used) : -1) && (made_ >= 0 || errno == EMFILE)); \
        if (made_ == -1) return; \
        made_; \
    })
static void every_call_has_its_descriptor_or_none(int left) {
    limits(RLIMIT_NOFILE, TABLE);
    few(left);
    struct machine m = {.device = MAKES(open("/dev/kvm", O_RDWR), 0, left)};
    CHECK(ioctl(m.device, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
    m.vm = MAKES(ioctl(m.device, KVM_CREATE_VM, 0), 1, left);
    give_memory(&m, MAP_SHARED, OUT_HLT, sizeof OUT_HLT);
    CHECK(ioctl(m.vm, KVM_CREATE_IRQCHIP, 0) == 0);
    struct kvm_irqfd irqfd = {.fd = EVENT, .gsi = 3};
    CHECK(ioctl(m.vm, KVM_IRQFD, &irqfd) == 0);
    m.vcpu = MAKES(ioctl(m.vm, KVM_CREATE_VCPU, 0), 2, left);
    m.run = mmap(NULL, ioctl(m.device, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
    CHECK(m.run != MAP_FAILED);
    begin_real(&m, (struct kvm_regs){.rsp = 0x800});
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
    MAKES(ioctl(m.vm, KVM_GET_STATS_FD, 0), 3, left);
    CHECK(fill() == left - USED);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == TABLE);
    for (int i = 0; i < 3000; i++) {
        CHECK(ioctl(m.vcpu, KVM_SET_REGS, &(struct kvm_regs){.rip = CODE, .rflags = 2}) == 0);
        CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
    }
}
static void few_descriptors_are_left(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_max < 2 * TABLE) SKIP("needs a hard limit of some descriptors (ulimit -Hn)");
    for_each((int[]){0, 1, 2, 3, 4, 5, 9}, 7, every_call_has_its_descriptor_or_none);
}

/* Where Slate's have to come out of the client's: nothing but EMFILE, and once some are free again it runs. */
#define IS_SHORT(fd, call) \
    ({ \
        CHECK((fd = call) >= 0 || errno == EMFILE); \
        fd < 0; \
    })
static void every_call_gives_emfile_until_some_are_free(int left) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){TABLE, TABLE}) == 0 && syscall(SYS_capset, &head, none) == 0);
    few(left);
    int kvm, vm = -1, vcpu = -1;
    bool lacks = IS_SHORT(kvm, open("/dev/kvm", O_RDWR)) || IS_SHORT(vm, ioctl(kvm, KVM_CREATE_VM, 0)) || IS_SHORT(vcpu, ioctl(vm, KVM_CREATE_VCPU, 0));
    CHECK(left || lacks);
    if (kvm >= 0) close(kvm);
    if (vm >= 0) close(vm);
    if (vcpu >= 0) close(vcpu);
    give_up(left < 36 ? 36 - left : 0);
    kvm = device();
    struct machine m = boot(kvm, OUT_HLT, sizeof OUT_HLT);
    fill();
    for (int i = 0; i < 3000; i++) turn(&m);
    FAILS(ioctl(kvm, KVM_CREATE_VM, 0), EMFILE);
    give_up(9);
    runs(kvm);
}
static void few_descriptors_are_left_for_both(void) {
    for_each((int[]){0, 1, 2, 3, 4, 6, 9, 15, 22, 25, 26, 27, 30}, 13, every_call_gives_emfile_until_some_are_free);
}

/* ---------------------------------------------------------------------------------------------------- address space */

/* From where it runs on there is no more: what needs some says ENOMEM, the rest goes on. */
static void no_more_address_space_once_it_runs(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    struct rlimit before;
    turn(&m);
    char text[64] = "";
    int statm = open("/proc/self/statm", O_RDONLY);
    CHECK(statm >= 0 && read(statm, text, sizeof text - 1) > 0 && getrlimit(RLIMIT_AS, &before) == 0);
    limits(RLIMIT_AS, strtoul(text, NULL, 10) * 4096);
    CHECK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    for (int i = 0; i < 50000; i++) turn(&m); /* what is hot is compiled meanwhile */
    for (int i = 0; i < 300; i++) {
        int vm, vcpu;
        CHECK((vm = ioctl(m.device, KVM_CREATE_VM, 0)) >= 0 || errno == ENOMEM);
        if (vm < 0) continue;
        struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)m.memory};
        CHECK(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0 || errno == ENOMEM);
        CHECK((vcpu = ioctl(vm, KVM_CREATE_VCPU, 0)) >= 0 || errno == ENOMEM);
        if (vcpu >= 0) close(vcpu);
        close(vm);
    }
    turn(&m);
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    runs(m.device);
}
/* It runs, or there is an errno; which, is said. */
static void it_starts_or_does_not(void) {
    int kvm = device(), vm;
    CHECK((vm = ioctl(kvm, KVM_CREATE_VM, 0)) >= 0 || errno == ENODEV || errno == ENOMEM);
    if (vm >= 0) runs(kvm);
    puts(vm >= 0 ? "runs" : "does not");
}

static const struct promise tests[] = {
    TEST(small_limits), TEST(files_may_not_grow), TEST(the_clients_limits_stay), TEST(few_descriptors_are_left), TEST(few_descriptors_are_left_for_both),
    TEST(no_more_address_space_once_it_runs),
    /* What the test starts in a way of its own. */
    TEST(a_guest_runs_for_long), TEST(it_starts_or_does_not),
};
enum { TESTS = sizeof tests / sizeof *tests, BY_THE_TEST = 2 };

int main(int argc, char **argv) {
    return keep_promises(argc, argv, tests, TESTS - BY_THE_TEST, TESTS);
}
