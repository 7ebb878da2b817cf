/* A client with much thread-local storage, which libc takes out of every thread's stack: that of the JVM's threads, too. */
#include "guests.h"

#include <pthread.h>

static __thread char large[3 << 20] = {1};

static void *keeps_its_own(void *unused) {
    static const uint8_t HLT[] = {0xf4};
    memset(large, 2, sizeof large);
    struct machine m = make_vm(open_device(0));
    give_memory(&m, MAP_SHARED, HLT, sizeof HLT);
    make_vcpu(&m, 0);
    begin_real(&m, (struct kvm_regs){.rsp = 0x800});
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_HLT);
    for (size_t i = 0; i < sizeof large; i++) CHECK(large[i] == 2);
    return NULL;
}

int main(void) {
    pthread_t id;
    keeps_its_own(NULL);
    CHECK(pthread_create(&id, NULL, keeps_its_own, NULL) == 0 && pthread_join(id, NULL) == 0);
    return 0;
}
