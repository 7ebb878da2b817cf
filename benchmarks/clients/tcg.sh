#!/bin/sh
# usage: benchmarks/clients/tcg.sh [ROUNDS [CPU]] - Debian's cloud kernel under QEMU, on Slate and on QEMU's own translator (TCG), one after the other:
# the time to /init, the whole time to power-off and the processor time of all of it, with one processor and with four; what a virtio disk gives
# past the guest's page cache, its bytes being in the host's; and what Debian's xz, python3, gcc, a script that runs 120 programs and openssl take in the guest, with -cpu max.
# CPU is the guest's processor for all but these programs, qemu64,vendor=AuthenticAMD unless given: that is TCG's qemu64, the same for both. Left
# to itself QEMU names the host's maker under -accel kvm, and on an Intel host Linux then keeps its page tables apart on Slate and not on TCG.
# Prints the medians, and the medians of the pairs' quotients, Slate's by TCG's.
set -eu
here=$(dirname "$(readlink -f "$0")")
root=$here/../..
. "$root/tests/common.sh"
case ${1-} in --help | -h)
  show_help
  exit 0
  ;;
esac
rounds=${1:-5}
case $rounds in *[!0-9]* | 0) wrong "'$rounds' is no number of rounds" ;; esac
cpu=${2:-qemu64,vendor=AuthenticAMD}
parts=$root/build/machines/parts
for part in qemu cloud-kernel initrd disk-kernel disk-initrd programs-initrd; do
  sh "$root/conformance/machines/part.sh" "$parts" "$part"
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
head -c 1G /dev/urandom >"$folder/disk"

qemu() { # kvm or tcg, further arguments
  accel=$1
  shift
  set -- qemu-system-x86_64 -accel "$accel" -M q35 -cpu "$cpu" -m 256 -nodefaults -display none -serial stdio -no-reboot "$@"
  case $accel in kvm) set -- "$root/slate" run --quiet -- "$@" ;; esac
  "$@" </dev/null
}
# Lines WHO WHAT NUMBER go to the file of measurements. Times are the host's, and for the disk the guest's.
boot() { # kvm or tcg, processors
  begin=$(date +%s.%N)
  (
    qemu "$1" -smp "$2" -kernel "$parts/cloud-kernel" -initrd "$parts/initrd" -append 'console=ttyS0 panic=-1 quiet'
    times >"$folder/times"
    tail -n 1 "$folder/times" # the children's: user's, system's
  ) | while read -r word rest; do
    case $word in
    INIT-REACHED) echo "$1 /init-$2 $(date +%s.%N) $begin" ;;
    [0-9]*m*s) echo "$1 whole-$2 $(date +%s.%N) $begin" && echo "$1 processor-$2 ${word%s} ${rest%s}" ;;
    esac
  done | awk '
    function seconds(time,   part) { split(time, part, "m"); return 60 * part[1] + part[2] }
    { printf "%s %s %.3f\n", $1, $2, $2 ~ /^processor/ ? seconds($3) + seconds($4) : $3 - $4 }'
}
disk() { # kvm or tcg
  qemu "$1" -kernel "$parts/disk-kernel/vmlinuz" -initrd "$parts/disk-initrd" -append 'console=ttyS0 panic=-1 quiet does=disk' \
    -drive "file=$folder/disk,format=raw,if=none,id=d" -device virtio-blk-pci,drive=d |
    tr -d '\r' | awk -v who="$1" '/^DISK / { time = $10 - $8; printf "%s %s-%s %.3f\n", who, $2, $5, $5 == 4 ? $3 / time : $3 * $5 * 1024 / time / 1e6 }'
}
programs() { # kvm or tcg
  qemu "$1" -m 1536 -cpu max -kernel "$parts/cloud-kernel" -initrd "$parts/programs-initrd" -append 'console=ttyS0 panic=-1 quiet' |
    tr -d '\r' | awk -v who="$1" '
      /^PROGRAM .* from / { printf "%s %s %.3f\n", who, $2, $6 - $4 }
      /^SPEED / { printf "%s %s %.3f\n", who, $2, $3 / $4 }
      / fails / { print | "cat >&2" }'
}
round=0
while [ "$round" -lt "$rounds" ]; do
  if [ $((round % 2)) = 0 ]; then turn='kvm tcg'; else turn='tcg kvm'; fi
  for who in $turn; do
    boot "$who" 1
    boot "$who" 4
    disk "$who"
    programs "$who"
  done
  round=$((round + 1))
done >"$folder/measured"
awk "$(cat "$here/pairs.awk")"'
  function line(what, unit, text) {
    if (!measured("kvm", what) || !measured("tcg", what)) printf "%-34s not measured\n", text
    else printf "%-34s Slate %8.1f, TCG %8.1f %-4s  %.2f of TCG\n", text, of("kvm", what), of("tcg", what), unit, quotient("kvm", "tcg", what)
  }
  END {
    split("1 4", smp)
    for (i = 1; i <= 2; i++) {
      line("/init-" smp[i], "s", "cloud kernel to /init, -smp " smp[i])
      line("whole-" smp[i], "s", "to power-off, -smp " smp[i])
      line("processor-" smp[i], "s", "processor time, -smp " smp[i])
    }
    line("read-4", "/s", "virtio-blk, reads of 4 KiB")
    line("write-4", "/s", "virtio-blk, writes of 4 KiB")
    line("read-1024", "MB/s", "virtio-blk, reads of 1 MiB")
    line("write-1024", "MB/s", "virtio-blk, writes of 1 MiB")
    split("xz python3 gcc script", programs)
    for (i = 1; i <= 4; i++) for (turn = 1; turn <= 2; turn++) line(programs[i] "-" turn, "s", programs[i] (turn == 1 ? "" : ", once more"))
    line("sha256", "/s", "openssl, sha256 of 8 KiB")
    line("aes-128-cbc", "/s", "openssl, aes-128-cbc of 8 KiB")
  }' "$folder/measured"
