/*
 * A client that exports a memset and a malloc of its own, as KVM's selftests export byte loops: how often libjvm.so calls them while
 * a virtual machine is made. Prints the number.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static _Atomic long from_jvm, most; /* calls, and the largest of memset's */
static __thread int looking;

static int count(const void *caller) {
    Dl_info info;
    if (looking) return 0;
    looking = 1;
    int yes = dladdr(caller, &info) && strstr(info.dli_fname, "libjvm.so");
    from_jvm += yes;
    looking = 0;
    return yes;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((volatile uint8_t *)to)[i] = (uint8_t)value;
    if (count(__builtin_return_address(0)) && (long)bytes > most) most = (long)bytes;
    return to;
}

void *__libc_malloc(size_t);
void *malloc(size_t bytes) {
    count(__builtin_return_address(0));
    return __libc_malloc(bytes);
}

int main(void) {
    int kvm = open("/dev/kvm", O_RDWR);
    int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
    /* The constructors of libjvm have run before it could be bound to libc; they set some 100 KiB at most. */
    printf("%s\n", most < 1 << 20 ? "small" : "large");
    from_jvm = 0;
    for (int i = 0; vm >= 0 && i < 200; i++) { /* a heap of a few megabytes meets the collector meanwhile */
        close(vm);
        vm = ioctl(kvm, KVM_CREATE_VM, 0);
    }
    printf("%ld\n", (long)from_jvm);
    return vm < 0;
}
