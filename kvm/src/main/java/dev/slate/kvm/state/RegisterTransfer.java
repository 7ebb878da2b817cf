package dev.slate.kvm.state;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.DebugRegs;
import dev.slate.kvm.Fpu;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Segment;

/** Between the processor's state and the carriers of the API: general registers, segments, FPU. Knows no rule but representation. */
public final class RegisterTransfer {
    private RegisterTransfer() {}

    public static void getRegs(CpuState s, Regs r) {
        long[] g = s.gpr;
        r.rax = g[0];
        r.rcx = g[1];
        r.rdx = g[2];
        r.rbx = g[3];
        r.rsp = g[4];
        r.rbp = g[5];
        r.rsi = g[6];
        r.rdi = g[7];
        r.r8 = g[8];
        r.r9 = g[9];
        r.r10 = g[10];
        r.r11 = g[11];
        r.r12 = g[12];
        r.r13 = g[13];
        r.r14 = g[14];
        r.r15 = g[15];
        r.rip = s.rip;
        r.rflags = s.rflags();
    }

    public static void setRegs(CpuState s, Regs r) {
        long[] g = s.gpr;
        g[0] = r.rax;
        g[1] = r.rcx;
        g[2] = r.rdx;
        g[3] = r.rbx;
        g[4] = r.rsp;
        g[5] = r.rbp;
        g[6] = r.rsi;
        g[7] = r.rdi;
        g[8] = r.r8;
        g[9] = r.r9;
        g[10] = r.r10;
        g[11] = r.r11;
        g[12] = r.r12;
        g[13] = r.r13;
        g[14] = r.r14;
        g[15] = r.r15;
        s.rip = r.rip;
        boolean was8086 = s.virtual8086();
        s.setRflags(r.rflags);
        if (was8086 && !s.virtual8086()) {
            // Whoever sets all registers may have set SS while VM still stood.
            s.cpl = s.segAttr[CpuState.SS] >> CpuState.ATTR_DPL_SHIFT & 3;
        }
        s.settlePrivilege();
    }

    /** A segment register as AMD's save area shows it (APM 2 15.5.1, KVM's fixes for migration included). */
    public static void getSegment(CpuState s, int register, Segment to) {
        int attr = s.segAttr[register];
        to.base = s.segBase[register];
        to.limit = s.segLimit[register];
        to.selector = s.segSelector[register] & 0xffff;
        to.type = attr & CpuState.ATTR_TYPE;
        to.s = attr >>> 4 & 1;
        to.dpl = attr >>> CpuState.ATTR_DPL_SHIFT & 3;
        to.present = (attr & CpuState.ATTR_UNUSABLE) != 0 ? 0 : attr >>> 7 & 1;
        to.avl = attr >>> 12 & 1;
        to.l = attr >>> 13 & 1;
        to.db = attr >>> 14 & 1;
        to.g = Integer.compareUnsigned(to.limit, 0xfffff) > 0 ? 1 : 0;
        to.unusable = to.present ^ 1;
        switch (register) {
            case CpuState.TR -> to.type |= 2;
            case CpuState.DS, CpuState.ES, CpuState.FS, CpuState.GS -> to.type |= to.present;
            case CpuState.SS -> {
                to.dpl = s.cpl;
                to.db &= to.present;
            }
            default -> {}
        }
    }

    public static void setSegment(CpuState s, int register, Segment from) {
        int present = from.present & ~from.unusable & 1;
        s.segBase[register] = from.base;
        s.segLimit[register] = from.limit;
        s.segSelector[register] = from.selector & 0xffff;
        s.segAttr[register] = from.type & CpuState.ATTR_TYPE
                | (from.s & 1) << 4
                | (from.dpl & 3) << CpuState.ATTR_DPL_SHIFT
                | present << 7
                | (from.avl & 1) << 12
                | (from.l & 1) << 13
                | (from.db & 1) << 14
                | (from.g & 1) << 15
                | (present == 0 ? CpuState.ATTR_UNUSABLE : 0);
        if (register == CpuState.SS) {
            s.cpl = from.dpl & 3;
        }
    }

    public static void getFpu(CpuState s, Fpu to) {
        for (int i = 0; i < 8; i++) {
            int physical = (s.fsw >>> 11) + i & 7;
            LittleEndian.putLong(to.fpr, i * 16, s.fpMantissa[physical]);
            LittleEndian.putLong(to.fpr, i * 16 + 8, s.fpExponent[physical] & 0xffffL);
        }
        to.fcw = s.fcw & 0xffff;
        to.fsw = s.fsw & 0xffff;
        to.ftwx = s.ftwValid & 0xff;
        to.lastOpcode = s.fpOpcode & 0xffff;
        to.lastIp = s.fpIp;
        to.lastDp = s.fpDp;
        for (int i = 0; i < 16; i++) {
            LittleEndian.putLong(to.xmm, i * 16, s.xmm[i * 4]);
            LittleEndian.putLong(to.xmm, i * 16 + 8, s.xmm[i * 4 + 1]);
        }
        // KVM_GET_FPU leaves it out, KVM_SET_FPU does not look at it.
        to.mxcsr = 0;
    }

    public static void setFpu(CpuState s, Fpu from) {
        s.fcw = from.fcw & 0xffff;
        s.fsw = from.fsw & 0xffff;
        s.ftwValid = from.ftwx & 0xff;
        s.fpOpcode = from.lastOpcode & 0x7ff;
        s.fpCs = 0;
        s.fpDs = 0;
        s.fpIp = from.lastIp;
        s.fpDp = from.lastDp;
        for (int i = 0; i < 8; i++) {
            int physical = (s.fsw >>> 11) + i & 7;
            s.fpMantissa[physical] = LittleEndian.getLong(from.fpr, i * 16);
            s.fpExponent[physical] = (int) LittleEndian.getLong(from.fpr, i * 16 + 8) & 0xffff;
        }
        for (int i = 0; i < 16; i++) {
            s.xmm[i * 4] = LittleEndian.getLong(from.xmm, i * 16);
            s.xmm[i * 4 + 1] = LittleEndian.getLong(from.xmm, i * 16 + 8);
        }
    }

    public static void getDebugRegs(CpuState s, DebugRegs to) {
        System.arraycopy(s.dr, 0, to.db, 0, 4);
        to.dr6 = s.dr6;
        to.dr7 = s.dr7;
        to.flags = 0;
    }

    /** False: refused, because of flags or upper halves of DR6 or DR7 that are not zero. */
    public static boolean setDebugRegs(CpuState s, DebugRegs from) {
        if (from.flags != 0 || from.dr6 >>> 32 != 0 || from.dr7 >>> 32 != 0) {
            return false;
        }
        System.arraycopy(from.db, 0, s.dr, 0, 4);
        s.dr6 = from.dr6;
        s.dr7 = from.dr7;
        return true;
    }
}
