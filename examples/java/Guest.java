/*
 * A guest, in thirty lines: it adds the numbers from 1 to 100 and writes the sum to a port. Run as Machine.java says; prints 5050.
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.host.ArenaHost;

// xor ax, ax;  mov cx, 100;  next: add ax, cx;  loop next;  mov dx, 0xe0;  out dx, ax;  hlt
static final byte[] CODE = HexFormat.of().parseHex("31c0" + "b96400" + "01c8" + "e2fc" + "bae000" + "ef" + "f4");

void main() {
    var host = new ArenaHost();
    try (var vm = new Kvm(host).createVm(0);
            var vcpu = vm.createVcpu(0)) {
        long memory = host.allocate(4096, 4096);
        HostMemory.copyIn(CODE, 0, memory, CODE.length);
        vm.setUserMemoryRegion(0, 0, 0, 4096, memory);
        var sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        vcpu.setSregs(sregs);
        vcpu.setRegs(new Regs());
        while (vcpu.run(false) == 0 && !(vcpu.exit().value() instanceof Exit.Halt)) {
            IO.println(HostMemory.get16(vcpu.portData()));
        }
    }
}
