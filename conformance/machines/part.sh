#!/bin/sh
# Obtains a part of a machine: part.sh FOLDER PART. Afterwards FOLDER/PART is there, a file or a folder, and the status is 0. Otherwise the
# status is 1 and standard output says in one line why. Progress goes to standard error. What is there already is kept.
#
#   qemu          Debian's qemu-system-x86, which must be installed (a link to it)
#   npm           npm, which must be installed (a link to it)
#   cloud-kernel  Debian's kernel for virtual machines; kernel, rt-kernel, pae-kernel (of 32 bits): its others
#   busybox       Debian's static busybox
#   kvm-host      a folder: the cloud kernel as vmlinuz, and its modules of KVM for AMD's processors
#   nested-initrd a first root file system with these modules and a few of KVM's selftests, which must be built; of ./nested-init
#   boot-linux    the small VMM of examples/boot-linux.c; needs cc and a static libc
#   nested-linux-initrd  a first root file system with these modules, this VMM, and the kernel and first root file system that it boots
#   exits-initrd  a first root file system with these modules and ./exits, a hypervisor's load for `slate heat`; needs cc and a static libc
#   initrd        a first root file system for Linux, of busybox and ./init; initrd-32: of 32 bits; counter: of ./counter-init;
#                 debug-initrd: of ./debugged-init
#   device-kernel a folder: Debian's standard kernel as vmlinuz, its modules for QEMU's devices, and in which order they are loaded
#   devices-initrd a first root file system with these modules, of ./devices-init; devices: the command that runs the machine, ./devices
#   disk-kernel   the same of the kernel for virtual machines and its modules for a virtio disk; disk-initrd: of ./disk-init
#   programs-initrd  a first root file system that unpacks and times programs of Debian's: xz, openssl, python3, gcc, a script of many; of ./programs-init
#   rootfs        a folder with busybox that microsandbox takes as an image
#   microsandbox  from npm
#   msb           the command that runs it, ./msb; kept: the one that keeps a machine, ./kept
#   xen, u-boot, u-boot-64, installer-kernel, installer-initrd, memtest: guests from Debian's packages
#   ovmf, ovmf-vars  OVMF and what it keeps
#   debian-disk   a disk with Debian, systemd and GRUB for both firmwares, made by ./debian-disk
#   program       a disk with a program of 16 bits, of ./program.S
#   monitor       the command that saves, loads and migrates a machine, ./monitor
#   killed        the command that starts a machine and kills it, ./killed
#   stressed      the command that compares a guest's time with the host's, ./stressed
#   screen        the command that shows what a machine's screen says, ./screen
#   debugged      the command that debugs a guest by gdb, which must be installed, ./debugged
#
# Needs no root: packages are downloaded and unpacked below FOLDER, with lists of their own where apt's are missing or stale.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
part=$2

microsandbox=@superradcompany/microsandbox-linux-x64-gnu@0.7.2
microsandbox_sha512=e6098c0d88f2197b71fb5deb58a788d3f7fac7b79c0e0e9a305542ba982bdb721038340bb86b1bbe7ef42f25d4ad3d1b3a562195eea2e2eba6dbe03054a4d4f1

say() { printf 'slate: %s\n' "$*" >&2; }
cannot() {
  printf '%s\n' "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# A part is made under another name and moved, so that one that is there is whole.
work=$folder/.$part.$$
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
done_with() { # file or folder
  rm -rf "${folder:?}/$part"
  mv "$1" "$folder/$part"
}

another() { # a part that this one is made of
  reason=$(sh "$0" "$folder" "$1") || cannot "$reason"
}

# apt, for any user, and told that nothing is installed: what is would count as to be had. Its lists are the machine's, then its own.
apt_options="-o APT::Sandbox::User=root -o Dir::Cache=$folder/apt/cache -o Dir::State::status=$folder/apt/status"
own_lists=
trouble=
apt_own_lists() {
  own_lists=1
  apt_options="$apt_options -o Dir::State::lists=$lists"
  say "fetching Debian's lists of packages"
  # One source of several may fail: the package may be in another.
  apt_log update -qq -o APT::Update::Error-Mode=any || trouble="; apt said: $(complaint)"
}
# shellcheck disable=SC2086 # one option per word
apt_log() { LC_ALL=C apt-get $apt_options "$@" >"$work/log" 2>&1; }
# Why apt failed: its first error.
complaint() { grep '^E:' "$work/log" | head -n 1 | cut -c 1-160; }
# shellcheck disable=SC2086
field() { # package, field
  LC_ALL=C apt-cache $apt_options --no-all-versions show "$1" 2>/dev/null | sed -n "s/^$2: //p" | head -n 1
}

download() { # package
  size=$(field "$1" Size)
  [ -n "$size" ] || return 1
  say "fetching Debian's $1 ($((size / 1000000 + 1)) MB)"
  (cd "$work" && rm -f ./*.deb && apt_log download "$1")
}

# Puts one file of a package at $work/got. A package that only names the current one leads there by its first dependency. Another
# architecture has lists of its own.
from_debian() { # package, pattern of the file in it, architecture if not the machine's
  have apt-get && have dpkg-deb || cannot "$1 comes from Debian, and this machine has no apt-get"
  lists=$folder/apt/lists${3:+-$3}
  [ $# -lt 3 ] || apt_options="$apt_options -o APT::Architecture=$3 -o APT::Architectures=$3 -o Dir::State::lists=$lists"
  mkdir -p "$work" "$lists/partial" "$folder/apt/cache/archives/partial"
  : >"$folder/apt/status"
  package=$1
  for try in 1 2; do
    case $1 in linux-image-*) package=$(field "$1" Depends | sed 's/[ ,(].*//') ;; esac
    [ -z "$package" ] || ! download "$package" || break
    [ -z "$own_lists" ] || {
      [ -n "$(field "$1" Package)" ] || cannot "the sources of this machine's apt have no package $1$trouble"
      cannot "$package can't be fetched: $(complaint)"
    }
    apt_own_lists
  done
  mkdir "$work/files"
  dpkg-deb --fsys-tarfile "$work"/*.deb 2>"$work/log" | tar -x -C "$work/files" 2>>"$work/log" ||
    cannot "$package can't be unpacked: $(tail -n 1 "$work/log")"
  got=$(find "$work/files" -path "$work/files/$2" -type f | head -n 1)
  [ -n "$got" ] || cannot "$package holds no $2"
}

# Puts packages, with all that they depend on, at $work/files.
all_from_debian() { # packages
  have apt-get && have dpkg-deb || cannot "$1 comes from Debian, and this machine has no apt-get"
  lists=$folder/apt/lists
  apt_options="$apt_options -o Dir::Cache::archives=$work/archives"
  mkdir -p "$work/files" "$work/archives/partial" "$lists/partial"
  : >"$folder/apt/status"
  say "fetching Debian's $* and what they need"
  until apt_log install --download-only --no-install-recommends -y "$@"; do
    [ -z "$own_lists" ] || cannot "$* can't be fetched: $(complaint)"
    apt_own_lists
  done
  for package in "$work"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" 2>"$work/log" | tar -x -C "$work/files" 2>>"$work/log" ||
      cannot "${package##*/} can't be unpacked: $(tail -n 1 "$work/log")"
  done
}

# Moves a module of the unpacked kernel to the part's folder, behind those that it says it depends on, and adds them to the order.
with_module() ( # name
  name=$1
  [ ! -e "$work/$part/$name.ko" ] || exit 0
  module=$(find "$work/files/lib/modules" -name "$name.ko")
  [ -n "$module" ] || cannot "$package holds no module $name"
  for needed in $(tr '\0' '\n' <"$module" | sed -n 's/^depends=//p' | tr , ' '); do
    with_module "$needed" || exit 1
  done
  mv "$module" "$work/$part/"
  echo "$name" >>"$work/$part/order"
)

# The files of this folder that a part is made of, and made of again when they are newer.
case $part in
exits-initrd) made_of="exits cpio.sh" ;;
initrd | initrd-32) made_of="init cpio.sh" ;;
counter) made_of="counter-init cpio.sh" ;;
debug-initrd) made_of="debugged-init cpio.sh" ;;
devices-initrd) made_of="devices-init cpio.sh" ;;
disk-initrd) made_of="disk-init cpio.sh" ;;
programs-initrd) made_of="programs-init cpio.sh" ;;
debian-disk) made_of=debian-disk ;;
nested-initrd) made_of="nested-init cpio.sh" ;;
nested-linux-initrd) made_of="nested-init init cpio.sh ../../examples/boot-linux.c" ;;
boot-linux) made_of=../../examples/boot-linux.c ;;
program) made_of=program.S ;;
*) made_of= ;;
esac
case $part in
qemu | npm | msb | kept | monitor | killed | devices | debugged | stressed | screen) ;; # links: looked up each time
*)
  if [ -e "$folder/$part" ]; then
    # shellcheck disable=SC2086 # one file per word
    [ -n "$made_of" ] && [ -n "$(cd "$here" && find $made_of -newer "$folder/$part")" ] || exit 0
  fi
  ;;
esac

case $part in
qemu)
  have qemu-system-x86_64 ||
    cannot "QEMU is not installed: apt-get install -y --no-install-recommends qemu-system-x86"
  ln -sf "$(command -v qemu-system-x86_64)" "$folder/qemu"
  ;;
npm)
  have npm || cannot "npm is not installed: apt-get install -y --no-install-recommends npm"
  ln -sf "$(command -v npm)" "$folder/npm"
  ;;
cloud-kernel)
  from_debian linux-image-cloud-amd64 'boot/vmlinuz-*'
  done_with "$got"
  ;;
kernel)
  from_debian linux-image-amd64 'boot/vmlinuz-*'
  done_with "$got"
  ;;
rt-kernel)
  from_debian linux-image-rt-amd64 'boot/vmlinuz-*'
  done_with "$got"
  ;;
pae-kernel)
  from_debian linux-image-686-pae 'boot/vmlinuz-*' i386
  done_with "$got"
  ;;
memtest)
  from_debian memtest86+ boot/memtest86+x64.bin
  done_with "$got"
  ;;
ovmf)
  from_debian ovmf usr/share/OVMF/OVMF_CODE_4M.fd
  done_with "$got"
  ;;
ovmf-vars)
  from_debian ovmf usr/share/OVMF/OVMF_VARS_4M.fd
  done_with "$got"
  ;;
debian-disk)
  mkdir -p "$work"
  say "making a disk with Debian (300 MB to fetch)"
  reason=$(sh "$here/debian-disk" "$work/disk" "$work") || cannot "$reason"
  done_with "$work/disk"
  ;;
xen)
  # QEMU takes a packed one for a kernel of real mode and starts it in silence.
  from_debian xen-hypervisor-4.17-amd64 'boot/xen-*.gz'
  gzip -dc "$got" >"$work/xen"
  done_with "$work/xen"
  ;;
u-boot)
  from_debian u-boot-qemu 'usr/lib/u-boot/qemu-x86/u-boot.rom'
  done_with "$got"
  ;;
u-boot-64)
  from_debian u-boot-qemu 'usr/lib/u-boot/qemu-x86_64/u-boot.rom'
  done_with "$got"
  ;;
installer-kernel)
  from_debian debian-installer-12-netboot-amd64 'usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/linux'
  done_with "$got"
  ;;
installer-initrd)
  from_debian debian-installer-12-netboot-amd64 'usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64/initrd.gz'
  done_with "$got"
  ;;
busybox)
  from_debian busybox-static bin/busybox
  done_with "$got"
  ;;
initrd | counter | debug-initrd)
  another busybox
  mkdir -p "$work"
  sh "$here/cpio.sh" init="$here/${made_of%% *}" bin/busybox="$folder/busybox" >"$work/initrd"
  done_with "$work/initrd"
  ;;
initrd-32)
  from_debian busybox-static bin/busybox i386
  sh "$here/cpio.sh" init="$here/init" bin/busybox="$got" >"$work/initrd"
  done_with "$work/initrd"
  ;;
kept | monitor | killed | devices | stressed | screen)
  ln -sf "$here/$part" "$folder/$part"
  ;;
debugged)
  have gdb || cannot "gdb is not installed: apt-get install -y --no-install-recommends gdb"
  ln -sf "$here/debugged" "$folder/debugged"
  ;;
program)
  have as && have ld || cannot "as and ld are not installed: apt-get install -y --no-install-recommends binutils"
  mkdir -p "$work"
  { as --32 "$here/program.S" -o "$work/program.o" && ld -m elf_i386 -Ttext 0 --oformat binary "$work/program.o" -o "$work/program"; } \
    2>"$work/log" || cannot "program.S can't be assembled: $(head -n 1 "$work/log")"
  done_with "$work/program"
  ;;
kvm-host)
  from_debian linux-image-cloud-amd64 'boot/vmlinuz-*'
  mkdir "$work/kvm-host"
  mv "$got" "$work/kvm-host/vmlinuz"
  for name in irqbypass kvm kvm-amd; do
    module=$(find "$work/files/lib/modules" -name "$name.ko")
    [ -n "$module" ] || cannot "$package holds no module $name"
    mv "$module" "$work/kvm-host/"
  done
  done_with "$work/kvm-host"
  ;;
device-kernel | disk-kernel)
  case $part in
  device-kernel)
    package=linux-image-amd64
    set -- virtio_pci 9p 9pnet_virtio virtio_net e1000 virtio_blk ahci sd_mod virtio-rng virtio_console virtio_balloon
    ;;
  *)
    package=linux-image-cloud-amd64
    set -- virtio_pci virtio_blk
    ;;
  esac
  from_debian "$package" 'boot/vmlinuz-*'
  mkdir "$work/$part"
  mv "$got" "$work/$part/vmlinuz"
  for name in "$@"; do
    with_module "$name" || exit 1
  done
  done_with "$work/$part"
  ;;
devices-initrd | disk-initrd)
  case $part in devices-initrd) kernel=device-kernel ;; *) kernel=disk-kernel ;; esac
  another busybox
  another $kernel
  set -- init="$here/${made_of%% *}" bin/busybox="$folder/busybox" lib/order="$folder/$kernel/order"
  while read -r name; do
    set -- "$@" lib/$name.ko="$folder/$kernel/$name.ko"
  done <"$folder/$kernel/order"
  mkdir -p "$work"
  sh "$here/cpio.sh" "$@" >"$work/initrd"
  done_with "$work/initrd"
  ;;
programs-initrd)
  another busybox
  all_from_debian xz-utils openssl python3-minimal gcc libc6-dev dash coreutils grep sed
  rm -rf "$work/files/usr/share"
  tar -c -C "$work/files" --owner=0 --group=0 -f "$work/programs.tar" .
  sh "$here/cpio.sh" init="$here/programs-init" bin/busybox="$folder/busybox" programs.tar="$work/programs.tar" >"$work/initrd"
  done_with "$work/initrd"
  ;;
exits-initrd)
  have cc || cannot "cc is missing: apt-get install gcc libc6-dev"
  another busybox
  another kvm-host
  mkdir -p "$work"
  cc -O2 -Wall -Wextra -static -o "$work/exits" "$here/exits/exits.c" >&2 || cannot "cc could not build $here/exits/exits.c"
  set -- init="$here/exits/init" bin/busybox="$folder/busybox" bin/exits="$work/exits"
  for name in irqbypass kvm kvm-amd; do
    set -- "$@" lib/$name.ko="$folder/kvm-host/$name.ko"
  done
  sh "$here/cpio.sh" "$@" >"$work/exits-initrd"
  done_with "$work/exits-initrd"
  ;;
boot-linux)
  have cc || cannot "cc is missing: apt-get install gcc libc6-dev"
  mkdir -p "$work"
  cc -O2 -Wall -Wextra -static -o "$work/boot-linux" "$here/../../examples/boot-linux.c" >&2 ||
    cannot "cc could not build examples/boot-linux.c"
  done_with "$work/boot-linux"
  ;;
nested-linux-initrd)
  for name in busybox kvm-host boot-linux initrd; do another $name; done
  mkdir -p "$work"
  set -- init="$here/nested-init" bin/busybox="$folder/busybox" bin/boot-linux="$folder/boot-linux" \
    guest/kernel="$folder/kvm-host/vmlinuz" guest/initrd="$folder/initrd"
  for name in irqbypass kvm kvm-amd; do
    set -- "$@" lib/$name.ko="$folder/kvm-host/$name.ko"
  done
  sh "$here/cpio.sh" "$@" >"$work/nested-linux-initrd"
  done_with "$work/nested-linux-initrd"
  ;;
nested-initrd)
  selftests=$folder/../../selftests
  [ -e "$selftests/built" ] || cannot "KVM's selftests are not built: ./slate conformance builds them"
  another busybox
  another kvm-host
  mkdir -p "$work"
  set -- init="$here/nested-init" bin/busybox="$folder/busybox"
  for name in irqbypass kvm kvm-amd; do
    set -- "$@" lib/$name.ko="$folder/kvm-host/$name.ko"
  done
  for name in userspace_io_test kvm_create_max_vcpus dirty_log_perf_test set_memory_region_test; do
    set -- "$@" selftests/$name="$selftests/bin/$name"
  done
  # Their libraries, under the names by which they are asked for.
  for library in $(ldd "$selftests/bin/dirty_log_perf_test" | tr ' ' '\n' | grep '^/\|^[[:space:]]*/' | tr -d '\t' | sort -u); do
    set -- "$@" "${library#/}=$library"
  done
  sh "$here/cpio.sh" "$@" >"$work/nested-initrd"
  done_with "$work/nested-initrd"
  ;;
rootfs)
  another busybox
  mkdir -p "$work/rootfs/bin" "$work/rootfs/etc" "$work/rootfs/root" "$work/rootfs/tmp"
  cp "$folder/busybox" "$work/rootfs/bin/busybox"
  for name in $("$folder/busybox" --list); do
    [ "$name" = busybox ] || ln -s busybox "$work/rootfs/bin/$name"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$work/rootfs/etc/passwd"
  echo 'root:x:0:' >"$work/rootfs/etc/group"
  done_with "$work/rootfs"
  ;;
msb)
  another microsandbox
  ln -sf "$here/msb" "$folder/msb"
  ;;
microsandbox)
  another npm
  mkdir -p "$work"
  say "fetching ${microsandbox#*/} from npm (50 MB)"
  (cd "$work" && npm pack --silent "$microsandbox" >"$work/log" 2>&1) ||
    cannot "$microsandbox can't be had from npm: $(tail -n 1 "$work/log" | cut -c 1-160)"
  set -- "$work"/*.tgz
  [ -f "$1" ] || cannot "npm gave no archive of $microsandbox"
  sum=$(sha512sum <"$1")
  [ "${sum%% *}" = "$microsandbox_sha512" ] ||
    cannot "$microsandbox from npm is not what Slate knows: its SHA-512 begins with $(printf %.16s "$sum")"
  tar -xzf "$1" -C "$work" package/bin package/lib
  done_with "$work/package"
  ;;
*)
  cannot "there is no part $part"
  ;;
esac
