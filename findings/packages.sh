# Sourced by the findings: `packages NAME=VERSION...` downloads those packages of Debian 12 and unpacks them into the temporary
# folder $folder, which goes at the end; nothing is installed. Ends with 2 where they cannot be had.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

packages() {
  (cd "$folder" && apt-get download -qq "$@" >download.log 2>&1) || {
    cat "$folder/download.log" >&2
    echo "$0: these packages of Debian 12 can't be downloaded: $*" >&2
    exit 2
  }
  for deb in "$folder"/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done
  PATH=$folder/root/usr/bin:$PATH
  LD_LIBRARY_PATH=$folder/root/usr/lib/x86_64-linux-gnu:$folder/root/lib/x86_64-linux-gnu
  export PATH LD_LIBRARY_PATH
  cd "$folder"
}

# What was seen, compared with what is seen now.
seen() { # what, expected text, file with the text of now
  printf '%s\n' "$2" >expected
  if cmp -s expected "$3"; then
    echo "-- $1"
    cat "$3"
  else
    echo "-- $1: no longer as it was seen"
    diff expected "$3" || true
    exit 1
  fi
}
