/*
 * A small loader of guest programs (guests/README.md): puts an image into memory, starts one virtual CPU, prints what the guest writes to
 * its console port, and ends with the guest's mark: 0 when all is well. It knows nothing of Slate, and runs the same on a real KVM.
 *
 *   cc -O2 -o run-guest run-guest.c
 *   guests/build.sh /tmp/guests
 *   slate run -- ./run-guest /tmp/guests/tasks.bin
 *   slate run -- ./run-guest --real /tmp/guests/real-mode.bin
 *
 * Numbers behind the image are the guest's parameters, after the bytes of memory: 16 MiB, or so many as `--memory MIB` before it says.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    MOST_MIB = 2047,
    IMAGE = 0x100000,
    BOOT_SECTOR = 0x7c00,
    PARAMETERS = 0x10000,
    CHARACTER_PORT = 0xe9,
    MARK_PORT = 0xf4,
    FIRST_PHASE = 100, /* marks below are ends */
};

static int call(int fd, unsigned long request, void *argument, const char *name)
{
    int result = ioctl(fd, request, argument);

    if (result < 0)
        err(1, "%s", name);
    return result;
}
#define CALL(fd, request, argument) call(fd, request, (void *)(uintptr_t)(argument), #request)

static void load(uint8_t *memory, size_t size, uint32_t at, const char *file)
{
    int fd = open(file, O_RDONLY);
    ssize_t bytes;

    if (fd < 0)
        err(1, "%s", file);
    bytes = read(fd, memory + at, size - at);
    if (bytes <= 0)
        errx(1, "%s: nothing to be read", file);
    close(fd);
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
    return (struct kvm_segment){.limit = 0xffffffff, .selector = selector, .type = type, .present = 1, .db = 1, .s = 1, .g = 1};
}

static void start(int vcpu, int real)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = real ? BOOT_SECTOR : IMAGE, .rbx = real ? 0 : PARAMETERS, .rflags = 2};

    CALL(vcpu, KVM_GET_SREGS, &sregs);
    if (real) {
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
    } else {
        sregs.cr0 = 0x11;
        sregs.cs = flat(8, 11);
        sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = flat(16, 3);
    }
    CALL(vcpu, KVM_SET_SREGS, &sregs);
    CALL(vcpu, KVM_SET_REGS, &regs);
}

static int run(int vcpu, struct kvm_run *state)
{
    for (;;) {
        const uint8_t *data;
        uint32_t mark;

        if (ioctl(vcpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR)
                continue;
            err(1, "KVM_RUN");
        }
        data = (const uint8_t *)state + state->io.data_offset;
        if (state->exit_reason != KVM_EXIT_IO || state->io.direction != KVM_EXIT_IO_OUT)
            errx(1, "the guest ended with exit reason %u", state->exit_reason);
        switch (state->io.port) {
        case CHARACTER_PORT:
            fwrite(data, 1, (size_t)state->io.size * state->io.count, stdout);
            break;
        case MARK_PORT:
            memcpy(&mark, data, sizeof mark);
            if (mark < FIRST_PHASE) {
                fflush(stdout);
                return (int)mark;
            }
            break;
        default:
            errx(1, "the guest wrote to port 0x%x", state->io.port);
        }
    }
}

int main(int argc, char **argv)
{
    int real = argc > 1 && strcmp(argv[1], "--real") == 0;
    int sized = !real && argc > 2 && strcmp(argv[1], "--memory") == 0;
    size_t mib = sized ? strtoul(argv[2], NULL, 10) : 16, size = mib * MIB;
    char **image = argv + 1 + real + 2 * sized;
    int kvm, vm, vcpu, bytes;
    uint8_t *memory;
    struct kvm_run *state;
    struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[256];
    } cpuid = {.head = {.nent = 256}};

    if (image >= argv + argc || mib < 2 || mib > MOST_MIB)
        errx(2, "usage: %s [--real | --memory MIB] IMAGE [PARAMETER]..., of 2 to %d MiB", argv[0], MOST_MIB);
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        err(1, "/dev/kvm");
    vm = CALL(kvm, KVM_CREATE_VM, 0);
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "mmap");
    load(memory, size, real ? BOOT_SECTOR : IMAGE, *image);
    for (int i = 0; image + i < argv + argc; i++) {
        uint64_t value = i == 0 ? size : strtoull(image[i], NULL, 0);

        memcpy(memory + PARAMETERS + 8 * i, &value, sizeof value);
    }
    struct kvm_userspace_memory_region region = {.memory_size = size, .userspace_addr = (uintptr_t)memory};
    CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
    vcpu = CALL(vm, KVM_CREATE_VCPU, 0);
    CALL(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
    CALL(vcpu, KVM_SET_CPUID2, &cpuid);
    bytes = CALL(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    state = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (state == MAP_FAILED)
        err(1, "mmap of the vCPU");
    start(vcpu, real);
    return run(vcpu, state);
}
