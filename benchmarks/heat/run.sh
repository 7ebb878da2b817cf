#!/bin/sh
# usage: benchmarks/heat/run.sh FOLDER [ROUNDS] - what `slate heat` costs the guest that it watches: Debian's cloud kernel, booted by the small VMM
# of examples/boot-linux.c until its first program has done its work, interpreted (cpu.translator=off) and with the accesses to every kmem_cache
# counted, in turns. In processor time of the whole client. FOLDER is for the parts, as of `./slate conformance machines`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
slate=$here/../../slate
mkdir -p "$1"
folder=$(cd "$1" && pwd)
rounds=${2-3}
for part in kvm-host initrd exits-initrd boot-linux; do
  reason=$(sh "$here/../../conformance/machines/part.sh" "$folder" "$part") || {
    echo "run.sh: $part: $reason" >&2
    exit 1
  }
done
kernel=$folder/kvm-host/vmlinuz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

boot() { # first root file system, the text that ends it, what runs the VMM
  files=$1
  text=$2
  shift 2
  timeout 600 "$@" "$folder/boot-linux" "$kernel" "$files" 'console=ttyS0 panic=-1 nokaslr exits=0' "$text" </dev/null
}

measured() { # label, what runs the VMM
  label=$1
  shift
  times >"$work/before"
  boot "$folder/initrd" SHELL-OK "$@" >"$work/console" 2>&1 || {
    tail -n 5 "$work/console" >&2
    exit 1
  }
  times >"$work/after"
  awk -v label="$label" '
    function seconds(t) { split(t, part, /[ms]/); return part[1] * 60 + part[2] }
    FNR == 2 { at[++n] = seconds($1) + seconds($2) }
    END { printf "%s %.2f\n", label, at[2] - at[1] }' "$work/before" "$work/after" | tee -a "$work/figures"
  [ "$label" != counted ] || grep -ao 'slate: heat: [1-9].*' "$work/console" || {
    echo "run.sh: nothing was counted" >&2
    exit 1
  }
}

boot "$folder/exits-initrd" entry_SYSCALL_64 "$slate" run --quiet -- >"$work/symbols"
round=0
while [ "$round" -lt "$rounds" ]; do
  measured interpreted "$slate" run --quiet --set cpu.translator=off --
  measured counted "$slate" heat --set cpu.translator=off --output "$work/kmem_cache.heat" --symbols "$work/symbols" \
    --types "$kernel" --type kmem_cache --at kmem_cache_free:rdi --
  round=$((round + 1))
done
sort -k1,1 -k2n "$work/figures" | awk '
  { at[$1, ++n[$1]] = $2 }
  END {
    a = at["interpreted", int((n["interpreted"] + 1) / 2)]; b = at["counted", int((n["counted"] + 1) / 2)]
    printf "medians: interpreted %.1f s, counted %.1f s: %.2f of the speed\n", a, b, a / b
  }'
