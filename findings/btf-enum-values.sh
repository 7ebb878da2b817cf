#!/bin/sh
# GCC 12.2.0 (-gbtf) and pahole 1.24, both of Debian 12.
#
# Expected: an enum that is written into BTF comes out with its values.
# Seen: pahole -J marks the enum as signed (BTF's kind_flag, made for this) and writes -1; pahole itself then prints 4294967295 out of
# the file, though it prints -1 out of the DWARF beside it. GCC writes an enum whose values need 64 bits with no values at all, like one that is
# only declared, and says nothing: BTF_KIND_ENUM64 is what it lacks.
# Who meets it: whoever compares a kernel's constants by BTF: every negative value of its enums reads as four thousand million.
. "$(dirname "$0")/packages.sh"
packages gcc-12=12.2.0-14+deb12u1 cpp-12=12.2.0-14+deb12u1 binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2 libctf0=2.40-2 \
  libctf-nobfd0=2.40-2 libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 pahole=1.24-4.1 libbpf1=1:1.1.2-0+deb12u1 \
  libdw1=0.188-2.1 libelf1=0.188-2.1
for tool in as objcopy; do [ -e root/usr/bin/$tool ] || ln -s x86_64-linux-gnu-$tool root/usr/bin/$tool; done

echo 'enum sign { MINUS = -1, ZERO, PLUS } sign; enum wide { LOW = -5000000000LL, HIGH = 5000000000LL } wide;' >enums.c
x86_64-linux-gnu-gcc-12 -g -c enums.c -o dwarf.o
pahole -F dwarf -C sign dwarf.o >dwarf.text
seen "out of DWARF" "enum sign {
	MINUS = -1,
	ZERO  = 0,
	PLUS  = 1,
};" dwarf.text
pahole -J dwarf.o
pahole -F btf -C sign dwarf.o >btf.text
seen "out of the BTF that pahole made of it" "enum sign {
	MINUS = 4294967295,
	ZERO  = 0,
	PLUS  = 1,
};" btf.text
# The words of the type: the name, then kind and flag and number of values, then 4 bytes, then the name of MINUS and its value.
objcopy --dump-section .BTF=btf dwarf.o /dev/null
od -An -v -t x4 -j 28 -N 16 btf | cut -c 2- >words
seen "what stands in that file: signed (8...), an enum (06), 3 values, 4 bytes; and -1" "86000003 00000004 $(od -An -v -t x4 -j 36 -N 4 btf | tr -d ' ') ffffffff" words

x86_64-linux-gnu-gcc-12 -Wall -Wextra -gbtf -c enums.c -o gcc.o 2>messages
pahole -F btf -C wide gcc.o >wide.text
cat messages >>wide.text
seen "the wide one out of GCC's BTF, and all that GCC said" "enum wide;" wide.text
