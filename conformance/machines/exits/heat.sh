#!/bin/sh
# Counts what exits touch in Debian's KVM, which runs as a hypervisor in QEMU on Slate: heat.sh FOLDER [EXITS [SPIN]]. FOLDER gets
# exits.heat. Of each kind there are EXITS exits (default: 1100); for interrupts the guest spins for SPIN times 2^32 cycles of its TSC (8).
# What it needs is fetched or built below FOLDER, as for `slate conformance machines`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
slate=$here/../../../slate
mkdir -p "$1"
folder=$(cd "$1" && pwd)
for part in qemu kvm-host exits-initrd; do
  reason=$(sh "$here/../part.sh" "$folder" "$part") || {
    echo "heat.sh: $part: $reason" >&2
    exit 1
  }
done
host=$folder/kvm-host

machine() { # what is given to the guest's first program
  "$@" "$folder/qemu" -accel kvm -m 512 -nodefaults -display none -serial stdio -no-reboot -M q35 \
    -cpu EPYC,vendor=AuthenticAMD,+svm,+npt,+nrip-save,+vmcb-clean -kernel "$host/vmlinuz" -initrd "$folder/exits-initrd" \
    -append "console=ttyS0 panic=-1 exits=$exits spin=$spin"
}

# A first boot says where the kernel's functions are; the second may have them elsewhere.
exits=0
spin=0
machine "$slate" run --set nested=on --set cpu.vendor=amd -- >"$folder/symbols"
exits=${2-1100}
spin=${3-8}
machine "$slate" heat --set nested=on --set cpu.vendor=amd --output "$folder/exits.heat" --symbols "$folder/symbols" \
  --base "$host/vmlinuz" --types "$host/kvm-amd.ko" \
  --type vcpu_svm --at kvm_amd:svm_vcpu_create:rdi \
  --type kvm_vcpu --at kvm_amd:svm_vcpu_create:rdi \
  --type kvm_vcpu_arch --at kvm_amd:svm_vcpu_create:rdi+kvm_vcpu.arch \
  --types "$host/kvm.ko" \
  --type kvm --at kvm:kvm_arch_init_vm:rdi \
  --type kvm_mmu_page --at kvm:tdp_mmu_init_sp:rdi \
  --type kvm_memory_slot --at kvm:kvm_arch_prepare_memory_region:rdx \
  --until kfree:rdi --until kmem_cache_free:rsi --until vfree:rdi --
"$slate" heat report "$folder/exits.heat"
