#!/bin/sh
# usage: benchmarks/nested/run.sh FOLDER [ROUNDS] - how long KVM's dirty_log_perf_test takes in a hypervisor in QEMU, on Slate and under QEMU's
# own translator (TCG), in turns; so that its guests are a guest's guests. FOLDER is for the parts, which are fetched or built:
# build/machines/parts has them after `./slate conformance machines`, and KVM's selftests must be built (`./slate conformance selftests`).
#
# For each round, each of the two and each load: the seconds by the hypervisor's clock. Then their medians, and the quotient.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
machines=$here/../../conformance/machines
mkdir -p "$1"
folder=$(cd "$1" && pwd)
rounds=${2-3}
for part in qemu kvm-host nested-initrd; do
  reason=$(sh "$machines/part.sh" "$folder" "$part") || {
    echo "run.sh: $part: $reason" >&2
    exit 1
  }
done
figures=$(mktemp)
trap 'rm -f "$figures"' EXIT

machine() { # label, accelerator, what runs it
  label=$1
  accelerator=$2
  shift 2
  timeout 900 "$@" "$folder/qemu" -accel "$accelerator" -m 1024 -nodefaults -display none -serial stdio -no-reboot -M q35 \
    -cpu EPYC,vendor=AuthenticAMD,+svm,+npt,+nrip-save,+vmcb-clean -kernel "$folder/kvm-host/vmlinuz" -initrd "$folder/nested-initrd" \
    -append 'console=ttyS0 panic=-1 npt=1 load=measured' 2>&1 </dev/null | tr -d '\r' |
    awk -v label="$label" '/^ENDED/ { load++; if ($4 != "0,") exit 1; printf "%s %d %.2f\n", label, load, $8 - $6 } END { exit load != 2 }' |
    tee -a "$figures"
}

echo "load 1: dirty_log_perf_test -v 4 -b 64M -i 3; load 2: -v 64 -x 64 -b 4M -i 3"
round=0
while [ "$round" -lt "$rounds" ]; do
  machine TCG tcg env
  machine Slate kvm "$here/../../slate" run --quiet --set nested=on --set cpu.vendor=amd --
  round=$((round + 1))
done
sort -k1,2 -k3n "$figures" | awk '
  { n[$1 " " $2]++; at[$1 " " $2, n[$1 " " $2]] = $3 }
  END {
    for (load = 1; load <= 2; load++) {
      tcg = "TCG " load; slate = "Slate " load
      if (!n[tcg] || n[tcg] != n[slate]) { print "a machine did not end well"; exit 1 }
      a = at[tcg, int((n[tcg] + 1) / 2)]; b = at[slate, int((n[slate] + 1) / 2)]
      printf "load %d: TCG %.2f s, Slate %.2f s, quotient %.2f\n", load, a, b, b / a
    }
  }'
