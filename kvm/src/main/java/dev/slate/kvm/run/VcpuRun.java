package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.SvmExit;
import dev.slate.kvm.Errno;
import dev.slate.kvm.MpState;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.io.Mmio;
import dev.slate.kvm.io.PortIo;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * KVM_RUN of one vCPU: the loop around the processor, and what it completes first.
 *
 * <p>Runs under the vCPU's mutex, on the client's thread. Allocates nothing but the processor, at the first run.
 */
public final class VcpuRun {
    final VcpuParts vcpu;
    final VmParts vm;
    final VmSettings settings;
    final CpuState s;
    final EventQueue events;
    final VcpuExit exit;
    final VcpuStats stats;
    final GuestMode mode;
    final PortIo pio;
    final Mmio mmio;
    final VcpuProcessor processor;
    private final EventDelivery delivery;
    private final HaltPoll halt;
    private final VcpuMmu mmu;

    /** Null in an ordinary run. */
    final @Nullable RunObserver observer;

    /** A {@link Completion}. */
    int completion = Completion.NONE;

    /** Where the hypercall stands that the client answers, linear. */
    long hypercallRip;

    /** DR6 bits of traps that MOV SS held off when an SMI came. */
    private long putOffBySmi;

    /** @param observer who watches this vCPU, or null */
    public VcpuRun(VcpuParts vcpu, @Nullable RunObserver observer) {
        this.vcpu = vcpu;
        this.vm = vcpu.vm;
        this.settings = vm.settings();
        this.s = vcpu.state;
        this.events = vcpu.events;
        this.exit = vcpu.exit;
        this.stats = vcpu.stats;
        this.mode = vcpu.mode;
        this.pio = vcpu.pio;
        this.mmio = vcpu.mmio;
        this.processor = vcpu.processor;
        this.delivery = vcpu.delivery;
        this.halt = vcpu.halt;
        this.mmu = vcpu.mmu;
        this.observer = observer;
        if (observer != null) {
            processor.show(observer.translations());
        }
    }

    Cpu cpu() {
        Cpu cpu = processor.cpu();
        vcpu.nested.prepare(cpu);
        return cpu;
    }

    // ------------------------------------------------------------------ KVM_RUN

    /**
     * KVM_RUN, under the vCPU's mutex.
     *
     * @return 0: the exit stands ready; else a positive errno number
     */
    public int run(boolean immediateExit) {
        exit.flags = 0;
        int outcome;
        try {
            outcome = runToOutcome(immediateExit);
        } catch (InternalError e) {
            // How HotSpot reports SIGBUS under an access: a page of a file that was cut short under a mapping
            // that still stands, of which no call that the hypervisor sees told it. KVM's fault on such a page
            // fails with EFAULT.
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
        Cpu entered = processor.orNull();
        if (entered != null) {
            // The client may have written code since the last run; an entry serializes, as VMRUN does.
            entered.serialize();
        }
        if (mode.mpState == MpState.UNINITIALIZED) {
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
        if (immediateExit) {
            return Errno.EINTR.number();
        }
        threadRuns();
        int outcome = loop();
        threadWaits();
        return outcome;
    }

    /** The guest hears of its thread's time in one way, as with KVM: with Xen configured by its run states, else as stolen time. */
    private void threadRuns() {
        if (settings.xenHypercallMsr != 0) {
            vcpu.xen.running();
        } else {
            vcpu.stealTime.enter();
        }
    }

    private void threadWaits() {
        if (settings.xenHypercallMsr == 0) {
            vcpu.stealTime.leave();
        }
    }

    /** An application processor before INIT and SIPI: waits, then tells the client to come again. */
    private int runUninitialized() {
        halt.block();
        vcpu.reset.acceptInitAndSipi();
        if (mode.takeSignal()) {
            return interrupted();
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
        exit.readyForInterruptInjection = vm.irqchip().hasControllers() || readyForClientsInterrupt();
    }

    /** Whether the client, which has the 8259s, could hand over an interrupt that is then taken at once. */
    private boolean readyForClientsInterrupt() {
        return vcpu.apic.takesClientVectors() && delivery.readyForInterrupt();
    }

    private boolean interruptWindowOpen() {
        return exit.requestInterruptWindow && !vm.irqchip().hasControllers() && readyForClientsInterrupt();
    }

    private int loop() {
        for (; ; ) {
            int outcome = observer == null ? Outcome.RESUME : awaitObserver(observer);
            if (outcome == Outcome.RESUME) {
                outcome = switch (mode.mpState) {
                    case MpState.RUNNABLE -> enter();
                    case GuestMode.HALTED_INSIDE -> haltInside();
                    default -> block();
                };
            }
            if (outcome != Outcome.RESUME) {
                return outcome;
            }
            if (interruptWindowOpen()) {
                exit.reason = VcpuExit.IRQ_WINDOW_OPEN;
                stats.add(VcpuStats.REQUEST_IRQ_EXITS);
                return Outcome.EXIT;
            }
            if (mode.takeSignal()) {
                return interrupted();
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
                vcpu.mutex.whileUnlocked(() -> mode.block(Long.MAX_VALUE));
            }
            if (mode.takeSignal()) {
                return interrupted();
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
        if (vcpu.apic.hasPendingInitOrSipi()) {
            if (vcpu.nested.wants(SvmExit.INIT) && vcpu.apic.initLatched() && vcpu.nested.gif()) {
                // It stays until the hypervisor sets GIF.
                NestedExits.leave(this, cpu, SvmExit.INIT, 0, 0, 0, 0);
                return Outcome.RESUME;
            }
            vcpu.reset.acceptInitAndSipi();
            if (mode.mpState != MpState.RUNNABLE) {
                return Outcome.RESUME;
            }
        }
        if (mmu.dirtyRingSoftFull()) {
            exit.reason = VcpuExit.DIRTY_RING_FULL;
            return Outcome.EXIT;
        }
        if (events.trapsVoid) {
            events.trapsVoid = false;
            cpu.debug.pending = 0;
            putOffBySmi = 0;
        }
        if (delivery.takesSmi() && (cpu.debug.pending == 0 || delivery.holdsTraps())) {
            if (vcpu.nested.wants(SvmExit.SMI)) {
                NestedExits.leave(this, cpu, SvmExit.SMI, 0, 0, 0, 0);
                return Outcome.RESUME;
            }
            // The shadow goes into SMRAM, what it holds off waits here.
            putOffBySmi = cpu.debug.pending;
            cpu.debug.pending = 0;
            boolean nested = vcpu.nested.active();
            if (nested) {
                vcpu.nested.suspend(vcpu.msrs.hostSaveArea());
            }
            vcpu.smm.enter();
            if (nested) {
                vcpu.nested.noteSuspended(vcpu.smm.stateGpa());
            }
        }
        if (!processor.enterable()) {
            return InternalErrors.entryFailed(this);
        }
        processor.loadDirectoryPointers();
        int error = processor.loadRoot(cpu);
        if (error != 0) {
            return rootMissing(error);
        }
        if (events.tripleFault) {
            events.tripleFault = false;
            if (vcpu.nested.wants(SvmExit.SHUTDOWN)) {
                NestedExits.leave(this, cpu, SvmExit.SHUTDOWN, 0, 0, 0, 0);
                return Outcome.RESUME;
            }
            exit.reason = VcpuExit.SHUTDOWN;
            return Outcome.EXIT;
        }
        if (Tracepoints.ON) {
            Tracepoints.entry(vcpu.id, s.rip, false);
        }
        vcpu.xen.prepare();
        vcpu.vapic.store();
        vcpu.pvEoi.offer(delivery.takesInterruptNext());
        vcpu.nested.prepare(cpu);
        // Whatever is requested from here on finds the kick word set: the processor comes out at once.
        mmu.enterGuest();
        processor.translation.entered();
        vcpu.pmu.enterGuest();
        int code = processor.loadNestedPointers(cpu);
        if (code == CpuExit.NONE) {
            code = delivery.deliver(cpu);
        }
        // A stack in no slot: what delivery pushed is the client's to take before the handler runs. An SMI that had to
        // wait for the delivery comes before the handler, too.
        if (code == CpuExit.NONE && !mmio.hasWrites() && !delivery.takesSmi()) {
            code = observer == null ? cpu.run() : observer.run(cpu, false);
        }
        vcpu.pmu.leaveGuest();
        mmu.leaveGuest();
        vcpu.pvEoi.collect();
        if (vcpu.vapic.load()) {
            vcpu.apic.syncCr8();
        }
        stats.add(VcpuStats.EXITS);
        if (Tracepoints.ON) {
            ExitTrace.exit(vcpu.id, s, cpu, code, processor);
        }
        return handle(cpu, code);
    }

    private int serveRequests() {
        mode.clearKick();
        if (mode.check(Request.VM_DEAD)) {
            mode.request(Request.VM_DEAD);
            return Errno.EIO.number();
        }
        mmu.serveTlbFlush();
        if (mode.check(Request.TLB_FLUSH_GUEST)) {
            processor.changed();
        }
        if (mode.check(Request.MMU_FREE_OBSOLETE_ROOTS)) {
            processor.freeObsoleteRoots();
        }
        mode.check(Request.UNBLOCK);
        if (mode.check(Request.EVENT)) {
            stats.add(VcpuStats.REQ_EVENT);
        }
        if (mode.check(Request.CLOCK_UPDATE)) {
            vcpu.clock.update();
            vcpu.hyperV.clockUpdated();
        }
        if (mode.check(Request.REPORT_TPR_ACCESS)) {
            exit.reason = VcpuExit.TPR_ACCESS;
            exit.tprRip = processor.reportedRip();
            exit.tprIsWrite = vcpu.apic.taskPriorityWritten();
            return Outcome.EXIT;
        }
        if (mode.check(Request.IOAPIC_EOI_EXIT)) {
            int vector = vcpu.apic.takeEndedVector();
            if (vector >= 0) {
                exit.reason = VcpuExit.IOAPIC_EOI;
                exit.eoiVector = vector;
                return Outcome.EXIT;
            }
        }
        return serveHyperV();
    }

    private int serveHyperV() {
        if (mode.check(Request.HV_CRASH)) {
            return systemEvent(VcpuExit.SYSTEM_EVENT_CRASH);
        }
        if (mode.check(Request.HV_RESET)) {
            return systemEvent(VcpuExit.SYSTEM_EVENT_RESET);
        }
        if (mode.check(Request.HV_EXIT)) {
            vcpu.hyperV.fillExit(exit);
            if (exit.hypervType == VcpuExit.HYPERV_SYNDBG) {
                completion = Completion.HYPERV_SYNDBG;
            }
            return Outcome.EXIT;
        }
        if (mode.check(Request.HV_STIMER)) {
            vcpu.hyperV.processTimers();
        }
        return Outcome.RESUME;
    }

    private int interrupted() {
        exit.reason = VcpuExit.INTR;
        stats.add(VcpuStats.SIGNAL_EXITS);
        return Errno.EINTR.number();
    }

    /** A table's page is going away just now: whatever kicked this vCPU is seen to, and the root is loaded again. */
    private static int rootMissing(int error) {
        return error == Errno.EAGAIN.number() ? Outcome.RESUME : error;
    }

    private int systemEvent(int type) {
        exit.reason = VcpuExit.SYSTEM_EVENT;
        exit.systemEventType = type;
        return Outcome.EXIT;
    }

    /** RSM is over. */
    void resumed(Cpu cpu) {
        cpu.debug.pending |= putOffBySmi;
        putOffBySmi = 0;
    }

    /** HLT that is no exit: what would bring a processor out of guest mode is seen to, and it halts on until an event ends that. */
    private int haltInside() {
        vcpu.xen.prepare();
        if (!interruptWindowOpen()) {
            halt.stayInside();
        }
        int outcome = serveRequests();
        vcpu.xen.prepare();
        if (outcome == Outcome.RESUME && delivery.endsHalt()) {
            mode.mpState = MpState.RUNNABLE;
        }
        return outcome;
    }

    /** HLT, and other states in which no instruction runs: waits for something to do. */
    private int block() {
        vcpu.xen.prepare();
        if (!delivery.runnable()) {
            threadWaits();
            boolean slept = mode.mpState == MpState.HALTED ? halt.halt() : halt.block();
            threadRuns();
            mode.check(Request.UNBLOCK);
            if (mode.check(Request.HV_STIMER)) {
                // A timer may have nothing to say yet: that ends no HLT.
                vcpu.hyperV.processTimers();
            }
            vcpu.xen.prepare();
            // A signal ends a poll: the guest looks itself.
            if (!delivery.runnable() && !(vcpu.xen.polls() && mode.signalled())) {
                return Outcome.RESUME;
            }
            if (slept) {
                stats.add(VcpuStats.HALT_WAKEUP);
            }
        }
        vcpu.xen.endPoll();
        vcpu.reset.acceptInitAndSipi();
        if (mode.mpState == MpState.HALTED || mode.mpState == MpState.AP_RESET_HOLD) {
            vcpu.apic.clearPvUnhalted();
            mode.mpState = MpState.RUNNABLE;
        }
        return Outcome.RESUME;
    }

    /** The vCPU is gone. */
    public void close() {
        if (observer != null) {
            observer.close();
        }
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
            case Completion.HYPERV_HYPERCALL -> {
                return Hypercalls.completeHyperV(this, cpu, exit.hypervData[1]);
            }
            case Completion.XEN_HYPERCALL -> {
                // A client that has moved rip has answered in its own way.
                return s.segBase[CpuState.CS] + s.rip == hypercallRip
                        ? XenHypercalls.complete(this, cpu, exit.xenResult)
                        : Outcome.RESUME;
            }
            case Completion.HYPERV_SYNDBG -> {
                vcpu.hyperV.debuggerAnswered(exit.hypervData[2]);
                return Outcome.RESUME;
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
        int error = processor.loadRoot(cpu);
        while (error == Errno.EAGAIN.number() && !mode.signalled()) {
            Thread.onSpinWait();
            error = processor.loadRoot(cpu);
        }
        if (error != 0) {
            completion = what;
            return error == Errno.EAGAIN.number() && mode.takeSignal() ? interrupted() : error;
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
        int error = processor.loadRoot(cpu);
        if (error != 0) {
            return rootMissing(error);
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
        mmio.replay();
        try {
            pio.output(cpu);
            ready = true;
        } catch (GuestFault f) {
            code = faulted(f);
        } catch (LeaveGuest e) {
            code = e.exit;
        }
        mmu.leaveGuest();
        mmio.forgetReads();
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
        if (s.rip != nextRip) {
            // Else OUTS has moved on already, or has repetitions left.
            processor.retired.emulated(s.cpl);
        }
        s.rip = nextRip;
        s.interruptShadow = 0;
        int flags = s.flagsSystem;
        s.flagsSystem = flags & ~CpuState.RF;
        boolean stepped = (flags & CpuState.TF) != 0 || vcpu.debug.singleSteps();
        Cpu cpu = cpu();
        boolean leaves = (stepped || cpu.debug.pending != 0) && vcpu.debug.trapped(cpu, stepped);
        return leaves ? Outcome.EXIT : Outcome.RESUME;
    }

    // ------------------------------------------------------------------ what the handlers need

    /** The processor left because one of its calls said so. */
    int leftForMemory(Cpu cpu) {
        VcpuProcessor p = processor;
        if (!p.leftForEmulation()) {
            return mmu.errno == 0 ? Outcome.RESUME : mmu.errno;
        }
        return InternalErrors.emulationFailed(
                this, cpu, ExitTrace.NESTED_PAGE_FAULT, p.faultError(), p.faultGpa(), p.faultBytes());
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
