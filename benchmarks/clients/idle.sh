#!/bin/sh
# usage: benchmarks/clients/idle.sh [PROCESSORS] - what share of a core QEMU takes while its Linux guest, Debian's cloud kernel, does nothing:
# processor time of its process over 30 s, on Slate and on QEMU's own translator (TCG), three times each in turn.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$here/../..
processors=${1:-1}
parts=$root/build/machines/parts
for part in qemu cloud-kernel initrd; do
  sh "$root/conformance/machines/part.sh" "$parts" "$part"
done
console=$(mktemp /tmp/slate-idle.XXXXXX)
machine=
trap '[ -z "$machine" ] || kill -KILL $machine 2>/dev/null || :; rm -f "$console"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Busybox as the first program, which sleeps.
idle() { # accelerator, command in front
  accelerator=$1
  shift
  : >"$console"
  "$@" qemu-system-x86_64 -accel "$accelerator" -M q35 -smp "$processors" -m 256 -nodefaults -display none -serial "file:$console" \
    -kernel "$parts/cloud-kernel" -initrd "$parts/initrd" -append 'console=ttyS0 panic=-1 rdinit=/bin/busybox -- sleep 1000' </dev/null &
  machine=$!
  until grep -q 'Run /bin/busybox as init' "$console"; do
    kill -0 $machine
    sleep 0.5
  done
  # What the boot left to do in the guest and in the JVM.
  sleep 15
  before=$(ticks)
  sleep 30
  after=$(ticks)
  kill -KILL $machine
  wait $machine 2>/dev/null || :
  machine=
  awk -v n=$((after - before)) -v second="$(getconf CLK_TCK)" 'BEGIN { printf " %.2f %%", 100 * n / second / 30 }'
}
# User and system time of the process; its name, in parentheses, may hold anything.
ticks() {
  sed 's/.*) //' "/proc/$machine/stat" | cut -d' ' -f12,13 | tr ' ' '+' | xargs -I{} sh -c 'echo $(({}))'
}
slate= tcg=
for round in 1 2 3; do
  slate="$slate$(idle kvm "$root/slate" run --quiet --)"
  tcg="$tcg$(idle tcg)"
done
echo "An idle guest's share of a core, $processors processors: Slate$slate; TCG$tcg"
