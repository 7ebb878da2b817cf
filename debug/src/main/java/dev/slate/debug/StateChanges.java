package dev.slate.debug;

import dev.slate.cpu.CpuState;

/** Remembers a processor's registers and says later which have changed. */
final class StateChanges {
    private static final String[] GENERAL = {
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"
    };
    private static final String[] SEGMENTS = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    /** Names of RFLAGS' bits; an empty one is reserved, and IOPL has two. */
    private static final String[] FLAGS = {
        "CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF", "", "", "NT", "", "RF", "VM", "AC", "VIF",
        "VIP", "ID"
    };

    private static final String[] CONTROL = {
        "cr0",
        "cr2",
        "cr3",
        "cr4",
        "cr8",
        "efer",
        "xcr0",
        "dr6",
        "dr7",
        "dr0",
        "dr1",
        "dr2",
        "dr3",
        "gdtr",
        "idtr",
        "kernel_gs_base",
        "cpl"
    };

    private final long[] general = new long[16];
    private final int[] selectors = new int[8];
    private final long[] bases = new long[8];
    private final long[] control = new long[CONTROL.length];
    private final long[] controlNow = new long[CONTROL.length];
    private final long[] xmm = new long[64];
    private final long[] fpMantissa = new long[8];
    private final int[] fpExponent = new int[8];
    private long rflags;
    private int mxcsr;
    private int fcw;
    private int fsw;

    void capture(CpuState s) {
        System.arraycopy(s.gpr, 0, general, 0, 16);
        System.arraycopy(s.segSelector, 0, selectors, 0, 8);
        System.arraycopy(s.segBase, 0, bases, 0, 8);
        System.arraycopy(s.xmm, 0, xmm, 0, 64);
        System.arraycopy(s.fpMantissa, 0, fpMantissa, 0, 8);
        System.arraycopy(s.fpExponent, 0, fpExponent, 0, 8);
        control(s, control);
        rflags = s.rflags();
        mxcsr = s.mxcsr;
        fcw = s.fcw;
        fsw = s.fsw;
    }

    private static void control(CpuState s, long[] to) {
        long[] values = {
            s.cr0,
            s.cr2,
            s.cr3,
            s.cr4,
            s.cr8,
            s.efer,
            s.xcr0,
            s.dr6,
            s.dr7,
            s.dr[0],
            s.dr[1],
            s.dr[2],
            s.dr[3],
            s.gdtBase,
            s.idtBase,
            s.kernelGsBase,
            s.cpl
        };
        System.arraycopy(values, 0, to, 0, values.length);
    }

    /** Appends {@code name=value}, in hexadecimal, of everything that is not as it was, each after a blank. */
    void append(CpuState s, StringBuilder out) {
        for (int i = 0; i < 16; i++) {
            changed(out, GENERAL[i], general[i], s.gpr[i]);
        }
        if (rflags != s.rflags()) {
            out.append(" flags=");
            flags(out, s.rflags());
        }
        for (int i = 0; i < 8; i++) {
            changed(out, SEGMENTS[i], selectors[i], s.segSelector[i]);
        }
        changed(out, "fs_base", bases[CpuState.FS], s.segBase[CpuState.FS]);
        changed(out, "gs_base", bases[CpuState.GS], s.segBase[CpuState.GS]);
        control(s, controlNow);
        for (int i = 0; i < CONTROL.length; i++) {
            changed(out, CONTROL[i], control[i], controlNow[i]);
        }
        for (int i = 0; i < 16; i++) {
            int low = 4 * i;
            boolean upper = xmm[low + 2] != s.xmm[low + 2] || xmm[low + 3] != s.xmm[low + 3];
            if (upper || xmm[low] != s.xmm[low] || xmm[low + 1] != s.xmm[low + 1]) {
                out.append(upper ? " ymm" : " xmm").append(i).append('=');
                for (int k = upper ? 3 : 1; k >= 0; k--) {
                    out.append(String.format("%016x", s.xmm[low + k])).append(k > 0 ? "_" : "");
                }
            }
        }
        for (int i = 0; i < 8; i++) {
            if (fpMantissa[i] != s.fpMantissa[i] || fpExponent[i] != s.fpExponent[i]) {
                out.append(" st").append(i - (s.fsw >> 11) & 7);
                out.append(String.format("=%04x_%016x", s.fpExponent[i] & 0xffff, s.fpMantissa[i]));
            }
        }
        changed(out, "mxcsr", mxcsr, s.mxcsr);
        changed(out, "fcw", fcw, s.fcw);
        changed(out, "fsw", fsw, s.fsw);
    }

    private static void changed(StringBuilder out, String name, long before, long now) {
        if (before != now) {
            out.append(' ').append(name).append('=').append(Long.toHexString(now));
        }
    }

    /** The names of the flags that are set, or "-". */
    private static void flags(StringBuilder out, long rflags) {
        int start = out.length();
        for (int i = 0; i < FLAGS.length; i++) {
            if ((rflags >>> i & 1) != 0 && !FLAGS[i].isEmpty()) {
                out.append(out.length() == start ? "" : "|").append(FLAGS[i]);
            }
        }
        long iopl = rflags >>> 12 & 3;
        if (iopl != 0) {
            out.append(out.length() == start ? "" : "|").append("IOPL").append(iopl);
        }
        if (out.length() == start) {
            out.append('-');
        }
    }
}
