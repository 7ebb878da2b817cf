/*
 * A guest in each mode of the processor: real, protected, protected with paging, and 64-bit. Each prints a line through port 0xe9,
 * stores 42 at address 0x400 and halts.
 *
 *   cc -O2 -o four-modes four-modes.c && ./slate run -- ./four-modes
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY = 2 << 20, CODE = 0x8000, RESULT = 0x400, DIRECTORY = 0x2000, TABLES = 0x3000, ALIAS = 0x400000 };

/* The same text, assembled for 16, 32 and 64 bits; `at` is where it will lie. */
#define GUEST(name, bits, at, text) \
    extern const char name[], name##_end[]; \
    __asm__(".section .rodata\n.code" #bits "\n.globl " #name ", " #name "_end\n" #name ":\n" \
            "mov $(2f - " #name " + " #at "), %esi\n" \
            "1: mov (%esi), %al\n test %al, %al\n jz 3f\n out %al, $0xe9\n inc %esi\n jmp 1b\n" \
            "2: .asciz \"" text "\\n\"\n" \
            "3: movl $42, 0x400\n hlt\n" #name "_end:\n.code64\n.text\n")
GUEST(guest16, 16, 0x8000, "Hello from real mode");
GUEST(guest32, 32, 0x8000, "Hello from protected mode");
GUEST(guest_paged, 32, 0x408000, "Hello from protected mode with paging");
GUEST(guest64, 64, 0x8000, "Hello from 64-bit mode");

static struct kvm_segment flat(int type, int wide) {
    return (struct kvm_segment){.limit = 0xffffffff, .selector = type & 8 ? 8 : 16, .type = type, .present = 1, .s = 1, .db = !wide, .l = wide, .g = 1};
}

static void protected_mode(struct kvm_sregs *s, int wide) {
    s->cr0 |= 1; /* PE */
    s->cs = flat(11, wide);
    s->ds = s->es = s->fs = s->gs = s->ss = flat(3, 0);
}

/* The first 4 MiB where they are, and once more from ALIAS. */
static void paging(struct kvm_sregs *s, uint8_t *memory) {
    uint32_t *directory = (uint32_t *)(memory + DIRECTORY);
    directory[0] = directory[ALIAS >> 22] = 0x83; /* present, writable, large */
    s->cr3 = DIRECTORY;
    s->cr4 |= 1 << 4; /* PSE */
    s->cr0 |= 1u << 31;
}

static void long_mode(struct kvm_sregs *s, uint8_t *memory) {
    uint64_t *tables = (uint64_t *)(memory + TABLES);
    tables[0] = TABLES + 0x1003;
    tables[512] = TABLES + 0x2003;
    tables[1024] = 0x83;
    s->cr3 = TABLES;
    s->cr4 |= 1 << 5; /* PAE */
    s->efer |= 0x500; /* LME, LMA */
    s->cr0 |= 1u << 31;
}

static void run(int kvm, const char *name, const char *code, size_t bytes, uint64_t rip) {
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) err(1, "KVM_CREATE_VM");
    uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) err(1, "mmap");
    memcpy(memory + CODE, code, bytes);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) err(1, "KVM_SET_USER_MEMORY_REGION");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (vcpu < 0 || run == MAP_FAILED) err(1, "KVM_CREATE_VCPU");

    struct kvm_sregs s;
    if (ioctl(vcpu, KVM_GET_SREGS, &s)) err(1, "KVM_GET_SREGS");
    s.cs.base = s.cs.selector = 0;
    if (code != guest16) protected_mode(&s, code == guest64);
    if (code == guest_paged) paging(&s, memory);
    if (code == guest64) long_mode(&s, memory);
    if (ioctl(vcpu, KVM_SET_SREGS, &s)) err(1, "KVM_SET_SREGS");
    struct kvm_regs r = {.rip = rip, .rsp = CODE, .rflags = 2};
    if (ioctl(vcpu, KVM_SET_REGS, &r)) err(1, "KVM_SET_REGS");

    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0)) err(1, "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_HLT) break;
        if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0xe9) errx(1, "%s: exit %u", name, run->exit_reason);
        putchar(((char *)run)[run->io.data_offset]);
    }
    if (memory[RESULT] != 42) errx(1, "%s: %d at 0x400", name, memory[RESULT]);
    close(vcpu);
    close(vm);
}

int main(void) {
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) err(1, "/dev/kvm");
    run(kvm, "real", guest16, (size_t)(guest16_end - guest16), CODE);
    run(kvm, "protected", guest32, (size_t)(guest32_end - guest32), CODE);
    run(kvm, "paged", guest_paged, (size_t)(guest_paged_end - guest_paged), ALIAS + CODE);
    run(kvm, "64-bit", guest64, (size_t)(guest64_end - guest64), CODE);
    return 0;
}
