// A KVM client in Rust: two machines on threads of std's, linked statically. Prints what each guest sent.
use std::os::raw::{c_char, c_int, c_long, c_ulong, c_void};

extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn mmap(at: *mut c_void, bytes: usize, protection: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void;
}

#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest: u64,
    bytes: u64,
    host: u64,
}

/// mov al, 'A'; out 10h, al; hlt
fn machine(kvm: c_int, letter: u8) -> u8 {
    unsafe {
        let vm = ioctl(kvm, 0xae01, 0);
        let memory = mmap(std::ptr::null_mut(), 1 << 20, 3, 0x21, -1, 0) as *mut u8;
        let code = [0xb0, letter, 0xe6, 0x10, 0xf4];
        std::ptr::copy_nonoverlapping(code.as_ptr(), memory.add(0x1000), code.len());
        let region = Region { slot: 0, flags: 0, guest: 0, bytes: 1 << 20, host: memory as u64 };
        assert_eq!(ioctl(vm, 0x4020ae46, &region), 0);
        let vcpu = ioctl(vm, 0xae41, 0);
        let run = mmap(std::ptr::null_mut(), ioctl(kvm, 0xae04, 0) as usize, 3, 1, vcpu, 0) as *mut u8;
        let mut sregs = [0u8; 312];
        assert_eq!(ioctl(vcpu, 0x8138ae83, sregs.as_mut_ptr()), 0);
        sregs[..16].fill(0); // cs.base; its limit stays what it is below
        sregs[8..12].fill(0xff);
        assert_eq!(ioctl(vcpu, 0x4138ae84, sregs.as_ptr()), 0);
        let mut regs = [0u64; 18];
        regs[16] = 0x1000;
        regs[17] = 2;
        assert_eq!(ioctl(vcpu, 0x4090ae82, regs.as_ptr()), 0);
        assert_eq!(ioctl(vcpu, 0xae80, 0), 0);
        assert_eq!(*(run.add(8) as *const u32), 2); // KVM_EXIT_IO
        let offset = *(run.add(40) as *const u64);
        let sent = *run.add(offset as usize);
        assert_eq!(ioctl(vcpu, 0xae80, 0), 0);
        assert_eq!(*(run.add(8) as *const u32), 5); // KVM_EXIT_HLT
        sent
    }
}

fn main() {
    let kvm = unsafe { open(b"/dev/kvm\0".as_ptr() as *const c_char, 2) };
    assert!(kvm >= 0);
    let threads: Vec<_> = [b'R', b'S'].iter().map(|&letter| std::thread::spawn(move || machine(kvm, letter))).collect();
    let sent: Vec<u8> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    println!("{}", String::from_utf8(sent).unwrap());
}
