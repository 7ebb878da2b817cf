#!/bin/sh
# gdb 13.1 of Debian 12 (gdb-minimal), x86-64.
#
# Expected: the attribute `group` of a register in a target description is "the register group to which this register belongs: one of
# general, float, vector, or an arbitrary string" (gdb's manual), so that `info registers system` lists the control registers that a
# hypervisor's stub puts there.
# Seen: for x86 it is read, kept (`maint print xml-tdesc` shows it) and never asked: a register that gdb has no number of its own for is
# in "general" whatever its group is, so that `info registers` lists it and `info registers system` prints nothing. A group with a name
# of the target's own appears in the list of groups and has no member.
# Who meets it: every x86 VMM with a gdb stub; its control registers can't be listed apart.
. "$(dirname "$0")/packages.sh"
packages gdb-minimal=13.1-3 libdebuginfod1=0.188-2.1 libipt2=2.0.5-1 libxxhash0=0.8.1-1 libreadline8=8.2-1.3

{
  echo '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0"><architecture>i386:x86-64</architecture>'
  echo '<feature name="org.gnu.gdb.i386.core">'
  for name in rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip; do echo "<reg name=\"$name\" bitsize=\"64\"/>"; done
  for name in eflags cs ss ds es fs gs; do echo "<reg name=\"$name\" bitsize=\"32\"/>"; done
  for number in 0 1 2 3 4 5 6 7; do echo "<reg name=\"st$number\" bitsize=\"80\" type=\"i387_ext\"/>"; done
  for name in fctrl fstat ftag fiseg fioff foseg fooff fop; do echo "<reg name=\"$name\" bitsize=\"32\"/>"; done
  echo '</feature><feature name="org.gnu.gdb.i386.sse">'
  echo '<vector id="v4f" type="ieee_single" count="4"/>'
  for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo "<reg name=\"xmm$number\" bitsize=\"128\" type=\"v4f\"/>"; done
  echo '<reg name="mxcsr" bitsize="32"/></feature><feature name="org.example.hypervisor">'
  echo '<reg name="cr0" bitsize="64" type="int64" group="system"/><reg name="cr3" bitsize="64" type="int64" group="hypervisor"/>'
  echo '</feature></target>'
} >target.xml

gdb -batch -nx -ex 'set architecture i386:x86-64' -ex 'set tdesc filename target.xml' -ex 'maint print register-groups' \
  -ex 'maint print reggroups' -ex 'maint print xml-tdesc' >said 2>&1
sed -n 's/^ *<reg name="\(cr[03]\)".*group="\([a-z]*\)".*/\1 \2/p' said >asked
seen "what the description says, as gdb has read it" "cr0 system
cr3 hypervisor" asked
awk '/^ cr[03] / { print $1, $NF }' said >given
seen "the groups that gdb puts them into" "cr0 general,all,save,restore
cr3 general,all,save,restore" given
awk '/^ (system|hypervisor) / { print $1 }' said | sort >groups
seen "yet there are" "hypervisor
system" groups
