// A KVM client in Rust on musl's libc: without Rust's standard library, which distributions do not build for musl.
#![no_std]
#![no_main]

use core::ffi::c_void;

// core::ffi has these from Rust 1.64 on.
#[allow(non_camel_case_types)]
mod c {
    pub type c_char = i8;
    pub type c_int = i32;
    pub type c_long = i64;
    pub type c_ulong = u64;
}
use c::{c_char, c_int, c_long, c_ulong};

extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn mmap(at: *mut c_void, bytes: usize, protection: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void;
    fn write(fd: c_int, from: *const c_void, bytes: usize) -> isize;
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    unsafe { abort() }
}

#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    gpa: u64,
    bytes: u64,
    hva: u64,
}

/// The guest writes to port 0x10 what is then written out: mov al, 'M'; out 0x10, al; hlt.
const CODE: [u8; 5] = [0xb0, b'M', 0xe6, 0x10, 0xf4];

#[no_mangle]
pub extern "C" fn main() -> c_int {
    unsafe {
        let kvm = open(b"/dev/kvm\0".as_ptr() as *const c_char, 2);
        let vm = ioctl(kvm, 0xae01, 0);
        let memory = mmap(core::ptr::null_mut(), 65536, 3, 0x22, -1, 0) as *mut u8;
        core::ptr::copy_nonoverlapping(CODE.as_ptr(), memory.add(0x1000), CODE.len());
        let region = Region { slot: 0, flags: 0, gpa: 0, bytes: 65536, hva: memory as u64 };
        if ioctl(vm, 0x4020ae46, &region) != 0 {
            return 1;
        }
        let vcpu = ioctl(vm, 0xae41, 0);
        let run = mmap(core::ptr::null_mut(), ioctl(kvm, 0xae04, 0) as usize, 3, 1, vcpu, 0) as *const u8;
        let mut sregs = [0u64; 39]; // struct kvm_sregs: CS comes first, base at 0, selector at 12
        ioctl(vcpu, 0x8138ae83, sregs.as_mut_ptr());
        sregs[0] = 0;
        sregs[1] &= 0xffff_0000_ffff_ffff;
        ioctl(vcpu, 0x4138ae84, sregs.as_ptr());
        let mut regs = [0u64; 18];
        regs[16] = 0x1000;
        regs[17] = 2;
        ioctl(vcpu, 0x4090ae82, regs.as_ptr());
        if ioctl(vcpu, 0xae80, 0) != 0 || *(run.add(8) as *const u32) != 2 {
            return 2;
        }
        write(1, run.add(*(run.add(40) as *const u64) as usize) as *const c_void, 1);
    }
    0
}
