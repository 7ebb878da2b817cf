/*
 * A small VMM that boots Linux: a bzImage with its first root file system, one virtual CPU, KVM's own interrupt controllers and timer, and a
 * serial port of the VMM's. It knows nothing of Slate, and runs the same on a real KVM.
 *
 *   cc -O2 -static -o boot-linux boot-linux.c
 *   slate run -- ./boot-linux vmlinuz initrd 'console=ttyS0' SHELL-OK
 *
 * It ends when the guest's console has shown the text behind the command line; with status 1 when the guest has ended before.
 */
#include <asm/bootparam.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEMORY = 128 << 20,
    BOOT_PARAMS = 0x10000,
    COMMAND_LINE = 0x20000,
    LOW_MEMORY_END = 0x9fc00,
    KERNEL = 0x100000,
    INITRD_END = MEMORY - 4096,
    SECTOR = 512,
    SERIAL = 0x3f8,
    SERIAL_IRQ = 4,
    KVM_TSS = 0xfffbd000,
    NOBODY_THERE = 0xff,
};

/* Leaf 1, ECX. Who makes the virtual machine sets it: without it Linux looks for no KVM. */
#define HYPERVISOR_PRESENT (1u << 31)

/* Offsets and bits of a 16550's registers. */
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH };
enum { IER_THRI = 2, IIR_NONE = 1, IIR_THRI = 2, LCR_DLAB = 0x80, LSR_EMPTY = 0x60, MSR_CONNECTED = 0xb0, MCR_LOOP = 0x10 };

static int vm;
static const char *until;
static char *tail; /* what the console has shown last, as long as the text that is waited for */
static size_t until_length;
static uint8_t registers[8], divisor[2];
static int empty_told;

static int call(int fd, unsigned long request, void *argument, const char *name)
{
    int result = ioctl(fd, request, argument);

    if (result < 0)
        err(1, "%s", name);
    return result;
}
#define CALL(fd, request, argument) call(fd, request, (void *)(uintptr_t)(argument), #request)

/* ---------------------------------------------------------------- the serial port: what it is given is sent at once */

/* The one interrupt that it has says once that there is room again. */
static int wants_interrupt(void)
{
    return (registers[IER] & IER_THRI) && !empty_told;
}

static void set_line(void)
{
    struct kvm_irq_level line = {.irq = SERIAL_IRQ, .level = (uint32_t)wants_interrupt()};

    CALL(vm, KVM_IRQ_LINE, &line);
}

static void sent(char c)
{
    putchar(c);
    if (c == '\n')
        fflush(stdout);
    memmove(tail, tail + 1, until_length - 1);
    tail[until_length - 1] = c;
    if (!memcmp(tail, until, until_length)) {
        putchar('\n');
        exit(0);
    }
}

static void serial_write(int offset, uint8_t value)
{
    if (offset <= IER && (registers[LCR] & LCR_DLAB)) {
        divisor[offset] = value;
        return;
    }
    if (offset == DATA) {
        if (!(registers[MCR] & MCR_LOOP))
            sent((char)value);
    } else {
        registers[offset] = value;
    }
    if (offset <= IER)
        empty_told = 0;
    set_line();
}

static uint8_t serial_read(int offset)
{
    uint8_t value;

    if (offset <= IER && (registers[LCR] & LCR_DLAB))
        return divisor[offset];
    switch (offset) {
    case DATA:
        return 0;
    case IIR:
        value = wants_interrupt() ? IIR_THRI : IIR_NONE;
        empty_told = 1;
        set_line();
        return value;
    case LSR:
        return LSR_EMPTY;
    case MSR:
        /* In a loop its upper half is what MCR's lower half says, crosswise. */
        value = registers[MCR];
        return value & MCR_LOOP ? (uint8_t)((value & 2) << 3 | (value & 1) << 5 | (value & 12) << 4) : MSR_CONNECTED;
    default:
        return registers[offset];
    }
}

static void port(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    for (uint32_t i = 0; i < run->io.count * run->io.size; i++) {
        int offset = run->io.port - SERIAL;
        int serial = run->io.size == 1 && offset >= 0 && offset < 8;

        if (run->io.direction == KVM_EXIT_IO_IN)
            data[i] = serial ? serial_read(offset) : NOBODY_THERE;
        else if (serial)
            serial_write(offset, data[i]);
    }
}

/* ---------------------------------------------------------------- what the kernel is given (Documentation/x86/boot.rst) */

static uint8_t *contents(const char *name, size_t *bytes)
{
    int fd = open(name, O_RDONLY);
    struct stat status;
    uint8_t *mapped;

    if (fd < 0 || fstat(fd, &status) < 0)
        err(1, "%s", name);
    *bytes = (size_t)status.st_size;
    mapped = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED)
        err(1, "%s", name);
    close(fd);
    return mapped;
}

static void load(uint8_t *memory, const char *kernel, const char *initrd, const char *command_line)
{
    size_t bytes, real_mode;
    struct boot_params *params = (struct boot_params *)(memory + BOOT_PARAMS);
    uint8_t *image = contents(kernel, &bytes), *files;

    if (bytes < 2 * SECTOR || memcmp(image + offsetof(struct boot_params, hdr.header), "HdrS", 4))
        errx(1, "%s is no bzImage", kernel);
    memcpy(&params->hdr, image + offsetof(struct boot_params, hdr), sizeof params->hdr);
    real_mode = (params->hdr.setup_sects + (size_t)1) * SECTOR;
    if (bytes <= real_mode || bytes - real_mode > MEMORY / 2 || strlen(command_line) > params->hdr.cmdline_size)
        errx(1, "%s, or its command line, is too long", kernel);
    memcpy(memory + KERNEL, image + real_mode, bytes - real_mode);
    strcpy((char *)memory + COMMAND_LINE, command_line);
    params->hdr.cmd_line_ptr = COMMAND_LINE;
    params->hdr.type_of_loader = NOBODY_THERE;
    params->hdr.loadflags |= CAN_USE_HEAP;
    files = contents(initrd, &bytes);
    if (bytes > MEMORY / 4)
        errx(1, "%s is too long", initrd);
    params->hdr.ramdisk_image = (uint32_t)((INITRD_END - bytes) & ~(size_t)4095);
    params->hdr.ramdisk_size = (uint32_t)bytes;
    memcpy(memory + params->hdr.ramdisk_image, files, bytes);
    params->e820_entries = 2;
    params->e820_table[0] = (struct boot_e820_entry){0, LOW_MEMORY_END, 1};
    params->e820_table[1] = (struct boot_e820_entry){KERNEL, MEMORY - KERNEL, 1};
}

/* The kernel's entry of 32 bits: flat segments, no paging, the parameters in ESI. */
static void enter(int vcpu)
{
    struct kvm_segment code = {.limit = 0xffffffff, .selector = 0x10, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    struct kvm_segment data = code;
    struct kvm_regs regs = {.rip = KERNEL, .rsi = BOOT_PARAMS, .rflags = 2};
    struct kvm_sregs sregs;

    data.selector = 0x18;
    data.type = 3;
    CALL(vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr0 |= 1;
    CALL(vcpu, KVM_SET_SREGS, &sregs);
    CALL(vcpu, KVM_SET_REGS, &regs);
}

static void offer_features(int kvm, int vcpu)
{
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[100];
    } cpuid = {.head.nent = 100};

    CALL(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
    for (uint32_t i = 0; i < cpuid.head.nent; i++)
        if (cpuid.entries[i].function == 1)
            cpuid.entries[i].ecx |= HYPERVISOR_PRESENT;
    CALL(vcpu, KVM_SET_CPUID2, &cpuid);
}

int main(int argc, char **argv)
{
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY};
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    struct kvm_run *run;
    int kvm, vcpu;

    if (argc != 5 || !*argv[4])
        errx(2, "usage: %s KERNEL INITRD COMMAND-LINE TEXT", argv[0]);
    until = argv[4];
    until_length = strlen(until);
    tail = calloc(1, until_length);
    if (!tail)
        err(1, "memory");
    kvm = open("/dev/kvm", O_RDWR);
    if (kvm < 0)
        err(1, "/dev/kvm");
    vm = CALL(kvm, KVM_CREATE_VM, 0);
    CALL(vm, KVM_SET_TSS_ADDR, KVM_TSS);
    CALL(vm, KVM_CREATE_IRQCHIP, 0);
    CALL(vm, KVM_CREATE_PIT2, &pit);
    region.userspace_addr = (uintptr_t)mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if ((void *)region.userspace_addr == MAP_FAILED)
        err(1, "the guest's memory");
    load((uint8_t *)region.userspace_addr, argv[1], argv[2], argv[3]);
    CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
    vcpu = CALL(vm, KVM_CREATE_VCPU, 0);
    run = mmap(NULL, (size_t)CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED)
        err(1, "kvm_run");
    offer_features(kvm, vcpu);
    enter(vcpu);
    for (;;) {
        if (ioctl(vcpu, KVM_RUN, 0) < 0 && errno != EINTR)
            err(1, "KVM_RUN");
        switch (run->exit_reason) {
        case KVM_EXIT_IO:
            port(run);
            break;
        case KVM_EXIT_MMIO:
            if (!run->mmio.is_write)
                memset(run->mmio.data, NOBODY_THERE, sizeof run->mmio.data);
            break;
        case KVM_EXIT_INTR:
            break;
        default:
            errx(1, "the guest has ended with exit reason %u", run->exit_reason);
        }
    }
}
