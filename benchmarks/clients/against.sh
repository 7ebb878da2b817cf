#!/bin/sh
# usage: benchmarks/clients/against.sh OTHER [ROUNDS] - what a client's start and an exit to it cost, in turns, in processor time: with another
# checkout of Slate (built), with this one, with this one when the client is linked statically, and there by system calls that no loader can rewrite.
# "exit" is of the first 200,000, "steady" of as many that begin two million later. Prints the medians and the medians of the pairs' quotients.
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

# start KIND TREE PROGRAM: ms; exits KIND TREE PROGRAM [instruction]: ns
start() {
  "$2/slate" run --quiet -- "$out/$3" 1 | sed -n "s/^processor  *best *\([0-9.]*\) .*/$1 start \1/p" >>"$measured"
}
exits() {
  kind=$1 tree=$2 program=$3
  shift 3
  "$tree/slate" run --quiet -- "$out/$program" 20000 "$@" |
    sed -n -e "s/^port read and back (KVM_RUN)  *best *\([0-9.]*\) .*/$kind exit \1/p" \
      -e "s/^port read, 2 million later  *best *\([0-9.]*\) .*/$kind steady \1/p" >>"$measured"
}
this=$here/../..
# Not every machine can run them; the first says why.
static=yes
"$this/slate" run --quiet -- "$out/start-up-static" 1 >/dev/null || static=
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
  if [ -n "$static" ]; then
    start static "$this" start-up-static
    exits static "$this" exit-latency-static
    exits trapping "$this" exit-latency-static instruction
  fi
  round=$((round + 1))
done
awk "$(cat "$here/pairs.awk")"'
  function line(what, who, unit, by) {
    printf "%-6s %-9s", what, who
    if (!measured(who, what)) printf " not measured\n"
    else {
      printf " %9.1f %s", of(who, what), unit
      if (by != "") printf "   %.3f of %s", quotient(who, by, what), by
      printf "\n"
    }
  }
  END {
    line("start", "other", "ms"); line("start", "this", "ms", "other"); line("start", "static", "ms", "this")
    exits = split("exit steady", whats)
    for (i = 1; i <= exits; i++) {
      line(whats[i], "other", "ns"); line(whats[i], "this", "ns", "other")
      line(whats[i], "static", "ns", "this"); line(whats[i], "trapping", "ns", "static")
    }
  }' "$measured"
