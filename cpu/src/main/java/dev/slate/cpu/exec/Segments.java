package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.ATTR_DB;
import static dev.slate.cpu.CpuState.ATTR_DPL_SHIFT;
import static dev.slate.cpu.CpuState.ATTR_G;
import static dev.slate.cpu.CpuState.ATTR_L;
import static dev.slate.cpu.CpuState.ATTR_P;
import static dev.slate.cpu.CpuState.ATTR_S;
import static dev.slate.cpu.CpuState.ATTR_TYPE;
import static dev.slate.cpu.CpuState.ATTR_UNUSABLE;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;

/** Descriptors, and loading segment registers from them (SDM 3A chapters 3 and 5). */
final class Segments {
    static final int ACCESSED = 1;
    static final int CODE = 8;
    static final int CONFORMING = 4;
    /** Writable (data) or readable (code). */
    static final int WRITE_READ = 2;

    static final int TYPE_LDT = 2;
    private static final int TYPE_TSS = 9;
    private static final int TYPE_BUSY = 2;

    private final Cpu cpu;
    private final CpuState s;

    /** Or-ed into the error codes of faults: 1 while an event that is external to the program is delivered. */
    int external;

    Segments(Operands o) {
        this.cpu = o.cpu;
        this.s = o.s;
    }

    GuestFault fault(int vector, int selector) {
        return cpu.fault(vector, selector & 0xfffc | external);
    }

    // ------------------------------------------------------------------ descriptors

    /** Linear address of a selector's descriptor; {@code vector} (selector) when it lies outside its table. */
    long address(int selector, int vector) {
        long base;
        long limit;
        if ((selector & 4) != 0) {
            if ((s.segAttr[CpuState.LDTR] & (ATTR_UNUSABLE | ATTR_P)) != ATTR_P) {
                throw fault(vector, selector);
            }
            base = s.segBase[CpuState.LDTR];
            limit = s.segLimit[CpuState.LDTR] & 0xffff_ffffL;
        } else {
            base = s.gdtBase;
            limit = s.gdtLimit & 0xffff;
        }
        if ((selector | 7) > limit) {
            throw fault(vector, selector);
        }
        // In long mode the tables' bases are 64 bits wide, to compatibility mode's code, too (SDM 3A 2.4.1).
        long la = base + (selector & 0xfff8);
        return s.longMode() ? la : la & 0xffff_ffffL;
    }

    long read(int selector, int vector) {
        return cpu.systemLoad64(address(selector, vector));
    }

    /** The attributes in {@link CpuState}'s form. */
    static int attributes(long descriptor) {
        return (int) (descriptor >>> 40) & 0xff | (int) (descriptor >>> 52 & 0xf) << 12;
    }

    static long base(long descriptor) {
        return descriptor >>> 16 & 0xff_ffff | descriptor >>> 32 & 0xff00_0000L;
    }

    static int limit(long descriptor) {
        int limit = (int) (descriptor & 0xffff | descriptor >>> 32 & 0xf_0000);
        return (attributes(descriptor) & ATTR_G) != 0 ? limit << 12 | 0xfff : limit;
    }

    static int dpl(int attr) {
        return attr >> ATTR_DPL_SHIFT & 3;
    }

    private void setAccessed(int selector, long descriptor) {
        if ((descriptor >>> 40 & ACCESSED) == 0) {
            cpu.systemStore8(address(selector, GuestFault.GP) + 5, (int) (descriptor >>> 40) & 0xff | ACCESSED);
        }
    }

    void set(int seg, int selector, long descriptor) {
        s.segSelector[seg] = selector;
        s.segBase[seg] = base(descriptor);
        s.segLimit[seg] = limit(descriptor);
        s.segAttr[seg] = attributes(descriptor) | (seg < CpuState.LDTR ? ACCESSED : 0);
    }

    /** A null selector comes into ES, DS, FS or GS by a load. */
    private void loadNull(int seg, int selector) {
        if (cpu.controls.nullKeepsBase) {
            s.segSelector[seg] = selector;
            s.segAttr[seg] = ATTR_UNUSABLE;
        } else {
            setNull(seg, selector);
        }
    }

    void setNull(int seg, int selector) {
        s.segSelector[seg] = selector;
        s.segBase[seg] = 0;
        s.segLimit[seg] = 0;
        s.segAttr[seg] = ATTR_UNUSABLE;
    }

    /** Real and virtual-8086 mode: only selector and base change in real mode. */
    void setReal(int seg, int selector) {
        s.segSelector[seg] = selector;
        s.segBase[seg] = (long) selector << 4;
        if (s.virtual8086()) {
            s.segLimit[seg] = 0xffff;
            s.segAttr[seg] = ATTR_P | ATTR_S | 3 << ATTR_DPL_SHIFT | WRITE_READ | ACCESSED;
        }
    }

    // ------------------------------------------------------------------ data and stack segments

    /** MOV, POP and LDS and their like: loads ES, SS, DS, FS or GS. */
    void load(int seg, int selector) {
        selector &= 0xffff;
        if (!s.protectedMode() || s.virtual8086()) {
            setReal(seg, selector);
        } else if (seg == CpuState.SS) {
            loadStack(selector, s.cpl, GuestFault.GP);
        } else {
            loadData(seg, selector, GuestFault.GP);
        }
        cpu.modeChanged();
    }

    /** Loads ES, DS, FS or GS in protected mode; {@code vector} (selector) when the descriptor does not fit: #GP, or #TS in a task switch. */
    void loadData(int seg, int selector, int vector) {
        if ((selector & ~3) == 0) {
            loadNull(seg, selector);
            return;
        }
        long d = read(selector, vector);
        int attr = attributes(d);
        boolean code = (attr & CODE) != 0;
        if ((attr & ATTR_S) == 0 || code && (attr & WRITE_READ) == 0) {
            throw fault(vector, selector);
        }
        if ((!code || (attr & CONFORMING) == 0) && Math.max(selector & 3, s.cpl) > dpl(attr)) {
            throw fault(vector, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw fault(GuestFault.NP, selector);
        }
        setAccessed(selector, d);
        set(seg, selector, d);
    }

    /** Checks a stack selector for privilege {@code cpl} and returns its descriptor; 0 for a null selector that 64-bit mode allows. */
    long checkStack(int selector, int cpl, int vector, boolean mode64) {
        if ((selector & ~3) == 0) {
            if (!mode64 || cpl == 3 || (selector & 3) != cpl) {
                throw cpu.fault(vector, external);
            }
            return 0;
        }
        long d = read(selector, vector);
        int attr = attributes(d);
        if ((selector & 3) != cpl
                || dpl(attr) != cpl
                || (attr & (ATTR_S | CODE | WRITE_READ)) != (ATTR_S | WRITE_READ)) {
            throw fault(vector, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw fault(GuestFault.SS, selector);
        }
        return d;
    }

    /** Enters a stack selector that {@link #checkStack} has passed. */
    void setStack(int selector, long descriptor, int cpl) {
        if ((selector & ~3) == 0) {
            setNull(CpuState.SS, selector);
            s.segAttr[CpuState.SS] |= cpl << ATTR_DPL_SHIFT;
        } else {
            setAccessed(selector, descriptor);
            set(CpuState.SS, selector, descriptor);
        }
    }

    private void loadStack(int selector, int cpl, int vector) {
        long d = checkStack(selector, cpl, vector, cpu.mode64);
        setStack(selector, d, cpl);
    }

    /**
     * What a return to an outer level does: data segments that the new level may not use become null (SDM 2B RET, APM 3 RETF). Selector
     * and attributes alone do: base and limit stay, which 64-bit mode then uses for FS and GS.
     */
    void dropInaccessible(int cpl) {
        for (int seg : DATA) {
            int attr = s.segAttr[seg];
            boolean conforming = (attr & (CODE | CONFORMING)) == (CODE | CONFORMING);
            if ((attr & ATTR_UNUSABLE) == 0 && !conforming && dpl(attr) < cpl) {
                s.segSelector[seg] = 0;
                s.segAttr[seg] = ATTR_UNUSABLE;
            }
        }
    }

    private static final int[] DATA = {CpuState.ES, CpuState.DS, CpuState.FS, CpuState.GS};

    // ------------------------------------------------------------------ code segments

    /** Checks the D and L bits and presence of a code descriptor. */
    void checkCode(int selector, int attr) {
        if (s.longMode() && (attr & (ATTR_L | ATTR_DB)) == (ATTR_L | ATTR_DB)) {
            throw fault(GuestFault.GP, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw fault(GuestFault.NP, selector);
        }
    }

    /** Enters a checked code descriptor at privilege {@code cpl}. */
    void setCode(int selector, long descriptor, int cpl) {
        setAccessed(selector, descriptor);
        set(CpuState.CS, selector & ~3 | cpl, descriptor);
        s.cpl = cpl;
    }

    /** Whether a code descriptor makes 64-bit code. */
    boolean code64(int attr) {
        return s.longMode() && (attr & ATTR_L) != 0;
    }

    // ------------------------------------------------------------------ LDTR and TR

    void loadLdt(int selector) {
        selector &= 0xffff;
        if ((selector & ~3) == 0) {
            setNull(CpuState.LDTR, selector);
            return;
        }
        loadSystem(CpuState.LDTR, selector);
    }

    void loadTask(int selector) {
        selector &= 0xffff;
        if ((selector & ~3) == 0) {
            throw cpu.fault(GuestFault.GP, 0);
        }
        loadSystem(CpuState.TR, selector);
    }

    private void loadSystem(int seg, int selector) {
        if ((selector & 4) != 0) {
            throw fault(GuestFault.GP, selector);
        }
        long at = address(selector, GuestFault.GP);
        long d = cpu.systemLoad64(at);
        int attr = attributes(d);
        int type = attr & (ATTR_TYPE | ATTR_S);
        boolean wide = s.longMode();
        boolean right = seg == CpuState.LDTR ? type == TYPE_LDT : type == TYPE_TSS || type == 1 && !wide;
        if (!right || wide && (selector & 0xfff8) + 15 > (s.gdtLimit & 0xffff)) {
            throw fault(GuestFault.GP, selector);
        }
        if ((attr & ATTR_P) == 0) {
            throw fault(GuestFault.NP, selector);
        }
        long high = 0;
        if (wide) {
            long upper = cpu.systemLoad64(at + 8);
            high = upper << 32;
            // The type field of the upper half must be zero, the whole base canonical.
            if ((upper >>> 40 & 0x1f) != 0 || !cpu.canonical(base(d) | high)) {
                throw fault(GuestFault.GP, selector);
            }
        }
        if (seg == CpuState.TR) {
            cpu.systemStore8(at + 5, (int) (d >>> 40) & 0xff | TYPE_BUSY);
            d |= (long) TYPE_BUSY << 40;
        }
        set(seg, selector, d);
        s.segBase[seg] |= high;
    }
}
