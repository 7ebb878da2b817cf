package dev.slate.kvm;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.cpuid.CpuidTable;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * A VM with one vCPU in 64-bit mode at privilege 0: 2 MiB of memory at 0, mapped one to one with the GiB above it by large pages, so that
 * addresses beyond the memory are MMIO.
 */
final class Guest64 implements AutoCloseable {
    static final long MEMORY = 2 << 20;
    static final long CODE = 0x10000;
    static final long STACK = 0x20000;
    static final long DATA = 0x40000;
    /** Mapped by the guest's tables, not backed by a slot. */
    static final long NOWHERE = 0x1000_0000;

    /** Bytes from one piece of code to the next, see {@link #pieces}. */
    static final int PIECE = 8;

    static final long IDT = 0x6000;
    private static final long PML4 = 0x1000;
    private static final long PDPT = 0x2000;
    private static final long DIRECTORY = 0x3000;
    private static final long GDT = 0x5000;

    final TestHost host = new TestHost();
    final Kvm kvm;
    final Vm vm;
    final Vcpu vcpu;
    final long hva;
    final Regs regs = new Regs();
    private final int[] code;

    Guest64(int... code) {
        this(false, code);
    }

    Guest64(boolean irqchip, int... code) {
        this(Knobs.standard(), irqchip, code);
    }

    Guest64(Knobs knobs, boolean irqchip, int... code) {
        this(knobs, irqchip ? Vm::createIrqchip : vm -> {}, code);
    }

    /** @param machine what is done to the VM before it has a vCPU */
    Guest64(Knobs knobs, Consumer<Vm> machine, int... code) {
        kvm = new Kvm(host, knobs);
        vm = kvm.createVm(0);
        machine.accept(vm);
        hva = host.allocate(MEMORY, 4096);
        this.code = code;
        restore();
        vm.setUserMemoryRegion(0, 0, 0, MEMORY, hva);
        vcpu = vm.createVcpu(0);
        start(vcpu, CODE, STACK);
    }

    /** Page tables, descriptors and the code given, as they are at the beginning. */
    void restore() {
        HostMemory.put64(hva + PML4, PDPT | 3);
        HostMemory.put64(hva + PDPT, DIRECTORY | 3);
        // The last entry holds the APIC's page: fee00000h.
        HostMemory.put64(hva + PDPT + 3 * 8, 0xc000_0000L | 0x83);
        for (long i = 0; i < 512; i++) {
            HostMemory.put64(hva + DIRECTORY + i * 8, i << 21 | 0x83);
        }
        HostMemory.put64(hva + GDT + 8, 0x00af_9b00_0000_ffffL);
        HostMemory.put64(hva + GDT + 16, 0x00cf_9300_0000_ffffL);
        write(CODE, code);
    }

    /** CR4 bits that the guest may set. */
    long cr4Allowed() {
        CpuidTable table = new CpuidTable();
        table.set(kvm.supportedCpuid());
        return ~(kvm.supported().cr4Reserved() | ControlRegisters.cr4Reserved(table));
    }

    /** Bits of the guest's physical addresses. */
    int physicalBits() {
        CpuidTable table = new CpuidTable();
        table.set(kvm.supportedCpuid());
        return table.maxPhysicalAddress();
    }

    /** Puts a vCPU at {@code rip} in 64-bit mode. */
    void start(Vcpu v, long rip, long rsp) {
        v.setCpuid(kvm.supportedCpuid());
        Sregs sregs = new Sregs();
        v.getSregs(sregs);
        sregs.setFlat64(PML4);
        sregs.gdtBase = GDT;
        sregs.gdtLimit = 23;
        sregs.idtBase = IDT;
        sregs.idtLimit = 0xfff;
        v.setSregs(sregs);
        Regs r = new Regs();
        r.rip = rip;
        r.rsp = rsp;
        r.rflags = 2;
        v.setRegs(r);
        v.setMpState(MpState.RUNNABLE);
    }

    /** A 64-bit interrupt gate. */
    void gate(int vector, long handler) {
        HostMemory.put64(
                hva + IDT + vector * 16L, handler & 0xffff | 8 << 16 | 0x8e00L << 32 | (handler >>> 16 & 0xffff) << 48);
        HostMemory.put64(hva + IDT + vector * 16L + 8, handler >>> 32);
    }

    /** Pieces of code that can be started one by one, each at a multiple of {@link #PIECE}. */
    static int[] pieces(int[]... pieces) {
        int[] code = new int[pieces.length * PIECE];
        Arrays.fill(code, 0x90);
        for (int i = 0; i < pieces.length; i++) {
            System.arraycopy(pieces[i], 0, code, i * PIECE, pieces[i].length);
        }
        return code;
    }

    /** Switches the local APIC on or off by software, with a spurious-interrupt vector: on, it takes fixed interrupts. */
    void apic(boolean on) {
        byte[] apic = new byte[1024];
        vcpu.getLapic(apic);
        apic[0xf0] = (byte) 0xff;
        apic[0xf1] = (byte) (on ? 1 : 0);
        vcpu.setLapic(apic);
    }

    /** 64 bits of memory. */
    long word(long gpa) {
        return HostMemory.get64(hva + gpa);
    }

    void write(long gpa, int... bytes) {
        for (int i = 0; i < bytes.length; i++) {
            HostMemory.put8(hva + gpa + i, bytes[i]);
        }
    }

    /** Runs to an exit, which must be one. */
    Exit run() {
        int errno = vcpu.run(false);
        if (errno != 0) {
            throw new AssertionError("KVM_RUN failed with errno " + errno);
        }
        return vcpu.exit().value();
    }

    Regs regs() {
        vcpu.getRegs(regs);
        return regs;
    }

    @Override
    public void close() {
        vcpu.close();
        vm.close();
    }
}
