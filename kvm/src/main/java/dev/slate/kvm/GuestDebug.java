package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import org.jspecify.annotations.Nullable;

/** KVM_SET_GUEST_DEBUG: the client debugs the guest, unseen by it. */
final class GuestDebug {
    static final int ENABLE = 1;
    static final int SINGLESTEP = 1 << 1;
    static final int USE_SW_BP = 1 << 16;
    static final int USE_HW_BP = 1 << 17;
    static final int INJECT_DB = 1 << 18;
    static final int INJECT_BP = 1 << 19;
    static final int BLOCKIRQ = 1 << 20;
    static final int VALID = ENABLE | SINGLESTEP | USE_SW_BP | USE_HW_BP | INJECT_DB | INJECT_BP | BLOCKIRQ;

    private static final long DR6_BS = 1 << 14;

    private int control;
    private final long[] debugreg = new long[8];

    boolean blocksInterrupts() {
        return (control & BLOCKIRQ) != 0;
    }

    boolean singleSteps() {
        return (control & SINGLESTEP) != 0;
    }

    /**
     * Takes a new control word; without {@link #ENABLE} everything is off.
     *
     * @param registers DR0 to DR7 that take the place of the guest's under {@link #USE_HW_BP}
     */
    void set(int control, long[] registers, @Nullable Cpu cpu) {
        this.control = (control & ENABLE) == 0 ? 0 : control;
        System.arraycopy(registers, 0, debugreg, 0, 8);
        if (cpu != null) {
            apply(cpu);
        }
    }

    /** Tells the processor what to intercept. */
    void apply(Cpu cpu) {
        cpu.controls.singleStep = singleSteps();
        int vectors = 0;
        if ((control & (SINGLESTEP | USE_HW_BP)) != 0) {
            vectors |= 1 << GuestFault.DB;
        }
        if ((control & USE_SW_BP) != 0) {
            vectors |= 1 << GuestFault.BP;
        }
        cpu.controls.interceptedVectors = vectors;
        if ((control & USE_HW_BP) != 0) {
            cpu.breakpoints.replace(debugreg, debugreg[7]);
        } else {
            cpu.breakpoints.restore();
        }
    }

    private boolean interceptsDebug() {
        return (control & (SINGLESTEP | USE_HW_BP)) != 0;
    }

    /** An instruction that the hypervisor completed traps: to the client, or to the guest. */
    int trapped(VcpuRun run, boolean stepped) {
        Cpu cpu = run.cpu();
        long bits = cpu.debug.pending | (stepped ? DR6_BS : 0);
        cpu.debug.pending = 0;
        if (interceptsDebug()) {
            return report(run, GuestFault.DB, bits | Vcpu.DR6_ACTIVE_LOW);
        }
        run.events.queue(GuestFault.DB);
        run.events.exceptionHasPayload = true;
        run.events.exceptionPayload = bits;
        return Outcome.RESUME;
    }

    /** The processor's intercept. */
    int exit(VcpuRun run, Cpu cpu) {
        return report(run, (int) cpu.exit.info, cpu.exit.info2 | Vcpu.DR6_ACTIVE_LOW);
    }

    private static int report(VcpuRun run, int vector, long dr6) {
        VcpuExit exit = run.exit;
        CpuState s = run.s;
        exit.reason = VcpuExit.DEBUG;
        exit.debugException = vector;
        exit.debugPc = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        exit.debugDr6 = vector == GuestFault.DB ? dr6 : 0;
        exit.debugDr7 = (run.vcpu.debug.control & USE_HW_BP) != 0 ? run.vcpu.debug.debugreg[7] : s.dr7;
        return Outcome.EXIT;
    }
}
