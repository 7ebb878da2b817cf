package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.kvm.tracepoint.Tracepoints;

/** kvm_exit with AMD's exit codes (APM 2 appendix C). */
final class ExitTrace {
    /** A nested page fault, which an access to MMIO is, too; KVM puts it among an internal error's data. */
    static final int NESTED_PAGE_FAULT = 0x400;

    private ExitTrace() {}

    /** @param calls has the last nested page fault */
    static void exit(int vcpuId, CpuState s, Cpu cpu, int code, VcpuProcessor calls) {
        long info1 = 0;
        long info2 = 0;
        int reason;
        switch (code) {
            case CpuExit.INTR -> reason = 0x60;
            case CpuExit.NPF, CpuExit.MMIO, CpuExit.STOPPED, CpuExit.NONE -> {
                reason = NESTED_PAGE_FAULT;
                info1 = calls.tracedError;
                info2 = calls.tracedGpa;
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
            case CpuExit.RDPMC -> reason = SvmExit.RDPMC;
            case CpuExit.XSETBV -> reason = 0x8d;
            case CpuExit.CR8_WRITE -> reason = 0x18;
            case CpuExit.RSM -> reason = 0x73;
            case CpuExit.INVD -> reason = 0x76;
            case CpuExit.NMI_WINDOW -> reason = 0x74;
            case CpuExit.INTERCEPT, CpuExit.SVM -> {
                reason = cpu.exit.code;
                info1 = cpu.exit.info;
                info2 = cpu.exit.info2;
            }
            default -> reason = -1;
        }
        Tracepoints.exit(vcpuId, reason, s.rip, info1, info2);
    }
}
