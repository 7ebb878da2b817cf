// Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE.
#![allow(dead_code)]
use std::mem::{align_of, size_of, size_of_val};
pub struct Plain { pub a: u8, pub b: u64, pub c: u16, pub d: (u8, u32) }
#[repr(C)] pub struct Cee { pub a: u8, pub b: u64, pub c: u16, pub d: [u8; 3], pub e: f32 }
#[repr(C, packed)] pub struct Packed { pub a: u8, pub b: u32, pub c: u16 }
#[repr(C, align(64))] pub struct Line { pub a: u8, pub b: u32 }
#[repr(C)] pub union Either { pub a: u32, pub b: f64, pub c: [u8; 13] }
#[cfg(not(before_1_66))]
#[repr(i8)] pub enum Signed { A(u8) = -3, B = 4 }
#[cfg(before_1_66)] // which does not know discriminants beside values
#[repr(i8)] pub enum Signed { A(u8), B }
pub enum Choice { A, B(u32), C { x: u8, y: u64 }, D(Box<Plain>) }
pub struct Generic<T> { pub v: Vec<T>, pub o: Option<T>, pub r: &'static str }
pub struct Unit;
pub struct Wrap(pub u8, pub Unit, pub u128, pub char, pub bool);
pub mod net { pub struct Config { pub a: u32, pub b: u8 } pub mod deep { pub struct Config { pub a: [u16; 5], pub b: i64 } } }
pub mod disk { pub struct Config { pub a: u64, pub b: u8, pub c: u32 } }
pub trait Speak { fn speak(&self) -> usize; }
impl Speak for Plain { fn speak(&self) -> usize { self.c as usize } }
pub struct Fat { pub s: &'static [u8], pub d: Box<dyn Speak>, pub f: fn(u8) -> u8, pub o: Option<Box<u8>>, pub z: [u64; 0] }
fn double(x: u8) -> u8 { x.wrapping_mul(2) }
macro_rules! place { ($n:expr, $v:expr, $m:tt) => {
    println!("{}\t{}\t{}\t{}", $n, stringify!($m), std::ptr::addr_of!($v.$m) as usize - std::ptr::addr_of!($v) as usize, size_of_val(&$v.$m)); } }
macro_rules! size { ($n:expr, $t:ty) => { println!("{}\t{}\t{}", $n, size_of::<$t>(), align_of::<$t>()); } }
fn main() {
    let p = Plain { a: 1, b: 2, c: 3, d: (4, 5) };
    let c = Cee { a: 1, b: 2, c: 3, d: [1, 2, 3], e: 1.5 };
    let k = Packed { a: 1, b: 2, c: 3 };
    let l = Line { a: 1, b: 2 };
    let u = Either { a: 1 };
    let s = Signed::A(7);
    let e = Choice::C { x: 1, y: 2 };
    let g = Generic { v: vec![1u16], o: Some(3u16), r: "x" };
    let w = Wrap(1, Unit, 2, 'c', true);
    let n = net::Config { a: 1, b: 2 };
    let nd = net::deep::Config { a: [1; 5], b: 2 };
    let d = disk::Config { a: 1, b: 2, c: 3 };
    let f = Fat { s: b"abc", d: Box::new(Plain { a: 0, b: 0, c: 9, d: (0, 0) }), f: double, o: None, z: [] };
    size!("truth::Plain", Plain); size!("truth::Cee", Cee); size!("truth::Packed", Packed); size!("truth::Line", Line);
    size!("truth::Either", Either); size!("truth::Signed", Signed); size!("truth::Choice", Choice); size!("truth::Generic<u16>", Generic<u16>);
    size!("truth::Wrap", Wrap); size!("truth::net::Config", net::Config); size!("truth::net::deep::Config", net::deep::Config);
    size!("truth::disk::Config", disk::Config); size!("truth::Fat", Fat); size!("core::option::Option<u16>", Option<u16>);
    place!("truth::Plain", p, a); place!("truth::Plain", p, b); place!("truth::Plain", p, c); place!("truth::Plain", p, d);
    place!("truth::Cee", c, a); place!("truth::Cee", c, b); place!("truth::Cee", c, c); place!("truth::Cee", c, d); place!("truth::Cee", c, e);
    println!("truth::Packed\tb\t{}\t4", std::ptr::addr_of!(k.b) as usize - std::ptr::addr_of!(k) as usize);
    println!("truth::Packed\tc\t{}\t2", std::ptr::addr_of!(k.c) as usize - std::ptr::addr_of!(k) as usize);
    place!("truth::Line", l, b);
    unsafe { println!("truth::Either\tc\t{}\t{}", 0, size_of_val(&u.c)); println!("truth::Either\tb\t0\t{}", size_of_val(&u.b)); }
    place!("truth::Generic<u16>", g, v); place!("truth::Generic<u16>", g, o); place!("truth::Generic<u16>", g, r);
    println!("truth::Wrap\t__0\t{}\t1", std::ptr::addr_of!(w.0) as usize - std::ptr::addr_of!(w) as usize);
    println!("truth::Wrap\t__2\t{}\t16", std::ptr::addr_of!(w.2) as usize - std::ptr::addr_of!(w) as usize);
    println!("truth::Wrap\t__3\t{}\t4", std::ptr::addr_of!(w.3) as usize - std::ptr::addr_of!(w) as usize);
    place!("truth::net::Config", n, a); place!("truth::net::Config", n, b); place!("truth::net::deep::Config", nd, a); place!("truth::net::deep::Config", nd, b);
    place!("truth::disk::Config", d, a); place!("truth::disk::Config", d, b); place!("truth::disk::Config", d, c);
    place!("truth::Fat", f, s); place!("truth::Fat", f, d); place!("truth::Fat", f, f); place!("truth::Fat", f, o);
    let tag = match s { Signed::A(x) => x, Signed::B => 0 };
    let y = match e { Choice::C { y, .. } => y, Choice::B(b) => b as u64, Choice::D(_) | Choice::A => 0 };
    if tag == 200 || y == 999 || f.d.speak() == 77 { println!("{} {} {}", g.v.len(), g.r, g.o.is_some()); }
}
