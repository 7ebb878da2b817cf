#!/bin/sh
# linux-libc-dev 6.1.192-2 of Debian 12; any g++ and gcc (seen with 12.2.0).
#
# Expected: a header of the kernel's user interface means the same in C and in C++; many VMMs are C++.
# Seen: KVM's request numbers differ. A struct that ends in a flexible array has it wrapped together with an empty struct, which takes no byte in C
# and one in C++, so that the array begins one to eight bytes later and the struct is longer; the length is part of the request's number.
# Who meets it: every C++ client compiled with these headers. KVM has no such numbers and answers EINVAL, and in a request
# that arrived all the same the array would be looked for at another place than the client put it.
. "$(dirname "$0")/packages.sh"
for compiler in gcc g++; do
  command -v "$compiler" >/dev/null || { echo "$0: $compiler is not here: apt-get install g++" >&2; exit 2; }
done
packages linux-libc-dev=6.1.192-2

cat >numbers.c <<'C'
#include <stddef.h>
#include <stdio.h>
#include <linux/kvm.h>
#define SHOW(request, type, array) \
    printf("%-22s %08lx  array at %zu\n", #request, (unsigned long)request, offsetof(struct type, array))
int main(void) {
    SHOW(KVM_GET_SUPPORTED_CPUID, kvm_cpuid2, entries);
    SHOW(KVM_SET_CPUID2, kvm_cpuid2, entries);
    SHOW(KVM_GET_MSR_INDEX_LIST, kvm_msr_list, indices);
    SHOW(KVM_GET_MSRS, kvm_msrs, entries);
    SHOW(KVM_SET_SIGNAL_MASK, kvm_signal_mask, sigset);
    SHOW(KVM_SET_GSI_ROUTING, kvm_irq_routing, entries);
    return 0;
}
C
gcc -Iroot/usr/include -Iroot/usr/include/x86_64-linux-gnu -o in-c numbers.c
g++ -x c++ -Iroot/usr/include -Iroot/usr/include/x86_64-linux-gnu -o in-cxx numbers.c
./in-c >c.text
./in-cxx >cxx.text
seen "in C" "KVM_GET_SUPPORTED_CPUID c008ae05  array at 8
KVM_SET_CPUID2         4008ae90  array at 8
KVM_GET_MSR_INDEX_LIST c004ae02  array at 4
KVM_GET_MSRS           c008ae88  array at 8
KVM_SET_SIGNAL_MASK    4004ae8b  array at 4
KVM_SET_GSI_ROUTING    4008ae6a  array at 8" c.text
seen "in C++" "KVM_GET_SUPPORTED_CPUID c00cae05  array at 12
KVM_SET_CPUID2         400cae90  array at 12
KVM_GET_MSR_INDEX_LIST c008ae02  array at 8
KVM_GET_MSRS           c010ae88  array at 16
KVM_SET_SIGNAL_MASK    4008ae8b  array at 5
KVM_SET_GSI_ROUTING    4010ae6a  array at 16" cxx.text
