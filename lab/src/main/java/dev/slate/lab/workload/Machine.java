package dev.slate.lab.workload;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.Vm;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.host.HostServices;
import java.util.Arrays;

/**
 * A virtual machine with one vCPU that runs a flat guest image as guests/README.md says: image at 1 MiB, parameters below it, 32-bit
 * protected mode.
 *
 * <p>Of one thread.
 */
public final class Machine implements AutoCloseable {
    /** Guest physical address of the image. */
    public static final long IMAGE = 0x10_0000;
    /** Guest physical address of the parameters. */
    public static final long PARAMETERS = 0x8000;
    /** Slot number of the memory at 0. */
    public static final int MEMORY_SLOT = 0;

    private static final int PORT_CHARACTER = 0xe9;
    private static final int PORT_MARK = 0xf4;
    /** Marks below this are failures, but 0. */
    private static final int FIRST_PHASE = 100;

    /** CPUID 1, ECX. */
    private static final int TSC_DEADLINE = 1 << 24;

    private final HostServices host;
    private final Vm vm;
    private final Vcpu vcpu;
    private final long memoryBytes;
    private final long hva;
    private final StringBuilder output = new StringBuilder();

    /**
     * Makes the machine; the vCPU stands at the guest's entry.
     *
     * @param knobs lines NAME=VALUE
     * @param memoryBytes of memory at 0, a multiple of 2 MiB
     * @param parameters from the guest's second on; the first is {@code memoryBytes}
     */
    public Machine(HostServices host, String knobs, byte[] image, long memoryBytes, long... parameters) {
        this.host = host;
        this.memoryBytes = memoryBytes;
        Kvm kvm = new Kvm(host, Knobs.parse(knobs));
        vm = kvm.createVm(0);
        vm.createIrqchip();
        hva = host.allocate(memoryBytes, 2 << 20);
        if (hva == 0) {
            throw new IllegalStateException("no memory for a guest of " + (memoryBytes >> 20) + " MiB");
        }
        HostMemory.copyIn(image, 0, hva + IMAGE, image.length);
        HostMemory.put64(hva + PARAMETERS, memoryBytes);
        for (int i = 0; i < parameters.length; i++) {
            HostMemory.put64(hva + PARAMETERS + 8L * (i + 1), parameters[i]);
        }
        vm.setUserMemoryRegion(MEMORY_SLOT, 0, 0, memoryBytes, hva);
        vcpu = vm.createVcpu(0);
        vcpu.setCpuid(
                kvm.supportedCpuid().stream().map(Machine::withTscDeadline).toList());
        enter();
    }

    /** KVM leaves it to the client to offer the APIC timer's TSC-deadline mode, since it needs an in-kernel APIC. */
    private static CpuidEntry withTscDeadline(CpuidEntry entry) {
        return entry.function() == 1
                ? new CpuidEntry(
                        entry.function(),
                        entry.index(),
                        entry.flags(),
                        entry.eax(),
                        entry.ebx(),
                        entry.ecx() | TSC_DEADLINE,
                        entry.edx())
                : entry;
    }

    private void enter() {
        Sregs sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.setFlat32();
        vcpu.setSregs(sregs);
        Regs regs = new Regs();
        regs.rip = IMAGE;
        regs.rbx = PARAMETERS;
        regs.rflags = 2;
        vcpu.setRegs(regs);
        vcpu.setMpState(MpState.RUNNABLE);
    }

    public Vm vm() {
        return vm;
    }

    public Vcpu vcpu() {
        return vcpu;
    }

    /** Host address of guest physical 0. */
    public long hva() {
        return hva;
    }

    public long memoryBytes() {
        return memoryBytes;
    }

    /**
     * Runs to the guest's next mark. Ports that are none of guests/README.md read as zero, and so does what is no memory.
     *
     * @return 0: the guest has ended; else the phase
     * @throws IllegalStateException the guest has failed or left for a reason that is not understood
     */
    public int run() {
        for (; ; ) {
            int errno = vcpu.run(false);
            if (errno != 0) {
                throw new IllegalStateException("KVM_RUN gave errno " + errno + where());
            }
            VcpuExit exit = vcpu.exit();
            switch (exit.reason) {
                case VcpuExit.IO -> {
                    if (exit.ioDirection == VcpuExit.IO_IN) {
                        HostMemory.put32(vcpu.portData(), 0);
                    } else if (exit.ioPort == PORT_CHARACTER) {
                        output.append((char) HostMemory.get8(vcpu.portData()));
                    } else if (exit.ioPort == PORT_MARK) {
                        return mark(HostMemory.get32(vcpu.portData()));
                    }
                }
                case VcpuExit.MMIO -> {
                    if (!exit.mmioIsWrite) {
                        Arrays.fill(exit.mmioData, (byte) 0);
                    }
                }
                default -> throw new IllegalStateException("the guest left with exit reason " + exit.reason + where());
            }
        }
    }

    private int mark(int number) {
        if (number > 0 && number < FIRST_PHASE) {
            throw new IllegalStateException("the guest failed with mark " + number + where());
        }
        return number;
    }

    private String where() {
        Regs regs = new Regs();
        vcpu.getRegs(regs);
        Sregs sregs = new Sregs();
        vcpu.getSregs(sregs);
        return " at rip 0x%x, cr2 0x%x%s"
                .formatted(regs.rip, sregs.cr2, output.isEmpty() ? "" : "; it said: " + output);
    }

    @Override
    public void close() {
        vcpu.close();
        vm.close();
        host.free(hva, memoryBytes);
    }
}
