/*
 * A small client of /dev/kvm: creates a virtual machine, puts a 64-bit guest with its own page tables into it, and serves
 * its exits. It uses nothing but open, ioctl and mmap, knows nothing of Slate, and runs the same on a real KVM.
 *
 *   cc -O2 -o hello-kvm hello-kvm.c && slate run -- ./hello-kvm
 *
 * Ends with 0 when the guest's answers are right.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    MEMORY_SIZE = 4 << 20, /* guest-physical memory from 0 */
    PML4 = 0x1000,
    PDPT = 0x2000,
    PAGE_DIRECTORY = 0x3000,
    CODE = 0x10000,
    STACK_TOP = 0x20000,
    CONSOLE_PORT = 0x3f8,
    CLOCK_PORT = 0x40,
    RESULT_REGISTER = 0x10000000, /* guest-physical address of a device register: no memory there */
    SIEVE_LIMIT = 1000000,        /* as in the guest's code */
    PRIMES_BELOW_LIMIT = 78498,
    ROUND_TRIPS = 200000,
};

/*
 * The guest. Position-independent; entered in 64-bit mode at guest_start with a stack. It prints a line through the console
 * port, marks the composites below a million in a table at 1 MiB, counts the primes, writes the count to the device
 * register, reads the clock port ROUND_TRIPS times, and halts.
 */
extern const uint8_t guest_start[], guest_end[];
__asm__(".pushsection .rodata\n"
        ".globl guest_start, guest_end\n"
        "guest_start:\n"
        "    lea message(%rip), %rsi\n"
        "    mov $0x3f8, %edx\n"
        "1:  lodsb\n"
        "    test %al, %al\n"
        "    jz 2f\n"
        "    outb %al, %dx\n"
        "    jmp 1b\n"

        /* The sieve: byte i of the table is 1 when i is composite. */
        "2:  mov $0x100000, %edi\n"
        "    mov $1000000, %ecx\n"
        "    xor %eax, %eax\n"
        "    rep stosb\n"
        "    mov $0x100000, %edi\n"
        "    xor %ebx, %ebx\n" /* primes seen */
        "    mov $2, %ecx\n"   /* candidate */
        "3:  cmpb $0, (%rdi,%rcx)\n"
        "    jne 5f\n"
        "    inc %ebx\n"
        "    mov %rcx, %rax\n"
        "    imul %rcx, %rax\n" /* its multiples from its square on */
        "4:  cmp $1000000, %rax\n"
        "    jae 5f\n"
        "    movb $1, (%rdi,%rax)\n"
        "    add %rcx, %rax\n"
        "    jmp 4b\n"
        "5:  inc %rcx\n"
        "    cmp $1000000, %rcx\n"
        "    jb 3b\n"
        "    mov $0x10000000, %eax\n"
        "    mov %ebx, (%rax)\n"

        "    mov $200000, %ecx\n"
        "6:  in $0x40, %al\n"
        "    dec %ecx\n"
        "    jnz 6b\n"
        "7:  hlt\n"
        "    jmp 7b\n"
        "message:\n"
        "    .asciz \"Hello from a guest in 64-bit mode.\\n\"\n"
        "guest_end:\n"
        ".popsection\n");

static void fail(const char *what) {
    fprintf(stderr, "hello-kvm: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static uint64_t *entries(uint8_t *memory, uint64_t table) {
    return (uint64_t *)(memory + table);
}

/* Maps the first 512 MiB of guest-virtual addresses to the same guest-physical ones, by 2 MiB pages. */
static void build_page_tables(uint8_t *memory) {
    const uint64_t present_writable = 3, page_size = 1 << 7;
    entries(memory, PML4)[0] = PDPT | present_writable;
    entries(memory, PDPT)[0] = PAGE_DIRECTORY | present_writable;
    for (uint64_t i = 0; i < 256; i++) {
        entries(memory, PAGE_DIRECTORY)[i] = i << 21 | present_writable | page_size;
    }
}

static void enter_long_mode(int vcpu) {
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

    struct kvm_regs regs = {.rip = CODE, .rsp = STACK_TOP, .rflags = 2};
    if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0) fail("KVM_SET_REGS");
}

int main(void) {
    double begin = now_ms();
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) fail("open /dev/kvm");
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) fail("KVM_GET_API_VERSION");
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0) fail("KVM_CREATE_VM");

    uint8_t *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap of the guest's memory");
    build_page_tables(memory);
    memcpy(memory + CODE, guest_start, guest_end - guest_start);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY_SIZE, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");

    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0) fail("KVM_CREATE_VCPU");
    int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run)) fail("KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) fail("mmap of the vCPU");
    enter_long_mode(vcpu);
    double created = now_ms();

    uint32_t primes = 0;
    long clock_reads = 0;
    double computed = created, done = created;
    for (int halted = 0; !halted;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR) continue;
            fail("KVM_RUN");
        }
        switch (run->exit_reason) {
        case KVM_EXIT_IO: {
            uint8_t *data = (uint8_t *)run + run->io.data_offset;
            if (run->io.direction == KVM_EXIT_IO_OUT && run->io.port == CONSOLE_PORT) {
                fwrite(data, run->io.size, run->io.count, stdout);
            } else if (run->io.direction == KVM_EXIT_IO_IN && run->io.port == CLOCK_PORT) {
                *data = (uint8_t)clock_reads++;
            } else {
                fprintf(stderr, "hello-kvm: unexpected access to port %#x\n", run->io.port);
                return 1;
            }
            break;
        }
        case KVM_EXIT_MMIO:
            if (!run->mmio.is_write || run->mmio.phys_addr != RESULT_REGISTER || run->mmio.len != 4) {
                fprintf(stderr, "hello-kvm: unexpected access to device memory at %#llx\n", run->mmio.phys_addr);
                return 1;
            }
            memcpy(&primes, run->mmio.data, 4);
            computed = now_ms();
            break;
        case KVM_EXIT_HLT:
            done = now_ms();
            halted = 1;
            break;
        default:
            fprintf(stderr, "hello-kvm: unexpected exit, reason %u\n", run->exit_reason);
            return 1;
        }
    }

    printf("The guest counted %u primes below %d.\n", primes, SIEVE_LIMIT);
    printf("Virtual machine created in %.0f ms; guest booted, printed and counted in %.0f ms; %ld exits of %.0f ns each.\n",
           created - begin, computed - created, clock_reads, (done - computed) * 1e6 / clock_reads);
    if (primes != PRIMES_BELOW_LIMIT || clock_reads != ROUND_TRIPS) {
        fprintf(stderr, "hello-kvm: wrong: %d primes and %d exits were expected\n", PRIMES_BELOW_LIMIT, ROUND_TRIPS);
        return 1;
    }
    return 0;
}
