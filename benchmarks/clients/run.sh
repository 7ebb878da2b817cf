#!/bin/sh
# usage: benchmarks/clients/run.sh - builds the C clients beside this script and measures start-up and exits on Slate.
set -eu
here=$(dirname "$(readlink -f "$0")")
out=$here/../target/clients
mkdir -p "$out"
for name in start-up exit-latency; do
  "${CC:-cc}" -O2 -Wall -o "$out/$name" "$here/$name.c"
done
echo "A client that creates a VM with four vCPUs and exits:"
"$here/../../slate" run --quiet -- "$out/start-up"
echo "A call, in processor time of the calling thread:"
"$here/../../slate" run --quiet -- "$out/exit-latency"
