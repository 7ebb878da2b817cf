package dev.slate.kvm.io;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * Port I/O that goes to the client: IN and OUT, and their string forms.
 *
 * <p>At the exit the instruction is not done: rip still points at it, and it completes when the vCPU runs again, if rip is still
 * where it was (a client may have set other registers meanwhile). OUTS is the exception: an item that has gone out is done.
 */
public final class PortIo {
    /** Most bytes of one string exit: KVM's read-ahead buffer. */
    private static final int STRING_BYTES = 1024;

    private static final int PAGE_SIZE = 4096;

    private final CpuState s;
    private final VcpuExit exit;
    private final long dataHva;
    private byte @Nullable [] buffer;

    /** Linear address of the instruction at its exit. */
    private long linearRip;

    private long nextRip;
    private int size;
    private int count;

    public PortIo(CpuState s, VcpuExit exit, long runAreaHva) {
        this.s = s;
        this.exit = exit;
        this.dataHva = runAreaHva + VcpuExit.PIO_PAGE_OFFSET;
    }

    /** Made by the first string instruction: most guests have none. */
    private byte[] buffer() {
        byte[] b = buffer;
        if (b == null) {
            b = new byte[STRING_BYTES];
            buffer = b;
        }
        return b;
    }

    private long linearRip() {
        return s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
    }

    private void prepare(Cpu cpu, int direction, int items) {
        size = cpu.io.size;
        count = items;
        exit.reason = VcpuExit.IO;
        exit.ioDirection = direction;
        exit.ioSize = size;
        exit.ioPort = cpu.io.port;
        exit.ioCount = items;
        exit.ioDataOffset = VcpuExit.PIO_PAGE_OFFSET;
    }

    /** IN or OUT of one item; the data of OUT is in its page. */
    public void single(Cpu cpu) {
        linearRip = linearRip();
        nextRip = cpu.exit.nextRip;
        if (cpu.io.in) {
            prepare(cpu, VcpuExit.IO_IN, 1);
            return;
        }
        prepare(cpu, VcpuExit.IO_OUT, 1);
        switch (size) {
            case 1 -> HostMemory.put8(dataHva, cpu.io.data);
            case 2 -> HostMemory.put16(dataHva, cpu.io.data);
            default -> HostMemory.put32(dataHva, cpu.io.data);
        }
        if (Tracepoints.ON) {
            trace();
        }
    }

    /** kvm_pio: OUT when it leaves, IN when its data is there. */
    public void trace() {
        int first = switch (size) {
            case 1 -> HostMemory.get8(dataHva) & 0xff;
            case 2 -> HostMemory.get16(dataHva) & 0xffff;
            default -> HostMemory.get32(dataHva);
        };
        Tracepoints.pio(exit.ioDirection == VcpuExit.IO_OUT, exit.ioPort, size, count, first);
    }

    /** Whether the guest still stands at the instruction that left. */
    public boolean stillThere() {
        return linearRip() == linearRip;
    }

    /** Where the instruction after it is. */
    public long nextRip() {
        return nextRip;
    }

    /** Completes IN: the client's data to AL, AX or EAX (which clears the upper half of RAX). */
    public void completeIn() {
        completeIn(
                size,
                switch (size) {
                    case 1 -> HostMemory.get8(dataHva);
                    case 2 -> HostMemory.get16(dataHva);
                    default -> HostMemory.get32(dataHva);
                });
    }

    /** IN of {@code bytes} has read {@code data}. */
    public void completeIn(int bytes, int data) {
        long[] gpr = s.gpr;
        long rax = gpr[CpuState.RAX];
        gpr[CpuState.RAX] = switch (bytes) {
            case 1 -> rax & ~0xffL | data & 0xff;
            case 2 -> rax & ~0xffffL | data & 0xffff;
            default -> data & 0xffff_ffffL;
        };
    }

    /**
     * INS: asks the client for as many items as KVM does: no more than RCX, the destination page and its buffer hold. KVM compares
     * the bytes left in the page with a number of items; so does this.
     */
    public void input(Cpu cpu) {
        linearRip = linearRip();
        nextRip = cpu.exit.nextRip;
        int items = 1;
        if (cpu.io.rep) {
            long address = s.gpr[CpuState.RDI];
            int inPage = (int) address & PAGE_SIZE - 1;
            boolean down = (s.flagsSystem & CpuState.DF) != 0;
            int room = down ? inPage : PAGE_SIZE - inPage;
            items = Math.min(room, STRING_BYTES / cpu.io.size);
            long rcx = s.gpr[CpuState.RCX] & -1L >>> 64 - (8 << cpu.io.addressSize);
            if (Long.compareUnsigned(rcx, items) < 0) {
                items = (int) rcx;
            }
            items = Math.max(items, 1);
        }
        prepare(cpu, VcpuExit.IO_IN, items);
    }

    /** Completes INS in guest mode: the processor stores the client's items, as many as RCX still asks for. Throws what stores throw. */
    public void completeInput(Cpu cpu) {
        byte[] items = buffer();
        HostMemory.copyOut(dataHva, items, 0, count * size);
        if (Tracepoints.ON) {
            trace();
        }
        cpu.completeIns(items, count);
    }

    /** OUTS in guest mode: takes one item out of guest memory, with RSI, RCX and rip moved on. Throws what loads throw. */
    public void output(Cpu cpu) {
        byte[] item = buffer();
        cpu.gatherOuts(item, 1);
        HostMemory.copyIn(item, 0, dataHva, cpu.io.size);
        prepare(cpu, VcpuExit.IO_OUT, 1);
        if (Tracepoints.ON) {
            trace();
        }
    }
}
