package dev.slate.junit;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A virtual machine with memory from guest-physical address 0 and one vCPU, for one test. The extension closes it. Used by one thread at
 * a time.
 */
public final class TestMachine implements AutoCloseable {
    private final ArenaHost host = new ArenaHost();
    private final Vm vm;
    private final Vcpu vcpu;
    private final long memory;
    private final long bytes;
    private final int limit;
    private final List<GuestExit> exits = new ArrayList<>();

    TestMachine(long bytes, int limit) {
        this.bytes = bytes;
        this.limit = limit;
        vm = new Kvm(host).createVm(0);
        vcpu = vm.createVcpu(0);
        memory = host.allocate(bytes, 4096);
        vm.setUserMemoryRegion(0, 0, 0, bytes, memory);
    }

    /** The machine, for what this class does not do. */
    public Vm vm() {
        return vm;
    }

    /** Its vCPU. */
    public Vcpu vcpu() {
        return vcpu;
    }

    /** The host address of a guest-physical one, for {@link HostMemory}. @throws IllegalArgumentException no memory is there */
    public long hva(long gpa) {
        return check(gpa, 1);
    }

    private long check(long gpa, long length) {
        if (gpa < 0 || length > bytes || gpa > bytes - length) {
            throw new IllegalArgumentException(
                    "the machine has memory up to 0x%x, not at 0x%x (%d bytes)".formatted(bytes, gpa, length));
        }
        return memory + gpa;
    }

    /** Puts code or data into the guest's memory. @throws IllegalArgumentException it does not fit */
    public void load(long gpa, byte[] content) {
        HostMemory.copyIn(content, 0, check(gpa, content.length), content.length);
    }

    /**
     * Has the vCPU begin at an address in real mode: CS is 0, general registers are 0.
     *
     * @param gpa 0 to 0xffff
     */
    public void startRealMode(int gpa) {
        if (gpa < 0 || gpa > 0xffff) {
            throw new IllegalArgumentException("0x%x is beyond a segment of real mode".formatted(gpa));
        }
        var sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.cs.base = 0;
        sregs.cs.selector = 0;
        vcpu.setSregs(sregs);
        var regs = new Regs();
        regs.rip = gpa;
        regs.rflags = 2;
        vcpu.setRegs(regs);
    }

    /** As {@link #run(Answers)} with devices that read as zero. */
    public List<GuestExit> run() {
        return run(Answers.ZERO);
    }

    /**
     * Runs the guest until it halts, and returns its exits, the last of them {@link Exit.Halt}. Port accesses of several items (INS, OUTS)
     * are one exit, with the first item's value.
     *
     * @throws AssertionError the guest did not halt: it shut down, met an instruction that Slate lacks, made as many exits as the limit
     *     allows, or KVM_RUN failed; the message has the exits
     */
    public List<GuestExit> run(Answers answers) {
        int first = exits.size();
        for (int i = 0; i < limit; i++) {
            int errno = vcpu.run(false);
            if (errno != 0) {
                throw new AssertionError("KVM_RUN failed with errno " + errno + " after the exits " + tail());
            }
            Exit exit = vcpu.exit().value();
            exits.add(new GuestExit(exit, value(exit, answers)));
            switch (exit) {
                case Exit.Halt _ -> {
                    return List.copyOf(exits.subList(first, exits.size()));
                }
                case Exit.PortIn _, Exit.PortOut _, Exit.MmioRead _, Exit.MmioWrite _, Exit.InterruptWindow _ -> {}
                case Exit _ -> throw new AssertionError("the guest did not halt but ended in the exits " + tail());
            }
        }
        throw new AssertionError("the guest made " + limit + " exits and did not halt; the last: " + tail());
    }

    private long value(Exit exit, Answers answers) {
        return switch (exit) {
            case Exit.PortIn in -> {
                long value = answers.to(in);
                for (int item = 0; item < in.count(); item++) {
                    put(vcpu.portData() + (long) item * in.size(), in.size(), value);
                }
                yield value;
            }
            case Exit.PortOut out -> get(vcpu.portData(), out.size());
            case Exit.MmioRead read -> {
                long value = answers.to(read);
                VcpuExit state = vcpu.exit();
                for (int i = 0; i < read.bytes(); i++) {
                    state.mmioData[i] = (byte) (value >> 8 * i);
                }
                yield value;
            }
            case Exit.MmioWrite write -> write.value();
            case Exit _ -> 0;
        };
    }

    private static void put(long hva, int size, long value) {
        for (int i = 0; i < size; i++) {
            HostMemory.put8(hva + i, (int) (value >> 8 * i) & 0xff);
        }
    }

    private static long get(long hva, int size) {
        long value = 0;
        for (int i = 0; i < size; i++) {
            value |= (HostMemory.get8(hva + i) & 0xffL) << 8 * i;
        }
        return value;
    }

    /** All exits so far. */
    public List<GuestExit> exits() {
        return Collections.unmodifiableList(exits);
    }

    /** The last exits, for a message. */
    String tail() {
        int from = Math.max(0, exits.size() - 20);
        return (from == 0 ? "" : from + " others, ") + exits.subList(from, exits.size());
    }

    /** Takes the machine down. */
    @Override
    public void close() {
        vcpu.close();
        vm.close();
        host.free(memory, bytes);
    }
}
