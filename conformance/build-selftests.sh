#!/bin/sh
# Builds the KVM selftests of Debian's linux-source-6.1, unmodified, below folder $1: src/ holds the sources, bin/ the 68
# programs, built is touched at the end. $2, where it is given, is -static: so the programs are linked then. Needs linux-source-6.1, gcc, make, rsync, xz, libcap-dev and libnuma-dev (`slate doctor` names what is missing).
set -eu
folder=$1
tarball=/usr/src/linux-source-6.1.tar.xz
[ -f "$tarball" ] || {
  echo "$tarball is missing: apt-get install -y linux-source-6.1" >&2
  exit 1
}
rm -rf "$folder/src" "$folder/bin" "$folder/built"
mkdir -p "$folder/src" "$folder/bin"
tar -xf "$tarball" -C "$folder/src" --strip-components=1 \
  linux-source-6.1/Makefile linux-source-6.1/Kbuild linux-source-6.1/Kconfig linux-source-6.1/scripts \
  linux-source-6.1/tools linux-source-6.1/include linux-source-6.1/usr linux-source-6.1/arch/x86
make -s -C "$folder/src" headers_install

# Not a change of the tests: this point release uses a macro in dirty_log_test and a header in steal_time that its own tree
# lacks, and both can be given on the command line.
# -k: a test that does not compile must not keep the others from being built; the count below notices.
make -s -k -j"$(nproc)" -C "$folder/src/tools/testing/selftests/kvm" \
  CC="gcc -DTEST_ASSERT_EQ=ASSERT_EQ -include $folder/src/usr/include/linux/stddef.h" ${2:+LDFLAGS="-pthread -no-pie $2"} || true

cd "$folder/src/tools/testing/selftests/kvm"
find . -maxdepth 2 -type f -perm -u+x ! -name '*.sh' ! -name '*.o' -exec cp {} "$folder/bin/" \;
built=$(find "$folder/bin" -type f | wc -l)
echo "$built programs built"
[ "$built" -ge 68 ] || {
  echo "68 programs were expected; the compiler's messages are above" >&2
  exit 1
}
touch "$folder/built"
