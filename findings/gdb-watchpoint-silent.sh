#!/bin/sh
# gdb 13.1 of Debian 12 (gdb-minimal), native, x86-64.
#
# Expected: a hardware watchpoint that is hit is reported, with the old and the new value, also when the instruction that hits it is
# followed by one with a breakpoint.
# Seen: that depends on which of the two was set first. With the watchpoint first, gdb reports both. With the breakpoint first, it
# reports the breakpoint alone: the value has changed, and a user who waits for exactly that is not told. (Of a stop's reasons gdb prints
# those in the order of their numbers, up to the first that prints the place.)
# Who meets it: whoever sets `break` on a function, then a watchpoint, and steps on from breakpoint to breakpoint.
. "$(dirname "$0")/packages.sh"
packages gdb-minimal=13.1-3 libdebuginfod1=0.188-2.1 libipt2=2.0.5-1 libxxhash0=0.8.1-1 libreadline8=8.2-1.3 \
  binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2

cat >store.s <<'ASM'
        .globl _start, behind, counter
_start: nop
        movl $1, counter
behind: nop
        mov $60, %eax
        xor %edi, %edi
        syscall
        .data
        .balign 64
counter: .long 0
ASM
x86_64-linux-gnu-as -o store.o store.s
x86_64-linux-gnu-ld -o store store.o

run() { # two commands, in this order
  gdb -batch -nx -ex 'set debuginfod enabled off' -ex 'break _start' -ex run -ex "$1" -ex "$2" -ex continue \
    -ex 'print *(int *)&counter' store 2>&1 |
    sed -n 's/, 0x[0-9a-f]* in / in /; s/^Breakpoint [23] in/Breakpoint in/p; /^Old value/p; /^New value/p; /^\$1/p'
}

run 'watch *(int *)&counter' 'break behind' >watch-first
seen "the watchpoint set first" "Old value = 0
New value = 1
Breakpoint in behind ()
\$1 = 1" watch-first
run 'break behind' 'watch *(int *)&counter' >break-first
seen "the breakpoint set first" "Breakpoint in behind ()
\$1 = 1" break-first
