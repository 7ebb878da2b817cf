package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.mode.Request;

/**
 * System management mode of one vCPU (APM 2 chapter 10, SDM 3C chapter 34): SMI puts the state into SMRAM and starts the handler in real
 * mode; RSM takes it back. While the mode is on the vCPU sees the slots of address space 1.
 *
 * <p>Under the vCPU's mutex.
 */
final class Smm {
    private static final int RESET_BASE = 0x3_0000;
    private static final int ENTRY = 0x8000;
    /** Read-write, accessed, present, 4 GiB in pages: what every segment is in the handler. */
    private static final int SEGMENT_ATTR = CpuState.ATTR_P | CpuState.ATTR_S | CpuState.ATTR_G | 3;

    private final Vcpu vcpu;
    private final CpuState s;
    private final EventQueue events;

    private boolean active;
    /** NMIs were blocked when SMI came: RSM leaves them so. */
    private boolean insideNmi;

    private int base = RESET_BASE;
    private long count;

    Smm(Vcpu vcpu) {
        this.vcpu = vcpu;
        this.s = vcpu.state;
        this.events = vcpu.events;
    }

    boolean active() {
        return active;
    }

    boolean insideNmi() {
        return insideNmi;
    }

    /** SMBASE, 32 bits. */
    int base() {
        return base;
    }

    void setBase(int value) {
        base = value;
    }

    /** SMIs taken since RESET. */
    long count() {
        return count;
    }

    void setCount(long value) {
        count = value;
    }

    void reset(boolean init) {
        insideNmi = false;
        switchTo(false);
        if (!init) {
            base = RESET_BASE;
            count = 0;
        }
    }

    /** KVM_SET_VCPU_EVENTS puts the vCPU into the mode, or out of it, without moving any state. */
    void restore(boolean on, boolean nmi) {
        if (on != active) {
            switchTo(on);
        }
        insideNmi = on && nmi;
    }

    private void switchTo(boolean on) {
        if (active == on) {
            return;
        }
        active = on;
        vcpu.addressSpace(on ? 1 : 0);
        if (!on) {
            // INIT and another SMI may have waited for this.
            vcpu.mode.request(Request.EVENT);
        }
    }

    /** Whether an SMI that waits would be taken before the next instruction; nothing that has begun is left half done. */
    boolean takesSmi() {
        return events.smiPending
                && !active
                && !events.exceptionPending
                && !events.needsReinjection()
                && !vcpu.debug.blocksInterrupts();
    }

    /** Takes the SMI; outside guest mode. */
    void enter(VcpuRun run) {
        events.smiPending = false;
        count++;
        SmmStateMap map = new SmmStateMap(vcpu.cpuid.has(Feature.LM));
        map.save(s, base);
        switchTo(true);
        // Where there is no memory the state is lost, and RSM will find nothing that can be loaded.
        run.mmu.write((base & 0xffff_ffffL) + SmmStateMap.OFFSET, map.bytes(), 0, SmmStateMap.BYTES);
        insideNmi = s.nmiBlocked;
        s.nmiBlocked = true;
        s.setRflags(CpuState.RFLAGS_FIXED);
        s.rip = ENTRY;
        s.interruptShadow = 0;
        s.cr0 &= ~(CpuState.CR0_PE | CpuState.CR0_EM | CpuState.CR0_TS | CpuState.CR0_PG);
        s.cr4 = 0;
        s.efer = 0;
        s.cpl = 0;
        s.dr7 = 0x400;
        s.idtBase = 0;
        s.idtLimit = 0;
        for (int i = 0; i < 6; i++) {
            s.segSelector[i] = 0;
            s.segBase[i] = 0;
            s.segLimit[i] = -1;
            s.segAttr[i] = SEGMENT_ATTR;
        }
        s.segSelector[CpuState.CS] = base >>> 4 & 0xffff;
        s.segBase[CpuState.CS] = base & 0xffff_ffffL;
        vcpu.translationsChanged();
    }

    /** RSM, which outside the mode is #UD. */
    int resume(VcpuRun run, Cpu cpu) {
        if (!active) {
            events.queue(GuestFault.UD);
            return Outcome.RESUME;
        }
        SmmStateMap map = new SmmStateMap(vcpu.cpuid.has(Feature.LM));
        if (!run.mmu.read((base & 0xffff_ffffL) + SmmStateMap.OFFSET, map.bytes(), 0, SmmStateMap.BYTES)) {
            return InternalErrors.emulationFailed(run, cpu, 0, 0, 0, 0);
        }
        if (!insideNmi) {
            s.nmiBlocked = false;
        }
        insideNmi = false;
        switchTo(false);
        long reserved = vcpu.vm().kvm().cr4Reserved() | ControlRegisters.cr4Reserved(vcpu.cpuid);
        base = map.smbase();
        if (!map.load(s, reserved, vcpu.cpuid.maxPhysicalAddress())) {
            events.tripleFault = true;
        }
        vcpu.pageTablesReplaced();
        return Outcome.RESUME;
    }
}
