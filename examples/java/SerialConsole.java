/*
 * A machine with a serial port, as far as a polling driver needs one: data at 0x3f8, line status at 0x3fd. The guest sends back what it
 * receives, up to the end of the line. Run as Machine.java says; prints "typed on a serial line".
 */
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.host.ArenaHost;

// 1: wait for bit 0 of 0x3fd;  in al, 0x3f8;  mov bl, al;  2: wait for bit 5 of 0x3fd;  out 0x3f8, bl;  until it is a line feed;  hlt
static final byte[] CODE = HexFormat.of()
        .parseHex("bafd03" + "ec" + "a801" + "74fb" + "baf803" + "ec" + "88c3" + "bafd03" + "ec" + "a820" + "74fb" + "baf803" + "88d8"
                + "ee" + "3c0a" + "75e0" + "f4");

/** Enough of a 16550. A device sees offsets and sizes, never the machine's addresses. */
static final class Serial {
    private static final int DATA = 0;
    private static final int LINE_STATUS = 5;
    private static final int RECEIVED = 1;
    private static final int CAN_SEND = 0x20;

    private final StringReader line;
    private int next;

    Serial(String typed) throws IOException {
        line = new StringReader(typed);
        next = line.read();
    }

    int read(int offset) throws IOException {
        if (offset == LINE_STATUS) {
            return (next < 0 ? 0 : RECEIVED) | CAN_SEND;
        }
        int value = next;
        next = offset == DATA ? line.read() : next;
        return value;
    }

    void write(int offset, int value) {
        if (offset == DATA) {
            IO.print((char) value);
        }
    }
}

void main() throws IOException {
    var host = new ArenaHost();
    try (var vm = new Kvm(host).createVm(0);
            var vcpu = vm.createVcpu(0)) {
        long memory = host.allocate(4096, 4096);
        HostMemory.copyIn(CODE, 0, memory, CODE.length);
        vm.setUserMemoryRegion(0, 0, 0, 4096, memory);
        startAtZero(vcpu);
        var serial = new Serial("typed on a serial line\n");
        while (vcpu.run(false) == 0) {
            switch (vcpu.exit().value()) {
                case Exit.PortIn(int port, _, _) -> HostMemory.put8(vcpu.portData(), serial.read(port - 0x3f8));
                case Exit.PortOut(int port, _, _) -> serial.write(port - 0x3f8, HostMemory.get8(vcpu.portData()));
                case Exit.Halt() -> {
                    return;
                }
                case Exit other -> throw new IllegalStateException(other.toString());
            }
        }
    }
}

static void startAtZero(Vcpu vcpu) {
    var sregs = new Sregs();
    vcpu.getSregs(sregs);
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    vcpu.setSregs(sregs);
    vcpu.setRegs(new Regs());
}
