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

    boolean blocksInterrupts() {
        return (control & BLOCKIRQ) != 0;
    }

    boolean singleSteps() {
        return (control & SINGLESTEP) != 0;
    }

    /** Takes a new control word; without {@link #ENABLE} everything is off. */
    void set(int control, @Nullable Cpu cpu) {
        this.control = (control & ENABLE) == 0 ? 0 : control;
        if (cpu != null) {
            apply(cpu);
        }
    }

    /** Tells the processor what to intercept. */
    void apply(Cpu cpu) {
        cpu.singleStep = singleSteps();
        int vectors = 0;
        if ((control & (SINGLESTEP | USE_HW_BP)) != 0) {
            vectors |= 1 << GuestFault.DB;
        }
        if ((control & USE_SW_BP) != 0) {
            vectors |= 1 << GuestFault.BP;
        }
        cpu.interceptedVectors = vectors;
    }

    /** An instruction that the hypervisor completed would have trapped: to the client, or to the guest. */
    int stepped(VcpuRun run) {
        if (singleSteps()) {
            return report(run, GuestFault.DB, DR6_BS | Vcpu.DR6_ACTIVE_LOW);
        }
        run.events.queue(GuestFault.DB);
        run.events.exceptionHasPayload = true;
        run.events.exceptionPayload = DR6_BS;
        return Outcome.RESUME;
    }

    /** The processor's intercept. */
    int exit(VcpuRun run, Cpu cpu) {
        return report(run, (int) cpu.exitInfo, cpu.exitInfo2 | Vcpu.DR6_ACTIVE_LOW);
    }

    private static int report(VcpuRun run, int vector, long dr6) {
        VcpuExit exit = run.exit;
        CpuState s = run.s;
        exit.reason = VcpuExit.DEBUG;
        exit.debugException = vector;
        exit.debugPc = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        exit.debugDr6 = vector == GuestFault.DB ? dr6 : 0;
        exit.debugDr7 = s.dr7;
        return Outcome.EXIT;
    }
}
