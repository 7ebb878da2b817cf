package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;

/** The x87 register stack, its status word and exceptions (SDM 1 chapter 8), over one {@link SoftFloat}. */
final class X87Stack {
    static final int C0 = 0x100;
    static final int C1 = 0x200;
    static final int C2 = 0x400;
    static final int C3 = 0x4000;
    static final int STACK_FAULT = 0x40;
    static final int SUMMARY = 0x80;
    static final int BUSY = 0x8000;
    /** Exponent bias by which an unmasked overflow's or underflow's result is scaled. */
    static final int SCALE = 24576;

    /** A kind beyond {@link SoftFloat}'s: unnormals, pseudo-infinities and pseudo-NaNs. */
    static final int UNSUPPORTED = 5;

    final CpuState s;
    final SoftFloat f = new SoftFloat();

    X87Stack(CpuState s) {
        this.s = s;
    }

    // ------------------------------------------------------------------ registers

    int top() {
        return s.fsw >> 11 & 7;
    }

    int physical(int i) {
        return top() + i & 7;
    }

    boolean empty(int i) {
        return (s.ftwValid >> physical(i) & 1) == 0;
    }

    private void setTop(int top) {
        s.fsw = s.fsw & ~0x3800 | (top & 7) << 11;
    }

    void rotate(int by) {
        setTop(top() + by);
    }

    void free(int i) {
        s.ftwValid &= ~(1 << physical(i));
    }

    void pop() {
        free(0);
        rotate(1);
    }

    /** Pops that many. */
    void pop(int pops) {
        for (int i = 0; i < pops; i++) {
            pop();
        }
    }

    void set(int i, int exponent, long mantissa) {
        int r = physical(i);
        s.fpExponent[r] = exponent;
        s.fpMantissa[r] = mantissa;
        s.ftwValid |= 1 << r;
    }

    void setIndefinite(int i) {
        set(i, 0xffff, 0xc000_0000_0000_0000L);
    }

    /** Unpacks an 80-bit value into {@link SoftFloat}'s operand B. */
    void unpackB(int exponent, long mantissa) {
        int e = exponent & 0x7fff;
        f.signB = (exponent & 0x8000) != 0;
        f.denormalB = false;
        f.significandB = mantissa;
        if (e == 0x7fff) {
            f.kindB = mantissa >= 0
                    ? UNSUPPORTED
                    : mantissa << 1 == 0
                            ? SoftFloat.INFINITE
                            : mantissa << 1 < 0 ? SoftFloat.QUIET : SoftFloat.SIGNALING;
        } else if (e == 0) {
            if (mantissa == 0) {
                f.kindB = SoftFloat.ZERO;
            } else {
                int n = Long.numberOfLeadingZeros(mantissa);
                f.kindB = SoftFloat.FINITE;
                f.denormalB = true;
                f.significandB = mantissa << n;
                f.exponentB = -16382 - n;
            }
        } else {
            f.kindB = mantissa < 0 ? SoftFloat.FINITE : UNSUPPORTED;
            f.exponentB = e - 16383;
        }
    }

    void unpackB(int i) {
        int r = physical(i);
        unpackB(s.fpExponent[r], s.fpMantissa[r]);
    }

    /** Writes {@link SoftFloat}'s result to st(i). */
    void setResult(int i) {
        int sign = f.sign ? 0x8000 : 0;
        switch (f.kind) {
            case SoftFloat.ZERO -> set(i, sign, 0);
            case SoftFloat.FINITE -> {
                int e = f.exponent;
                if ((f.after & SoftFloat.OE & ~f.masks) != 0) {
                    e -= SCALE;
                } else if ((f.after & SoftFloat.UE & ~f.masks) != 0) {
                    e += SCALE;
                }
                set(i, sign | (f.significand < 0 ? e + 16383 : 0), f.significand);
            }
            default -> set(i, sign | 0x7fff, f.significand);
        }
    }

    // ------------------------------------------------------------------ exceptions

    /** Prepares for an operation with the control word's rounding; C1 is cleared. */
    void begin() {
        f.rounding = s.fcw >> 10 & 3;
        f.masks = s.fcw & 0x3f;
        f.before = 0;
        f.after = 0;
        f.roundedUp = false;
        s.fsw &= ~C1;
    }

    /** Precision by the control word, for ADD, SUB, MUL, DIV and SQRT. */
    int precision() {
        return switch (s.fcw >> 8 & 3) {
            case 0 -> SoftFloat.SINGLE;
            case 2 -> SoftFloat.DOUBLE;
            default -> SoftFloat.EXTENDED;
        };
    }

    private void flag(int exceptions) {
        s.fsw |= exceptions;
        summarize();
    }

    /** ES and B follow from the exceptions that are not masked. */
    void summarize() {
        if ((s.fsw & ~s.fcw & 0x3f) != 0) {
            s.fsw |= SUMMARY | BUSY;
        } else {
            s.fsw &= ~(SUMMARY | BUSY);
        }
    }

    /** Stack underflow or overflow. True when masked: the response is to be written. */
    boolean stackFault(boolean overflow) {
        s.fsw = s.fsw & ~C1 | (overflow ? C1 : 0);
        flag(SoftFloat.IE | STACK_FAULT);
        return (s.fcw & SoftFloat.IE) != 0;
    }

    /** False: an exception found before computing is not masked; it is flagged, and nothing else may happen. */
    boolean proceed() {
        if ((f.before & ~f.masks) != 0) {
            flag(f.before);
            return false;
        }
        return true;
    }

    /** Flags what was found, C1 from the rounding. */
    void finish() {
        if ((f.after & SoftFloat.PE) != 0 && f.roundedUp) {
            s.fsw |= C1;
        }
        flag(f.before | f.after);
    }

    /** x87's rule for NaN and unsupported operands A and B. True: the result is there. */
    boolean nan() {
        if (f.kindA == UNSUPPORTED || f.kindB == UNSUPPORTED) {
            f.invalid();
            return true;
        }
        boolean a = f.kindA >= SoftFloat.QUIET;
        boolean b = f.kindB >= SoftFloat.QUIET;
        if (!a && !b) {
            return false;
        }
        boolean signalingA = f.kindA == SoftFloat.SIGNALING;
        boolean signalingB = f.kindB == SoftFloat.SIGNALING;
        if (signalingA || signalingB) {
            f.before |= SoftFloat.IE;
        }
        boolean takeA;
        if (a && b) {
            if (signalingA != signalingB) {
                takeA = signalingB;
            } else {
                int order = Long.compareUnsigned(f.significandA, f.significandB);
                takeA = order > 0 || order == 0 && !f.signA;
            }
        } else {
            takeA = a;
        }
        f.kind = SoftFloat.QUIET;
        f.sign = takeA ? f.signA : f.signB;
        f.significand = (takeA ? f.significandA : f.significandB) | 0xc000_0000_0000_0000L;
        return true;
    }

    /** The two-bit tag of physical register r, as FSTENV writes it. */
    int tag(int r) {
        if ((s.ftwValid >> r & 1) == 0) {
            return 3;
        }
        int e = s.fpExponent[r] & 0x7fff;
        long m = s.fpMantissa[r];
        if (e == 0 && m == 0) {
            return 1;
        }
        return e == 0 || e == 0x7fff || m >= 0 ? 2 : 0;
    }
}
