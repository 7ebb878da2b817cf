#!/bin/sh
# usage: benchmarks/clients/run.sh - builds the C clients beside this script and measures start-up and exits on Slate.
set -eu
here=$(dirname "$(readlink -f "$0")")
out=$here/../target/clients
mkdir -p "$out"
for name in start-up exit-latency interrupts; do
  "${CC:-cc}" -O2 -Wall -pthread -o "$out/$name" "$here/$name.c"
done
echo "A client that creates a VM with four vCPUs and exits:"
"$here/../../slate" run --quiet -- "$out/start-up"
echo "A call, in processor time of the calling thread:"
"$here/../../slate" run --quiet -- "$out/exit-latency"
echo "Interrupts, ioeventfds and timers, in ns: best, median:"
"$here/../../slate" run --quiet -- "$out/interrupts"
