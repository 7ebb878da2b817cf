/* What the programs of DoorTest have in common: a machine that says one thing and halts. */
#ifndef DOORS_H
#define DOORS_H

#include "guests.h"

/* Real mode at 0x1000: out 0x42 to port 0x10, hlt, again. */
static const uint8_t OUT_HLT[] = {0xb0, 0x42, 0xe6, 0x10, 0xf4, 0xeb, 0xf9};

static int device(void) {
    return open_device(0);
}

static struct machine boot(int kvm, const uint8_t *code, size_t bytes) {
    struct machine m = make_vm(kvm);
    give_memory(&m, MAP_SHARED, code, bytes);
    make_vcpu(&m, 0);
    begin_real(&m, (struct kvm_regs){.rsp = 0x800});
    return m;
}

static void turn(struct machine *m) {
    CHECK(ioctl(m->vcpu, KVM_RUN, 0) == 0 && m->run->exit_reason == KVM_EXIT_IO);
    CHECK(((uint8_t *)m->run)[m->run->io.data_offset] == 0x42);
    CHECK(ioctl(m->vcpu, KVM_RUN, 0) == 0 && m->run->exit_reason == KVM_EXIT_HLT);
}

/* A machine from its beginning to its end. */
static void runs(int kvm) {
    struct machine m = boot(kvm, OUT_HLT, sizeof OUT_HLT);
    turn(&m);
    munmap(m.run, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    close(m.vcpu);
    close(m.vm);
    munmap(m.memory, MEMORY);
}

#endif
