#!/bin/sh
# Takes the packages of `slate dist` to a bare Debian 12. Needs root, debootstrap and a mirror; nothing of this machine is changed.
#
#   tests/dist.sh [--reproduce] [--root FOLDER] [PACKAGES]
#
#   PACKAGES     a folder with one archive and one Debian package; without it they are made
#   --reproduce  make them once more from a clone elsewhere, and compare the bytes
#   --root       a bare root that is there, or is to be made and kept there
#
# Shows, each in a line: an ordinary user without HOME runs the demo and a client of his own from a read-only folder with a /tmp of 1 MB;
# the package is installed, upgraded and removed without a rest; sizes; a start takes its classes from the cache, and how it compares with the
# checkout's, in pairs.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/tests/common.sh"
reproduce=
bare=
while [ $# -gt 0 ]; do
  case $1 in
  --reproduce) reproduce=1 ;;
  --root)
    bare=$2
    shift
    ;;
  --help | -h)
    show_help
    exit 0
    ;;
  --inside) break ;; # below
  -*) wrong "unknown option $1" ;;
  *) break ;;
  esac
  shift
done

# The files in two archives that are not the same.
differing() { # folder, folder
  for folder in "$@"; do
    mkdir "$work/differing" && tar -C "$work/differing" -xf "$folder"/*.tar.gz
    (cd "$work/differing" && find . -type f -exec sha256sum {} + | sort)
    rm -r "$work/differing"
  done | sort | uniq -u | cut -d ' ' -f 3- | sort -u | tr '\n' ' '
}

ms() { echo $(($(date +%s%N) / 1000000)); }

# ------------------------------------------------------- in a mount namespace
if [ "${1-}" = --inside ]; then
  bare=$2
  packages=$3
  work=$4
  client=$5
  # The machine is as it was made: what is installed goes into a layer above it.
  mount -t tmpfs tmpfs "$work"
  root=$work/root
  layer "$bare" "$root" "$work/layer"
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o size=1m,mode=1777 tmpfs "$root/tmp"
  rm -f "$root/dev/null"
  mknod -m 666 "$root/dev/null" c 1 3
  in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
  as_user() { in_root setpriv --reuid=12345 --regid=12345 --clear-groups "$@"; }
  for tool in java cc mvn; do in_root sh -c "command -v $tool" >/dev/null && fail "the root has $tool"; done

  mkdir -p "$root/opt/slate" "$root/packages"
  tar -C "$root/opt/slate" -xf "$packages"/slate-*-linux-x64.tar.gz
  mount --bind "$root/opt/slate" "$root/opt/slate"
  mount -o remount,ro,bind "$root/opt/slate"
  slate=$(cd "$root" && ls -d opt/slate/slate-*/slate)
  as_user "/$slate" --version
  as_user "/$slate" doctor >/dev/null || fail "doctor finds something missing"
  begin=$(ms)
  as_user "/$slate" demo >"$work/demo" 2>&1 || fail "the demo failed: $(cat "$work/demo")"
  grep -q '78498 primes' "$work/demo" && grep -q 'this is Slate' "$work/demo" || fail "the demo said: $(cat "$work/demo")"
  echo "demo, read-only folder, ordinary user, no HOME, /tmp of 1 MB: $(($(ms) - begin)) ms"
  cp "$client" "$root/packages/client"
  begin=$(ms)
  as_user "/$slate" run -- /packages/client child 2>"$work/run" || fail "the client failed: $(cat "$work/run")"
  grep -q 'this is Slate' "$work/run" || fail "the client did not run on Slate"
  echo "slate run -- ./client: $(($(ms) - begin)) ms"
  as_user "/$slate" knobs | grep -q '^tdp ' || fail "slate knobs"
  as_user "/$slate" lab list >/dev/null || fail "slate lab list"
  rm -rf "$root/tmp/slate-12345" # the statistics of running machines
  [ -z "$(ls -A "$root/tmp")" ] || fail "/tmp holds $(ls "$root/tmp")"
  packed=$(($(stat -c %s "$packages"/slate-*-linux-x64.tar.gz) / 1000000))
  unpacked=$(du -sm "$root/opt/slate" | cut -f 1)
  echo "packed $packed MB, on disk $unpacked MB"
  [ "$packed" -le 60 ] && [ "$unpacked" -le 140 ] || fail "at most 60 MB packed and 140 MB on disk are promised"

  list() { (cd "$root" && find etc usr var opt bin sbin lib -xdev ! -path 'var/lib/dpkg/*' ! -path 'var/log/*' ! -path 'var/cache/*' | sort); }
  deb=$(ls "$packages"/slate_*_amd64.deb)
  cp "$deb" "$root/packages/old.deb"
  dpkg-deb -R "$deb" "$work/new"
  sed -i 's/^Version: .*/Version: 999.0/' "$work/new/DEBIAN/control"
  echo new >"$work/new/usr/lib/slate/only-in-new"
  rm "$work/new/usr/lib/slate/CHANGELOG.md"
  dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/new" "$root/packages/new.deb" >/dev/null
  list >"$work/before"
  in_root dpkg -i /packages/old.deb >/dev/null
  as_user slate run -- /packages/client child 2>/dev/null || fail "the installed package does not run"
  in_root dpkg --verify slate || fail "files that are not the package's"
  in_root dpkg -i /packages/new.deb >/dev/null
  [ -e "$root/usr/lib/slate/only-in-new" ] && [ ! -e "$root/usr/lib/slate/CHANGELOG.md" ] || fail "the upgrade left the old files"
  as_user slate run -- /packages/client child 2>/dev/null || fail "the upgraded package does not run"
  in_root dpkg --purge slate >/dev/null
  list >"$work/after"
  cmp "$work/before" "$work/after" || fail "left behind: $(diff "$work/before" "$work/after")"
  echo "package: installed, ran, upgraded, ran, removed; nothing is left"
  exit 0
fi

# ------------------------------------------------------- outside
need_root
work=$(mktemp -d "${TMPDIR:-/tmp}/slate-dist-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
packages=${1:-}
if [ -z "$packages" ]; then
  packages=$work/packages # where no older ones lie
  "$here/slate" dist --output "$packages"
fi
packages=$(cd "$packages" && pwd)
if [ -n "$reproduce" ]; then
  git clone -q "$here" "$work/clone"
  (cd "$work/clone" && ./slate dist --output "$work/again")
  for file in "$packages"/*.tar.gz "$packages"/*.deb; do
    cmp "$file" "$work/again/${file##*/}" || fail "two builds differ: $(differing "$packages" "$work/again")"
  done
  echo "two builds, the same bytes"
fi
if [ -z "$bare" ]; then bare=$work/bare; fi
[ -d "$bare/usr" ] || debootstrap --variant=minbase bookworm "$bare" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" ||
  { tail "$work/debootstrap.log" && exit 1; }
"${CC:-cc}" -O2 -o "$work/client" "$here/benchmarks/clients/start-up.c"
mkdir "$work/inside"
unshare --mount sh "$0" --inside "$bare" "$packages" "$work/inside" "$work/client"

mkdir "$work/here"
tar -C "$work/here" -xf "$packages"/slate-*-linux-x64.tar.gz
there=$(ls "$work"/here/slate-*/slate)
options=$(dirname "$there")/lib/jvm.options
cp "$options" "$work/options"
echo "-Xlog:class+load=info,exceptions=info:file=$work/classes" >>"$options"
"$there" run --quiet -- "$work/client" child
cp "$work/options" "$options"
[ "$(grep -c 'shared objects file' "$work/classes")" -gt 1000 ] || fail "a start does not take its classes from the cache"
# One of MemoryLayout.structLayout's is written at each start, though the cache has it.
if grep Lambda "$work/classes" | grep -v -e 'shared objects file' -e 'MemoryLayout\$\$Lambda'; then
  fail "a start writes these classes, which the cache should hold"
fi
echo "a start writes no class that the cache should hold"
# Of a jar that is not where the cache says, Java asks once more with each class (device/native/bindings.c).
if grep "<a 'java/nio/file/NoSuchFile" "$work/classes" | head -n 3 | grep .; then fail "a start looks for jars where the cache was made"; fi

# Starts in turn, so that what else the machine does falls on both.
cost() { "$1" run --quiet -- "$work/client" 5 | awk '/processor/ { print $6 }'; }
pair=0
while [ $pair -lt 12 ]; do
  echo "$(cost "$here/slate") $(cost "$there")"
  pair=$((pair + 1))
done | awk '{ print $2 / $1, $2, $1 }' | sort -n | awk '{ r[NR] = $1; line[NR] = $2 " ms packed, " $3 " ms in the checkout" } END {
  printf "processor time of a start, the middle pair of %d: %s, %.2f\n", NR, line[int(NR / 2)], r[int(NR / 2)]
  exit r[int(NR / 2)] > 1 }'
