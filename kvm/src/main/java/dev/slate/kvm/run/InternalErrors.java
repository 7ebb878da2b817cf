package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.GuestFault;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.stats.VcpuStats;

/** KVM_EXIT_INTERNAL_ERROR and KVM_EXIT_FAIL_ENTRY: what can't be done for a guest, with what the client needs to say what it was. */
final class InternalErrors {
    /** SVM_EXIT_ERR, -1, in the 32 bits that the VMCB has for it. */
    private static final long SVM_EXIT_ERR = 0xffff_ffffL;

    private InternalErrors() {}

    /** The state is one that VMRUN refuses; it stays as it is, and so do the events that wait. */
    static int entryFailed(VcpuRun run) {
        run.stats.add(VcpuStats.EXITS);
        run.exit.reason = VcpuExit.FAIL_ENTRY;
        run.exit.hardwareReason = SVM_EXIT_ERR;
        run.exit.failEntryCpu = run.vm.host().currentCpu();
        return Outcome.EXIT;
    }

    /**
     * An instruction that can't be emulated: #UD, and at privilege 0 KVM_EXIT_INTERNAL_ERROR with it.
     *
     * @param byteCount of {@code cpu.exit.bytes} that hold the instruction
     */
    static int emulationFailed(VcpuRun run, Cpu cpu, long reason, long info1, long info2, int byteCount) {
        run.stats.add(VcpuStats.INSN_EMULATION);
        run.stats.add(VcpuStats.INSN_EMULATION_FAIL);
        if (run.settings.exitOnEmulationFailure) {
            internalError(run.exit, cpu, reason, info1, info2, byteCount);
            return Outcome.EXIT;
        }
        run.events.queue(GuestFault.UD);
        if (run.s.cpl != 0 || run.vcpu.nested.active()) {
            return Outcome.RESUME;
        }
        internalError(run.exit, cpu, reason, info1, info2, byteCount);
        return Outcome.EXIT;
    }

    /** An instruction that Slate's processor lacks: the client gets its bytes whatever the privilege (docs/decisions/0022). */
    static int notImplemented(VcpuRun run, Cpu cpu) {
        run.stats.add(VcpuStats.INSN_EMULATION_FAIL);
        run.vm.missing().say(run.vcpu.id, run.s.rip, cpu.codeMode, cpu.exit.bytes, cpu.exit.byteCount);
        internalError(run.exit, cpu, 0, 0, 0, cpu.exit.byteCount);
        return Outcome.EXIT;
    }

    private static void internalError(VcpuExit exit, Cpu cpu, long reason, long info1, long info2, int byteCount) {
        exit.reason = VcpuExit.INTERNAL_ERROR;
        exit.internalSuberror = VcpuExit.INTERNAL_ERROR_EMULATION;
        long[] d = exit.internalData;
        d[0] = 0;
        int at = 1;
        if (byteCount > 0) {
            d[0] = VcpuExit.INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
            // The size, then 15 bytes, filled up with NOPs.
            long low = byteCount;
            long high = 0;
            for (int i = 0; i < 15; i++) {
                long b = i < byteCount ? cpu.exit.bytes[i] & 0xffL : 0x90;
                if (i < 7) {
                    low |= b << (i + 1) * 8;
                } else {
                    high |= b << (i - 7) * 8;
                }
            }
            d[1] = low;
            d[2] = high;
            at = 3;
        }
        d[at] = reason;
        d[at + 1] = info1;
        d[at + 2] = info2;
        d[at + 3] = 0;
        d[at + 4] = 0;
        exit.internalNdata = at + 5;
    }

    /** An event whose delivery itself needs something that only an instruction can wait for. */
    static int deliveryFailed(VcpuRun run, int code) {
        VcpuExit exit = run.exit;
        exit.reason = VcpuExit.INTERNAL_ERROR;
        exit.internalSuberror = VcpuExit.INTERNAL_ERROR_DELIVERY_EV;
        exit.internalData[0] = run.events.exceptionInjected ? run.events.exceptionVector : run.events.interruptVector;
        exit.internalData[1] = code;
        exit.internalNdata = 2;
        return Outcome.EXIT;
    }
}
