package org.example;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.host.ArenaHost;
import java.util.HexFormat;

/** Has a guest add the numbers from 1 to N. */
public final class Sum {
    /** xor ax, ax; next: add ax, cx; loop next; mov dx, 0xe0; out dx, ax; hlt. */
    static final byte[] CODE = HexFormat.of().parseHex("31c0" + "01c8" + "e2fc" + "bae000" + "ef" + "f4");

    private Sum() {}

    /** Prints the sum, and whether Slate is a module here. */
    public static void main(String[] arguments) {
        String path = Kvm.class.getModule().isNamed() ? "module path" : "class path";
        System.out.println(to(Integer.parseInt(arguments[0])) + ", on the " + path);
    }

    /** The sum of 1 to {@code last}, which is 1 to 361, in 16 bits. */
    public static int to(int last) {
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
            var regs = new Regs();
            regs.rcx = last;
            vcpu.setRegs(regs);
            int sum = -1;
            while (vcpu.run(false) == 0 && !(vcpu.exit().value() instanceof Exit.Halt)) {
                sum = HostMemory.get16(vcpu.portData());
            }
            return sum;
        }
    }
}
