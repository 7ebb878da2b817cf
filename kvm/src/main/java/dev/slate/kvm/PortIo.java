package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;

/**
 * Port I/O that goes to the client: IN and OUT of one item.
 *
 * <p>At the exit the instruction is not done: rip still points at it, and it completes when the vCPU runs again, if rip is still
 * where it was (a client may have set other registers meanwhile).
 */
final class PortIo {
    private final CpuState s;
    private final VcpuExit exit;
    private final long dataHva;

    /** Linear address of the instruction at its exit. */
    private long linearRip;

    private long nextRip;
    private int size;

    PortIo(CpuState s, VcpuExit exit, long runAreaHva) {
        this.s = s;
        this.exit = exit;
        this.dataHva = runAreaHva + VcpuExit.PIO_PAGE_OFFSET;
    }

    private long linearRip() {
        return s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
    }

    private void prepare(Cpu cpu, int direction, int items) {
        size = cpu.ioSize;
        exit.reason = VcpuExit.IO;
        exit.ioDirection = direction;
        exit.ioSize = size;
        exit.ioPort = cpu.ioPort;
        exit.ioCount = items;
        exit.ioDataOffset = VcpuExit.PIO_PAGE_OFFSET;
    }

    /** IN or OUT of one item; the data of OUT is in its page. */
    int single(Cpu cpu) {
        linearRip = linearRip();
        nextRip = cpu.nextRip;
        if (cpu.ioIn) {
            prepare(cpu, VcpuExit.IO_IN, 1);
            return Completion.PIO_IN;
        }
        prepare(cpu, VcpuExit.IO_OUT, 1);
        switch (size) {
            case 1 -> HostMemory.put8(dataHva, cpu.ioData);
            case 2 -> HostMemory.put16(dataHva, cpu.ioData);
            default -> HostMemory.put32(dataHva, cpu.ioData);
        }
        return Completion.PIO_OUT;
    }

    /** Whether the guest still stands at the instruction that left. */
    boolean stillThere() {
        return linearRip() == linearRip;
    }

    long nextRip() {
        return nextRip;
    }

    /** Completes IN: the client's data to AL, AX or EAX (which clears the upper half of RAX). */
    void completeIn() {
        long[] gpr = s.gpr;
        long rax = gpr[CpuState.RAX];
        gpr[CpuState.RAX] = switch (size) {
            case 1 -> rax & ~0xffL | HostMemory.get8(dataHva);
            case 2 -> rax & ~0xffffL | HostMemory.get16(dataHva);
            default -> HostMemory.get32(dataHva) & 0xffff_ffffL;
        };
    }
}
