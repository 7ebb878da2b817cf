package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.Errno;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Quirk;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.msr.MsrFilter;
import dev.slate.kvm.nested.NestedSvm;
import dev.slate.kvm.stats.VcpuStats;

/** From the processor's exit to what follows: one handler an exit code, in an array. Each returns an {@link Outcome}. */
final class ExitHandlers {
    @FunctionalInterface
    private interface Handler {
        int handle(VcpuRun run, Cpu cpu);
    }

    private static final int POST_CODE_PORT = 0x7e;

    private static final Handler[] HANDLERS = new Handler[CpuExit.count()];

    static {
        HANDLERS[CpuExit.NONE] = (run, cpu) -> afterInstruction(run);
        HANDLERS[CpuExit.INTR] = ExitHandlers::interrupted;
        HANDLERS[CpuExit.NPF] = VcpuRun::leftForMemory;
        HANDLERS[CpuExit.MMIO] = ExitHandlers::mmioRead;
        HANDLERS[CpuExit.IOIO] = ExitHandlers::portIo;
        HANDLERS[CpuExit.CPUID] = ExitHandlers::cpuid;
        HANDLERS[CpuExit.MSR] = (run, cpu) -> cpu.exit.info == 1 ? wrmsr(run, cpu) : rdmsr(run, cpu);
        HANDLERS[CpuExit.HLT] = ExitHandlers::hlt;
        HANDLERS[CpuExit.VMMCALL] = Hypercalls::handle;
        HANDLERS[CpuExit.SHUTDOWN] = ExitHandlers::shutdown;
        HANDLERS[CpuExit.UNIMPLEMENTED] = InternalErrors::notImplemented;
        HANDLERS[CpuExit.DEBUG] = ExitHandlers::debug;
        HANDLERS[CpuExit.IRQ_WINDOW] = ExitHandlers::irqWindow;
        HANDLERS[CpuExit.MONITOR_MWAIT] = ExitHandlers::monitorMwait;
        HANDLERS[CpuExit.XSETBV] = ExitHandlers::xsetbv;
        HANDLERS[CpuExit.CR8_WRITE] = ExitHandlers::cr8Write;
        HANDLERS[CpuExit.RSM] = ExitHandlers::rsm;
        HANDLERS[CpuExit.INVD] = (run, cpu) -> run.skip(cpu.exit.nextRip);
        HANDLERS[CpuExit.STOPPED] = (run, cpu) -> afterInstruction(run);
        HANDLERS[CpuExit.NMI_WINDOW] = ExitHandlers::nmiWindow;
        HANDLERS[CpuExit.BUS_LOCK] = VcpuRun::alone;
        HANDLERS[CpuExit.RDPMC] = ExitHandlers::rdpmc;
        HANDLERS[CpuExit.SVM] = NestedExits::instruction;
    }

    private ExitHandlers() {}

    static int handle(VcpuRun run, Cpu cpu, int code) {
        boolean readsGoOn = code == CpuExit.MMIO || code == CpuExit.IOIO && cpu.io.string && !cpu.io.in;
        if (!readsGoOn) {
            run.mmio.forgetReads();
        }
        if (run.vcpu.nested.active() && NestedExits.reflect(run, cpu, code)) {
            run.mmio.forgetReads();
            return Outcome.RESUME;
        }
        return HANDLERS[code].handle(run, cpu);
    }

    private static int undefined(VcpuRun run) {
        run.events.queue(GuestFault.UD);
        return Outcome.RESUME;
    }

    private static int generalProtection(VcpuRun run) {
        run.events.queue(GuestFault.GP, true, 0);
        return Outcome.RESUME;
    }

    /** An instruction has run to its end; what it wrote to MMIO goes out now. */
    private static int afterInstruction(VcpuRun run) {
        if (run.mmio.hasWrites()) {
            run.stats.add(VcpuStats.MMIO_EXITS);
        }
        return run.nextWrite();
    }

    private static int interrupted(VcpuRun run, Cpu cpu) {
        run.stats.add(VcpuStats.IRQ_EXITS);
        return Outcome.RESUME;
    }

    private static int mmioRead(VcpuRun run, Cpu cpu) {
        if (run.events.needsReinjection()) {
            return InternalErrors.deliveryFailed(run, CpuExit.MMIO);
        }
        run.stats.add(VcpuStats.MMIO_EXITS);
        run.mmio.exitForRead(run.s.rip);
        run.completion = Completion.MMIO_READ;
        return Outcome.EXIT;
    }

    private static int portIo(VcpuRun run, Cpu cpu) {
        run.stats.add(VcpuStats.IO_EXITS);
        if (!cpu.io.string) {
            if (ownDevice(run, cpu)) {
                return run.skip(cpu.exit.nextRip);
            }
            run.pio.single(cpu);
            int completion = cpu.io.in ? Completion.PIO_IN : Completion.PIO_OUT;
            if (completion == Completion.PIO_OUT
                    && cpu.io.port == POST_CODE_PORT
                    && run.settings.hasQuirk(Quirk.OUT_7E_INC_RIP)) {
                // Old clients expect that this OUT is over at its exit.
                int outcome = run.skip(cpu.exit.nextRip);
                return outcome == Outcome.RESUME ? Outcome.EXIT : outcome;
            }
            run.completion = completion;
            return Outcome.EXIT;
        }
        run.stats.add(VcpuStats.INSN_EMULATION);
        if (!cpu.io.in) {
            return run.outputString();
        }
        run.pio.input(cpu);
        run.completion = Completion.PIO_INS;
        return Outcome.EXIT;
    }

    /** Whether a device of the VM's own was at the port: then the instruction is done. */
    private static boolean ownDevice(VcpuRun run, Cpu cpu) {
        if (!cpu.io.in) {
            return run.vm.ports().write(cpu.io.port, cpu.io.size, cpu.io.data & 0xffff_ffffL);
        }
        long answer = run.vm.ports().read(cpu.io.port, cpu.io.size);
        if (answer == DeviceBus.NOBODY) {
            return false;
        }
        run.pio.completeIn(cpu.io.size, (int) answer);
        return true;
    }

    private static int cpuid(VcpuRun run, Cpu cpu) {
        CpuState s = run.s;
        if (run.vcpu.msrs.cpuidFaults() && s.cpl > 0) {
            return generalProtection(run);
        }
        run.vcpu.guestCpuid.query((int) s.gpr[CpuState.RAX], (int) s.gpr[CpuState.RCX]);
        s.gpr[CpuState.RAX] = run.vcpu.cpuid.eax & 0xffff_ffffL;
        s.gpr[CpuState.RBX] = run.vcpu.cpuid.ebx & 0xffff_ffffL;
        s.gpr[CpuState.RCX] = run.vcpu.cpuid.ecx & 0xffff_ffffL;
        s.gpr[CpuState.RDX] = run.vcpu.cpuid.edx & 0xffff_ffffL;
        return run.skip(cpu.exit.nextRip);
    }

    private static int rdmsr(VcpuRun run, Cpu cpu) {
        MsrFile msrs = run.vcpu.msrs;
        int index = (int) run.s.gpr[CpuState.RCX];
        if (!run.vm.msrPolicy().filter.allows(index, MsrFilter.READ)) {
            return msrFailed(run, VcpuExit.X86_RDMSR, index, 0, VcpuExit.MSR_EXIT_REASON_FILTER);
        }
        int result = msrs.read(index, false);
        if (result != MsrFile.OK) {
            return msrFailed(run, VcpuExit.X86_RDMSR, index, 0, reason(result));
        }
        run.s.gpr[CpuState.RAX] = msrs.value & 0xffff_ffffL;
        run.s.gpr[CpuState.RDX] = msrs.value >>> 32;
        return run.skip(cpu.exit.nextRip);
    }

    private static int wrmsr(VcpuRun run, Cpu cpu) {
        int index = (int) run.s.gpr[CpuState.RCX];
        long value = run.s.gpr[CpuState.RAX] & 0xffff_ffffL | run.s.gpr[CpuState.RDX] << 32;
        if (!run.vm.msrPolicy().filter.allows(index, MsrFilter.WRITE)) {
            return msrFailed(run, VcpuExit.X86_WRMSR, index, value, VcpuExit.MSR_EXIT_REASON_FILTER);
        }
        int result = run.vcpu.msrs.write(index, value, false);
        if (result == MsrFile.FAULT && !tells(run, VcpuExit.MSR_EXIT_REASON_INVAL)) {
            return Errno.EFAULT.number();
        }
        if (result != MsrFile.OK) {
            return msrFailed(run, VcpuExit.X86_WRMSR, index, value, reason(result));
        }
        return run.skip(cpu.exit.nextRip);
    }

    private static int rdpmc(VcpuRun run, Cpu cpu) {
        CpuState s = run.s;
        int counter = (int) s.gpr[CpuState.RCX];
        if (!run.vcpu.pmu.hasCounter(counter)) {
            return generalProtection(run);
        }
        long count = run.vcpu.pmu.readCounter(counter);
        s.gpr[CpuState.RAX] = count & 0xffff_ffffL;
        s.gpr[CpuState.RDX] = count >>> 32;
        return run.skip(cpu.exit.nextRip);
    }

    private static int reason(int result) {
        return result == MsrFile.UNKNOWN ? VcpuExit.MSR_EXIT_REASON_UNKNOWN : VcpuExit.MSR_EXIT_REASON_INVAL;
    }

    /** Whether the client wants to hear of accesses that fail for a reason. */
    private static boolean tells(VcpuRun run, int msrReason) {
        return (run.vm.msrPolicy().userSpaceMask & msrReason) != 0;
    }

    /** The client decides, where it asked to; else #GP. */
    private static int msrFailed(VcpuRun run, int exitReason, int index, long value, int msrReason) {
        if (!tells(run, msrReason)) {
            return generalProtection(run);
        }
        VcpuExit exit = run.exit;
        exit.reason = exitReason;
        exit.msrError = 0;
        exit.msrReason = msrReason;
        exit.msrIndex = index;
        exit.msrData = value;
        run.completion = exitReason == VcpuExit.X86_RDMSR ? Completion.RDMSR : Completion.WRMSR;
        return Outcome.EXIT;
    }

    private static int hlt(VcpuRun run, Cpu cpu) {
        int outcome = run.skip(cpu.exit.nextRip);
        if (run.settings.hltInGuest) {
            run.mode.mpState = GuestMode.HALTED_INSIDE;
            return outcome;
        }
        run.stats.add(VcpuStats.HALT_EXITS);
        if (run.vcpu.apic.inKernel()) {
            run.mode.mpState = MpState.HALTED;
            return outcome;
        }
        run.exit.reason = VcpuExit.HLT;
        return Outcome.EXIT;
    }

    private static int debug(VcpuRun run, Cpu cpu) {
        run.vcpu.debug.intercepted(cpu);
        return Outcome.EXIT;
    }

    /** Outside system management mode RSM is undefined. */
    private static int rsm(VcpuRun run, Cpu cpu) {
        if (!run.vcpu.smm.active()) {
            return undefined(run);
        }
        NestedSvm nested = run.vcpu.nested;
        boolean suspended = run.vcpu.msrs.nestedOffered() && nested.notedSuspended(run.vcpu.smm.stateGpa());
        if (!run.vcpu.smm.resume()) {
            return InternalErrors.emulationFailed(run, cpu, 0, 0, 0, 0);
        }
        if (suspended && !nested.resume(run.vcpu.msrs.hostSaveArea())) {
            run.events.tripleFault = true;
        }
        run.resumed(cpu);
        return Outcome.RESUME;
    }

    /** A triple fault leaves the processor's state undefined; KVM on AMD puts it through INIT. */
    private static int shutdown(VcpuRun run, Cpu cpu) {
        run.vcpu.reset.reset(true);
        run.exit.reason = VcpuExit.SHUTDOWN;
        return Outcome.EXIT;
    }

    private static int irqWindow(VcpuRun run, Cpu cpu) {
        cpu.controls.irqWindow = false;
        run.stats.add(VcpuStats.IRQ_WINDOW_EXITS);
        return Outcome.RESUME;
    }

    private static int nmiWindow(VcpuRun run, Cpu cpu) {
        cpu.controls.nmiWindow = false;
        run.stats.add(VcpuStats.NMI_WINDOW_EXITS);
        return Outcome.RESUME;
    }

    /** MONITOR and MWAIT do nothing, or are undefined where the client wants that (KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS). */
    private static int monitorMwait(VcpuRun run, Cpu cpu) {
        if (!run.settings.hasQuirk(Quirk.MWAIT_NEVER_UD_FAULTS) && !run.vcpu.guestCpuid.hasMwait()) {
            return undefined(run);
        }
        return run.skip(cpu.exit.nextRip);
    }

    private static int xsetbv(VcpuRun run, Cpu cpu) {
        CpuState s = run.s;
        long value = s.gpr[CpuState.RAX] & 0xffff_ffffL | s.gpr[CpuState.RDX] << 32;
        if (s.cpl != 0 || (int) s.gpr[CpuState.RCX] != 0 || !run.vcpu.guestCpuid.writeXcr0(value)) {
            return generalProtection(run);
        }
        return run.skip(cpu.exit.nextRip);
    }

    /** The processor has the new value already; an in-kernel APIC's TPR follows, else the client hears of a lower one. */
    private static int cr8Write(VcpuRun run, Cpu cpu) {
        run.vcpu.nested.taskPriorityWritten(cpu.exit.info);
        if (run.vcpu.nested.masksTaskPriority()) {
            return Outcome.RESUME;
        }
        long before = run.vcpu.apic.cr8();
        run.vcpu.apic.writeCr8(cpu.exit.info);
        if (run.vcpu.apic.inKernel() || before <= cpu.exit.info) {
            return Outcome.RESUME;
        }
        run.exit.reason = VcpuExit.SET_TPR;
        return Outcome.EXIT;
    }
}
