package dev.slate.kvm.nested;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.NestedState;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.stats.VcpuStats;
import java.util.Arrays;
import java.util.function.BooleanSupplier;

/**
 * The guest's own hypervisor on one vCPU (APM 2 chapter 15): while it is {@link #active} its guest runs, called L2 here as in KVM, and what the
 * hypervisor (L1) intercepts leads back to it through {@link #exit}.
 *
 * <p>L1's state waits here while L2 runs, not in its host save area; L2's is the processor's own. Without nested paging both walk L1's memory, and
 * a page table of L2 is an ordinary one; with it L2's lies below tables of L1's, which the MMU shadows.
 *
 * <p>Under the vCPU's mutex, outside guest mode, but for the questions.
 */
public final class NestedSvm {
    private static final int V_TPR = 0xf;
    private static final int V_IRQ = 1 << 8;
    private static final int V_PRIORITY_SHIFT = 16;
    private static final int V_IGNORE_TPR = 1 << 20;
    private static final int V_MASKING = 1 << 24;
    private static final int SHADOW = 1;
    /** KVM's exit code for one that no processor makes. */
    private static final long SOFTWARE_EXIT = 0xf000_0000L;

    /** Where KVM notes in SMM's state-save area that a guest's guest was running, and behind it its VMCB. */
    private static final int SMRAM_NOTE = 0xd8;

    private static final long DR7_OFF = 0x400;
    private static final long DR7_BITS = 0xffff_23ffL;

    private final CpuState s;
    private final EventQueue events;
    private final CpuidTable cpuid;
    private final VcpuMmu mmu;
    private final VcpuTsc tsc;
    private final VcpuApic apic;
    private final VcpuStats stats;
    private final Translations translations;
    private final boolean nestedPaging;
    private final long machineCr4Reserved;

    private final PermissionMaps maps;
    private final Vmcb vmcb;
    /** L1's state while L2 runs, in the form of a state-save area. */
    private final Vmcb host;

    private final int[] vectors = new int[SvmExit.WORDS];
    private final byte[] small = new byte[16];

    private boolean active;
    /** The global interrupt flag: while it is clear interrupts, NMIs, SMIs and INIT wait. */
    private boolean gif = true;
    /** The processor has not been told of {@link #active}. */
    private boolean stale;

    private long vmcbGpa;
    private int intCtl;
    private int intVector;

    // What L2's translations came from at its last #VMEXIT; ASID 0, which is nobody's, when it ended otherwise.
    private int leftAsid;
    private final long[] leftPaging = new long[6];
    private final long[] paging = new long[6];

    /**
     * Nobody's guest runs, and GIF is set.
     *
     * @param offered false: no guest of this VM can set EFER.SVME
     * @param nestedPaging whether it can have nested tables
     * @param enlightenments whether the guest has Hyper-V's hypercalls, with which what its VMCBs have for Hyper-V counts
     * @param machineCr4Reserved CR4 bits that no guest can set
     */
    public NestedSvm(
            boolean offered,
            boolean nestedPaging,
            CpuState state,
            EventQueue events,
            CpuidTable cpuid,
            VcpuMmu mmu,
            VcpuTsc tsc,
            VcpuApic apic,
            VcpuStats stats,
            Translations translations,
            BooleanSupplier enlightenments,
            long machineCr4Reserved) {
        this.vmcb = new Vmcb(offered ? Vmcb.BYTES : 0);
        this.host = new Vmcb(offered ? Vmcb.BYTES : 0);
        this.nestedPaging = nestedPaging;
        this.s = state;
        this.events = events;
        this.cpuid = cpuid;
        this.mmu = mmu;
        maps = new PermissionMaps(mmu, enlightenments);
        this.tsc = tsc;
        this.apic = apic;
        this.stats = stats;
        this.translations = translations;
        this.machineCr4Reserved = machineCr4Reserved;
    }

    // ------------------------------------------------------------------ questions

    /** Whether L2 runs. */
    public boolean active() {
        return active;
    }

    /** The global interrupt flag. */
    public boolean gif() {
        return gif;
    }

    /** STGI and CLGI. */
    public void setGif(boolean on) {
        gif = on;
    }

    /** Whether L2 runs and L1 intercepts this. */
    public boolean wants(int exitCode) {
        return active && (vectors[exitCode >>> 5] >>> exitCode & 1) != 0;
    }

    /** Whether physical interrupts are let through, their intercept aside: by L1's IF where they are virtual to L2, else by L2's. */
    public boolean interruptFlag() {
        long flags = (intCtl & V_MASKING) != 0 ? host.get64(Vmcb.RFLAGS) : s.flagsSystem;
        return (flags & CpuState.IF) != 0;
    }

    /** Whether CR8 is L2's own. */
    public boolean masksTaskPriority() {
        return active && (intCtl & V_MASKING) != 0;
    }

    /** L2 wrote CR8. */
    public void taskPriorityWritten(long cr8) {
        intCtl = intCtl & ~V_TPR | (int) cr8 & V_TPR;
    }

    /** Whether a virtual interrupt waits that L2's task priority lets through. */
    public boolean virtualInterruptWaits() {
        return active
                && (intCtl & V_IRQ) != 0
                && ((intCtl & V_IGNORE_TPR) != 0 || (intCtl >>> V_PRIORITY_SHIFT & 15) > (intCtl & V_TPR));
    }

    /** Takes it: its vector. */
    public int takeVirtualInterrupt() {
        intCtl &= ~V_IRQ;
        return intVector;
    }

    /** Tells the processor which intercepts are in force; before it runs. */
    public void prepare(Cpu cpu) {
        if (!stale) {
            return;
        }
        stale = false;
        if (active) {
            cpu.intercepts.begin(vectors);
        } else {
            cpu.intercepts.end();
        }
        cpu.world.enter(active);
    }

    /** Whether L1 intercepts an access of L2's to these ports. */
    public boolean wantsPorts(int port, int bytes) {
        return wants(SvmExit.IOIO) && maps.wantsPorts(port, bytes);
    }

    /** Whether L1 intercepts an access to an MSR. */
    public boolean wantsMsr(int index, boolean write) {
        return wants(SvmExit.MSR) && maps.wantsMsr(index, write);
    }

    // ------------------------------------------------------------------ VMLOAD, VMSAVE

    private boolean bad(long gpa) {
        return (gpa & 0xfff) != 0 || gpa >>> cpuid.maxPhysicalAddress() != 0;
    }

    /** VMLOAD. @return false: #GP(0) */
    public boolean load(long gpa) {
        // The control area in the copy may be L2's.
        if (bad(gpa) || !mmu.read(gpa + Vmcb.SAVE, vmcb.bytes, Vmcb.SAVE, Vmcb.HIDDEN_END - Vmcb.SAVE)) {
            return false;
        }
        vmcb.loadHidden(s);
        return true;
    }

    /** VMSAVE. @return false: #GP(0) */
    public boolean save(long gpa) {
        long hva = bad(gpa) ? 0 : mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return false;
        }
        vmcb.saveHidden(s);
        vmcb.copyTo(hva, Vmcb.SEGMENTS + Vmcb.SEGMENT_BYTES * CpuState.FS, 2 * Vmcb.SEGMENT_BYTES);
        vmcb.copyTo(hva, Vmcb.LDTR, Vmcb.SEGMENT_BYTES);
        vmcb.copyTo(hva, Vmcb.TR, Vmcb.SEGMENT_BYTES);
        vmcb.copyTo(hva, Vmcb.STAR, Vmcb.SYSENTER_EIP + 8 - Vmcb.STAR);
        stored(gpa, hva);
        return true;
    }

    // ------------------------------------------------------------------ VMRUN

    /**
     * VMRUN: on to L2, or with VMEXIT_INVALID to the instruction after it.
     *
     * @return false: #GP(0), and nothing has happened
     */
    public boolean run(long gpa, long nextRip) {
        if (bad(gpa) || !mmu.read(gpa, vmcb.bytes, 0, Vmcb.LOADED_BYTES)) {
            return false;
        }
        s.rip = nextRip;
        s.interruptShadow = 0;
        s.flagsSystem &= ~CpuState.RF;
        host.save(s);
        host.put64(Vmcb.G_PAT, s.pat);
        vmcbGpa = gpa;
        int physicalBits = cpuid.maxPhysicalAddress();
        boolean legal = EntryChecks.control(vmcb, host, nestedPaging, physicalBits);
        if (legal) {
            long dr6 = s.dr6;
            long dr7 = s.dr7;
            vmcb.load(s);
            s.dr6 = vmcb.get64(Vmcb.DR6);
            s.dr7 = vmcb.get64(Vmcb.DR7);
            // Below nested tables the pointers are read as they are used.
            legal = EntryChecks.state(s, cpuid.eferLacking(), cr4Allowed(), physicalBits)
                    && (vmcb.nestedPaging() || loadPointers());
            if (!legal) {
                s.dr6 = dr6;
                s.dr7 = dr7;
            }
        }
        if (!legal) {
            vmcb.put64(Vmcb.EXIT_CODE, SvmExit.INVALID);
            vmcb.put64(Vmcb.EXIT_INFO_1, 0);
            vmcb.put64(Vmcb.EXIT_INFO_2, 0);
            boolean told = mmu.write(gpa + Vmcb.EXIT_CODE, vmcb.bytes, Vmcb.EXIT_CODE, 24);
            backToHost(told);
            return true;
        }
        begin();
        s.cr2 = vmcb.get64(Vmcb.CR2);
        settle();
        s.interruptShadow = (vmcb.get32(Vmcb.INT_STATE) & SHADOW) != 0 ? CpuState.SHADOW_STI : 0;
        inject();
        gif = true;
        stats.add(VcpuStats.NESTED_RUN);
        if (vmcb.nestedPaging()) {
            s.pat = vmcb.get64(Vmcb.G_PAT);
        }
        translations.worldChanged(keepsTranslations(), vmcb.nestedPaging());
        return true;
    }

    /**
     * Whether L2's translations are those that it left with. A processor asks for the ASID alone (APM 2 15.16); here its page tables' registers
     * must be the same, too, whoever has changed them.
     */
    private boolean keepsTranslations() {
        if (vmcb.get32(Vmcb.ASID) != leftAsid || (vmcb.get32(Vmcb.TLB_CONTROL) & 0xff) != 0) {
            return false;
        }
        pagingTo(paging);
        return Arrays.equals(paging, leftPaging);
    }

    private void pagingTo(long[] to) {
        boolean below = vmcb.nestedPaging();
        to[0] = s.cr0;
        to[1] = s.cr3;
        to[2] = s.cr4;
        to[3] = s.efer;
        to[4] = below ? vmcb.get64(Vmcb.NESTED_CR3) | 1 : 0;
        // The format of the nested tables.
        to[5] = below ? host.get64(Vmcb.CR4) ^ host.get64(Vmcb.EFER) << 32 : 0;
    }

    private long cr4Allowed() {
        return ~(machineCr4Reserved | ControlRegisters.cr4Reserved(cpuid));
    }

    /** The control area comes into force. */
    private void begin() {
        for (int i = 0; i < vectors.length; i++) {
            vectors[i] = vmcb.get32(4 * i);
        }
        maps.begin(vmcb, vmcbGpa);
        intCtl = vmcb.get32(Vmcb.INT_CTL);
        intVector = vmcb.get32(Vmcb.INT_VECTOR) & 0xff;
        tsc.nestedOffset = vmcb.get64(Vmcb.TSC_OFFSET);
        active = true;
        stale = true;
        if (vmcb.nestedPaging()) {
            translations.nestedTables(vmcb.get64(Vmcb.NESTED_CR3), host.get64(Vmcb.CR4), host.get64(Vmcb.EFER));
        }
        stats.set(VcpuStats.GUEST_MODE, 1);
        if ((intCtl & V_MASKING) != 0) {
            apic.taskPriorityIsVirtual = true;
            s.cr8 = intCtl & V_TPR;
        }
    }

    /** What the processor makes of a state that VMRUN took. */
    private void settle() {
        boolean wide = (s.efer & CpuState.EFER_LME) != 0 && (s.cr0 & CpuState.CR0_PG) != 0;
        s.efer = wide ? s.efer | CpuState.EFER_LMA : s.efer & ~CpuState.EFER_LMA;
        s.cr0 |= CpuState.CR0_ET;
        s.dr6 = (s.dr6 | CpuState.DR6_ACTIVE_LOW) & ~(1L << 12);
        s.dr7 = s.dr7 & DR7_BITS | DR7_OFF;
        s.settlePrivilege();
    }

    /** PAE paging's directory pointers, by the state's CR3. @return false: reserved bits, or no memory */
    private boolean loadPointers() {
        boolean wide = (s.efer & CpuState.EFER_LME) != 0;
        return (s.cr0 & CpuState.CR0_PG) == 0
                || (s.cr4 & CpuState.CR4_PAE) == 0
                || wide
                || mmu.readDirectoryPointers(s.cr3, cpuid.maxPhysicalAddress(), s.pdptr);
    }

    /** EVENTINJ: from here on the event is like one whose delivery has begun. */
    private void inject() {
        int word = vmcb.get32(Vmcb.EVENT_INJ);
        if ((word & SvmExit.EVENT_VALID) == 0) {
            return;
        }
        int vector = word & 0xff;
        int length = (int) (vmcb.get64(Vmcb.NEXT_RIP) - s.rip);
        switch (word & SvmExit.EVENT_TYPE) {
            case SvmExit.EVENT_NMI -> {
                events.nmiInjected = true;
                events.nmiByGuest = true;
            }
            case SvmExit.EVENT_EXCEPTION -> {
                events.exceptionInjected = true;
                events.exceptionVector = vector;
                events.exceptionHasErrorCode = (word & SvmExit.EVENT_ERROR_CODE) != 0;
                events.exceptionErrorCode = vmcb.get32(Vmcb.EVENT_INJ + 4);
                boolean software = vector == GuestFault.BP || vector == GuestFault.OF;
                events.instructionLength = software ? length : 0;
            }
            default -> {
                events.interruptInjected = true;
                events.interruptVector = vector;
                events.interruptSoft = (word & SvmExit.EVENT_TYPE) == SvmExit.EVENT_SOFTWARE;
                events.instructionLength = events.interruptSoft ? length : 0;
            }
        }
    }

    // ------------------------------------------------------------------ #VMEXIT

    /**
     * #VMEXIT: L2's state goes into the VMCB, and L1 goes on behind its VMRUN.
     *
     * @param nextRip of an intercepted instruction; 0: none
     * @param event under delivery, as EXITINTINFO has it, unless one of the hypervisor's own is; 0: none
     */
    public void exit(long code, long info1, long info2, long nextRip, long event) {
        backToHost(writeBack(code, info1, info2, nextRip, event));
    }

    private boolean writeBack(long code, long info1, long info2, long nextRip, long event) {
        Vmcb v = vmcb;
        v.put32(Vmcb.INT_CTL, intCtl);
        v.put32(Vmcb.INT_VECTOR, intVector);
        v.put64(Vmcb.INT_STATE, s.interruptShadow != 0 ? SHADOW : 0);
        v.put64(Vmcb.EXIT_CODE, code);
        v.put64(Vmcb.EXIT_INFO_1, info1);
        v.put64(Vmcb.EXIT_INFO_2, info2);
        long delivering = delivering();
        v.put64(Vmcb.EXIT_INT_INFO, delivering != 0 ? delivering : event);
        v.put64(Vmcb.EVENT_INJ, 0);
        v.put64(Vmcb.NEXT_RIP, nextRip);
        v.save(s);
        v.put64(Vmcb.DR7, s.dr7);
        v.put64(Vmcb.DR6, s.dr6);
        v.put64(Vmcb.CR2, s.cr2);
        long gpa = vmcbGpa;
        long hva = mmu.beginAccess(gpa, true);
        if (hva == 0) {
            return false;
        }
        if (v.nestedPaging()) {
            v.put64(Vmcb.G_PAT, s.pat);
            v.copyTo(hva, Vmcb.G_PAT, 8);
        }
        v.copyTo(hva, Vmcb.INT_CTL, Vmcb.NESTED_CTL - Vmcb.INT_CTL);
        v.copyTo(hva, Vmcb.EVENT_INJ, 8);
        v.copyTo(hva, Vmcb.NEXT_RIP, 8);
        v.copyTo(hva, Vmcb.SEGMENTS, 4 * Vmcb.SEGMENT_BYTES);
        v.copyTo(hva, Vmcb.GDTR, Vmcb.SEGMENT_BYTES);
        v.copyTo(hva, Vmcb.IDTR, Vmcb.SEGMENT_BYTES);
        v.copyTo(hva, Vmcb.CPL, 1);
        v.copyTo(hva, Vmcb.EFER, 8);
        v.copyTo(hva, Vmcb.CR4, Vmcb.RIP + 8 - Vmcb.CR4);
        v.copyTo(hva, Vmcb.RSP, 8);
        v.copyTo(hva, Vmcb.RAX, 8);
        v.copyTo(hva, Vmcb.CR2, 8);
        stored(gpa, hva);
        return true;
    }

    /** Closes the window on a VMCB. */
    private void stored(long gpa, long hva) {
        translations.stored(hva, Vmcb.BYTES);
        mmu.endWrite(gpa);
    }

    /** The event of the hypervisor's whose delivery has begun, as EXITINTINFO has it; 0: none. */
    private long delivering() {
        EventQueue e = events;
        long valid = SvmExit.EVENT_VALID & 0xffff_ffffL;
        if (e.exceptionInjected) {
            long word = valid | SvmExit.EVENT_EXCEPTION | e.exceptionVector;
            return e.exceptionHasErrorCode ? word | SvmExit.EVENT_ERROR_CODE | (long) e.exceptionErrorCode << 32 : word;
        }
        if (e.nmiInjected) {
            return valid | SvmExit.EVENT_NMI | GuestFault.NMI;
        }
        if (e.interruptInjected) {
            return valid | (e.interruptSoft ? SvmExit.EVENT_SOFTWARE : SvmExit.EVENT_INTR) | e.interruptVector;
        }
        return 0;
    }

    /** @param told false: the VMCB is gone, and what follows is a shutdown */
    private void backToHost(boolean told) {
        boolean left = active;
        if (left) {
            pagingTo(leftPaging);
        }
        events.dropBegun();
        gif = false;
        host.load(s);
        s.cr0 |= CpuState.CR0_PE;
        s.flagsSystem &= ~CpuState.VM;
        s.cpl = 0;
        s.dr7 = DR7_OFF;
        s.interruptShadow = 0;
        leave();
        if (left) {
            leftAsid = vmcb.get32(Vmcb.ASID);
        }
        events.trapsVoid = true;
        if (!told || !loadPointers()) {
            events.tripleFault = true;
        }
        translations.worldChanged(true, false);
    }

    // ------------------------------------------------------------------ SMM

    /**
     * An SMI comes while L2 runs: its state goes into the VMCB, L1's into the host save area, as KVM has it, so that both outlive the handler
     * and whoever moves the machine meanwhile. SMM takes L2's state next.
     *
     * @param hostSaveArea gpa
     */
    public void suspend(long hostSaveArea) {
        boolean kept = writeBack(SOFTWARE_EXIT, 0, 0, 0, 0)
                && mmu.write(hostSaveArea + Vmcb.SAVE, host.bytes, Vmcb.SAVE, Vmcb.BYTES - Vmcb.SAVE);
        if (!kept) {
            events.tripleFault = true;
        }
        leave();
    }

    /** Notes in the state-save area that L2 was suspended; in SMM. */
    public void noteSuspended(long stateGpa) {
        LittleEndian.putLong(small, 0, 1);
        LittleEndian.putLong(small, 8, vmcbGpa);
        mmu.write(stateGpa + SMRAM_NOTE, small, 0, 16);
    }

    /** Before RSM: whether the area says that L2 is to go on. */
    public boolean notedSuspended(long stateGpa) {
        if (!mmu.read(stateGpa + SMRAM_NOTE, small, 0, 16) || LittleEndian.getLong(small, 0) != 1) {
            return false;
        }
        vmcbGpa = LittleEndian.getLong(small, 8);
        return true;
    }

    /** After RSM, which has brought L2's state back. @return false: what {@link #suspend} kept is not there, or not what it was */
    public boolean resume(long hostSaveArea) {
        int physicalBits = cpuid.maxPhysicalAddress();
        if ((s.efer & CpuState.EFER_SVME) == 0
                || bad(vmcbGpa)
                || !mmu.read(vmcbGpa, vmcb.bytes, 0, Vmcb.BYTES)
                || !mmu.read(hostSaveArea, host.bytes, 0, Vmcb.BYTES)
                || !EntryChecks.control(vmcb, host, nestedPaging, physicalBits)
                || !hostValid(host)) {
            return false;
        }
        begin();
        if (vmcb.nestedPaging()) {
            s.pat = vmcb.get64(Vmcb.G_PAT);
        }
        worldSwitched();
        return true;
    }

    /** L2's state is there, the directory pointers aside where they lie below nested tables. */
    private void worldSwitched() {
        if (active && vmcb.nestedPaging()) {
            translations.pageTablesReplaced();
        } else {
            translations.changed();
        }
    }

    /** Whether a state can be that of a hypervisor in its VMRUN. */
    private boolean hostValid(Vmcb area) {
        CpuState state = new CpuState();
        area.load(state);
        long both = CpuState.CR0_PE | CpuState.CR0_PG;
        return EntryChecks.state(state, cpuid.eferLacking(), cr4Allowed(), cpuid.maxPhysicalAddress())
                && (state.cr0 & both) == both
                && !state.virtual8086();
    }

    /** L2 is no more. */
    private void leave() {
        if (!active) {
            return;
        }
        apic.taskPriorityIsVirtual = false;
        apic.syncCr8();
        active = false;
        stale = true;
        leftAsid = 0;
        if (vmcb.nestedPaging()) {
            s.pat = host.get64(Vmcb.G_PAT);
        }
        translations.noNestedTables();
        tsc.nestedOffset = 0;
        stats.set(VcpuStats.GUEST_MODE, 0);
    }

    /** RESET and INIT. */
    public void reset() {
        leave();
        gif = true;
    }

    /**
     * EFER was written. Without SVME there is no L2, and GIF is set.
     *
     * @param guest whether the guest wrote it: to clear it for L2 leaves L1 nothing to return to
     */
    public void eferChanged(boolean guest) {
        if ((s.efer & CpuState.EFER_SVME) == 0) {
            if (active && guest) {
                events.tripleFault = true;
            }
            reset();
        }
    }

    // ------------------------------------------------------------------ KVM_GET_NESTED_STATE, KVM_SET_NESTED_STATE

    /** L2's control area as it stands, and L1's state in the place of a state-save area. */
    public void getState(NestedState to) {
        to.format = NestedState.FORMAT_SVM;
        to.flags = (active ? NestedState.GUEST_MODE : 0) | (gif ? NestedState.GIF_SET : 0);
        to.size = NestedState.HEADER_BYTES + (active ? NestedState.VMCB_BYTES : 0);
        to.vmcbGpa = active ? vmcbGpa : -1;
        Arrays.fill(to.vmcb, (byte) 0);
        if (active) {
            vmcb.put32(Vmcb.INT_CTL, intCtl);
            vmcb.put32(Vmcb.EVENT_INJ, 0);
            System.arraycopy(vmcb.bytes, 0, to.vmcb, 0, Vmcb.CONTROL_BYTES);
            System.arraycopy(host.bytes, Vmcb.SAVE, to.vmcb, Vmcb.SAVE, Vmcb.BYTES - Vmcb.SAVE);
        }
    }

    /**
     * Takes it back; the processor's state is L2's already.
     *
     * @param inSmm system management mode is on, in which no L2 runs
     * @return false: refused, and nothing has changed
     */
    public boolean setState(NestedState from, boolean inSmm) {
        int known = NestedState.GUEST_MODE | NestedState.RUN_PENDING | NestedState.GIF_SET;
        boolean on = (from.flags & NestedState.GUEST_MODE) != 0;
        if (from.format != NestedState.FORMAT_SVM
                || (from.flags & ~known) != 0
                || (from.flags & NestedState.RUN_PENDING) != 0 && !on
                || on && (inSmm || from.size < NestedState.HEADER_BYTES + NestedState.VMCB_BYTES)
                // L2's EFER, too, has SVME set.
                || (s.efer & CpuState.EFER_SVME) == 0 && from.flags != NestedState.GIF_SET) {
            return false;
        }
        Vmcb given = new Vmcb(on ? Vmcb.BYTES : 0);
        if (on) {
            System.arraycopy(from.vmcb, 0, given.bytes, 0, Vmcb.BYTES);
            boolean cached = (s.cr0 & CpuState.CR0_NW) == 0 || (s.cr0 & CpuState.CR0_CD) != 0;
            if (!cached
                    || bad(from.vmcbGpa)
                    || !EntryChecks.control(given, given, nestedPaging, cpuid.maxPhysicalAddress())
                    || !hostValid(given)) {
                return false;
            }
        }
        // The client's, like all registers, and not to be taken back from a hypervisor whose guest ran until now.
        long pat = s.pat;
        leave();
        s.pat = pat;
        if (on) {
            vmcbGpa = from.vmcbGpa;
            System.arraycopy(given.bytes, 0, host.bytes, 0, Vmcb.BYTES);
            System.arraycopy(given.bytes, 0, vmcb.bytes, 0, Vmcb.BYTES);
            maps.forget();
            begin();
            if ((from.flags & NestedState.RUN_PENDING) != 0) {
                inject();
            }
        }
        gif = (from.flags & NestedState.GIF_SET) != 0;
        worldSwitched();
        return true;
    }
}
