package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.EntryState;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.Retirement;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.TranslationListener;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.cpuid.FeatureRule;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.io.EmulatorOpcodes;
import dev.slate.kvm.io.Mmio;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.mmu.Translations;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mmu.shadow.ShadowMmu;
import dev.slate.kvm.mmu.shadow.ShadowVcpu;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's processor: makes it, gives it the tables that it walks, and answers the calls that it makes while it runs.
 *
 * <p>Under the vCPU's mutex, on the client's thread.
 */
public final class VcpuProcessor implements Hypervisor, Translations {
    // Why nestedPageFault said LEAVE.
    private static final int LEFT_FOR_ERRNO = 0;
    private static final int LEFT_FOR_EMULATION = 1;
    private static final int LEFT_FOR_INSTRUCTION = 2;
    private static final int LEFT_FOR_HYPERVISOR = 3;

    /** The bits of a page-table entry that hold an address. */
    private static final long FRAME = 0x000f_ffff_ffff_f000L;

    private final VcpuParts vcpu;
    private final VmParts vm;
    private final int id;
    private final CpuState s;
    private final CpuidTable cpuid;
    private final EventQueue events;
    private final VcpuStats stats;
    private final GuestMode mode;
    private final VcpuTsc tsc;
    private final VcpuApic apic;
    private final GuestDebug debug;
    private final Mmio mmio;

    final VcpuMmu mmu;

    /** There when the guest's tables are shadowed, or nested tables of its own; else null. */
    private final @Nullable ShadowVcpu shadow;

    /** The mode of the nested tables: paging is on, and CR3 nCR3. */
    private final CpuState nestedMode;

    /** A guest's guest runs below them. */
    private boolean nestedTables;

    final VcpuTranslation translation;

    /** What the processor retires, counted when the guest's counters want it. */
    final Retirement retired = new Retirement();

    private @Nullable Cpu processor;

    /** Before the next instruction PAE paging's directory pointers are loaded. */
    private boolean directoryPointersStale;

    /** {@link Knobs#MMIO_EMULATION}: no more than KVM's emulator knows. */
    private final boolean emulatorOnly;

    /** Whether {@link #legal} is of the state as it stands. */
    private boolean checked;

    private boolean legal;

    /** What could be done without an exit takes one all the same. */
    private boolean exitsAreSeen = Tracepoints.ON;

    private int leftFor;
    private long faultGpa;
    private long faultError;
    private long reportedRip;

    // Of the last nested page fault, for kvm_exit.
    long tracedGpa;
    long tracedError;

    VcpuProcessor(VcpuParts vcpu, long runAreaHva) {
        this.vcpu = vcpu;
        vm = vcpu.vm;
        id = vcpu.id;
        s = vcpu.state;
        cpuid = vcpu.cpuid;
        events = vcpu.events;
        stats = vcpu.stats;
        mode = vcpu.mode;
        tsc = vcpu.tsc;
        apic = vcpu.apic;
        debug = vcpu.debug;
        mmio = vcpu.mmio;
        emulatorOnly = "kvm".equals(vm.knobs().value(Knobs.MMIO_EMULATION));
        mmu = new VcpuMmu(vm.mmuContext(), mode, stats, this::flushTlb);
        ShadowMmu shadowMmu = vm.shadow();
        boolean beside = shadowMmu != null && vm.tdp() != null;
        nestedMode = beside ? new CpuState() : s;
        shadow = shadowMmu == null
                ? null
                : beside
                        ? shadowMmu.nestedVcpu(mmu, nestedMode, apic::ownsPage)
                        : shadowMmu.vcpu(mmu, s, apic::ownsPage);
        mmu.vcpuId = id;
        translation = new VcpuTranslation(vm, id, mode);
        long ring = vm.mmuContext().memory().dirtyRingBytes();
        if (ring != 0) {
            mmu.dirtyRing = new DirtyRing(runAreaHva + DirtyRing.PAGE_OFFSET * 4096L, ring);
        }
    }

    /** The processor: made when the vCPU first needs one, because most of a thousand vCPUs of a test never run. */
    Cpu cpu() {
        Cpu c = processor;
        return c != null ? c : make();
    }

    private Cpu make() {
        boolean intel = intelProcessor();
        long maker = intel ? dev.slate.cpu.decode.Feature.bit(dev.slate.cpu.decode.Feature.INTEL) : 0;
        long executed = FeatureRule.executed(vm.processorFeatures(), cpuid, intel);
        Cpu c = new Cpu(s, this, mode.kickWordHva(), executed | maker);
        processor = c;
        c.retired = retired;
        c.controls.nullKeepsBase &= !cpuid.has(Feature.NULL_CLEARS_BASE);
        debug.apply(c);
        c.walker.nestedAccessedDirty = vm.tdp() == null || vm.knobs().on(Knobs.AD_BITS);
        c.controls.cr4Allowed = ~(vm.supported().cr4Reserved() | ControlRegisters.cr4Reserved(cpuid));
        c.walker.guest.reserved = FRAME & -1L << cpuid.maxPhysicalAddress();
        if (shadow != null) {
            shadow.attach(c);
        }
        translation.attach(c);
        return c;
    }

    /** Somebody watches: he sees each exit, and machine code made from here on. Before the processor is made. */
    void show(@Nullable TranslationListener listener) {
        exitsAreSeen = true;
        translation.listener = listener;
    }

    /** The processor is what the guest is told that it is; while the guest is told nothing, what is offered. */
    private boolean intelProcessor() {
        return cpuid.size() == 0 ? vm.supported().intel() : !cpuid.amd();
    }

    /** The processor, if there is one yet: from then on the guest's CPUID stands. */
    public @Nullable Cpu orNull() {
        return processor;
    }

    private void flushTlb() {
        Cpu c = processor;
        if (c != null) {
            c.flushTlb();
        }
    }

    /** Gives back what the MMU caches for this vCPU; it runs no more. */
    void close() {
        if (shadow != null) {
            shadow.close();
        }
        mmu.close();
        if (processor != null) {
            translation.close();
            processor.close();
        }
    }

    /** Bytes of what waits in the MMU's caches. */
    public long mmuCacheBytes() {
        return mmu.tablePages.bytes() + (shadow == null ? 0 : shadow.cachedBytes());
    }

    // ------------------------------------------------------------------ the tables

    @Override
    public void changed() {
        checked = false;
        if (shadow != null) {
            shadow.translationsChanged();
        }
        flushTlb();
    }

    @Override
    public void worldChanged(boolean keep, boolean pointers) {
        directoryPointersStale |= pointers;
        if (vm.tdp() == null) {
            // One root for both, and pages of either's tables among those that are shadowed.
            changed();
            return;
        }
        checked = false;
        Cpu c = processor;
        if (keep && (c == null || !c.world.nestedInvalidated())) {
            return;
        }
        if (shadow != null) {
            shadow.translationsChanged();
        }
        if (c != null) {
            c.world.forgetNested();
        }
    }

    @Override
    public void nestedTables(long cr3, long cr4, long efer) {
        CpuState m = nestedMode;
        boolean wide = (efer & CpuState.EFER_LME) != 0;
        // WP, keys, SMEP and SMAP are of supervisors' accesses or of none; here each is a user's.
        m.cr0 = CpuState.CR0_PG | CpuState.CR0_PE;
        m.cr3 = cr3;
        m.cr4 = cr4 & ~CpuState.CR4_PKE;
        m.efer = wide ? efer | CpuState.EFER_LMA : efer & ~CpuState.EFER_LMA;
        if (wide || (cr4 & CpuState.CR4_PAE) == 0 || !mmu.read(cr3 & 0xffff_ffe0L, m.pdptr)) {
            Arrays.fill(m.pdptr, 0);
        }
        nestedTables = true;
    }

    @Override
    public void noNestedTables() {
        nestedTables = false;
    }

    @Override
    public void stored(long hva, int bytes) {
        Cpu c = processor;
        if (c != null) {
            c.storedTo(hva, bytes);
        }
    }

    @Override
    public void pageTablesReplaced() {
        changed();
        directoryPointersStale = true;
    }

    /** The directory pointers of PAE paging were set by hand: memory is not asked for them. */
    public void directoryPointersGiven() {
        directoryPointersStale = false;
    }

    /** Whether VMRUN would enter the state; looked at anew only when it was set from outside. */
    boolean enterable() {
        if (!checked) {
            legal = EntryState.legal(s, ~vm.supported().cr4Reserved());
            checked = true;
        }
        return legal;
    }

    /** {@code KVM_REQ_MMU_FREE_OBSOLETE_ROOTS}. */
    void freeObsoleteRoots() {
        if (shadow != null) {
            shadow.freeObsoleteRoots();
        }
    }

    /** Gives the processor the tables it walks; 0, or an errno that KVM_RUN fails with. */
    int loadRoot(Cpu cpu) {
        if (vm.settings().mmuPages == 0) {
            // There never was a slot: KVM has no page for a root.
            return Errno.ENOSPC.number();
        }
        TdpMmu tdp = vm.tdp();
        if (tdp != null && !nestedTables) {
            cpu.walker.nestedRoot = tdp.root(mmu);
            cpu.walker.nestedLevels = TdpMmu.LEVELS;
            cpu.walker.tableWalksWrite = false;
            return 0;
        }
        int result = shadowed().load();
        if (result < 0) {
            // Its page tables lie where no memory is.
            events.tripleFault = true;
            return 0;
        }
        return result;
    }

    /**
     * Loads PAE paging's directory pointers as a load of CR3 does, after the state was set from outside; pointers that silicon would
     * refuse stay as they were (SDM 3A 4.4.1).
     */
    void loadDirectoryPointers() {
        if (!directoryPointersStale || nestedTables) {
            return;
        }
        directoryPointersStale = false;
        if (paePaging()) {
            mmu.readDirectoryPointers(s.cr3, cpuid.maxPhysicalAddress(), s.pdptr);
        }
    }

    private boolean paePaging() {
        return (s.cr0 & CpuState.CR0_PG) != 0 && (s.cr4 & CpuState.CR4_PAE) != 0 && !s.longMode();
    }

    /**
     * The same for a guest's guest, whose table lies below its hypervisor's nested ones. In guest mode.
     *
     * @return NONE, or the exit that reading them ended in: they are loaded again then
     */
    int loadNestedPointers(Cpu cpu) {
        if (!directoryPointersStale) {
            return CpuExit.NONE;
        }
        if (paePaging()) {
            try {
                if (!cpu.walker.loadPdptrs(s.cr3)) {
                    // VMRUN does not look at them there; nothing is mapped through one that no processor takes.
                    Arrays.fill(s.pdptr, 0);
                }
            } catch (LeaveGuest e) {
                if (e.exit != CpuExit.NPF || leftFor != LEFT_FOR_EMULATION) {
                    return e.exit;
                }
                // They lie in no memory, and would at each entry.
                Arrays.fill(s.pdptr, 0);
            }
        }
        directoryPointersStale = false;
        return CpuExit.NONE;
    }

    /**
     * {@code KVM_PRE_FAULT_MEMORY}: maps {@code size} bytes from {@code gpa}, multiples of 4096, as reads would.
     *
     * @return bytes that are mapped now, more than 0
     * @throws dev.slate.kvm.KvmException when nothing was mapped: ENOENT without memory, EINTR after a signal, ENOMEM, EFAULT, EOPNOTSUPP under
     *     shadow paging
     */
    public long preFault(long gpa, long size) {
        TdpMmu tdp = vm.tdp();
        if (tdp == null) {
            throw Errno.EOPNOTSUPP.raise();
        }
        long done = 0;
        while (Long.compareUnsigned(done, size) < 0) {
            long gfns = mode.signalled() ? -Errno.EINTR.number() : tdp.preFault(mmu, gpa + done >>> 12);
            if (gfns > 0) {
                done += Math.min(gfns << 12, size - done);
            } else if (done != 0) {
                break;
            } else if (gfns == 0) {
                throw Errno.ENOENT.raise();
            } else {
                throw (gfns == -Errno.EINTR.number()
                                ? Errno.EINTR
                                : gfns == -Errno.ENOMEM.number() ? Errno.ENOMEM : Errno.EFAULT)
                        .raise();
            }
        }
        return done;
    }

    /** After an exit because a call here said so: whether the instruction cannot be emulated where its bytes or tables lie. */
    boolean leftForEmulation() {
        return leftFor == LEFT_FOR_EMULATION || leftFor == LEFT_FOR_INSTRUCTION;
    }

    /** After an exit because a call here said so: whether it is a nested page fault of the guest's guest, for its hypervisor. */
    boolean leftForHypervisor() {
        return leftFor == LEFT_FOR_HYPERVISOR;
    }

    /** Of a fault that {@link #leftForEmulation}: the bytes of the instruction that {@code cpu.exit} holds, or 0. */
    int faultBytes() {
        return leftFor == LEFT_FOR_INSTRUCTION ? cpu().exit.byteCount : 0;
    }

    /** Of a fault that {@link #leftForEmulation} or {@link #leftForHypervisor}: the address. */
    long faultGpa() {
        return faultGpa;
    }

    /** Of the same: the error code. */
    long faultError() {
        return faultError;
    }

    // ------------------------------------------------------------------ calls of the processor

    @Override
    public int nestedPageFault(long gpa, long errorCode, long gva) {
        boolean codeOrTable = (errorCode & (NPF_FETCH | NPF_GUEST_TABLE)) != 0;
        if (Tracepoints.ON) {
            tracedGpa = gpa;
            tracedError = errorCode;
            Tracepoints.pageFault(id, s.rip, gpa, errorCode);
        }
        if (nestedTables) {
            return belowNestedTables(gpa, errorCode, codeOrTable);
        }
        if (!codeOrTable && mmio.continues(gpa)) {
            // The instruction runs again with the client's answer. KVM's emulator goes on where it was:
            // no second fault.
            return MMIO;
        }
        if (apic.ownsPage(gpa) && !codeOrTable) {
            // Counted as when an entry says that no memory is here.
            if (unknownToEmulator()) {
                return refused(gpa, errorCode);
            }
            stats.add(VcpuStats.INSN_EMULATION);
            return MMIO;
        }
        TdpMmu tdp = vm.tdp();
        if (tdp == null) {
            throw new IllegalStateException("a nested page fault with shadow paging");
        }
        int result = tdp.fault(mmu, gpa, errorCode, gva);
        if (result == WATCHED) {
            cpu().answer.watchedHva = mmu.watchedHva;
        }
        return faultResult(result, codeOrTable, gpa, errorCode);
    }

    /** A fault of the tables that shadow the nested ones of the guest. */
    private int belowNestedTables(long gpa, long errorCode, boolean codeOrTable) {
        Cpu c = cpu();
        int result = shadowed().fault(c, gpa, errorCode);
        if (result == INJECT) {
            leftFor = LEFT_FOR_HYPERVISOR;
            faultGpa = gpa;
            faultError = c.answer.errorCode | errorCode & (NPF_FINAL | NPF_GUEST_TABLE);
            return LEAVE;
        }
        return faultResult(result, codeOrTable, c.answer.gpa, errorCode);
    }

    private int faultResult(int result, boolean needsMemory, long gpa, long errorCode) {
        if ((result == MMIO || result == READ_ONLY) && !needsMemory && unknownToEmulator()) {
            return refused(gpa, errorCode);
        }
        if ((result == MMIO || result == READ_ONLY) && !needsMemory && !mmio.begun()) {
            stats.add(VcpuStats.INSN_EMULATION);
        }
        if (result == MMIO && needsMemory) {
            // Neither code nor page tables can lie where no memory is: KVM's emulator fails there.
            leftFor = LEFT_FOR_EMULATION;
            faultGpa = gpa;
            faultError = errorCode;
            return LEAVE;
        }
        if (result == LEAVE) {
            leftFor = LEFT_FOR_ERRNO;
        }
        return result;
    }

    /** Whether the instruction under way, of which an access goes to no memory, is one that KVM's emulator lacks and that was asked for. */
    private boolean unknownToEmulator() {
        Cpu c = cpu();
        return emulatorOnly
                && c.describeInstruction()
                && !EmulatorOpcodes.know(c.exit.bytes, c.exit.byteCount, c.mode64, c.codeMode);
    }

    private int refused(long gpa, long errorCode) {
        leftFor = LEFT_FOR_INSTRUCTION;
        faultGpa = gpa;
        faultError = errorCode;
        return LEAVE;
    }

    @Override
    public int pageFault(long la, long errorCode) {
        Cpu c = cpu();
        boolean fetch = (errorCode & NPF_FETCH) != 0;
        if (Tracepoints.ON) {
            tracedGpa = la;
            tracedError = errorCode;
            Tracepoints.pageFault(id, s.rip, la, errorCode);
        }
        return faultResult(shadowed().fault(c, la, errorCode), fetch, c.answer.gpa, errorCode);
    }

    @Override
    public void watchedWrite(long gpa, int bytes) {
        shadowed().watchedWrite(gpa, bytes);
    }

    @Override
    public void translationsChanged() {
        shadowed().guestChangedTranslations();
    }

    @Override
    public void invalidatePage(long la) {
        shadowed().invalidatePage(la);
    }

    @Override
    public boolean readPhysical(long gpa, long[] into) {
        return shadowed().readPhysical(gpa, into);
    }

    private ShadowVcpu shadowed() {
        ShadowVcpu v = shadow;
        if (v == null) {
            throw new IllegalStateException("a call of shadow paging where nothing is shadowed");
        }
        return v;
    }

    /** Of {@link Request#REPORT_TPR_ACCESS}: the instruction. */
    long reportedRip() {
        return reportedRip;
    }

    /** The client that wants to hear of this access hears of it before the next instruction. */
    private void stopForReport() {
        if (mode.test(Request.REPORT_TPR_ACCESS)) {
            reportedRip = cpu().runningRip();
            cpu().stopAfterInstruction();
        }
    }

    @Override
    public boolean mmioRead(long gpa, int bytes) {
        if (apic.ownsPage(gpa)) {
            cpu().answer.mmioData = apic.readPage(gpa, bytes);
            stopForReport();
            return true;
        }
        long answer = vm.memoryBus().read(gpa, bytes);
        if (answer != DeviceBus.NOBODY) {
            cpu().answer.mmioData = answer;
            return true;
        }
        if (mmio.read(gpa, bytes)) {
            cpu().answer.mmioData = mmio.data;
            return true;
        }
        return false;
    }

    @Override
    public void mmioWrite(long gpa, int bytes, long data) {
        if (apic.ownsPage(gpa)) {
            apic.writePage(gpa, bytes, data);
            stopForReport();
            return;
        }
        if (vm.memoryBus().write(gpa, bytes, data)) {
            return;
        }
        mmio.write(gpa, bytes, data);
        cpu().stopAfterInstruction();
    }

    @Override
    public boolean virtualMachine(int code, long address) {
        return !exitsAreSeen && NestedExits.inside(vcpu, code, address);
    }

    @Override
    public long readTsc() {
        return tsc.readInGuest();
    }

    @Override
    public long tscOffset() {
        return tsc.isSum() ? tsc.offset() + tsc.nestedOffset : NO_TSC_OFFSET;
    }
}
