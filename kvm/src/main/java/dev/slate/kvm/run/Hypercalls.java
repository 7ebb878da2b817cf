package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.Quirk;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.hyperv.HvHypercalls;
import dev.slate.kvm.irqchip.ApicBus;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.time.Instant;

/** VMCALL and VMMCALL (KVM document "hypercalls"). */
final class Hypercalls {
    private static final long VAPIC_POLL_IRQ = 1;
    private static final long KICK_CPU = 5;
    private static final long CLOCK_PAIRING = 9;
    private static final long SEND_IPI = 10;
    private static final long SCHED_YIELD = 11;
    private static final long MAP_GPA_RANGE = 12;

    private static final long ICR_LOGICAL_OR_SHORTHAND = 1 << 11 | 3 << 18;

    private static final long ENOSYS = -1000;
    private static final long EPERM = -1;
    private static final long EFAULT = -14;
    private static final long EINVAL = -22;
    private static final long EOPNOTSUPP = -95;

    /** {@code struct kvm_clock_pairing}. */
    private static final int CLOCK_PAIRING_BYTES = 64;

    private static final long CLOCK_PAIRING_WALLCLOCK = 0;

    private Hypercalls() {}

    static int handle(VcpuRun run, Cpu cpu) {
        boolean vmmcall = cpu.exit.info == 1;
        if (vmmcall == run.vm.supported().intel()) {
            return foreign(run, cpu, vmmcall);
        }
        CpuState s = run.s;
        if (run.settings.xenHypercalls
                && !((s.gpr[CpuState.RAX] & 0x8000_0000L) != 0 && run.vcpu.hyperV.takesHypercalls())) {
            return XenHypercalls.handle(run, cpu);
        }
        if (run.vcpu.hyperV.takesHypercalls()) {
            return hyperV(run, cpu);
        }
        boolean wide = s.mode64();
        long nr = argument(s, CpuState.RAX, wide);
        long a0 = argument(s, CpuState.RBX, wide);
        long a1 = argument(s, CpuState.RCX, wide);
        long a2 = argument(s, CpuState.RDX, wide);
        long result = ENOSYS;
        CpuidTable cpuid = run.vcpu.cpuid;
        if (s.cpl != 0) {
            result = EPERM;
        } else if (nr == VAPIC_POLL_IRQ) {
            result = 0;
        } else if (nr == KICK_CPU && cpuid.pvFeature(MsrFile.PV_UNHALT)) {
            run.vm.irqchip().bus().kick((int) a1);
            letOthersRun(run);
            result = 0;
        } else if (nr == CLOCK_PAIRING) {
            result = a1 == CLOCK_PAIRING_WALLCLOCK ? pairClocks(run, a0) : EOPNOTSUPP;
        } else if (nr == SEND_IPI && cpuid.pvFeature(MsrFile.PV_SEND_IPI)) {
            result = sendIpi(run, a0, a1, (int) a2, argument(s, CpuState.RSI, wide), wide);
        } else if (nr == SCHED_YIELD && cpuid.pvFeature(MsrFile.PV_SCHED_YIELD)) {
            letOthersRun(run);
            result = 0;
        } else if (nr == MAP_GPA_RANGE && (run.settings.hypercallExits & 1L << MAP_GPA_RANGE) != 0) {
            if ((a0 & 0xfff) == 0 && a1 != 0 && Long.compareUnsigned((a0 >>> 12) + a1, a0 >>> 12) > 0) {
                return toClient(run, nr, a0, a1, a2, wide);
            }
            result = EINVAL;
        }
        s.gpr[CpuState.RAX] = wide ? result : result & 0xffff_ffffL;
        run.stats.add(VcpuStats.HYPERCALLS);
        return run.skip(cpu.exit.nextRip);
    }

    private static int hyperV(VcpuRun run, Cpu cpu) {
        CpuState s = run.s;
        if (s.cpl != 0 || (s.cr0 & CpuState.CR0_PE) == 0) {
            run.events.queue(GuestFault.UD);
            return Outcome.RESUME;
        }
        HvHypercalls calls = run.vcpu.hyperV.hypercalls();
        long result = calls.call(s);
        if (result == HvHypercalls.UNDEFINED) {
            run.events.queue(GuestFault.UD);
            return Outcome.RESUME;
        }
        if (result == HvHypercalls.TO_CLIENT) {
            VcpuExit exit = run.exit;
            exit.reason = VcpuExit.HYPERV;
            exit.hypervType = VcpuExit.HYPERV_HCALL;
            exit.hypervData[0] = calls.input;
            exit.hypervData[1] = 0;
            exit.hypervData[2] = calls.first;
            exit.hypervData[3] = calls.second;
            run.completion = Completion.HYPERV_HYPERCALL;
            return Outcome.EXIT;
        }
        if (result == HvHypercalls.YIELD) {
            letOthersRun(run);
            result = 0;
        }
        return completeHyperV(run, cpu, result);
    }

    /** The result goes to RAX, or EDX:EAX outside 64-bit mode. */
    static int completeHyperV(VcpuRun run, Cpu cpu, long result) {
        if (Tracepoints.ON) {
            HyperVTracepoints.hypercallDone(result);
        }
        CpuState s = run.s;
        if (s.mode64()) {
            s.gpr[CpuState.RAX] = result;
        } else {
            s.gpr[CpuState.RDX] = result >>> 32;
            s.gpr[CpuState.RAX] = result & 0xffff_ffffL;
        }
        run.stats.add(VcpuStats.HYPERCALLS);
        return run.skip(cpu.exit.nextRip);
    }

    /** To whom the core goes is the kernel's choice here, so no yield counts as directed_yield_successful. */
    private static void letOthersRun(VcpuRun run) {
        run.stats.add(VcpuStats.DIRECTED_YIELD_ATTEMPTED);
        Thread.yield();
    }

    /** KVM_HC_CLOCK_PAIRING: the host's wall-clock time and the guest's TSC of one moment. */
    private static long pairClocks(VcpuRun run, long gpa) {
        Instant now = Instant.now();
        long tsc = run.vcpu.tsc.read();
        byte[] pairing = new byte[CLOCK_PAIRING_BYTES];
        LittleEndian.putLong(pairing, 0, now.getEpochSecond());
        LittleEndian.putLong(pairing, 8, now.getNano());
        LittleEndian.putLong(pairing, 16, tsc);
        return run.vcpu.mmu.write(gpa, pairing, 0, pairing.length) ? 0 : EFAULT;
    }

    private static long argument(CpuState s, int register, boolean wide) {
        return wide ? s.gpr[register] : s.gpr[register] & 0xffff_ffffL;
    }

    /** Two masks of APIC ids, one after the other from {@code lowest}; the mode of the interrupt as in ICR. */
    private static long sendIpi(VcpuRun run, long maskLow, long maskHigh, int lowest, long icr, boolean wide) {
        if ((icr & ICR_LOGICAL_OR_SHORTHAND) != 0) {
            return EINVAL;
        }
        if (!run.vcpu.apic.inKernel()) {
            return EOPNOTSUPP;
        }
        ApicBus bus = run.vm.irqchip().bus();
        return bus.sendToMask(maskLow, lowest, (int) icr)
                + bus.sendToMask(maskHigh, lowest + (wide ? 64 : 32), (int) icr);
    }

    private static int toClient(VcpuRun run, long nr, long a0, long a1, long a2, boolean wide) {
        VcpuExit exit = run.exit;
        exit.reason = VcpuExit.HYPERCALL;
        exit.hypercallNr = nr;
        exit.hypercallArgs[0] = a0;
        exit.hypercallArgs[1] = a1;
        exit.hypercallArgs[2] = a2;
        exit.hypercallLongmode = wide;
        run.completion = Completion.HYPERCALL;
        return Outcome.EXIT;
    }

    /** The other vendor's instruction: undefined on silicon; KVM writes the right one over it, unless that quirk is off. */
    private static int foreign(VcpuRun run, Cpu cpu, boolean vmmcall) {
        // KVM's emulator looks at what silicon calls undefined.
        run.stats.add(VcpuStats.INSN_EMULATION);
        if (!run.settings.hasQuirk(Quirk.FIX_HYPERCALL_INSN)) {
            run.events.queue(GuestFault.UD);
            return Outcome.RESUME;
        }
        return run.patchHypercall(cpu, vmmcall ? 0xc1 : 0xd9);
    }
}
