#!/bin/sh
# usage: benchmarks/clients/against.sh OTHER [ROUNDS] - what a client's start and an exit to it cost, in turns, in processor time: with another
# checkout of Slate (built), with this one, with this one when the client is linked statically, and there by system calls that no loader can rewrite.
# Prints the medians and the medians of the pairs' quotients.
set -eu
here=$(dirname "$(readlink -f "$0")")
. "$here/../../tests/common.sh"
case ${1-} in --help | -h)
  show_help
  exit 0
  ;;
esac
[ -x "${1-}/slate" ] || wrong "'${1-}' is no checkout of Slate: it has no ./slate"
other=$(readlink -f "$1")
rounds=${2:-15}
out=$here/../target/clients
mkdir -p "$out"
for name in start-up exit-latency; do
  "${CC:-cc}" -O2 -w -o "$out/$name" "$here/$name.c"
  "${CC:-cc}" -O2 -w -static -o "$out/$name-static" "$here/$name.c"
done
measured=$out/against.txt
: >"$measured"

# start KIND TREE PROGRAM: ms; an exit: ns
start() {
  "$2/slate" run --quiet -- "$out/$3" 1 | sed -n "s/^processor  *best *\([0-9.]*\) .*/start $1 \1/p" >>"$measured"
}
exits() {
  kind=$1 tree=$2 program=$3
  shift 3
  "$tree/slate" run --quiet -- "$out/$program" 20000 "$@" |
    sed -n "s/^port read and back (KVM_RUN)  *best *\([0-9.]*\) .*/exit $kind \1/p" >>"$measured"
}
this=$here/../..
round=0
while [ "$round" -lt "$rounds" ]; do
  if [ $((round % 2)) = 0 ]; then
    start other "$other" start-up
    start this "$this" start-up
    exits other "$other" exit-latency
    exits this "$this" exit-latency
  else
    start this "$this" start-up
    start other "$other" start-up
    exits this "$this" exit-latency
    exits other "$other" exit-latency
  fi
  start static "$this" start-up-static
  exits static "$this" exit-latency-static
  exits trapping "$this" exit-latency-static instruction
  round=$((round + 1))
done
awk '
  function median(list, n,   i, j, t) {
    for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
  }
  function line(what, kind, unit, of,   i, n) {
    n = count[what, kind]
    for (i = 1; i <= n; i++) one[i] = value[what, kind, i]
    printf "%-6s %-9s %9.1f %s", what, kind, median(one, n), unit
    if (of != "") {
      for (i = 1; i <= n; i++) one[i] = value[what, kind, i] / value[what, of, i]
      printf "   %.3f of %s", median(one, n), of
    }
    printf "\n"
  }
  { value[$1, $2, ++count[$1, $2]] = $3 }
  END {
    line("start", "other", "ms"); line("start", "this", "ms", "other"); line("start", "static", "ms", "this")
    line("exit", "other", "ns"); line("exit", "this", "ns", "other"); line("exit", "static", "ns", "this"); line("exit", "trapping", "ns", "static")
  }' "$measured"
