/* Small machines for a test's program: one VM with one megabyte from address 0, and vCPUs that are about to execute what lies at CODE. */
#ifndef GUESTS_H
#define GUESTS_H

#include "promises.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { MEMORY = 1 << 20, CODE = 0x1000 };
struct machine {
    int device, vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
};

static int open_device(int flags) {
    int fd = open("/dev/kvm", O_RDWR | flags);
    CHECK(fd >= 0);
    return fd;
}

static struct machine make_vm(int device) {
    struct machine m = {.device = device, .vm = ioctl(device, KVM_CREATE_VM, 0)};
    CHECK(m.vm >= 0);
    return m;
}

static void give_memory(struct machine *m, int sharing, const uint8_t *code, size_t bytes) {
    m->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);
    CHECK(m->memory != MAP_FAILED);
    memcpy(m->memory + CODE, code, bytes);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)m->memory};
    CHECK(ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
}

static void make_vcpu(struct machine *m, int id) {
    m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, id);
    CHECK(m->vcpu >= 0);
    m->run = mmap(NULL, ioctl(m->device, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
    CHECK(m->run != MAP_FAILED);
}

/* Real mode, with all segments from 0. */
static void begin_real(const struct machine *m, struct kvm_regs regs) {
    struct kvm_sregs sregs;
    CHECK(ioctl(m->vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.cs.base = sregs.cs.selector = 0;
    CHECK(ioctl(m->vcpu, KVM_SET_SREGS, &sregs) == 0);
    regs.rip = CODE;
    regs.rflags = 2;
    CHECK(ioctl(m->vcpu, KVM_SET_REGS, &regs) == 0);
}

/* 64-bit mode, where 2 MiB are mapped one to one. */
static void begin_long(const struct machine *m, struct kvm_regs regs) {
    uint64_t *tables = (uint64_t *)m->memory;
    tables[0x4000 / 8] = 0x5000 | 3;
    tables[0x5000 / 8] = 0x6000 | 3;
    tables[0x6000 / 8] = 0x83;
    struct kvm_sregs sregs;
    CHECK(ioctl(m->vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.cr0 = 0x80000031;
    sregs.cr3 = 0x4000;
    sregs.cr4 = 0x220;
    sregs.efer = 0x500;
    sregs.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    sregs.ss = sregs.ds = sregs.es =
        (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    CHECK(ioctl(m->vcpu, KVM_SET_SREGS, &sregs) == 0);
    regs.rip = CODE;
    regs.rflags = 2;
    CHECK(ioctl(m->vcpu, KVM_SET_REGS, &regs) == 0);
}

#endif
