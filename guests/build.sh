#!/bin/sh
# Builds guest programs into flat images: build.sh OUTPUT-FOLDER [GUEST]...   See README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || {
  echo "usage: $0 OUTPUT-FOLDER [GUEST]..." >&2
  exit 2
}
mkdir -p "$1"
output=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- $(cd "$here" && for folder in */; do [ "$folder" = include/ ] || echo "${folder%/}"; done)

for guest in "$@"; do
  folder=$here/$guest
  [ -d "$folder" ] || {
    echo "$0: there is no guest $guest" >&2
    exit 2
  }
  image=$output/$guest.bin
  if [ -f "$image" ] && [ -z "$(find "$folder" "$here/include" "$here/flat.ld" "$here/build.sh" -newer "$image" -type f)" ]; then
    continue
  fi
  script=$here/flat.ld
  [ ! -f "$folder/link.ld" ] || script=$folder/link.ld
  flags=
  [ ! -f "$folder/flags" ] || flags=$(cat "$folder/flags")
  sources=$(find "$folder" -name '*.[cS]' | sort)
  # shellcheck disable=SC2086 # one word per option and per file
  cc -O2 -g -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none \
    -fno-asynchronous-unwind-tables -mno-red-zone -mgeneral-regs-only -nostdlib -static -no-pie -I "$here/include" \
    -Wl,-T,"$script" -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments $flags -o "$output/$guest.elf" $sources
  objcopy -O binary "$output/$guest.elf" "$output/$guest.new"
  mv "$output/$guest.new" "$image"
done
