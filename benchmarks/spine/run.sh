#!/bin/sh
# The main job's speed and memory, side by side in one run with a plain C loop that touches the same memory (SPECIFICATION.md).
#
#   benchmarks/spine/run.sh [ROUNDS] [FOLDER-OF-SELFTESTS]
#
# ROUNDS (default 7) interleaved rounds; each figure is printed as median (minimum to maximum). Absolute times drift on shared
# machines: the ratios to the C loop of the same run are what counts. The folder of the selftests' binaries is by default where
# `slate conformance selftests` builds them.
set -eu
root=$(dirname "$(readlink -f "$0")")/../..
rounds=${1:-7}
tests=${2:-$root/build/selftests/bin}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -x "$tests/dirty_log_perf_test" ] || {
  echo "run.sh: no dirty_log_perf_test in $tests; build the selftests with: ./slate conformance selftests --filter dirty_log_perf_test" >&2
  exit 1
}
cc -O2 -o "$work/client" "$root/benchmarks/spine/client.c"
"$root/slate" build
slate() { "$root/slate" run --quiet -- "$@"; }

seconds() { sed -n "s/^$1: *\([0-9.]*\)s.*/\1/p" "$work/log" | head -n 1; }

i=0
while [ $i -lt "$rounds" ]; do
  i=$((i + 1))
  printf '\rround %d of %d ' $i "$rounds" >&2
  "$work/client" touch 256 >>"$work/touch"
  "$work/client" timed "$root/slate" run --quiet -- "$tests/dirty_log_perf_test" -v 4 -b 64M -i 3 >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
  }
  seconds 'Populate memory time' >>"$work/populate"
  seconds 'Iteration 2 dirty memory time' >>"$work/dirty"
  sed -n 's/^timed \([0-9.]*\) .*/\1/p' "$work/log" >>"$work/command"
  "$work/client" timed "$root/slate" run --quiet -- "$work/client" create 1 2>&1 >/dev/null | sed -n 's/^timed \([0-9.]*\) .*/\1/p' >>"$work/create"
  slate "$work/client" exits 100000 >>"$work/exits"
  slate "$work/client" create 4 >>"$work/four"
  slate "$work/client" create 260 >>"$work/many"
  "$work/client" empty >>"$work/empty"
done
printf '\r                  \r' >&2

sort_n() { sort -n "$work/$1"; }
median() { sort_n "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
row() { # label, file, factor, unit, limit
  awk -v m="$(median "$2")" -v lo="$(sort_n "$2" | head -n 1)" -v hi="$(sort_n "$2" | tail -n 1)" -v f="$3" -v label="$1" -v unit="$4" -v limit="$5" \
    'BEGIN {printf "%-52s %10.2f %-6s (%.2f to %.2f)%s\n", label, m * f, unit, lo * f, hi * f, limit == "" ? "" : "   limit " limit}'
}
ratio() { awk -v a="$(median "$1")" -v b="$(median "$2")" -v f="$3" 'BEGIN {printf "%.2f", a * f / b}'; }

echo "dirty_log_perf_test -v 4 -b 64M -i 3 (65,536 pages), $rounds rounds, $(nproc) CPUs"
row 'plain C loop, fresh page' touch 1 ns ''
row 'populate, a page' populate 15258.79 ns ''
echo "$(printf '%-52s %10s' 'populate : C loop' "$(ratio populate touch 15258.79)") x                        limit 4 x"
row 'dirty pass (iteration 2), a page' dirty 15258.79 ns '1500 ns'
row 'the whole command' command 1 ms '1500 ms'
row 'a client that creates a VM, runs to one exit, ends' create 1 ms '250 ms'
row 'in/out round trip' exits 1 ns '300 ns'
row 'resident beyond the client, 4 vCPUs' four 0.0009765625 MiB '200 MiB (client itself below)'
row 'the client itself, without Slate' empty 0.0009765625 MiB ''
echo "$(printf '%-52s %10s' 'bytes per extra vCPU (260 against 4, each has run)' "$(awk -v a="$(median many)" -v b="$(median four)" 'BEGIN {printf "%.0f", (a - b) * 1024 / 256}')")"
