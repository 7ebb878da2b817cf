package dev.slate.kvm.state;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.event.EventQueue;
import org.jspecify.annotations.Nullable;

/** KVM_SET_GUEST_DEBUG: the client debugs the guest, unseen by it. */
public final class GuestDebug {
    public static final int ENABLE = 1;
    public static final int SINGLESTEP = 1 << 1;
    public static final int USE_SW_BP = 1 << 16;
    public static final int USE_HW_BP = 1 << 17;
    public static final int INJECT_DB = 1 << 18;
    public static final int INJECT_BP = 1 << 19;
    public static final int BLOCKIRQ = 1 << 20;
    public static final int VALID = ENABLE | SINGLESTEP | USE_SW_BP | USE_HW_BP | INJECT_DB | INJECT_BP | BLOCKIRQ;

    private static final long DR6_BS = 1 << 14;

    private final CpuState s;
    private final EventQueue events;
    private final VcpuExit exit;
    private int control;
    private final long[] debugreg = new long[8];

    /** @param exit where {@code KVM_EXIT_DEBUG} is reported */
    public GuestDebug(CpuState state, EventQueue events, VcpuExit exit) {
        this.s = state;
        this.events = events;
        this.exit = exit;
    }

    /** Whether interrupts, NMIs and SMIs are held off ({@link #BLOCKIRQ}). */
    public boolean blocksInterrupts() {
        return (control & BLOCKIRQ) != 0;
    }

    /** Whether the client steps. */
    public boolean singleSteps() {
        return (control & SINGLESTEP) != 0;
    }

    /**
     * Takes a new control word; without {@link #ENABLE} everything is off.
     *
     * @param registers DR0 to DR7 that take the place of the guest's under {@link #USE_HW_BP}
     */
    public void set(int control, long[] registers, @Nullable Cpu cpu) {
        this.control = (control & ENABLE) == 0 ? 0 : control;
        System.arraycopy(registers, 0, debugreg, 0, 8);
        if (cpu != null) {
            apply(cpu);
        }
    }

    /** Tells the processor what to intercept. */
    public void apply(Cpu cpu) {
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

    /**
     * An instruction that the hypervisor completed traps: to the client, or to the guest.
     *
     * @return whether the exit to the client stands ready
     */
    public boolean trapped(Cpu cpu, boolean stepped) {
        long bits = cpu.debug.pending | (stepped ? DR6_BS : 0);
        cpu.debug.pending = 0;
        if (interceptsDebug()) {
            report(GuestFault.DB, bits | CpuState.DR6_ACTIVE_LOW);
            return true;
        }
        events.queue(GuestFault.DB);
        events.exceptionHasPayload = true;
        events.exceptionPayload = bits;
        return false;
    }

    /** The processor's intercept becomes an exit to the client. */
    public void intercepted(Cpu cpu) {
        report((int) cpu.exit.info, cpu.exit.info2 | CpuState.DR6_ACTIVE_LOW);
    }

    private void report(int vector, long dr6) {
        exit.reason = VcpuExit.DEBUG;
        exit.debugException = vector;
        exit.debugPc = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        exit.debugDr6 = vector == GuestFault.DB ? dr6 : 0;
        exit.debugDr7 = (control & USE_HW_BP) != 0 ? debugreg[7] : s.dr7;
    }
}
