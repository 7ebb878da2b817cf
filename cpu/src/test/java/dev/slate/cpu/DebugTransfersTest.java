package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/**
 * Debug exceptions round transfers and shadows: every transfer, single-stepped or not, alone or behind STI, MOV SS or a MOV SS that
 * touches a watched word, with an instruction breakpoint on it, on its target or nowhere, on a processor of either vendor, against a
 * model of what is taken first (SDM 3A 6.8.3 and table 6-2, 3B 18.3.1, 3C 27.7.3; APM 2 8.5, 13.1).
 */
final class DebugTransfersTest {
    private static final long IDLE = 0xffff_0ff0L;
    private static final long BS = 1 << 14;
    private static final int TF = CpuState.TF;
    private static final int AT = Long64.CODE + 0x40;
    private static final int TARGET = Long64.CODE + 0x200;
    private static final int WATCHED = Long64.DATA;

    // How a transfer treats traps.
    /** TF as it was before decides. */
    private static final int ORDINARY = 0;
    /** TF as it is afterwards decides. */
    private static final int TF_AFTER = 1;
    /** A gate: TF goes without a trap; what MOV SS put off comes at the handler. */
    private static final int GATE = 2;
    /** INT1: as a gate, but what was put off is lost. */
    private static final int ICEBP = 3;
    /** Nothing happens but a fault; what was put off is lost. */
    private static final int FAULT = 4;
    /** MOV SS: holds everything off once more. */
    private static final int HOLDS = 5;

    /** What comes before the transfer. */
    private enum Prelude {
        NOTHING,
        STI,
        MOV_SS,
        MOV_SS_WATCHED
    }

    /** Where an instruction breakpoint lies. */
    private enum Breakpoint {
        NOWHERE,
        ON_TRANSFER,
        ON_TARGET
    }

    /**
     * A transfer.
     *
     * @param kind one of the constants above, for AMD
     * @param kindIntel the same for Intel
     * @param target where it goes, or for gates and faults the vector
     * @param setsTf whether TF is on behind it; what it was when -1
     * @param userTarget whether it goes to privilege 3, where HLT is #GP
     */
    private record Transfer(
            String name,
            String code,
            int kind,
            int kindIntel,
            int target,
            int setsTf,
            boolean userTarget,
            Consumer<Long64> prepare) {
        Transfer(String name, String code, int kind, int target, int setsTf, Consumer<Long64> prepare) {
            this(name, code, kind, kind, target, setsTf, false, prepare);
        }
    }

    private static final int FALLS_TO = AT;

    private static List<Transfer> transfers() {
        List<Transfer> t = new ArrayList<>();
        t.add(new Transfer("NOP", "90", ORDINARY, FALLS_TO + 1, -1, p -> {}));
        t.add(new Transfer("JMP", "e9bb010000", ORDINARY, TARGET, -1, p -> {}));
        t.add(new Transfer("CALL", "e8bb010000", ORDINARY, TARGET, -1, p -> {}));
        t.add(new Transfer("RET", "c3", ORDINARY, TARGET, -1, p -> push(p, TARGET)));
        t.add(new Transfer("RETF", "48cb", ORDINARY, TARGET, -1, p -> push(p, TARGET, Long64.CODE0)));
        for (int tf = 0; tf <= 1; tf++) {
            long flags = 2 | tf * TF;
            t.add(new Transfer("POPF " + tf, "9d", ORDINARY, FALLS_TO + 1, tf, p -> push(p, flags)));
            t.add(new Transfer(
                    "IRET " + tf,
                    "48cf",
                    ORDINARY,
                    TARGET,
                    tf,
                    p -> push(p, TARGET, Long64.CODE0, flags, Long64.STACK, Long64.DATA0)));
            t.add(new Transfer("SYSRET " + tf, "480f07", TF_AFTER, TF_AFTER, TARGET, tf, true, p -> {
                p.s.gpr[CpuState.RCX] = TARGET;
                p.s.gpr[11] = flags;
            }));
        }
        t.add(new Transfer("SYSCALL", "0f05", TF_AFTER, TARGET, -1, p -> p.s.lstar = TARGET));
        t.add(new Transfer("SYSCALL, masked", "0f05", TF_AFTER, TARGET, 0, p -> {
            p.s.lstar = TARGET;
            p.s.sfmask = TF;
        }));
        // AMD's long mode has neither.
        t.add(new Transfer("SYSENTER", "0f34", FAULT, ORDINARY, TARGET, -1, false, p -> {
            p.s.sysenterEip = TARGET;
            p.s.sysenterEsp = Long64.STACK;
        }));
        t.add(new Transfer("SYSEXIT", "480f35", FAULT, ORDINARY, TARGET, -1, true, p -> {
            p.s.gpr[CpuState.RDX] = TARGET;
            p.s.gpr[CpuState.RCX] = Long64.STACK;
        }));
        t.add(new Transfer("INT 30h", "cd30", GATE, 0x30, 0, p -> {}));
        t.add(new Transfer("INT3", "cc", GATE, 3, 0, p -> {}));
        t.add(new Transfer("INT1", "f1", ICEBP, 1, 0, p -> {}));
        t.add(new Transfer("UD2", "0f0b", FAULT, GuestFault.UD, 0, p -> {}));
        t.add(new Transfer("STI", "fb", ORDINARY, FALLS_TO + 1, -1, p -> {}));
        t.add(new Transfer("MOV SS", "8ed3", HOLDS, FALLS_TO + 2, -1, p -> {}));
        return t;
    }

    private static void push(Long64 p, long... words) {
        p.s.gpr[CpuState.RSP] = Long64.STACK - 0x100;
        for (int i = 0; i < words.length; i++) {
            p.put64(Long64.STACK - 0x100 + 8L * i, words[i]);
        }
    }

    @Test
    void everyTransferAndShadowTrapsAsTheModelSays() {
        int cases = 0;
        List<String> wrong = new ArrayList<>();
        for (Vendor vendor : Vendor.values()) {
            try (Long64 p = new Long64(vendor)) {
                for (Transfer t : transfers()) {
                    for (Prelude prelude : Prelude.values()) {
                        for (Breakpoint b : Breakpoint.values()) {
                            for (boolean tf : new boolean[] {false, true}) {
                                cases++;
                                String seen = run(p, t, prelude, b, tf);
                                String right = model(vendor, t, prelude, b, tf);
                                if (!seen.equals(right)) {
                                    wrong.add(vendor + ", " + t.name + " behind " + prelude + ", breakpoint " + b
                                            + (tf ? ", TF" : "") + ": " + seen + ", not " + right);
                                }
                            }
                        }
                    }
                }
            }
        }
        System.out.println("debug exceptions round transfers: " + cases + " cases");
        assertThat(wrong).isEmpty();
    }

    private static String event(int vector, long rip, long dr6, boolean rf) {
        return "#" + vector + " at " + Long.toHexString(rip) + " dr6 " + Long.toHexString(dr6 ^ IDLE)
                + (rf ? " RF" : "");
    }

    private static String model(Vendor vendor, Transfer t, Prelude prelude, Breakpoint b, boolean tf) {
        boolean intel = vendor == Vendor.INTEL;
        int kind = intel ? t.kindIntel : t.kind;
        boolean ss = prelude == Prelude.MOV_SS || prelude == Prelude.MOV_SS_WATCHED;
        long putOff = prelude == Prelude.MOV_SS_WATCHED ? 2 : 0;
        if (tf && prelude == Prelude.STI) {
            return event(1, AT, IDLE | BS, false);
        }
        if (b == Breakpoint.ON_TRANSFER && !(ss && intel)) {
            return event(1, AT, IDLE | 1 | putOff, false);
        }
        long next = AT + t.code.length() / 2;
        switch (kind) {
            case FAULT -> {
                return event(GuestFault.UD, AT, IDLE, true);
            }
            case ICEBP -> {
                return event(1, next, IDLE, false);
            }
            case GATE -> {
                return putOff != 0
                        ? event(1, Long64.handler(t.target), IDLE | putOff, false)
                        : event(t.target, next, IDLE, false);
            }
            case HOLDS -> {
                if (b == Breakpoint.ON_TARGET && !intel) {
                    return event(1, t.target, IDLE | 1 | putOff, false);
                }
                return "halt at " + Long.toHexString(t.target);
            }
            default -> {}
        }
        boolean after = t.setsTf < 0 ? tf : t.setsTf == 1;
        long trap = putOff | ((kind == TF_AFTER ? after : tf) ? BS : 0);
        if (trap != 0) {
            return event(1, t.target, IDLE | trap, false);
        }
        if (b == Breakpoint.ON_TARGET) {
            return event(1, t.target, IDLE | 1, false);
        }
        return t.userTarget ? event(GuestFault.GP, t.target, IDLE, true) : "halt at " + Long.toHexString(t.target);
    }

    private static String run(Long64 p, Transfer t, Prelude prelude, Breakpoint b, boolean tf) {
        CpuState s = p.s;
        p.cpu.debug.pending = 0;
        s.cpl = 0;
        s.segSelector[CpuState.CS] = Long64.CODE0;
        s.segAttr[CpuState.CS] = 0xa09b;
        s.segSelector[CpuState.SS] = Long64.DATA0;
        s.segBase[CpuState.SS] = 0;
        s.segLimit[CpuState.SS] = -1;
        s.segAttr[CpuState.SS] = 0xc093;
        s.interruptShadow = 0;
        s.gpr[CpuState.RSP] = Long64.STACK;
        s.gpr[CpuState.RBX] = Long64.DATA0;
        s.setRflags(tf ? 2 | TF : 2);
        s.sfmask = 0;
        s.dr6 = IDLE;
        s.dr7 = 0x400;
        p.put64(WATCHED, Long64.DATA0);
        p.code(TARGET, "f4");
        String before = switch (prelude) {
            case NOTHING -> "";
            case STI -> "fb";
            case MOV_SS -> "8ed3";
            // mov ss,[WATCHED]
            case MOV_SS_WATCHED -> "8e142500003000";
        };
        p.code(AT, t.code + "f4");
        p.code(AT - before.length() / 2, before);
        t.prepare.accept(p);
        s.rip = AT - before.length() / 2;
        if (b != Breakpoint.NOWHERE) {
            s.dr[0] = b == Breakpoint.ON_TRANSFER ? AT : t.target;
            s.dr7 |= 2;
        }
        if (prelude == Prelude.MOV_SS_WATCHED) {
            // Two bytes, reads and writes.
            s.dr[1] = WATCHED;
            s.dr7 |= 8 | 7L << 20;
        }
        p.cpu.modeChanged();
        int exit = p.run();
        if (exit != CpuExit.HLT) {
            return CpuExit.name(exit);
        }
        int vector = p.vector();
        if (vector < 0) {
            return "halt at " + Long.toHexString(s.rip);
        }
        int skip = GuestFault.hasErrorCode(vector) ? 1 : 0;
        return event(vector, p.top(skip), s.dr6, (p.top(skip + 2) & CpuState.RF) != 0);
    }
}
