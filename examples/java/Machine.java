/*
 * A machine whole: memory, a processor and two devices, on Slate's Java API. The guest reads characters from a keyboard, makes them
 * capitals and writes them to a console, until it reads 0. After ./slate test, or any build:
 *
 *   java --enable-native-access=ALL-UNNAMED -cp cpu/target/classes:kvm/target/classes examples/java/Machine.java
 *
 * prints SLATE.
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.host.ArenaHost;

// start: in al, 0x60;  test al, al;  jz end;  and al, 0xdf;  out 0xe9, al;  jmp start;  end: hlt
static final byte[] CODE = HexFormat.of().parseHex("e460" + "84c0" + "7406" + "24df" + "e6e9" + "ebf4" + "f4");

void main() throws IOException {
    var host = new ArenaHost();
    var kvm = new Kvm(host);
    try (var vm = kvm.createVm(0);
            var vcpu = vm.createVcpu(0)) {
        long page = host.allocate(4096, 4096); // a host-virtual address: the guest's memory is used in place
        HostMemory.copyIn(CODE, 0, page, CODE.length);
        vm.setUserMemoryRegion(0, 0, 0, 4096, page); // slot 0: the guest's physical addresses 0 to 4095

        var sregs = new Sregs(); // a processor starts in real mode, at the top of 4 GiB: have it start at 0
        vcpu.getSregs(sregs);
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        vcpu.setSregs(sregs);
        vcpu.setRegs(new Regs());

        var keyboard = new StringReader("slate\0");
        while (true) {
            int errno = vcpu.run(false); // runs the guest on this thread until it needs something
            if (errno != 0) {
                throw new IllegalStateException("KVM_RUN failed with errno " + errno);
            }
            switch (vcpu.exit().value()) {
                case Exit.PortIn in -> HostMemory.put8(vcpu.portData(), keyboard.read());
                case Exit.PortOut out -> IO.print((char) HostMemory.get8(vcpu.portData()));
                case Exit.Halt halt -> {
                    IO.println();
                    return;
                }
                case Exit other -> throw new IllegalStateException(other.toString());
            }
        }
    }
}
