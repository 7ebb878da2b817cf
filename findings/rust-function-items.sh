#!/bin/sh
# rustc 1.63.0 of Debian 12, readelf 2.40.
#
# Expected: a debug file tells a function item (a type of its own, which takes no room) from a pointer to a function (8 bytes).
# Seen: both are called `fn()`, so that a struct around one of each makes two types of one name, one of 0 and one of 8 bytes. And the member
# in the one of 0 bytes is recorded as 8 bytes long, as a bit field of 0 bits that begins at bit 64, so behind its struct's end.
# Who meets it: whoever looks a type up by its name (the first one wins), and readers that check that a member lies in its struct: Rust's own
# library holds such a type, so that they stumble over every program.
. "$(dirname "$0")/packages.sh"
packages rustc=1.63.0+dfsg1-2 libstd-rust-dev=1.63.0+dfsg1-2 libstd-rust-1.63=1.63.0+dfsg1-2 libllvm14=1:14.0.6-12 \
  binutils-x86-64-linux-gnu=2.40-2 libbinutils=2.40-2 libctf0=2.40-2 libctf-nobfd0=2.40-2

cat >items.rs <<'RUST'
pub struct Holds<T> { pub held: T }
fn item() {}
fn main() {
    let an_item = Holds { held: item };
    let a_pointer = Holds { held: item as fn() };
    (an_item.held)();
    (a_pointer.held)();
}
RUST
rustc --sysroot root/usr -g --emit=obj -o items.o items.rs
x86_64-linux-gnu-readelf --debug-dump=info items.o >text
awk '/DW_TAG/ { type = /structure_type/; member = /DW_TAG_member/ }
  { sub(/^ *<[0-9a-f]+> */, ""); sub(/\(indirect string[^)]*\): /, ""); gsub(/[ \t]+/, " ") }
  type && /^DW_AT_name/ { name = $0 ~ /Holds/ }
  (type || member) && name && /^DW_AT_(name|byte_size|bit_size|bit_offset|data_member)/ { print (member ? "  " : "") $0 }' text >seen.text
seen "two structs of one name, and their members" "DW_AT_name : Holds<fn()>
DW_AT_byte_size : 0
  DW_AT_name : held
  DW_AT_byte_size : 8
  DW_AT_bit_size : 0
  DW_AT_bit_offset : 64
  DW_AT_data_member_location: 0
DW_AT_name : Holds<fn()>
DW_AT_byte_size : 8
  DW_AT_name : held
  DW_AT_data_member_location: 0" seen.text
