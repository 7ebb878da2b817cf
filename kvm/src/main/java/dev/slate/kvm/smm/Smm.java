package dev.slate.kvm.smm;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;

/**
 * System management mode of one vCPU (APM 2 chapter 10, SDM 3C chapter 34): SMI puts the state into SMRAM and starts the handler in real
 * mode; RSM takes it back. While the mode is on the vCPU sees the slots of address space 1.
 *
 * <p>Under the vCPU's mutex.
 */
public final class Smm {
    private static final int RESET_BASE = 0x3_0000;
    private static final int ENTRY = 0x8000;
    /** Read-write, accessed, present, 4 GiB in pages: what every segment is in the handler. */
    private static final int SEGMENT_ATTR = CpuState.ATTR_P | CpuState.ATTR_S | CpuState.ATTR_G | 3;

    private final CpuState s;
    private final EventQueue events;
    private final CpuidTable cpuid;
    private final GuestMode mode;
    private final VcpuMmu mmu;
    private final Translations translations;
    private final long machineCr4Reserved;

    private boolean active;
    /** NMIs were blocked when SMI came: RSM leaves them so. */
    private boolean insideNmi;

    private int base = RESET_BASE;
    private long count;

    /** @param machineCr4Reserved CR4 bits that no guest can set */
    public Smm(
            CpuState state,
            EventQueue events,
            CpuidTable cpuid,
            GuestMode mode,
            VcpuMmu mmu,
            Translations translations,
            long machineCr4Reserved) {
        this.s = state;
        this.events = events;
        this.cpuid = cpuid;
        this.mode = mode;
        this.mmu = mmu;
        this.translations = translations;
        this.machineCr4Reserved = machineCr4Reserved;
    }

    /** Whether the mode is on. */
    public boolean active() {
        return active;
    }

    /** Whether NMIs were blocked when the SMI came. */
    public boolean insideNmi() {
        return insideNmi;
    }

    /** SMBASE, 32 bits. */
    public int base() {
        return base;
    }

    /** Where the state-save area lies that SMI fills and RSM reads. */
    public long stateGpa() {
        return (base & 0xffff_ffffL) + SmmStateMap.OFFSET;
    }

    /** Writes SMBASE. */
    public void setBase(int value) {
        base = value;
    }

    /** SMIs taken since RESET. */
    public long count() {
        return count;
    }

    /** Puts the count back. */
    public void setCount(long value) {
        count = value;
    }

    /** RESET, or INIT: out of the mode. */
    public void reset(boolean init) {
        insideNmi = false;
        switchTo(false);
        if (!init) {
            base = RESET_BASE;
            count = 0;
        }
    }

    /** KVM_SET_VCPU_EVENTS puts the vCPU into the mode, or out of it, without moving any state. */
    public void restore(boolean on, boolean nmi) {
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
        mmu.addressSpace = on ? 1 : 0;
        translations.changed();
        if (!on) {
            // INIT and another SMI may have waited for this.
            mode.request(Request.EVENT);
        }
    }

    /** Whether an SMI that waits would be taken before the next instruction; nothing that has begun is left half done. */
    public boolean takesSmi() {
        return events.smiPending && !active && !events.exceptionPending && !events.needsReinjection();
    }

    /** Takes the SMI; outside guest mode. */
    public void enter() {
        events.smiPending = false;
        count++;
        SmmStateMap map = new SmmStateMap(cpuid.has(Feature.LM), cpuid.has(Feature.SVM));
        map.save(s, base);
        switchTo(true);
        // Where there is no memory the state is lost, and RSM will find nothing that can be loaded.
        mmu.write(stateGpa(), map.bytes(), 0, SmmStateMap.BYTES);
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
        translations.changed();
    }

    /** RSM in the mode. @return false: the state-save area lies where no memory is, and nothing has happened */
    public boolean resume() {
        SmmStateMap map = new SmmStateMap(cpuid.has(Feature.LM), cpuid.has(Feature.SVM));
        if (!mmu.read(stateGpa(), map.bytes(), 0, SmmStateMap.BYTES)) {
            return false;
        }
        if (!insideNmi) {
            s.nmiBlocked = false;
        }
        insideNmi = false;
        switchTo(false);
        long reserved = machineCr4Reserved | ControlRegisters.cr4Reserved(cpuid);
        base = map.smbase();
        if (!map.load(s, reserved, cpuid.maxPhysicalAddress())) {
            events.tripleFault = true;
        }
        translations.pageTablesReplaced();
        return true;
    }
}
