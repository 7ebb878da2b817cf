#!/bin/sh
# usage: benchmarks/clients/first-second.sh [ROUNDS] - how long a guest of some 200 million instructions takes from the start of its client to the
# client's end: loops of guests/cpu-loops in a small client on Slate (examples/run-guest.c), in QEMU on Slate, and in QEMU on its own translator
# (TCG), in turns. Nothing is warm but the files. Prints the medians, and the medians of the pairs' quotients, Slate's by TCG's.
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
out=$here/../target/clients
mkdir -p "$out"
"$root/guests/build.sh" "$out/guests" cpu-loops reset-rom
"${CC:-cc}" -O2 -o "$out/run-guest" "$root/examples/run-guest.c"
# Name, number and rounds of a loop.
loops='sieve:0:11 hash-scatter:1:10 crc32:3:21 float:4:25 quicksort:6:12 bytecode:8:9 sha256:9:3 strings:11:61'
mib=72

qemu() { # kvm or tcg, number, rounds
  set -- "$1" -device "loader,addr=0x8000,data=$((mib << 20)),data-len=8" -device "loader,addr=0x8008,data=$2,data-len=8" \
    -device "loader,addr=0x8010,data=$3,data-len=8"
  accel=$1
  shift
  set -- qemu-system-x86_64 -accel "$accel" -cpu max -M pc -m "${mib}M" -display none -nodefaults -no-reboot -bios "$out/guests/reset-rom.bin" \
    -device "loader,file=$out/guests/cpu-loops.bin,addr=0x100000,force-raw=on" "$@" \
    -chardev stdio,id=c -device isa-debugcon,iobase=0xe9,chardev=c -device isa-debug-exit,iobase=0xf4,iosize=4
  case $accel in kvm) set -- "$root/slate" run --quiet -- "$@" ;; esac
  "$@" </dev/null || [ $? = 1 ] # the guest's mark 0
}
small() { # number, rounds
  "$root/slate" run --quiet -- "$out/run-guest" --memory "$mib" "$out/guests/cpu-loops.bin" "$1" "$2"
}
taken() { # who, loop, command
  who=$1 name=$2
  shift 2
  begin=$(date +%s.%N)
  answer=$("$@")
  echo "$who $name $begin $(date +%s.%N) $answer" | awk '{ printf "%s %s %.3f\n", $1, $2, $4 - $3 }'
  [ "${answers#*"$name=$answer;"}" != "$answers" ] || case $answers in *"$name="*) wrong "$who gives another answer for $name: $answer" ;; esac
  answers="$answers$name=$answer;"
}
answers=
round=0
while [ "$round" -lt "$rounds" ]; do
  for loop in $loops; do
    name=${loop%%:*} number=${loop#*:}
    turns=${number#*:} number=${number%:*}
    taken small "$name" small "$number" "$turns"
    taken kvm "$name" qemu kvm "$number" "$turns"
    taken tcg "$name" qemu tcg "$number" "$turns"
  done
  round=$((round + 1))
done >"$out/first-second.txt"
awk "$(cat "$here/pairs.awk")"'
  BEGIN { n = split("'"$(echo "$loops" | sed 's/:[^ ]*//g')"'", loop, " "); printf "%-14s %14s %14s %10s   small and QEMU by TCG\n", "seconds", "small client", "QEMU", "TCG" }
  END {
    for (i = 1; i <= n; i++) {
      small = quotient("small", "tcg", loop[i]); qemu = quotient("kvm", "tcg", loop[i])
      printf "%-14s %14.2f %14.2f %10.2f   %.2f, %.2f\n", loop[i], of("small", loop[i]), of("kvm", loop[i]), of("tcg", loop[i]), small, qemu
      smalls += log(small); qemus += log(qemu)
    }
    printf "%-14s %41s   %.2f, %.2f\n", "geometric mean", "", exp(smalls / n), exp(qemus / n)
  }' "$out/first-second.txt"
