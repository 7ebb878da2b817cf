/*
 * Which pages has the guest written? It writes to pages 3, 5 and 8 of its memory and halts, twice; the log is taken after each. Run as
 * Machine.java says; prints "dirty: [3, 5, 8]", and, for nothing ran in between, "dirty: []", and "dirty: [3, 5, 8]".
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;

// start: ds = 0x300;  mov byte [0], 1;  ds = 0x500;  mov byte [0], 1;  ds = 0x800;  mov byte [0], 1;  hlt;  jmp start
static final byte[] CODE = HexFormat.of()
        .parseHex("b80003" + "8ed8" + "c606000001" + "b80005" + "8ed8" + "c606000001" + "b80008" + "8ed8" + "c606000001" + "f4" + "ebdf");
static final int PAGES = 16;
static final int LOG_DIRTY_PAGES = 1; // a flag of the memory slot

void main() {
    var host = new ArenaHost();
    try (var vm = new Kvm(host).createVm(0);
            var vcpu = vm.createVcpu(0)) {
        long memory = host.allocate(PAGES * 4096, 4096);
        HostMemory.copyIn(CODE, 0, memory, CODE.length);
        vm.setUserMemoryRegion(0, LOG_DIRTY_PAGES, 0, PAGES * 4096, memory);
        var sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        vcpu.setSregs(sregs);
        vcpu.setRegs(new Regs());
        for (int i = 0; i < 2; i++) {
            if (vcpu.run(false) != 0 || !(vcpu.exit().value() instanceof Exit.Halt)) {
                throw new IllegalStateException(vcpu.exit().value().toString());
            }
            IO.println("dirty: " + takeLog(vm));
            if (i == 0) {
                IO.println("dirty: " + takeLog(vm));
            }
        }
    }
}

/** The pages written since the last call; taking the log makes them clean. */
static List<Integer> takeLog(Vm vm) {
    var pages = new ArrayList<Integer>();
    vm.getDirtyLog(0, (bitmap, bytes) -> {
        for (int page = 0; page < PAGES; page++) {
            if ((HostMemory.get8(bitmap + page / 8) >> page % 8 & 1) != 0) {
                pages.add(page);
            }
        }
        return 0;
    });
    return pages;
}
