#!/bin/sh
# Writes an archive in cpio's newc form, which Linux unpacks as its first root file system, to standard output:
# cpio.sh NAME=FILE... puts each FILE there as NAME, executable, and makes the folders above it. Archives may be joined with cat.
# The form: Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
set -eu
LC_ALL=C # lengths are bytes
export LC_ALL

number=0
folders=

pad() { # to a multiple of four bytes after $1
  count=$(((4 - $1 % 4) % 4))
  [ $count = 0 ] || head -c $count /dev/zero
}

entry() { # name, mode in octal, size
  number=$((number + 1))
  # magic, inode, mode, uid, gid, links, time, size, device, device of a node, length of the name, check
  printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\0' \
    $number $((0$2)) 0 0 1 0 "$3" 0 0 0 0 $((${#1} + 1)) 0 "$1"
  pad $((110 + ${#1} + 1))
}

folder() {
  case $1 in */*) folder "${1%/*}" ;; esac
  case " $folders " in *" $1 "*) ;; *)
    entry "$1" 40755 0
    folders="$folders $1"
    ;;
  esac
}

for argument in "$@"; do
  name=${argument%%=*}
  file=${argument#*=}
  case $name in */*) folder "${name%/*}" ;; esac
  size=$(wc -c <"$file")
  entry "$name" 100755 $((size))
  cat "$file"
  pad $((size))
done
entry 'TRAILER!!!' 0 0
