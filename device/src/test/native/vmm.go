// A KVM client in Go: raw system calls on many threads, preemption by SIGURG, stacks of Go's own.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

type region struct {
	slot, flags          uint32
	gpa, size, userspace uint64
}

func ioctl(fd uintptr, request, argument uintptr) (uintptr, error) {
	r, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, request, argument)
	if e != 0 {
		return r, e
	}
	return r, nil
}

// The pointer becomes a number in the call itself, so that Go moves nothing meanwhile.
func ioctlAt(fd uintptr, request uintptr, argument unsafe.Pointer) (uintptr, error) {
	r, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
	if e != 0 {
		return r, e
	}
	return r, nil
}

func must(r uintptr, err error) uintptr {
	if err != nil {
		panic(err)
	}
	return r
}

// mov $0x42, %al; out %al, $0x10; dec %cx; jnz; hlt
var code = []byte{0xb0, 0x42, 0xe6, 0x10, 0x49, 0x75, 0xfb, 0xf4}

func machine(kvm uintptr, exits int) int {
	runtime.LockOSThread()
	vm := must(ioctl(kvm, 0xae01, 0))
	memory, err := syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	copy(memory[0x1000:], code)
	r := region{size: 1 << 20, userspace: uint64(uintptr(unsafe.Pointer(&memory[0])))}
	must(ioctlAt(vm, 0x4020ae46, unsafe.Pointer(&r)))
	vcpu := must(ioctl(vm, 0xae41, 0))
	size := must(ioctl(kvm, 0xae04, 0))
	run, err := syscall.Mmap(int(vcpu), 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	var sregs [312]byte
	must(ioctlAt(vcpu, 0x8138ae83, unsafe.Pointer(&sregs[0])))
	*(*uint64)(unsafe.Pointer(&sregs[0])) = 0     // cs.base
	*(*uint16)(unsafe.Pointer(&sregs[12])) = 0    // cs.selector
	must(ioctlAt(vcpu, 0x4138ae84, unsafe.Pointer(&sregs[0])))
	var regs [18]uint64
	regs[2] = uint64(exits) // rcx
	regs[16] = 0x1000       // rip
	regs[17] = 2
	must(ioctlAt(vcpu, 0x4090ae82, unsafe.Pointer(&regs[0])))
	seen := 0
	for {
		_, err := ioctl(vcpu, 0xae80, 0)
		if err == syscall.EINTR {
			continue
		}
		must(0, err)
		switch *(*uint32)(unsafe.Pointer(&run[8])) {
		case 2:
			seen++
		case 5:
			syscall.Munmap(run)
			syscall.Close(int(vcpu))
			syscall.Close(int(vm))
			return seen
		default:
			panic("exit")
		}
	}
}

func main() {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(3)
	}
	if v := must(ioctl(f.Fd(), 0xae00, 0)); v != 12 {
		panic(v)
	}
	stop := make(chan bool)
	go func() { // garbage and preemption beside the machines
		for {
			select {
			case <-stop:
				return
			default:
				_ = make([]byte, 100000)
			}
		}
	}()
	spin := 0
	go func() {
		for {
			spin++
		}
	}()
	var group sync.WaitGroup
	counts := make([]int, 4)
	begin := time.Now()
	for i := range counts {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			counts[i] = machine(f.Fd(), 3000)
		}(i)
	}
	group.Wait()
	runtime.KeepAlive(f)
	_ = begin
	stop <- true
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var p *int
		*p = 1
	}()
	exe, _ := os.Executable()
	_ = exe
	out, err := os.StartProcess("/bin/echo", []string{"echo", "a child"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
	if err != nil {
		panic(err)
	}
	state, _ := out.Wait()
	fmt.Println(counts, state.Success())
}
