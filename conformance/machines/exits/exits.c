// A virtual machine monitor whose guest does nothing but exit, by one reason after the other: what `slate heat` watches a kernel's KVM
// handle. Linked statically, it is a program of a first root file system. exits COUNT: so many exits of each kind.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

// The guest: 32-bit, flat, paging off; loaded at 64 KiB. ESI: how many times. Its code ends phase N by OUT to port 0x80 + N of a dword.
__asm__(".pushsection .rodata\n"
        ".code32\n"
        ".globl guest_begin, guest_end\n"
        "guest_begin:\n"
        // Local APIC: on, x2APIC mode, TSC deadline on vector 0x40.
        "  mov $0x1b, %ecx\n"
        "  rdmsr\n"
        "  or $0xc00, %eax\n"
        "  wrmsr\n"
        "  mov $0x80f, %ecx\n"
        "  mov $0x1ff, %eax\n"
        "  xor %edx, %edx\n"
        "  wrmsr\n"
        "  mov $0x832, %ecx\n"
        "  mov $0x40040, %eax\n"
        "  wrmsr\n"
        "  lidt idt_pointer - guest_begin + 0x10000\n"
        "  mov %esi, %edi\n"
        "1: mov $1, %eax\n"
        "  cpuid\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        "  mov %esi, %edi\n"
        "1: out %al, $0x77\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        "  mov %esi, %edi\n"
        "1: mov %eax, 0xd0000000\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        // Far deadlines, which are only set.
        "  mov %esi, %edi\n"
        "  mov $0x6e0, %ecx\n"
        "1: rdtsc\n"
        "  add $0x100, %edx\n"
        "  wrmsr\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        "  mov %esi, %edi\n"
        "1: mov %cr0, %eax\n"
        "  xor $0x10000, %eax\n"
        "  mov %eax, %cr0\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        // A page of memory for the first time, each time.
        "  mov %esi, %edi\n"
        "  mov $0x1000000, %ebx\n"
        "1: mov %eax, (%ebx)\n"
        "  add $0x1000, %ebx\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        // A near deadline, and HLT until it comes.
        "  mov %esi, %edi\n"
        "1: mov $0x6e0, %ecx\n"
        "  rdtsc\n"
        "  add $2000000, %eax\n"
        "  adc $0, %edx\n"
        "  wrmsr\n"
        "  sti\n"
        "  hlt\n"
        "  cli\n"
        "  dec %edi\n"
        "  jnz 1b\n"
        // Runs on while the hypervisor's own interrupts come, for so many 2^32nds of a TSC second as EBP says.
        "  rdtsc\n"
        "  mov %edx, %ebx\n"
        "  add %ebp, %ebx\n"
        "1: rdtsc\n"
        "  cmp %ebx, %edx\n"
        "  jb 1b\n"
        "  xor %eax, %eax\n"
        "  out %eax, $0x80\n"
        "1: hlt\n"
        "  jmp 1b\n"
        "handler:\n"
        "  push %eax\n"
        "  push %ecx\n"
        "  push %edx\n"
        "  mov $0x80b, %ecx\n"
        "  xor %eax, %eax\n"
        "  xor %edx, %edx\n"
        "  wrmsr\n"
        "  pop %edx\n"
        "  pop %ecx\n"
        "  pop %eax\n"
        "  iret\n"
        "idt_pointer:\n"
        "  .word 0x207\n"
        "  .long 0x20000\n"
        ".globl guest_handler\n"
        ".set guest_handler, handler\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection\n");

extern const char guest_begin[], guest_end[], guest_handler[];

enum { CODE = 0x10000, IDT = 0x20000, GDT = 0x21000, STACK = 0x30000, LOW = 16 << 20, TIMER = 0x40 };

static void need(int good, const char *what) {
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void *memory(int vm, int slot, uint64_t gpa, uint64_t bytes) {
    void *at = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(at != MAP_FAILED, "mmap");
    madvise(at, bytes, MADV_NOHUGEPAGE);
    struct kvm_userspace_memory_region region = {
        .slot = slot, .guest_phys_addr = gpa, .memory_size = bytes, .userspace_addr = (uintptr_t)at};
    need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
    return at;
}

static struct kvm_segment flat(int type, int selector) {
    return (struct kvm_segment){
        .limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1, .s = 1, .g = 1};
}

int main(int count, char **arguments) {
    uint32_t times = count > 1 ? strtoul(arguments[1], 0, 0) : 1100;
    uint32_t spin = count > 2 ? strtoul(arguments[2], 0, 0) : 4;
    int kvm = open("/dev/kvm", O_RDWR);
    need(kvm >= 0, "/dev/kvm");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    need(vm >= 0, "KVM_CREATE_VM");
    need(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) == 0, "KVM_SET_TSS_ADDR");
    need(ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
    char *low = memory(vm, 0, 0, LOW);
    memory(vm, 1, LOW, ((uint64_t)times + 1) << 12);
    memcpy(low + CODE, guest_begin, guest_end - guest_begin);
    uint64_t code = 0x00cf9b000000ffff, data = 0x00cf93000000ffff;
    memcpy(low + GDT + 8, &code, 8);
    memcpy(low + GDT + 16, &data, 8);
    uint32_t handler = CODE + (guest_handler - guest_begin);
    uint64_t gate = (handler & 0xffff) | 8 << 16 | 0x8e0000000000 | (uint64_t)(handler >> 16) << 48;
    memcpy(low + IDT + 8 * TIMER, &gate, 8);

    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    need(vcpu >= 0, "KVM_CREATE_VCPU");
    struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + 256 * sizeof cpuid->entries[0]);
    cpuid->nent = 256;
    need(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
    for (unsigned i = 0; i < cpuid->nent; i++)
        if (cpuid->entries[i].function == 1)
            cpuid->entries[i].ecx |= 1 << 24 | 1 << 21; // TSC deadline and x2APIC, which the local APIC in the kernel has
    need(ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
    struct kvm_sregs sregs;
    need(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
    sregs.cs = flat(11, 8);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(3, 16);
    sregs.gdt.base = GDT;
    sregs.gdt.limit = 23;
    sregs.cr0 |= 1;
    need(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
    struct kvm_regs regs = {.rip = CODE, .rsp = STACK, .rsi = times, .rbp = spin, .rflags = 2};
    need(ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
    struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    need(run != MAP_FAILED, "mmap of the vCPU");

    unsigned ports = 0, mmio = 0;
    for (;;) {
        need(ioctl(vcpu, KVM_RUN, 0) == 0, "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x77) {
            ports++;
        } else if (run->exit_reason == KVM_EXIT_MMIO) {
            mmio++;
        } else if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x80) {
            printf("EXITS-DONE %u times, %u by port, %u by MMIO\n", times, ports, mmio);
            return 0;
        } else {
            ioctl(vcpu, KVM_GET_REGS, &regs);
            printf("EXITS-FAILED: exit reason %u at 0x%llx\n", run->exit_reason, (unsigned long long)regs.rip);
            return 1;
        }
    }
}
