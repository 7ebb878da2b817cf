package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mmu.shadow.ShadowMmu;
import dev.slate.kvm.mmu.shadow.ShadowVcpu;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * KVM_RUN of one vCPU: the loop around the processor, what it completes first, and the calls that the processor makes meanwhile.
 *
 * <p>Runs under the vCPU's mutex, on the client's thread. Allocates nothing but the processor, at the first run.
 */
final class VcpuRun implements Hypervisor {
    // Why nestedPageFault said LEAVE.
    private static final int LEFT_FOR_ERRNO = 0;
    private static final int LEFT_FOR_EMULATION = 1;

    /** AMD's exit code of a nested page fault (APM 2 appendix C), which KVM puts among an internal error's data. */
    private static final long NESTED_PAGE_FAULT = 0x400;

    private static final long PDPTE_RESERVED = 0x1e6;
    /** The bits of a page-table entry that hold an address. */
    private static final long FRAME = 0x000f_ffff_ffff_f000L;

    final Vcpu vcpu;
    final Vm vm;
    final CpuState s;
    final EventQueue events;
    final VcpuExit exit;
    final VcpuStats stats;
    final GuestMode mode;
    final PortIo pio;
    final EventDelivery delivery;
    final Mmio mmio;
    private final HaltPoll halt;

    final VcpuMmu mmu;

    /** Null in an ordinary run. */
    private final @Nullable RunObserver observer;

    /** There when the guest's tables are shadowed; null with two-dimensional paging. */
    final @Nullable ShadowVcpu shadow;

    private @Nullable Cpu processor;

    /** A {@link Completion}. */
    int completion = Completion.NONE;

    /** Before the next instruction PAE paging's directory pointers are loaded. */
    boolean directoryPointersStale;

    private int leftFor;
    private long faultGpa;
    private long faultError;

    VcpuRun(Vcpu vcpu, long runAreaHva) {
        this.vcpu = vcpu;
        this.vm = vcpu.vm();
        this.s = vcpu.state;
        this.events = vcpu.events;
        this.exit = vcpu.exit();
        this.stats = vcpu.stats();
        this.mode = vcpu.mode;
        this.pio = new PortIo(s, exit, runAreaHva);
        this.mmio = new Mmio(exit);
        this.delivery = new EventDelivery(vcpu);
        this.halt = new HaltPoll(vcpu);
        this.mmu = new VcpuMmu(vm.mmuContext(), mode, stats, this::flushTlb);
        ShadowMmu shadowMmu = vm.shadow();
        this.shadow = shadowMmu == null ? null : shadowMmu.vcpu(mmu, s, vcpu.apic::ownsPage);
        mmu.vcpuId = vcpu.id();
        long ring = vm.memory().dirtyRingBytes();
        if (ring != 0) {
            mmu.dirtyRing = new DirtyRing(runAreaHva + DirtyRing.PAGE_OFFSET * 4096L, ring);
        }
        this.observer = vm.kvm().observe(vcpu);
    }

    /** The processor: made when the vCPU first needs one, because most of a thousand vCPUs of a test never run. */
    Cpu cpu() {
        Cpu c = processor;
        if (c == null) {
            c = new Cpu(s, this, mode.kickWordHva(), vm.kvm().processorFeatures());
            processor = c;
            vcpu.debug.apply(c);
            c.walker.nestedAccessedDirty = vm.tdp() == null || vm.kvm().knobs().on(Knobs.AD_BITS);
            c.controls.cr4Allowed = ~(vm.kvm().cr4Reserved() | ControlRegisters.cr4Reserved(vcpu.cpuid));
            c.walker.guest.reserved = FRAME & -1L << vcpu.cpuid.maxPhysicalAddress();
            if (shadow != null) {
                shadow.attach(c);
            }
        }
        return c;
    }

    private void flushTlb() {
        Cpu c = processor;
        if (c != null) {
            c.flushTlb();
        }
    }

    /** The processor, if there is one yet. */
    @Nullable
    Cpu processorOrNull() {
        return processor;
    }

    /** Gives back what the MMU caches for this vCPU; it runs no more. */
    void close() {
        if (shadow != null) {
            shadow.close();
        }
        mmu.close();
        if (observer != null) {
            observer.close();
        }
    }

    /** Whether the guest has ever been entered: its CPUID stands from then on. */
    boolean hasRun() {
        return processor != null;
    }

    // ------------------------------------------------------------------ KVM_RUN

    int run(boolean immediateExit) {
        exit.flags = 0;
        int outcome;
        try {
            outcome = runToOutcome(immediateExit);
        } catch (InternalError e) {
            // How HotSpot reports SIGBUS under an access: a page of a file that was cut short under a mapping that
            // still stands, of
            // which no call that the hypervisor sees told it. KVM's fault on such a page fails with EFAULT.
            outcome = Errno.EFAULT.number();
        } finally {
            // Whatever was thrown: nobody may wait for ever for this vCPU to leave.
            mmu.leaveAnyway();
        }
        stats.add(VcpuStats.FPU_RELOAD);
        save();
        return outcome;
    }

    private int runToOutcome(boolean immediateExit) {
        if (observer != null && !immediateExit) {
            // Before anything is completed: that, too, executes an instruction.
            int outcome = awaitObserver(observer);
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
        }
        Cpu entered = processor;
        if (entered != null) {
            // The client may have written code since the last run; an entry serializes, as VMRUN does.
            entered.serialize();
        }
        if (vcpu.mpState == MpState.UNINITIALIZED) {
            return immediateExit ? Errno.EINTR.number() : runUninitialized();
        }
        if (!vcpu.apic.inKernel() && !vcpu.apic.writeCr8(exit.cr8)) {
            return Errno.EINVAL.number();
        }
        if (completion != Completion.NONE) {
            int outcome = complete();
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
        }
        return immediateExit ? Errno.EINTR.number() : loop();
    }

    /** An application processor before INIT and SIPI: waits, then tells the client to come again. */
    private int runUninitialized() {
        halt.block();
        vcpu.apic.acceptInitAndSipi();
        if (mode.takeSignal()) {
            exit.reason = VcpuExit.INTR;
            stats.add(VcpuStats.SIGNAL_EXITS);
            return Errno.EINTR.number();
        }
        return Errno.EAGAIN.number();
    }

    /** What KVM writes into kvm_run after every run. */
    private void save() {
        exit.ifFlag = (s.flagsSystem & CpuState.IF) != 0;
        exit.cr8 = vcpu.apic.cr8();
        if (vcpu.smm.active()) {
            exit.flags |= VcpuExit.RUN_X86_SMM;
        }
        exit.apicBase = vcpu.apic.base();
        exit.readyForInterruptInjection = vcpu.apic.inKernel() || delivery.readyForInterrupt();
    }

    private int loop() {
        for (; ; ) {
            int outcome = observer == null ? Outcome.RESUME : awaitObserver(observer);
            if (outcome == Outcome.RESUME) {
                outcome = vcpu.mpState == MpState.RUNNABLE ? enter() : block();
            }
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
            if (exit.requestInterruptWindow && !vcpu.apic.inKernel() && delivery.readyForInterrupt()) {
                exit.reason = VcpuExit.IRQ_WINDOW_OPEN;
                stats.add(VcpuStats.REQUEST_IRQ_EXITS);
                return Outcome.EXIT;
            }
            if (mode.takeSignal()) {
                exit.reason = VcpuExit.INTR;
                stats.add(VcpuStats.SIGNAL_EXITS);
                return Errno.EINTR.number();
            }
        }
    }

    /**
     * Waits while the observer holds this vCPU: serves requests, and lets whoever takes the mutex at its state.
     *
     * @return {@link Outcome#RESUME} when it may run, or an errno
     */
    private int awaitObserver(RunObserver holder) {
        while (!holder.mayRun()) {
            int outcome = serveRequests();
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
            if (!holder.mayRun()) {
                vcpu.whileUnlocked(() -> mode.block(Long.MAX_VALUE));
            }
            if (mode.takeSignal()) {
                exit.reason = VcpuExit.INTR;
                stats.add(VcpuStats.SIGNAL_EXITS);
                return Errno.EINTR.number();
            }
        }
        return Outcome.RESUME;
    }

    /** One stay in the guest, from serving requests to handling the exit. */
    private int enter() {
        Cpu cpu = cpu();
        if (mode.pending() || mode.kicked()) {
            int outcome = serveRequests();
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
        }
        if (mmu.dirtyRingSoftFull()) {
            exit.reason = VcpuExit.DIRTY_RING_FULL;
            return Outcome.EXIT;
        }
        if (vcpu.smm.takesSmi() && cpu.debug.pending == 0) {
            vcpu.smm.enter(this);
        }
        if (directoryPointersStale) {
            loadDirectoryPointers();
        }
        int error = loadRoot(cpu);
        if (error != 0) {
            return error;
        }
        if (events.tripleFault) {
            events.tripleFault = false;
            exit.reason = VcpuExit.SHUTDOWN;
            return Outcome.EXIT;
        }
        if (Tracepoints.ON) {
            Tracepoints.entry(vcpu.id(), s.rip, false);
        }
        // Whatever is requested from here on finds the kick word set: the processor comes out at once.
        mmu.enterGuest();
        int code = delivery.deliver(cpu);
        // A stack in no slot: what delivery pushed is the client's to take before the handler runs. An SMI that had to
        // wait for the delivery comes before the handler, too.
        if (code == CpuExit.NONE && !mmio.hasWrites() && !vcpu.smm.takesSmi()) {
            code = observer == null ? cpu.run() : observer.run(cpu, false);
        }
        mmu.leaveGuest();
        stats.add(VcpuStats.EXITS);
        if (Tracepoints.ON) {
            traceExit(cpu, code);
        }
        return handle(cpu, code);
    }

    /** Gives the processor the tables it walks; 0, or an errno that KVM_RUN fails with. */
    private int loadRoot(Cpu cpu) {
        TdpMmu tdp = vm.tdp();
        if (tdp != null) {
            cpu.walker.nestedRoot = tdp.root(mmu);
            return 0;
        }
        if (shadow == null) {
            throw new IllegalStateException("a VM without an MMU");
        }
        int result = shadow.load();
        if (result < 0) {
            // Its page tables lie where no memory is.
            events.tripleFault = true;
            return 0;
        }
        return result;
    }

    /** kvm_exit with AMD's exit codes (APM 2 appendix C): access to MMIO is a nested page fault there. */
    private void traceExit(Cpu cpu, int code) {
        long info1 = 0;
        long info2 = 0;
        int reason;
        switch (code) {
            case CpuExit.INTR -> reason = 0x60;
            case CpuExit.NPF, CpuExit.MMIO, CpuExit.STOPPED, CpuExit.NONE -> {
                reason = (int) NESTED_PAGE_FAULT;
                info1 = tracedError;
                info2 = tracedGpa;
            }
            case CpuExit.IOIO -> {
                reason = 0x7b;
                info1 = (long) cpu.io.port << 16
                        | (long) cpu.io.size << 4
                        | (cpu.io.string ? 4 : 0)
                        | (cpu.io.in ? 1 : 0);
                info2 = cpu.exit.nextRip;
            }
            case CpuExit.CPUID -> reason = 0x72;
            case CpuExit.MSR -> {
                reason = 0x7c;
                info1 = cpu.exit.info;
            }
            case CpuExit.HLT -> reason = 0x78;
            case CpuExit.VMMCALL -> reason = 0x81;
            case CpuExit.SHUTDOWN -> reason = 0x7f;
            case CpuExit.UNIMPLEMENTED -> reason = 0x40 + GuestFault.UD;
            case CpuExit.DEBUG -> reason = 0x40 + (int) cpu.exit.info;
            case CpuExit.IRQ_WINDOW -> reason = 0x64;
            case CpuExit.MONITOR_MWAIT -> reason = 0x8a + (int) cpu.exit.info;
            case CpuExit.XSETBV -> reason = 0x8d;
            case CpuExit.CR8_WRITE -> reason = 0x18;
            case CpuExit.RSM -> reason = 0x73;
            case CpuExit.INVD -> reason = 0x76;
            case CpuExit.NMI_WINDOW -> reason = 0x74;
            default -> reason = -1;
        }
        Tracepoints.exit(vcpu.id(), reason, s.rip, info1, info2);
    }

    // Of the last nested page fault, for kvm_exit.
    private long tracedGpa;
    private long tracedError;

    /**
     * Loads PAE paging's directory pointers as a load of CR3 does, after the state was set from outside; pointers that silicon would
     * refuse stay as they were (SDM 3A 4.4.1).
     */
    private void loadDirectoryPointers() {
        directoryPointersStale = false;
        boolean pae = (s.cr0 & CpuState.CR0_PG) != 0 && (s.cr4 & CpuState.CR4_PAE) != 0 && !s.longMode();
        byte[] table = new byte[32];
        if (!pae || !mmu.read(s.cr3 & 0xffff_ffe0L, table, 0, table.length)) {
            return;
        }
        long reserved = PDPTE_RESERVED | -1L << vcpu.cpuid.maxPhysicalAddress();
        for (int i = 0; i < 4; i++) {
            long entry = RegisterTransfer.getLong(table, 8 * i);
            if ((entry & 1) != 0 && (entry & reserved) != 0) {
                return;
            }
        }
        for (int i = 0; i < 4; i++) {
            s.pdptr[i] = RegisterTransfer.getLong(table, 8 * i);
        }
    }

    private int serveRequests() {
        mode.clearKick();
        if (mode.check(Request.VM_DEAD)) {
            mode.request(Request.VM_DEAD);
            return Errno.EIO.number();
        }
        mmu.serveTlbFlush();
        if (mode.check(Request.MMU_FREE_OBSOLETE_ROOTS) && shadow != null) {
            shadow.freeObsoleteRoots();
        }
        mode.check(Request.UNBLOCK);
        if (mode.check(Request.EVENT)) {
            stats.add(VcpuStats.REQ_EVENT);
        }
        if (mode.check(Request.CLOCK_UPDATE)) {
            vcpu.clock.update(this);
        }
        if (vcpu.apic.hasPendingInitOrSipi()) {
            vcpu.apic.acceptInitAndSipi();
        }
        return Outcome.RESUME;
    }

    /** HLT, and other states in which no instruction runs: waits for something to do. */
    private int block() {
        if (!vcpu.runnable()) {
            boolean slept = vcpu.mpState == MpState.HALTED ? halt.halt() : halt.block();
            mode.check(Request.UNBLOCK);
            if (!vcpu.runnable()) {
                return Outcome.RESUME;
            }
            if (slept) {
                stats.add(VcpuStats.HALT_WAKEUP);
            }
        }
        vcpu.apic.acceptInitAndSipi();
        if (vcpu.mpState == MpState.HALTED || vcpu.mpState == MpState.AP_RESET_HOLD) {
            vcpu.wake();
        }
        return Outcome.RESUME;
    }

    /** See {@link Vcpu#preFaultMemory}. */
    long preFault(long gpa, long size) {
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

    // ------------------------------------------------------------------ completing the last exit

    private int complete() {
        int what = completion;
        completion = Completion.NONE;
        Cpu cpu = cpu();
        switch (what) {
            case Completion.PIO_IN -> {
                if (!pio.stillThere()) {
                    return abandoned(cpu);
                }
                pio.completeIn();
                if (Tracepoints.ON) {
                    pio.trace();
                }
                return skip(pio.nextRip());
            }
            case Completion.PIO_OUT -> {
                return pio.stillThere() ? skip(pio.nextRip()) : abandoned(cpu);
            }
            case Completion.PIO_INS -> {
                return pio.stillThere() ? inGuest(cpu, what) : abandoned(cpu);
            }
            case Completion.MMIO_READ -> {
                return mmio.answer(s.rip) ? inGuest(cpu, what) : Outcome.RESUME;
            }
            case Completion.MMIO_WRITE -> {
                return nextWrite();
            }
            case Completion.RDMSR -> {
                if (exit.msrError == 0) {
                    s.gpr[CpuState.RAX] = exit.msrData & 0xffff_ffffL;
                    s.gpr[CpuState.RDX] = exit.msrData >>> 32;
                }
                return completeMsr(cpu);
            }
            case Completion.WRMSR -> {
                return completeMsr(cpu);
            }
            case Completion.HYPERCALL -> {
                long ret = exit.hypercallRet;
                s.gpr[CpuState.RAX] = exit.hypercallLongmode ? ret : ret & 0xffff_ffffL;
                stats.add(VcpuStats.HYPERCALLS);
                return skip(cpu.exit.nextRip);
            }
            default -> throw new IllegalStateException("completion " + what);
        }
    }

    /** The client has moved rip: the access of the port never was. */
    private static int abandoned(Cpu cpu) {
        cpu.debug.pending = 0;
        return Outcome.RESUME;
    }

    private int completeMsr(Cpu cpu) {
        if (exit.msrError != 0) {
            events.queue(GuestFault.GP, true, 0);
            return Outcome.RESUME;
        }
        return skip(cpu.exit.nextRip);
    }

    /** Finishes an instruction that touches guest memory, with requests served first; no other instruction runs. */
    private int inGuest(Cpu cpu, int what) {
        if (mode.pending()) {
            int outcome = serveRequests();
            if (outcome != Outcome.RESUME) {
                completion = what;
                return outcome;
            }
        }
        int error = loadRoot(cpu);
        if (error != 0) {
            completion = what;
            return error;
        }
        mmu.enterGuest();
        int code;
        if (what == Completion.PIO_INS) {
            code = completeInput(cpu);
        } else {
            code = observer == null ? cpu.runOne() : observer.run(cpu, true);
        }
        mmu.leaveGuest();
        return handle(cpu, code);
    }

    private int handle(Cpu cpu, int code) {
        int outcome = ExitHandlers.handle(this, cpu, code);
        if (observer != null) {
            observer.exited(cpu, code, outcome);
        }
        return outcome;
    }

    /** Runs one instruction while no other vCPU runs. */
    int alone(Cpu cpu) {
        GuestModes modes = vm.mmuContext().modes();
        int error = loadRoot(cpu);
        if (error != 0) {
            return error;
        }
        modes.takeBus(mode);
        int code;
        try {
            cpu.controls.ownsBus = true;
            mmu.enterGuest();
            code = observer == null ? cpu.runOne() : observer.run(cpu, true);
            mmu.leaveGuest();
        } finally {
            cpu.controls.ownsBus = false;
            modes.releaseBus();
        }
        return handle(cpu, code);
    }

    private int completeInput(Cpu cpu) {
        try {
            pio.completeInput(cpu);
            return CpuExit.NONE;
        } catch (GuestFault f) {
            return faulted(f);
        } catch (LeaveGuest e) {
            return e.exit;
        }
    }

    /** A fault in what the hypervisor does for an instruction: queued, as its emulator would. */
    private int faulted(GuestFault f) {
        events.queue(f.vector, GuestFault.hasErrorCode(f.vector), f.errorCode);
        return CpuExit.NONE;
    }

    /** OUTS: the item is fetched from guest memory, and is done when it has gone out. */
    int outputString() {
        Cpu cpu = cpu();
        mmu.enterGuest();
        int code = CpuExit.NONE;
        boolean ready = false;
        try {
            pio.output(cpu);
            ready = true;
        } catch (GuestFault f) {
            code = faulted(f);
        } catch (LeaveGuest e) {
            code = e.exit;
        }
        mmu.leaveGuest();
        return ready ? Outcome.EXIT : ExitHandlers.handle(this, cpu, code);
    }

    /** After an exit for an MMIO write: the next piece, or the guest goes on. */
    int nextWrite() {
        if (!mmio.hasWrites()) {
            return Outcome.RESUME;
        }
        mmio.exitForWrite();
        completion = Completion.MMIO_WRITE;
        return Outcome.EXIT;
    }

    /** The exiting instruction is done: on to the next, with what a completed instruction brings (SDM 3A 17.3.1.4, 6.8.3). */
    int skip(long nextRip) {
        s.rip = nextRip;
        s.interruptShadow = 0;
        int flags = s.flagsSystem;
        s.flagsSystem = flags & ~CpuState.RF;
        boolean stepped = (flags & CpuState.TF) != 0 || vcpu.debug.singleSteps();
        return stepped || cpu().debug.pending != 0 ? vcpu.debug.trapped(this, stepped) : Outcome.RESUME;
    }

    // ------------------------------------------------------------------ calls of the processor

    @Override
    public int nestedPageFault(long gpa, long errorCode, long gva) {
        boolean codeOrTable = (errorCode & (NPF_FETCH | NPF_GUEST_TABLE)) != 0;
        if (Tracepoints.ON) {
            tracedGpa = gpa;
            tracedError = errorCode;
            Tracepoints.pageFault(vcpu.id(), s.rip, gpa, errorCode);
        }
        if (!codeOrTable && mmio.continues(gpa)) {
            // The instruction runs again with the client's answer. KVM's emulator goes on where it was: no second
            // fault.
            return MMIO;
        }
        if (vcpu.apic.ownsPage(gpa) && !codeOrTable) {
            // Counted as when an entry says that no memory is here.
            stats.add(VcpuStats.INSN_EMULATION);
            return MMIO;
        }
        TdpMmu tdp = vm.tdp();
        if (tdp == null) {
            throw new IllegalStateException("a nested page fault with shadow paging");
        }
        return faultResult(tdp.fault(mmu, gpa, errorCode, gva), codeOrTable, gpa, errorCode);
    }

    private int faultResult(int result, boolean needsMemory, long gpa, long errorCode) {
        if (result == MMIO && !needsMemory && !mmio.begun()) {
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

    @Override
    public int pageFault(long la, long errorCode) {
        Cpu c = cpu();
        boolean fetch = (errorCode & NPF_FETCH) != 0;
        if (Tracepoints.ON) {
            tracedGpa = la;
            tracedError = errorCode;
            Tracepoints.pageFault(vcpu.id(), s.rip, la, errorCode);
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
            throw new IllegalStateException("a call of shadow paging under nested paging");
        }
        return v;
    }

    @Override
    public boolean mmioRead(long gpa, int bytes) {
        if (vcpu.apic.ownsPage(gpa)) {
            cpu().answer.mmioData = vcpu.apic.readPage(gpa, bytes);
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
        if (vcpu.apic.ownsPage(gpa)) {
            vcpu.apic.writePage(gpa, bytes, data);
            return;
        }
        mmio.write(gpa, bytes, data);
        cpu().stopAfterInstruction();
    }

    @Override
    public long readTsc() {
        return vcpu.tsc.read();
    }

    // ------------------------------------------------------------------ what the handlers need

    /** The processor left because {@link #nestedPageFault} said so. */
    int leftForMemory(Cpu cpu) {
        if (leftFor == LEFT_FOR_ERRNO) {
            return mmu.errno == 0 ? Outcome.RESUME : mmu.errno;
        }
        return InternalErrors.emulationFailed(this, cpu, NESTED_PAGE_FAULT, faultError, faultGpa, 0);
    }

    /** Writes the native hypercall instruction over the foreign one: 0F 01 and {@code last}. The guest then runs it again. */
    int patchHypercall(Cpu cpu, int last) {
        long rip = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        int code = CpuExit.NONE;
        mmu.enterGuest();
        try {
            cpu.systemStore8(rip, 0x0f);
            cpu.systemStore8(cpu.wrap(rip + 1), 0x01);
            cpu.systemStore8(cpu.wrap(rip + 2), last);
            cpu.serialize();
        } catch (GuestFault f) {
            code = faulted(f);
        } catch (LeaveGuest e) {
            code = e.exit;
        }
        mmu.leaveGuest();
        return code == CpuExit.NONE ? Outcome.RESUME : ExitHandlers.handle(this, cpu, code);
    }
}
