# Sourced by the scripts of this folder, which stand in their tree's root or know it, and begin with a comment that is their help.
# shellcheck shell=sh

# The comment at the script's head, to the first line of its own.
show_help() { sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"; }

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# For what is asked of the script itself.
wrong() {
  echo "${0##*/}: $*; ${0##*/} --help says more" >&2
  exit 2
}

need_root() { [ "$(id -u)" = 0 ] || fail "needs root, to make the machines"; }

# A layer above folder $1, at $2, kept below $3: what is written there is gone with the mount namespace. $3 may not lie on an overlay.
layer() {
  mkdir -p "$3/up" "$3/over" "$2"
  mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/up,workdir=$3/over" "$2"
}
