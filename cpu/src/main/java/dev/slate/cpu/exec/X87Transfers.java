package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** The x87's loads, constants, moves and stores: binary, integer and packed decimal (SDM 1 8.3.3, 8.3.4). */
final class X87Transfers {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final X87Stack x;
    private final SoftFloat f;
    private final X87Arithmetic arithmetic;

    X87Transfers(Operands o, X87Stack x, X87Arithmetic arithmetic) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.x = x;
        this.f = x.f;
        this.arithmetic = arithmetic;
    }

    /** Makes room for a push. False: the stack is full and the fault not masked, or its response has been pushed. */
    private boolean room() {
        if (x.empty(7)) {
            x.rotate(-1);
            return true;
        }
        if (x.stackFault(true)) {
            x.rotate(-1);
            x.setIndefinite(0);
        }
        return false;
    }

    void load(int op, boolean memory, int i, long w0, long w1) {
        if (op == Op.FLD_M80) {
            int seg = Insn.segment(w0);
            long mantissa = cpu.load64(seg, o.part(w0, w1, 0, 8, false));
            int exponent = cpu.load16(seg, o.part(w0, w1, 8, 2, false)) & 0xffff;
            x.begin();
            if (room()) {
                x.set(0, exponent, mantissa);
            }
            return;
        }
        if (!memory) {
            x.begin();
            if (x.empty(i)) {
                // Underflow goes before overflow.
                if (x.stackFault(false)) {
                    x.rotate(-1);
                    x.setIndefinite(0);
                }
                return;
            }
            if (!x.empty(7)) {
                room();
                return;
            }
            int r = x.physical(i);
            int exponent = s.fpExponent[r];
            long mantissa = s.fpMantissa[r];
            x.rotate(-1);
            x.set(0, exponent, mantissa);
            return;
        }
        arithmetic.fetch(w0, w1);
        if (!x.empty(7)) {
            room();
            return;
        }
        f.convert(SoftFloat.EXTENDED, SoftFloat.EXTENDED);
        // A denormal is loaded even where its exception is not masked.
        int denormal = f.before & SoftFloat.DE;
        f.before &= ~SoftFloat.DE;
        if (x.proceed()) {
            x.rotate(-1);
            x.setResult(0);
            f.before |= denormal;
            x.finish();
        }
    }

    /** Constants, rounded from 128 bits by the control word; no exceptions. */
    void constant(int op) {
        x.begin();
        if (!room()) {
            return;
        }
        switch (op) {
            case Op.FLDZ -> {
                x.set(0, 0, 0);
                return;
            }
            case Op.FLD1 -> f.round(false, 0, Long.MIN_VALUE, 0, 64, 64);
            case Op.FLDL2T -> f.round(false, 1, 0xd49a_784b_cd1b_8afeL, 0x492b_f6ff_4daf_db4cL, 64, 64);
            case Op.FLDL2E -> f.round(false, 0, 0xb8aa_3b29_5c17_f0bbL, 0xbe87_fed0_691d_3e88L, 64, 64);
            case Op.FLDPI -> f.round(false, 1, 0xc90f_daa2_2168_c234L, 0xc4c6_628b_80dc_1cd1L, 64, 64);
            case Op.FLDLG2 -> f.round(false, -2, 0x9a20_9a84_fbcf_f798L, 0x8f89_59ac_0b7c_9178L, 64, 64);
            default -> f.round(false, -1, 0xb172_17f7_d1cf_79abL, 0xc9e3_b398_03f2_f6afL, 64, 64);
        }
        f.after = 0;
        x.setResult(0);
    }

    void conditionalMove(int i, boolean condition) {
        if (x.empty(0) || x.empty(i)) {
            arithmetic.underflow(0);
            return;
        }
        if (condition) {
            int r = x.physical(i);
            x.set(0, s.fpExponent[r], s.fpMantissa[r]);
        }
    }

    void exchange(int i) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0) || x.empty(i)) {
            if (!x.stackFault(false)) {
                return;
            }
            if (x.empty(0)) {
                x.setIndefinite(0);
            }
            if (x.empty(i)) {
                x.setIndefinite(i);
            }
        }
        int a = x.physical(0);
        int b = x.physical(i);
        int exponent = s.fpExponent[a];
        long mantissa = s.fpMantissa[a];
        x.set(0, s.fpExponent[b], s.fpMantissa[b]);
        x.set(i, exponent, mantissa);
    }

    // ------------------------------------------------------------------ stores
    // An exception that is not masked keeps the store from being made. To AMD a store that could not be made faults all
    // the same, and comes first; to Intel it does not.

    /** Returns the status word, for {@link #store} to restore when it faults. */
    private int provable(long w0, long w1, int bytes) {
        if (!cpu.intel) {
            prove(w0, w1, bytes);
        }
        return s.fsw;
    }

    private void prove(long w0, long w1, int bytes) {
        int seg = Insn.segment(w0);
        if (bytes <= 8) {
            cpu.probeWrite(seg, o.address(w0, w1, bytes, true), bytes);
        } else {
            cpu.probeWrite(seg, o.part(w0, w1, 0, 8, true), 8);
            cpu.probeWrite(seg, o.part(w0, w1, 8, 2, true), 2);
        }
    }

    private void store(int before, long w0, long w1, int size, long v) {
        int after = s.fsw;
        s.fsw = before;
        o.storeMemory(w0, w1, size, v);
        s.fsw = after;
    }

    private void store10(int before, long w0, long w1, long low, int high) {
        int after = s.fsw;
        s.fsw = before;
        prove(w0, w1, 10);
        int seg = Insn.segment(w0);
        cpu.store64(seg, o.part(w0, w1, 0, 8, true), low);
        cpu.store16(seg, o.part(w0, w1, 8, 2, true), high);
        s.fsw = after;
    }

    void storeRegister(int i, boolean pop) {
        s.fsw &= ~X87Stack.C1;
        if (x.empty(0)) {
            if (!x.stackFault(false)) {
                return;
            }
            x.setIndefinite(i);
        } else {
            int r = x.physical(0);
            x.set(i, s.fpExponent[r], s.fpMantissa[r]);
        }
        if (pop) {
            x.pop();
        }
    }

    void storeFloat(boolean pop, long w0, long w1) {
        int size = Insn.size(w0);
        int format = size == 2 ? SoftFloat.SINGLE : SoftFloat.DOUBLE;
        int before = provable(w0, w1, 1 << size);
        x.begin();
        if (x.empty(0)) {
            if (x.stackFault(false)) {
                store(before, w0, w1, size, size == 2 ? 0xffc0_0000L : 0xfff8_0000_0000_0000L);
                x.pop(pop ? 1 : 0);
            }
            return;
        }
        x.unpackB(0);
        f.moveBToA();
        if (!x.nan()) {
            // A denormal operand is no exception here: the result's underflow says it.
            f.denormalB = false;
            f.convert(format, format);
        }
        if (!x.proceed()) {
            return;
        }
        if ((f.after & (SoftFloat.OE | SoftFloat.UE) & ~f.masks) != 0) {
            // Not masked: nothing is stored, popped or rounded.
            f.after &= SoftFloat.OE | SoftFloat.UE;
            x.finish();
            return;
        }
        store(before, w0, w1, size, f.pack(format));
        x.finish();
        x.pop(pop ? 1 : 0);
    }

    void store80(long w0, long w1) {
        int before = provable(w0, w1, 10);
        s.fsw &= ~X87Stack.C1;
        long mantissa = 0xc000_0000_0000_0000L;
        int exponent = 0xffff;
        if (!x.empty(0)) {
            int r = x.physical(0);
            mantissa = s.fpMantissa[r];
            exponent = s.fpExponent[r];
        } else if (!x.stackFault(false)) {
            return;
        }
        store10(before, w0, w1, mantissa, exponent);
        x.pop();
    }

    void storeInteger(long w0, long w1, boolean pop, boolean truncate) {
        int size = Insn.size(w0);
        int before = provable(w0, w1, 1 << size);
        x.begin();
        if (truncate) {
            f.rounding = SoftFloat.TRUNCATE;
        }
        long v = -1L << (8 << size) - 1;
        if (x.empty(0)) {
            if (!x.stackFault(false)) {
                return;
            }
        } else {
            x.unpackB(0);
            v = f.toSigned(8 << size);
            if ((f.before & SoftFloat.IE) != 0) {
                f.roundedUp = false;
            }
            if (!x.proceed()) {
                return;
            }
            x.finish();
        }
        store(before, w0, w1, size, v);
        x.pop(pop ? 1 : 0);
    }

    // ------------------------------------------------------------------ packed decimal

    /** FBLD: eighteen decimal digits and a sign. Digits above nine count as they are (the manuals leave the result undefined). */
    void loadDecimal(long w0, long w1) {
        int seg = Insn.segment(w0);
        long digits = cpu.load64(seg, o.part(w0, w1, 0, 8, false));
        int top = cpu.load16(seg, o.part(w0, w1, 8, 2, false));
        x.begin();
        if (!room()) {
            return;
        }
        long v = (top >>> 4 & 15) * 10 + (top & 15);
        for (int i = 60; i >= 0; i -= 4) {
            v = v * 10 + (digits >>> i & 15);
        }
        f.fromInteger(v, SoftFloat.EXTENDED, SoftFloat.EXTENDED);
        f.sign = (top & 0x8000) != 0;
        x.setResult(0);
    }

    /** FBSTP: st(0), rounded to an integer, as eighteen decimal digits and a sign. */
    void storeDecimal(long w0, long w1) {
        int before = provable(w0, w1, 10);
        x.begin();
        // The indefinite.
        long digits = 0xc000_0000_0000_0000L;
        int top = 0xffff;
        if (x.empty(0)) {
            if (!x.stackFault(false)) {
                return;
            }
        } else {
            x.unpackB(0);
            long v = f.toSigned(64);
            // Unsigned, for -2^63 is its own magnitude.
            if ((f.before & SoftFloat.IE) != 0 || Long.compareUnsigned(Math.abs(v), 1_000_000_000_000_000_000L) >= 0) {
                f.before = SoftFloat.IE;
                f.after = 0;
                f.roundedUp = false;
            } else {
                top = f.signB ? 0x8000 : 0;
                v = Math.abs(v);
                digits = 0;
                for (int i = 0; i < 64; i += 4) {
                    digits |= v % 10 << i;
                    v /= 10;
                }
                top |= (int) (v % 10 | v / 10 << 4);
            }
            if (!x.proceed()) {
                return;
            }
            x.finish();
        }
        store10(before, w0, w1, digits, top);
        x.pop();
    }
}
