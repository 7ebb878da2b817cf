use std::collections::HashMap;
pub struct P { pub a: u8, pub b: u64, pub c: u16, pub t: (u8, u32) }
pub enum E { A, B(u32), C { x: u8, y: u64 }, D(Box<P>) }
pub enum Plain { X = 3, Y = 9 }
#[repr(C)] pub union Un { a: u32, b: f64 }
pub struct Gen<T> { v: Vec<T>, o: Option<T>, r: &'static str }
pub trait Tr { fn f(&self) -> u32; }
impl Tr for P { fn f(&self) -> u32 { self.c as u32 } }
pub static mut M: Option<HashMap<String, Vec<E>>> = None;
fn main() { let p = P { a: 1, b: 2, c: 3, t: (1,2) }; let e = E::C { x: 1, y: 2 }; let g = Gen { v: vec![1u8], o: Some(3u8), r: "x" }; let d: Box<dyn Tr> = Box::new(P{a:0,b:0,c:0,t:(0,0)}); let n: Option<std::num::NonZeroU32> = None; let pl = Plain::Y;
 println!("{} {} {} {} {}", p.b, match e { E::C { y, .. } => y, _ => 0 }, g.v.len(), d.f(), n.is_none()); unsafe { M = Some(HashMap::new()); let u = Un { a: 1 }; println!("{}", u.a); } match pl { Plain::X => (), _ => println!("{:?}", g.o) } println!("{}", g.r); }
