package dev.slate.debug;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;
import java.util.HexFormat;
import java.util.function.Consumer;

/** A VM in 64-bit mode: 2 MiB of memory, mapped one to one with the 2 MiB behind it, which are MMIO. */
public final class TestGuest implements AutoCloseable {
    public static final long CODE = 0x10000;
    public static final long STACK = 0x20000;
    public static final long DATA = 0x40000;
    public static final long IDT = 0x6000;
    private static final long MEMORY = 2 << 20;

    public final ArenaHost host = new ArenaHost();
    public final Kvm kvm;
    public final Vm vm;
    public final long hva;
    public final Vcpu vcpu;

    public TestGuest(Consumer<Kvm> watch, String code) {
        this("", watch, code);
    }

    /** @param knobs lines NAME=VALUE */
    public TestGuest(String knobs, Consumer<Kvm> watch, String code) {
        kvm = new Kvm(host, Knobs.parse(knobs));
        watch.accept(kvm);
        vm = kvm.createVm(0);
        hva = host.allocate(MEMORY, 4096);
        HostMemory.put64(hva + 0x1000, 0x2003);
        HostMemory.put64(hva + 0x2000, 0x3003);
        HostMemory.put64(hva + 0x3000, 0x83);
        HostMemory.put64(hva + 0x3008, 0x20_0083);
        HostMemory.put64(hva + 0x5008, 0x00af_9b00_0000_ffffL);
        HostMemory.put64(hva + 0x5010, 0x00cf_9300_0000_ffffL);
        write(CODE, code);
        vm.setUserMemoryRegion(0, 0, 0, MEMORY, hva);
        vcpu = vcpu(0);
    }

    /** A vCPU at {@link #CODE}. */
    public Vcpu vcpu(int id) {
        Vcpu v = vm.createVcpu(id);
        v.setCpuid(kvm.supportedCpuid());
        Sregs sregs = new Sregs();
        v.getSregs(sregs);
        sregs.setFlat64(0x1000);
        sregs.gdtBase = 0x5000;
        sregs.gdtLimit = 23;
        sregs.idtBase = IDT;
        sregs.idtLimit = 0xfff;
        v.setSregs(sregs);
        Regs r = new Regs();
        r.rip = CODE;
        r.rsp = STACK - 0x1000L * id;
        r.rflags = 2;
        v.setRegs(r);
        return v;
    }

    public void write(long gpa, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, hva + gpa, bytes.length);
    }

    /** A 64-bit interrupt gate. */
    public void gate(int vector, long handler) {
        HostMemory.put64(hva + IDT + vector * 16L, handler & 0xffff | 8 << 16 | 0x8e00L << 32 | (handler >>> 16) << 48);
    }

    @Override
    public void close() {
        vcpu.close();
        vm.close();
    }
}
