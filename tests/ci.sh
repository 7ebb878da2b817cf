#!/bin/sh
# Runs the recipes of docs/ci.md, each line that begins with ./slate, bwrap or unshare, from the root of this tree.
#
#   tests/ci.sh [WORD]...     only those lines that hold every WORD
#
# A recipe whose sandbox this machine does not allow is skipped, by name. Ends with 1 when one fails, or ran without Slate.
set -eu
. "$(dirname "$0")/common.sh"
case ${1-} in
--help | -h)
  show_help
  exit 0
  ;;
-*) wrong "unknown option $1" ;;
esac
cd "$(dirname "$0")/.."
log=$(mktemp)
lines=$(mktemp)
trap 'rm -f "$log" "$lines"' EXIT
sed -n 's/ *# .*//; /^\(\.\/slate\|bwrap\|unshare\) /p' docs/ci.md >"$lines"
failed=0
ran=0
while IFS= read -r line; do
  for word in "$@"; do case $line in *"$word"*) ;; *) continue 2 ;; esac done
  case $line in
  bwrap*)
    bwrap --unshare-all --ro-bind / / --dev /dev --proc /proc true 2>/dev/null || {
      echo "skipped, needs bwrap with user namespaces (apt-get install bubblewrap): $line"
      continue
    }
    ;;
  unshare*)
    unshare -Ur true 2>/dev/null || {
      echo "skipped, needs user namespaces: $line"
      continue
    }
    ;;
  esac
  begin=$(date +%s)
  status=0
  sh -c "$line" >"$log" 2>&1 </dev/null || status=$?
  # The selftests' runner counts itself whether Slate ran a row.
  if [ "$status" = 0 ] && grep -qE 'this is Slate|^As expected' "$log"; then
    echo "ok, $(($(date +%s) - begin)) s: $line"
  else
    echo "FAILED with $status: $line"
    tail -n 20 "$log"
    failed=1
  fi
  ran=$((ran + 1))
done <"$lines"
[ "$ran" != 0 ] || wrong "no recipe holds $*"
exit $failed
