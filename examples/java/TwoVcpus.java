/*
 * Two processors, each on a thread of its own, as vCPUs are: both add 1 to a number in shared memory 50,000 times, with a locked
 * instruction. Run as Machine.java says; prints 100000.
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.host.ArenaHost;

// ds = 0x100;  mov cx, 50000;  next: lock inc dword [0];  loop next;  hlt
static final byte[] CODE = HexFormat.of().parseHex("b80001" + "8ed8" + "b950c3" + "66f0ff060000" + "e2f8" + "f4");

void main() throws InterruptedException {
    var host = new ArenaHost();
    try (var vm = new Kvm(host).createVm(0);
            var first = vm.createVcpu(0);
            var second = vm.createVcpu(1)) {
        long memory = host.allocate(2 * 4096, 4096);
        HostMemory.copyIn(CODE, 0, memory, CODE.length);
        vm.setUserMemoryRegion(0, 0, 0, 2 * 4096, memory);
        var threads = new ArrayList<Thread>();
        for (Vcpu vcpu : List.of(first, second)) {
            var sregs = new Sregs();
            vcpu.getSregs(sregs);
            sregs.cs.base = 0;
            sregs.cs.selector = 0;
            vcpu.setSregs(sregs);
            vcpu.setRegs(new Regs());
            threads.add(Thread.ofPlatform().start(() -> {
                if (vcpu.run(false) != 0 || !(vcpu.exit().value() instanceof Exit.Halt)) {
                    throw new IllegalStateException("vCPU " + vcpu.id() + ": " + vcpu.exit().value());
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        IO.println(HostMemory.get32(memory + 0x1000));
    }
}
