/*
 * A device in the guest's memory: at 0xa0000, where the machine has none, lies a register that takes a number and one that gives its
 * square. The guest writes 12, reads the square and writes it to a port. Run as Machine.java says; prints "12 squared is 144".
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.host.ArenaHost;

// ds = 0xa000;  mov dword [0], 12;  mov eax, [4];  mov dx, 0xe0;  out dx, eax;  hlt
static final byte[] CODE = HexFormat.of().parseHex("b800a0" + "8ed8" + "66c70600000c000000" + "66a10400" + "bae000" + "66ef" + "f4");
static final long DEVICE = 0xa0000;

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
        long number = 0;
        while (vcpu.run(false) == 0) {
            switch (vcpu.exit().value()) {
                case Exit.MmioWrite(long gpa, _, long value) when gpa == DEVICE -> number = value;
                case Exit.MmioRead(long gpa, int bytes) when gpa == DEVICE + 4 -> answer(vcpu.exit(), number * number, bytes);
                case Exit.PortOut _ -> IO.println(number + " squared is " + HostMemory.get32(vcpu.portData()));
                case Exit.Halt() -> {
                    return;
                }
                case Exit other -> throw new IllegalStateException(other.toString());
            }
        }
    }
}

/** What the guest reads, little-endian. */
static void answer(VcpuExit exit, long value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        exit.mmioData[i] = (byte) (value >> 8 * i);
    }
}
