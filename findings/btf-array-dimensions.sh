#!/bin/sh
# GCC 12.2.0 (-gbtf) and pahole 1.24, both of Debian 12.
#
# Expected: `int m[2][3][5]` is, in BTF, an array of 2 of arrays of 3 of arrays of 5, as the kernel's documentation of BTF, clang and
# the kernel's own reader have it.
# Seen: GCC writes an array of 5 of arrays of 3 of arrays of 2, which is `int m[5][3][2]`. pahole prints the dimensions of nested BTF
# arrays from the inside out, so that GCC's file looks right, and a correct one looks wrong. pahole's own encoder (-J) hides it: it
# writes one array of 30.
# Who meets it: whoever takes BTF from GCC and looks at it with pahole sees nothing; every other reader of that BTF gets offsets of
# m[i][j] wrong, where m's dimensions differ.
. "$(dirname "$0")/packages.sh"
command -v python3 >/dev/null || {
  echo "$0: needs python3 to read the file" >&2
  exit 2
}
packages gcc-12=12.2.0-14+deb12u1 cpp-12=12.2.0-14+deb12u1 binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2 libctf0=2.40-2 \
  libctf-nobfd0=2.40-2 libisl23=0.25-1.1 libmpc3=1.3.1-1 libmpfr6=4.2.0-1 pahole=1.24-4.1 libbpf1=1:1.1.2-0+deb12u1 \
  libdw1=0.188-2.1 libelf1=0.188-2.1
PATH=$folder/root/usr/bin:$PATH
for tool in as objcopy; do [ -e root/usr/bin/$tool ] || ln -s x86_64-linux-gnu-$tool root/usr/bin/$tool; done

echo 'struct grid { int m[2][3][5]; } grid;' >grid.c
x86_64-linux-gnu-gcc-12 -gbtf -c grid.c -o gcc.o
x86_64-linux-gnu-gcc-12 -g -c grid.c -o dwarf.o && cp dwarf.o pahole.o && pahole -J pahole.o

cat >dimensions.py <<'PYTHON'
"""The dimensions of struct grid's first member, from the outside in, out of a .BTF section (Documentation/bpf/btf.rst)."""
import struct, sys

data = open(sys.argv[1], "rb").read()
header, types, length = struct.unpack_from("<4xI2I", data)
at, end, found = header + types, header + types + length, [None]
while at < end:
    name, info, size = struct.unpack_from("<3I", data, at)
    kind, count, at = info >> 24 & 31, info & 0xFFFF, at + 12
    if kind == 3:  # array: element type, index type, number of elements
        found.append(struct.unpack_from("<3I", data, at))
    elif kind == 4:  # struct: name, type, offset of each member
        found.append(("struct", struct.unpack_from("<3I", data, at)[1]))
    else:
        found.append(None)
    at += {1: 4, 3: 12, 4: 12 * count, 5: 12 * count, 6: 8 * count, 13: 8 * count, 14: 4, 15: 12 * count, 17: 4, 19: 12 * count}.get(kind, 0)
number = next(f for f in found if f and f[0] == "struct")[1]
while found[number]:
    element, _, elements = found[number]
    print("[%d]" % elements, end="")
    number = element
print()
if len(sys.argv) > 2:  # the same file as it should be: the numbers of elements the other way round
    fixed, at = bytearray(data), header + types
    places = [i for i in range(at, end - 11, 4) if any(f and f[0] != "struct" and struct.pack("<3I", *f) == data[i : i + 12] for f in found)]
    counts = [struct.unpack_from("<I", data, i + 8)[0] for i in places]
    for place, count in zip(places, reversed(counts)):
        struct.pack_into("<I", fixed, place + 8, count)
    open(sys.argv[2], "wb").write(fixed)
PYTHON
for file in gcc pahole; do
  objcopy --dump-section .BTF=$file.btf $file.o /dev/null
  python3 dimensions.py $file.btf >$file.dimensions
done
seen "what GCC wrote for int m[2][3][5], from the outside in" "[5][3][2]" gcc.dimensions
member() { pahole -F btf -C grid "$1" | grep -F 'm[' | sed 's/ *\/.*//; s/[[:space:]][[:space:]]*/ /g; s/^ //'; }
member gcc.o >gcc.pahole
seen "how pahole prints that" "int m[2][3][5];" gcc.pahole
python3 dimensions.py gcc.btf right.btf >/dev/null
python3 dimensions.py right.btf >right.dimensions
seen "the same file with the dimensions in order" "[2][3][5]" right.dimensions
member right.btf >right.pahole
seen "how pahole prints that" "int m[5][3][2];" right.pahole
seen "what pahole's own encoder writes" "[30]" pahole.dimensions
