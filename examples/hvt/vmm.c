/*
 * A monitor for a unikernel, after the manner of Solo5's hvt: it loads an ELF file, enters it in 64-bit mode, answers three calls, and has
 * given up all system calls but the few that it needs by then.
 *
 *   cc -O2 -o hvt vmm.c && ./slate run -- ./hvt guest ARGUMENT
 */
#include "hvt.h"

#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 64 << 20, TABLES = 0x1000, BOOT_INFO = 0x4000, LOWEST = 0x100000 };
static uint8_t *memory;

static void *guest(uint64_t gpa, uint64_t bytes) {
    if (gpa > MEMORY || bytes > MEMORY - gpa) errx(1, "the guest gave %#lx with %lu bytes", gpa, bytes);
    return memory + gpa;
}

static uint64_t load(const char *name, uint64_t *end) {
    int fd = open(name, O_RDONLY);
    Elf64_Ehdr header;
    if (fd < 0 || read(fd, &header, sizeof header) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG)) errx(1, "%s is no ELF file", name);
    for (int i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr p;
        if (pread(fd, &p, sizeof p, (off_t)(header.e_phoff + (size_t)i * sizeof p)) != sizeof p) err(1, "%s", name);
        if (p.p_type != PT_LOAD) continue;
        if (p.p_vaddr < LOWEST || p.p_filesz > p.p_memsz || pread(fd, guest(p.p_vaddr, p.p_memsz), p.p_filesz, (off_t)p.p_offset) != (ssize_t)p.p_filesz) errx(1, "%s has a bad segment", name);
        if (p.p_vaddr + p.p_memsz > *end) *end = p.p_vaddr + p.p_memsz;
    }
    close(fd);
    return header.e_entry;
}

/* From here on: what the loop below does, and an end for everything else. */
static void drop_privileges(void) {
    static const int allowed[] = {SYS_ioctl, SYS_write, SYS_clock_gettime, SYS_exit_group};
    enum { N = sizeof allowed / sizeof *allowed };
    struct sock_filter code[N + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int i = 0; i < N; i++) code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], (uint8_t)(N - i), 0);
    code[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD);
    code[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {N + 3, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) err(1, "seccomp");
}

static void answer(uint16_t port, uint32_t gpa) {
    struct timespec t;
    switch (port) {
    case HVT_WALLTIME:
        clock_gettime(CLOCK_REALTIME, &t);
        ((struct hvt_walltime *)guest(gpa, sizeof(struct hvt_walltime)))->nanoseconds = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        return;
    case HVT_PUTS: {
        const struct hvt_puts *p = guest(gpa, sizeof *p);
        if (write(1, guest(p->data, p->bytes), p->bytes) < 0) exit(1);
        return;
    }
    case HVT_HALT: _exit(((const struct hvt_halt *)guest(gpa, sizeof(struct hvt_halt)))->status);
    default: errx(1, "the guest called %#x", port);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) errx(2, "usage: hvt UNIKERNEL ARGUMENT");
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) err(1, "/dev/kvm");
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) errx(1, "another version of KVM");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)memory};
    if (vm < 0 || memory == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) err(1, "a machine");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (vcpu < 0 || run == MAP_FAILED) err(1, "a vCPU");

    struct hvt_boot_info *boot = guest(BOOT_INFO, sizeof *boot);
    boot->memory_bytes = MEMORY;
    snprintf(boot->argument, sizeof boot->argument, "%s", argv[2]);
    struct kvm_regs r = {.rip = load(argv[1], &boot->kernel_end), .rsp = MEMORY - 8, .rdi = BOOT_INFO, .rflags = 2};

    uint64_t *tables = guest(TABLES, 3 * 4096); /* all of the memory where it is, in pages of 2 MiB */
    tables[0] = TABLES + 0x1003;
    tables[512] = TABLES + 0x2003;
    for (uint64_t i = 0; i < MEMORY >> 21; i++) tables[1024 + i] = i << 21 | 0x83;
    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s)) err(1, "KVM_GET_SREGS");
    s.cr0 = 0x80010033;
    s.cr3 = TABLES;
    s.cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT: the compiler may use SSE */
    s.efer = 0x500;
    s.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ds = s.es = s.ss = (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    if (ioctl(vcpu, KVM_SET_SREGS, &s) || ioctl(vcpu, KVM_SET_REGS, &r)) err(1, "registers");

    drop_privileges();
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0)) err(1, "KVM_RUN");
        if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4) errx(1, "exit %u", run->exit_reason);
        answer(run->io.port, *(uint32_t *)((char *)run + run->io.data_offset));
    }
}
