package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;

/**
 * String instructions. Registers are written after every item, so a fault or an interruption leaves a state from which the same
 * instruction goes on (SDM 1 7.3.9.2). A repeated one looks at the kick word now and then and leaves with rip at itself.
 */
final class StringOps {
    /** Items between two looks at the kick word. */
    private static final int PATIENCE = 512;

    private static final long PAGE = 4096;

    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;

    StringOps(Operands o) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
    }

    private long source(long w0, int size) {
        int seg = Insn.segment(w0);
        long off = Operands.maskAddress(gpr[CpuState.RSI], Insn.addressSize(w0));
        return cpu.mode64 ? cpu.segmentBase[seg] + off : cpu.linear(seg, off, 1 << size, false);
    }

    private long destination(int addressSize, int size, boolean write) {
        long off = Operands.maskAddress(gpr[CpuState.RDI], addressSize);
        return cpu.mode64 ? off : cpu.linear(CpuState.ES, off, 1 << size, write);
    }

    private void advance(int register, int addressSize, int size) {
        long step = (s.flagsSystem & CpuState.DF) != 0 ? -1L << size : 1L << size;
        o.setReg(register, addressSize, gpr[register] + step);
    }

    /** MOVS, LODS, STOS, CMPS or SCAS, with or without a repeat prefix. */
    int execute(int op, long w0, long w1) {
        if ((w0 & (Insn.REP | Insn.REPNE)) == 0) {
            item(op, w0);
            return Interpreter.NEXT;
        }
        boolean compares = op == Op.CMPS || op == Op.SCAS;
        return compares && cpu.intel ? compareRestoring(op, w0, w1) : repeat(op, w0, w1, compares);
    }

    /**
     * Intel's: until the last iteration the status flags are as they were before the first, for faults (SDM 2B REP) and for traps and
     * interrupts between two iterations.
     */
    private int compareRestoring(int op, long w0, long w1) {
        int status = (int) s.rflags() & CpuState.STATUS_FLAGS;
        boolean done = false;
        try {
            int outcome = repeat(op, w0, w1, true);
            done = outcome == Interpreter.NEXT;
            return outcome;
        } finally {
            if (!done) {
                s.setStatusFlags(status);
            }
        }
    }

    private int repeat(int op, long w0, long w1, boolean compares) {
        int addressSize = Insn.addressSize(w0);
        if ((op == Op.STOS || op == Op.MOVS) && cpu.intel && addressSize == 2) {
            // Intel's cut the registers to 32 bits first, even if no item follows or the first one faults.
            gpr[CpuState.RDI] &= 0xffff_ffffL;
            gpr[CpuState.RCX] &= 0xffff_ffffL;
            if (op == Op.MOVS) {
                gpr[CpuState.RSI] &= 0xffff_ffffL;
            }
        }
        boolean whileEqual = (w0 & Insn.REP) != 0;
        boolean single = (s.flagsSystem & CpuState.TF) != 0 || cpu.controls.singleStep;
        boolean whole = cpu.mode64 && addressSize == 3 && !compares && op != Op.LODS && !single;
        int patience = PATIENCE;
        while (Operands.maskAddress(gpr[CpuState.RCX], addressSize) != 0) {
            int items = whole ? withinPages(op, w0) : 0;
            if (items == 0) {
                item(op, w0);
                items = 1;
            } else {
                patience = 1;
            }
            o.setReg(CpuState.RCX, addressSize, gpr[CpuState.RCX] - items);
            if (compares && (s.flagZero == 0) != whileEqual) {
                return Interpreter.NEXT;
            }
            boolean more = Operands.maskAddress(gpr[CpuState.RCX], addressSize) != 0;
            // With its last item on the way to a device the instruction has still to find that none follows, as in
            // KVM's
            // emulator; but a trap behind it is the next instruction's.
            boolean leaves = single || cpu.stop || --patience == 0 && HostMemory.get32(cpu.kickAddress) != 0;
            if (leaves && (more || cpu.stopRequested() && !single)) {
                s.rip = o.rip(w1);
                // What comes between two iterations saves RF set (SDM 3B 18.3.1.1).
                s.flagsSystem |= CpuState.RF;
                return CpuExit.NONE;
            }
            if (patience == 0) {
                patience = PATIENCE;
            }
        }
        return Interpreter.NEXT;
    }

    /**
     * As many items of a MOVS or STOS in 64-bit mode as lie on the pages at hand, when nothing has to be asked for them; all registers but
     * RCX follow. Returns how many that were.
     */
    private int withinPages(int op, long w0) {
        int size = Insn.size(w0);
        boolean down = (s.flagsSystem & CpuState.DF) != 0;
        long to = gpr[CpuState.RDI];
        if (!cpu.tlb.hits(to, 1 << size, Tlb.WRITE, cpu.tlbMode)) {
            return 0;
        }
        long toHva = cpu.tlb.hva(to);
        long most = itemsLeft(to, size, down);
        long count = gpr[CpuState.RCX];
        most = Long.compareUnsigned(count, most) < 0 ? count : most;
        if (op == Op.STOS) {
            int bytes = (int) most << size;
            store(down ? toHva - bytes + (1 << size) : toHva, bytes, gpr[CpuState.RAX], size);
            gpr[CpuState.RDI] = down ? to - bytes : to + bytes;
            return (int) most;
        }
        long from = source(w0, size);
        most = Math.min(most, itemsLeft(from, size, down));
        long fromHva = readable(from, size);
        if (fromHva < 0) {
            return 0;
        }
        int bytes = (int) most << size;
        if (down) {
            moveDown(fromHva, toHva, bytes, size);
            gpr[CpuState.RSI] -= bytes;
            gpr[CpuState.RDI] = to - bytes;
        } else {
            move(fromHva, toHva, bytes, size);
            gpr[CpuState.RSI] += bytes;
            gpr[CpuState.RDI] = to + bytes;
        }
        return (int) most;
    }

    /** How many items lie whole on the page of the first, which does. */
    private static long itemsLeft(long la, int size, boolean down) {
        int within = (int) (la & PAGE - 1);
        return down ? (within >>> size) + 1 : PAGE - within >>> size;
    }

    /**
     * Host address of an item that can be read, beside that of a page that has just been found: where both have one place in the TLB, the
     * other is not in it any more, but is where it was unless the hypervisor was called. Negative: it must be asked for.
     */
    private long readable(long la, int size) {
        if (cpu.tlb.hits(la, 1 << size, Tlb.READ, cpu.tlbMode)) {
            return cpu.tlb.hva(la);
        }
        if ((la & PAGE - 1) + (1 << size) > PAGE || !cpu.canonical(la)) {
            return -1;
        }
        int calls = cpu.walker.calls;
        long hva = cpu.walker.translate(la, Tlb.READ, cpu.tlbMode, true);
        return calls == cpu.walker.calls && cpu.tlb.hits(la, 1, Tlb.READ, cpu.tlbMode) ? hva : -1;
    }

    /** Item by item: pages may overlap, and then what an item stores the next may load. */
    private static void moveDown(long from, long to, int bytes, int size) {
        for (int at = 0; at < bytes; at += 1 << size) {
            put(to - at, get(from - at, size), size);
        }
    }

    private static void store(long hva, int bytes, long item, int size) {
        long eight = switch (size) {
            case 0 -> (item & 0xff) * 0x0101_0101_0101_0101L;
            case 1 -> (item & 0xffff) * 0x0001_0001_0001_0001L;
            case 2 -> (item & 0xffff_ffffL) * 0x0000_0001_0000_0001L;
            default -> item;
        };
        int at = 0;
        for (; at + 8 <= bytes; at += 8) {
            HostMemory.put64(hva + at, eight);
        }
        for (; at < bytes; at += 1 << size) {
            put(hva + at, eight, size);
        }
    }

    private static void move(long from, long to, int bytes, int size) {
        int at = 0;
        if (to <= from || to - from >= 8) {
            // No eight bytes are stored over an item that is still to be loaded, or loaded before it was stored.
            for (; at + 8 <= bytes; at += 8) {
                HostMemory.put64(to + at, HostMemory.get64(from + at));
            }
        }
        for (; at < bytes; at += 1 << size) {
            put(to + at, get(from + at, size), size);
        }
    }

    private static long get(long hva, int size) {
        return switch (size) {
            case 0 -> HostMemory.get8(hva);
            case 1 -> HostMemory.get16(hva);
            case 2 -> HostMemory.get32(hva);
            default -> HostMemory.get64(hva);
        };
    }

    private static void put(long hva, long v, int size) {
        switch (size) {
            case 0 -> HostMemory.put8(hva, (int) v);
            case 1 -> HostMemory.put16(hva, (int) v);
            case 2 -> HostMemory.put32(hva, (int) v);
            default -> HostMemory.put64(hva, v);
        }
    }

    private void item(int op, long w0) {
        int size = Insn.size(w0);
        int addressSize = Insn.addressSize(w0);
        switch (op) {
            case Op.MOVS -> {
                long v = cpu.load(Insn.segment(w0), source(w0, size), size);
                cpu.store(CpuState.ES, destination(addressSize, size, true), size, v);
                advance(CpuState.RSI, addressSize, size);
                advance(CpuState.RDI, addressSize, size);
            }
            case Op.STOS -> {
                cpu.store(CpuState.ES, destination(addressSize, size, true), size, gpr[CpuState.RAX]);
                advance(CpuState.RDI, addressSize, size);
            }
            case Op.LODS -> {
                long v = cpu.load(Insn.segment(w0), source(w0, size), size);
                o.setReg(CpuState.RAX, size, v);
                advance(CpuState.RSI, addressSize, size);
            }
            case Op.CMPS -> {
                // ES:rDI first, as silicon does: it decides which of two faults is raised.
                long b = cpu.load(CpuState.ES, destination(addressSize, size, false), size);
                long a = cpu.load(Insn.segment(w0), source(w0, size), size);
                IntegerOps.sub(s, a, b, size);
                advance(CpuState.RSI, addressSize, size);
                advance(CpuState.RDI, addressSize, size);
            }
            default -> {
                long b = cpu.load(CpuState.ES, destination(addressSize, size, false), size);
                IntegerOps.sub(s, gpr[CpuState.RAX], b, size);
                advance(CpuState.RDI, addressSize, size);
            }
        }
    }

    // ------------------------------------------------------------------ INS and OUTS

    /**
     * INS or OUTS, permission already checked: leaves with {@link CpuExit#IOIO} and {@code cpu.io*} filled, or falls through when a
     * repeat count is zero. The memory side is proved before the port is touched.
     */
    int inOut(boolean in, long w0, long w1) {
        int size = Math.min(Insn.size(w0), 2);
        int addressSize = Insn.addressSize(w0);
        boolean rep = (w0 & (Insn.REP | Insn.REPNE)) != 0;
        if (rep && Operands.maskAddress(gpr[CpuState.RCX], addressSize) == 0) {
            return Interpreter.NEXT;
        }
        if (in) {
            cpu.probeWrite(CpuState.ES, destination(addressSize, size, true), 1 << size);
        } else {
            cpu.load(Insn.segment(w0), source(w0, size), size);
        }
        cpu.io.port = (int) gpr[CpuState.RDX] & 0xffff;
        cpu.io.size = 1 << size;
        cpu.io.in = in;
        cpu.io.string = true;
        cpu.io.rep = rep;
        cpu.io.addressSize = addressSize;
        cpu.io.segment = in ? CpuState.ES : Insn.segment(w0);
        pending = w0;
        return o.exit(CpuExit.IOIO, w0, w1);
    }

    /** Word 0 of the INS or OUTS that left last. */
    private long pending;

    private int bound(int items) {
        if (!cpu.io.rep) {
            return Math.min(items, 1);
        }
        long count = Operands.maskAddress(gpr[CpuState.RCX], Insn.addressSize(pending));
        return Long.compareUnsigned(count, items) < 0 ? (int) count : items;
    }

    private void finished(int addressSize, int done) {
        if (!cpu.io.rep) {
            if (done != 0) {
                s.rip = cpu.exit.nextRip;
            }
        } else if (Operands.maskAddress(gpr[CpuState.RCX], addressSize) == 0) {
            s.rip = cpu.exit.nextRip;
        }
    }

    /**
     * Stores up to {@code items} items that an INS read ({@code cpu.io.size} bytes each) while the count lasts, and moves rip on when the
     * instruction is done.
     *
     * @return items consumed
     */
    int completeIns(byte[] data, int items) {
        int addressSize = Insn.addressSize(pending);
        int size = Integer.numberOfTrailingZeros(cpu.io.size);
        int n = bound(items);
        for (int i = 0; i < n; i++) {
            long v = 0;
            for (int k = 0; k < cpu.io.size; k++) {
                v |= (data[i * cpu.io.size + k] & 0xffL) << 8 * k;
            }
            cpu.store(CpuState.ES, destination(addressSize, size, true), size, v);
            advance(CpuState.RDI, addressSize, size);
            if (cpu.io.rep) {
                o.setReg(CpuState.RCX, addressSize, gpr[CpuState.RCX] - 1);
            }
        }
        finished(addressSize, n);
        return n;
    }

    /**
     * Gathers up to {@code maxItems} items of the OUTS that left, advances the registers past them, and moves rip on when the
     * instruction is done.
     *
     * @return items gathered
     */
    int gatherOuts(byte[] into, int maxItems) {
        int addressSize = Insn.addressSize(pending);
        int size = Integer.numberOfTrailingZeros(cpu.io.size);
        int n = bound(maxItems);
        for (int i = 0; i < n; i++) {
            long v;
            try {
                v = cpu.load(Insn.segment(pending), source(pending, size), size);
            } catch (GuestFault | LeaveGuest e) {
                if (i == 0) {
                    throw e;
                }
                // What was gathered goes out first; the instruction then starts again, with this item.
                return i;
            }
            for (int k = 0; k < cpu.io.size; k++) {
                into[i * cpu.io.size + k] = (byte) (v >>> 8 * k);
            }
            advance(CpuState.RSI, addressSize, size);
            if (cpu.io.rep) {
                o.setReg(CpuState.RCX, addressSize, gpr[CpuState.RCX] - 1);
            }
        }
        // A repeated one stays where it is, to find that the count is zero, as in KVM's emulator.
        if (!cpu.io.rep && n != 0) {
            s.rip = cpu.exit.nextRip;
        }
        return n;
    }
}
