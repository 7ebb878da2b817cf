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

static _Atomic long from_jvm;
static __thread int looking;

static void count(const void *caller) {
    Dl_info info;
    if (looking) return;
    looking = 1;
    if (dladdr(caller, &info) && strstr(info.dli_fname, "libjvm.so")) from_jvm++;
    looking = 0;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((volatile uint8_t *)to)[i] = (uint8_t)value;
    count(__builtin_return_address(0));
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
    printf("%ld\n", (long)from_jvm);
    return vm < 0;
}
