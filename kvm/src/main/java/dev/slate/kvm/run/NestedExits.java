package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.kvm.nested.NestedSvm;

/** Exits of a guest's guest that are its hypervisor's and not ours; and the instructions by which a hypervisor runs it. */
final class NestedExits {
    private static final long DR6_BS = 1 << 14;

    private NestedExits() {}

    /** Whether the exit went to the guest's hypervisor, which goes on then. */
    static boolean reflect(VcpuRun run, Cpu cpu, int code) {
        NestedSvm nested = run.vcpu.nested;
        long next = cpu.exit.nextRip;
        switch (code) {
            case CpuExit.INTERCEPT -> {
                int exit = cpu.exit.code;
                boolean instruction = exit < SvmExit.EXCEPTION && exit >= 0
                        || exit >= SvmExit.CR0_SEL_WRITE
                        || exit == SvmExit.EXCEPTION + GuestFault.BP
                        || exit == SvmExit.EXCEPTION + GuestFault.OF;
                return leave(run, cpu, exit, cpu.exit.info, cpu.exit.info2, instruction ? next : 0, cpu.exit.event);
            }
            case CpuExit.NPF -> {
                VcpuProcessor p = run.processor;
                return p.leftForHypervisor()
                        && leave(run, cpu, SvmExit.NPF, p.faultError(), p.faultGpa(), 0, cpu.exit.event);
            }
            case CpuExit.IOIO -> {
                return nested.wantsPorts(cpu.io.port, cpu.io.size)
                        && leave(run, cpu, SvmExit.IOIO, ports(cpu), next, next, 0);
            }
            case CpuExit.MSR -> {
                boolean write = cpu.exit.info == 1;
                return nested.wantsMsr((int) run.s.gpr[CpuState.RCX], write)
                        && leave(run, cpu, SvmExit.MSR, write ? 1 : 0, 0, next, 0);
            }
            case CpuExit.VMMCALL -> {
                // To AMD's processors VMCALL is undefined.
                boolean own = cpu.exit.info == 1;
                return own
                        ? simple(run, cpu, SvmExit.VMMCALL, next)
                        : simple(run, cpu, SvmExit.EXCEPTION + GuestFault.UD, 0);
            }
            case CpuExit.CPUID -> {
                return simple(run, cpu, SvmExit.CPUID, next);
            }
            case CpuExit.HLT -> {
                return simple(run, cpu, SvmExit.HLT, next);
            }
            case CpuExit.SHUTDOWN -> {
                return simple(run, cpu, SvmExit.SHUTDOWN, 0);
            }
            case CpuExit.MONITOR_MWAIT -> {
                return cpu.exit.info == 0
                        ? simple(run, cpu, SvmExit.MONITOR, next)
                        : simple(run, cpu, SvmExit.MWAIT, next) || simple(run, cpu, SvmExit.MWAIT_ARMED, next);
            }
            case CpuExit.XSETBV -> {
                return simple(run, cpu, SvmExit.XSETBV, next);
            }
            case CpuExit.RSM -> {
                return simple(run, cpu, SvmExit.RSM, next);
            }
            case CpuExit.INVD -> {
                return simple(run, cpu, SvmExit.INVD, next);
            }
            default -> {
                return false;
            }
        }
    }

    private static boolean simple(VcpuRun run, Cpu cpu, int exit, long nextRip) {
        return run.vcpu.nested.wants(exit) && leave(run, cpu, exit, 0, 0, nextRip, 0);
    }

    /** EXITINFO1 of a port access (APM 2 15.10.2). */
    private static long ports(Cpu cpu) {
        long info = (long) cpu.io.port << 16 | (long) cpu.io.size << 4 | (cpu.io.in ? 1 : 0);
        if (cpu.io.string) {
            info |= 4 | (cpu.io.rep ? 8 : 0) | 1L << 6 + cpu.io.addressSize | (long) cpu.io.segment << 10;
        }
        return info;
    }

    /** To the hypervisor. True, for its callers. */
    static boolean leave(VcpuRun run, Cpu cpu, int exit, long info1, long info2, long nextRip, long event) {
        long rcx = run.s.gpr[CpuState.RCX];
        run.vcpu.nested.exit(exit, info1, info2, nextRip, event);
        if (run.observer != null) {
            run.observer.nestedLeft(exit, info1, rcx);
        }
        cpu.debug.pending = 0;
        if ((run.s.flagsSystem & CpuState.TF) != 0) {
            // The hypervisor single-steps over its VMRUN.
            cpu.debug.pending = DR6_BS;
            run.events.trapsVoid = false;
        }
        return true;
    }

    /** VMRUN and its like, with EFER.SVME set and at privilege 0. */
    static int instruction(VcpuRun run, Cpu cpu) {
        NestedSvm nested = run.vcpu.nested;
        long gpa = cpu.exit.info;
        long next = cpu.exit.nextRip;
        boolean done;
        switch (cpu.exit.code) {
            case SvmExit.VMRUN -> {
                if (run.vcpu.smm.active()) {
                    return fault(run, GuestFault.UD);
                }
                // As KVM's, whose hypervisors keep something there.
                if (run.vcpu.msrs.hostSaveArea() == 0 || !nested.run(gpa, next)) {
                    return fault(run, GuestFault.GP);
                }
                if (nested.active()) {
                    cpu.debug.pending = 0;
                    if (run.observer != null) {
                        run.observer.nestedEntered();
                    }
                } else if ((run.s.flagsSystem & CpuState.TF) != 0) {
                    cpu.debug.pending = DR6_BS;
                    run.events.trapsVoid = false;
                }
                return Outcome.RESUME;
            }
            case SvmExit.VMLOAD -> {
                done = nested.load(gpa);
                cpu.modeChanged();
            }
            case SvmExit.VMSAVE -> done = nested.save(gpa);
            case SvmExit.STGI, SvmExit.CLGI -> {
                nested.setGif(cpu.exit.code == SvmExit.STGI);
                done = true;
            }
            // Never offered.
            default -> {
                return fault(run, GuestFault.UD);
            }
        }
        return done ? run.skip(next) : fault(run, GuestFault.GP);
    }

    /**
     * VMLOAD, VMSAVE, STGI or CLGI in guest mode, without an exit: where nothing else comes of it.
     *
     * @return false: nothing has happened, and it takes an exit
     */
    static boolean inside(VcpuParts vcpu, int code, long gpa) {
        NestedSvm nested = vcpu.nested;
        if (nested.active()) {
            return false;
        }
        switch (code) {
            case SvmExit.STGI -> {
                if (vcpu.delivery.waitsForGif()) {
                    return false;
                }
                nested.setGif(true);
                return true;
            }
            case SvmExit.CLGI -> {
                nested.setGif(false);
                return true;
            }
            default -> {
                // The guest's memory is reached from outside guest mode.
                vcpu.mmu.leaveGuest();
                boolean done = code == SvmExit.VMLOAD ? nested.load(gpa) : nested.save(gpa);
                vcpu.mmu.enterGuest();
                return done;
            }
        }
    }

    private static int fault(VcpuRun run, int vector) {
        run.events.queue(vector, vector == GuestFault.GP, 0);
        return Outcome.RESUME;
    }
}
