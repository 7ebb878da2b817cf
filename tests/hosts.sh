#!/bin/sh
# Runs `slate test` as it would run on other machines, each on a fresh clone of HEAD. Needs root, git and unshare.
#
#   tests/hosts.sh [--keep] [--test 'MAVEN-OPTION...'] [HOST[,HOST]...]...
#
# A HOST is a list, joined by commas, of
#   root         as root, with what is installed here (nothing else: no change)
#   user         an ordinary user whose HOME, in the environment and in the user database, cannot be written
#   multilib     with gcc-multilib
#   no-multilib  without it
#   bare         without objdump, pahole, dwz, gdb, nasm, g++, MPFR, curl and wget
#   no-headers   without linux/kvm.h
#   one-core     on one processor
#   load         beside eight busy loops
#   turkish      LANG=tr_TR.UTF-8, made here
#   offline      with no network but the loopback
#   no-ldt       modify_ldt(2) refused with ENOSYS, as a kernel without it does
#   no-huge      without transparent huge pages
# Without a HOST the matrix below runs: every kind once, those that do not get in each other's way together.
# Packages come and go in an overlay that this script's mount namespace alone sees; nothing of the machine is changed.
# Prints a line for each HOST and ends with 1 when one of them failed. What cannot be made here is another processor.
set -eu

matrix="root,no-multilib user,multilib,turkish,offline bare,no-ldt,no-huge one-core load no-headers,user"
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/common.sh"
keep=
options=
while [ $# -gt 0 ]; do
  case $1 in
  --keep) keep=1 ;;
  --test)
    options=$2
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
need_root

has() { case ,$host, in *,"$1",*) return 0 ;; *) return 1 ;; esac }

# apt-get with its lists and files in folder $1: they are fetched while there is a network, and the machine's stay as they are.
debian() {
  apt=$1
  shift
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o Dir::State::lists="$apt/lists" \
    -o Dir::Cache::archives="$apt/files" -o APT::Sandbox::User=root "$@"
}

# ------------------------------------------------------- in the mount namespace of one HOST
if [ "${1-}" = --inside ]; then
  host=$2
  work=$3
  options=$4
  for folder in usr etc var; do
    layer "/$folder" "/$folder" "$work/layer/$folder"
  done
  if has multilib; then
    debian "$work/../apt" install gcc-multilib >"$work/apt.log" 2>&1 || fail "gcc-multilib cannot be installed: $(tail -n 3 "$work/apt.log")"
    echo 'int main(void) { return 0; }' | cc -m32 -xc -o "$work/32" -
  fi
  if has no-multilib; then rm -rf /usr/include/i386-linux-gnu /usr/include/gnu /usr/lib32 /usr/lib/gcc/*/*/32; fi
  if has bare; then
    for tool in objdump pahole dwz gdb nasm g++ c++ curl wget qemu-system-x86_64; do rm -f /usr/bin/$tool /usr/local/bin/$tool; done
    rm -f /usr/bin/*-linux-gnu-objdump /usr/include/mpfr.h /usr/include/*/mpfr.h
  fi
  if has no-headers; then rm -f /usr/include/linux/kvm.h; fi
  runner=$work/as-host
  cc -O1 -o "$runner" "$root/tests/as-host.c"
  set --
  if has no-ldt; then set -- "$@" no-ldt; fi
  if has no-huge; then set -- "$@" no-huge; fi
  if has turkish; then
    mkdir -p "$work/locale"
    localedef -i tr_TR -f UTF-8 "$work/locale/tr_TR.UTF-8"
    LOCPATH=$work/locale
    LANG=tr_TR.UTF-8
    LC_ALL=
    export LOCPATH LANG LC_ALL
    unset LC_ALL
    [ "$(locale decimal_point 2>/dev/null)" = , ] || fail "there is no Turkish locale here (apt-get install locales)"
  fi
  if has offline; then ip link set lo up 2>/dev/null || ifconfig lo up; fi
  set -- "$runner" "$@" --
  if has one-core; then set -- taskset -c 0 "$@"; fi
  if has user; then
    useradd --no-create-home --home-dir /nonexistent --shell /bin/sh slate-guest
    chown -R slate-guest "$work/../clone"
    HOME=/nonexistent
    export HOME
    set -- setpriv --reuid=slate-guest --regid=slate-guest --clear-groups "$@"
  fi
  if has load; then
    for i in 1 2 3 4 5 6 7 8; do
      (while :; do :; done) &
      busy="${busy-} $!"
    done
    # shellcheck disable=SC2064 # now
    trap "kill $busy" EXIT
  fi
  cd "$work/../clone"
  # Standard input is no terminal, and nothing is installed: the machine is as it is.
  status=0
  # shellcheck disable=SC2086 # options of Maven
  SLATE_NO_INSTALL=1 "$@" ./slate test $options </dev/null || status=$?
  exit $status
fi

# ------------------------------------------------------- outside
[ $# -gt 0 ] || set -- $matrix
failed=0
for host in "$@"; do
  for word in $(echo "$host" | tr , ' '); do
    case $word in root | user | multilib | no-multilib | bare | no-headers | one-core | load | turkish | offline | no-ldt | no-huge) ;; *)
      wrong "there is no kind of host $word"
      ;;
    esac
  done
  work=$(mktemp -d "${TMPDIR:-/tmp}/slate-host.XXXXXX")
  chmod 755 "$work"
  # An overlay's upper folder may not lie on an overlay, which a container's disk often is.
  mkdir "$work/up"
  mount -t tmpfs tmpfs "$work/up" 2>/dev/null || true
  git clone -q "$root" "$work/clone"
  if has user; then
    # What is fetched once is there: copied, since the user cannot read ours.
    mkdir -p "$work/clone/build"
    cp -r "${HOME:?}/.m2" "$work/clone/build/m2"
  fi
  if has multilib; then
    mkdir -p "$work/apt/lists/partial" "$work/apt/files/partial"
    { debian "$work/apt" update && debian "$work/apt" --download-only install gcc-multilib; } >"$work/log" 2>&1 || {
      echo "$host: gcc-multilib cannot be fetched: $(tail -n 3 "$work/log")"
      failed=1
      umount "$work/up" 2>/dev/null || true
      continue
    }
  fi
  unshare=--mount
  if has offline; then unshare="--mount --net"; fi
  begin=$(date +%s)
  status=0
  # shellcheck disable=SC2086 # two words
  unshare $unshare sh "$0" --inside "$host" "$work/up" "$options" >"$work/log" 2>&1 || status=$?
  summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/log" | tail -n 1)
  echo "$host: ${summary:-no test ran}, $(($(date +%s) - begin)) s$([ "$status" = 0 ] || echo "; status $status, see $work/log")"
  sed -n '/^Skipped, for/,/^$/s/^/    /p; /^Failed:/,/^$/s/^/    /p' "$work/log"
  if [ "$status" = 0 ] && [ -n "$summary" ]; then [ -n "$keep" ] || { umount "$work/up" 2>/dev/null || true; rm -rf "$work"; }; else
    failed=1
    umount "$work/up" 2>/dev/null || true
  fi
done
exit $failed
