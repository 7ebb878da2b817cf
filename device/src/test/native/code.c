/*
 * Guests that are machine code, on hosts that make it difficult. As client.c: each test is a function, run by its name in a process of its own.
 */
#include "guests.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ACCESSES = 3, TURNS = 0x9000 };

/* Reads three words in a row, and begins anew. */
static const uint8_t ROW[] = {
    0x48, 0xff, 0x04, 0x25, 0, 0x90, 0, 0, /* incq TURNS */
    0x4c, 0x03, 0x23,       /* add (%rbx), %r12 */
    0x4c, 0x03, 0x6b, 0x08, /* add 8(%rbx), %r13 */
    0x4c, 0x03, 0x73, 0x10, /* add 16(%rbx), %r14 */
    0xeb, 0xeb,             /* jmp back */
};
static const unsigned AT[ACCESSES] = {8, 11, 15};

static void *runs(void *machine) {
    const struct machine *m = machine;
    return ioctl(m->vcpu, KVM_RUN, 0) ? (void *)(long)errno : NULL;
}

/* Where the page went tells how many of the row had been done, and so do the sums. */
static void a_page_goes_from_under_a_row_of_accesses(void) {
    int seen = 0;
    for (int round = 0; round < 12; round++) {
        struct machine m = make_vm(open_device(O_CLOEXEC));
        give_memory(&m, MAP_PRIVATE, ROW, sizeof ROW);
        int file = memfd_create("page", MFD_CLOEXEC);
        CHECK(file >= 0 && ftruncate(file, 4096) == 0);
        uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        CHECK(page != MAP_FAILED);
        for (int i = 0; i < ACCESSES; i++) page[i] = 1;
        /* The last page of the 2 MiB that are mapped. */
        struct kvm_userspace_memory_region region = {
            .slot = 1, .guest_phys_addr = (2 << 20) - 4096, .memory_size = 4096, .userspace_addr = (uintptr_t)page};
        CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
        make_vcpu(&m, 0);
        begin_long(&m, (struct kvm_regs){.rbx = region.guest_phys_addr});
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, runs, &m) == 0);
        volatile uint64_t *turns = (volatile uint64_t *)(m.memory + TURNS);
        while (*turns < 5000000) usleep(1000 + round);
        CHECK(ftruncate(file, 0) == 0);
        void *error;
        CHECK(pthread_join(thread, &error) == 0 && (long)error == EFAULT);
        struct kvm_regs regs;
        CHECK(ioctl(m.vcpu, KVM_GET_REGS, &regs) == 0);
        uint64_t sums[ACCESSES] = {regs.r12, regs.r13, regs.r14};
        int done = 0;
        while (done < ACCESSES && regs.rip != CODE + AT[done]) done++;
        CHECK(done < ACCESSES);
        for (int i = 0; i < ACCESSES; i++) CHECK(sums[i] == sums[0] - (done > 0 && i >= done));
        seen |= 1 << done;
        close(m.vcpu);
        close(m.vm);
        close(m.device);
        munmap(page, 4096);
        close(file);
    }
    CHECK(seen);
}

/* Serializes, after which code on another page is compared with what was translated, and calls that. */
static const uint8_t CALLER[] = {
    0x48, 0xff, 0x04, 0x25, 0, 0x90, 0, 0, /* incq TURNS */
    0x0f, 0x01, 0x3c, 0x25, 0, 0, 0, 0x40, /* invlpg of what is not mapped */
    0xff, 0xd5,                            /* call *%rbp */
    0xeb, 0xec,                            /* jmp back */
};

/* The comparison meets that the page is gone, and the guest's registers are as they were. */
static void a_page_goes_from_under_the_proof_of_its_code(void) {
    for (int round = 0; round < 12; round++) {
        struct machine m = make_vm(open_device(O_CLOEXEC));
        give_memory(&m, MAP_PRIVATE, CALLER, sizeof CALLER);
        int file = memfd_create("page", MFD_CLOEXEC);
        CHECK(file >= 0 && ftruncate(file, 4096) == 0);
        uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        CHECK(page != MAP_FAILED);
        page[0] = 0xc3; /* ret */
        struct kvm_userspace_memory_region region = {
            .slot = 1, .guest_phys_addr = (2 << 20) - 4096, .memory_size = 4096, .userspace_addr = (uintptr_t)page};
        CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
        make_vcpu(&m, 0);
        struct kvm_regs before = {.rbp = region.guest_phys_addr, .rsp = TURNS, .rax = 1, .rcx = 2, .rdx = 3, .rbx = 4, .rsi = 5, .rdi = 6, .r8 = 7, .r15 = 8};
        begin_long(&m, before);
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, runs, &m) == 0);
        volatile uint64_t *turns = (volatile uint64_t *)(m.memory + TURNS);
        while (*turns < 100000) usleep(1000 + round);
        CHECK(ftruncate(file, 0) == 0);
        void *error;
        CHECK(pthread_join(thread, &error) == 0 && (long)error == EFAULT);
        struct kvm_regs after;
        CHECK(ioctl(m.vcpu, KVM_GET_REGS, &after) == 0);
        CHECK(after.rip == region.guest_phys_addr || after.rip == CODE + 16);
        CHECK(after.rax == 1 && after.rcx == 2 && after.rdx == 3 && after.rbx == 4 && after.rbp == before.rbp);
        CHECK(after.rsi == 5 && after.rdi == 6 && after.r8 == 7 && after.r15 == 8);
        close(m.vcpu);
        close(m.vm);
        close(m.device);
        munmap(page, 4096);
        close(file);
    }
}

/* ------------------------------------------------------------------------------------- hosts without executable memory */

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define DENY BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* For this program, loaded anew, and all that Slate does in it. */
static void below(struct sock_filter *filter, size_t instructions, const char *name) {
    struct sock_fprog program = {(unsigned short)instructions, filter};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    execl(arguments[0], arguments[0], name, NULL);
}
/* As where vm.memfd_noexec is 2, before Linux 6.6: files in memory that are sealed against being executed (MFD_NOEXEC_SEAL), and no others. */
static void no_file_holds_code(void) {
    struct sock_filter filter[] = {
        LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 3), LOAD(args[1]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 8, 1, 0), DENY, ALLOW};
    below(filter, sizeof filter / sizeof *filter, "a_hot_guest");
}
/* HotSpot's own code stands in private memory. */
static void no_shared_memory_holds_code(void) {
    struct sock_filter filter[] = {
        LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 5), LOAD(args[2]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 3),
        LOAD(args[3]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_SHARED, 0, 1), DENY, ALLOW};
    below(filter, sizeof filter / sizeof *filter, "a_hot_guest");
}
static void a_hot_guest(void) {
    /* mov $count, %ecx; dec %ecx; jne back; in al, dx; jmp the start */
    static const uint8_t code[] = {0xb9, 0x10, 0x27, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xec, 0xeb, 0xf4};
    struct machine m = make_vm(open_device(O_CLOEXEC));
    give_memory(&m, MAP_PRIVATE, code, sizeof code);
    make_vcpu(&m, 0);
    begin_long(&m, (struct kvm_regs){.rdx = 0x40});
    for (int i = 0; i < 100; i++) {
        struct kvm_regs regs;
        CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
        CHECK(ioctl(m.vcpu, KVM_GET_REGS, &regs) == 0 && regs.rcx == 0);
    }
}

static const struct promise tests[] = {
    TEST(a_page_goes_from_under_a_row_of_accesses),
    TEST(a_page_goes_from_under_the_proof_of_its_code),
    TEST(no_file_holds_code),
    TEST(no_shared_memory_holds_code),
    TEST(a_hot_guest),
};

int main(int argc, char **argv) {
    return KEEP(argc, argv, tests);
}
