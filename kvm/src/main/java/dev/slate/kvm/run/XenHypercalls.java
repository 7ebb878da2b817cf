package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.MpState;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.state.Translation;
import dev.slate.kvm.tracepoint.Tracepoints;
import dev.slate.kvm.xen.XenVcpu;

/** Xen's hypercalls (xen/include/public): the few that are done here; the rest is the client's ({@code KVM_EXIT_XEN}). */
final class XenHypercalls {
    private static final long SET_TIMER_OP = 15;
    private static final long XEN_VERSION = 17;
    private static final long VCPU_OP = 24;
    private static final long SCHED_OP = 29;
    private static final long EVENT_CHANNEL_OP = 32;

    private static final int XENVER_VERSION = 0;
    private static final int SCHEDOP_YIELD = 0;
    private static final int SCHEDOP_POLL = 3;
    private static final int EVTCHNOP_SEND = 4;
    private static final int SET_SINGLESHOT_TIMER = 8;
    private static final int STOP_SINGLESHOT_TIMER = 9;
    /** VCPU_SSHOTTMR_future: an error if the time is over. */
    private static final int FUTURE = 1;

    private static final long EFAULT = -14;
    private static final long EINVAL = -22;
    private static final long ETIME = -62;

    /** No result: the client answers. */
    private static final long CLIENTS = Long.MIN_VALUE;
    /** No result yet: it is 0 once the wait is over. */
    private static final long WAITS = Long.MIN_VALUE + 1;

    /** Xen takes no more ports to poll. */
    private static final int MAX_PORTS = 128;

    private static final int POLL_BYTES = 24;
    private static final long FAR_NANOS = 1L << 50;
    private static final long SOON_NANOS = 100_000_000;

    private XenHypercalls() {}

    static int handle(VcpuRun run, Cpu cpu) {
        CpuState s = run.s;
        boolean wide = s.mode64();
        VcpuExit exit = run.exit;
        long[] p = exit.xenParams;
        long input = s.gpr[CpuState.RAX];
        if (wide) {
            p[0] = s.gpr[CpuState.RDI];
            p[1] = s.gpr[CpuState.RSI];
            p[2] = s.gpr[CpuState.RDX];
            p[3] = s.gpr[10];
            p[4] = s.gpr[8];
            p[5] = s.gpr[9];
        } else {
            p[0] = s.gpr[CpuState.RBX] & 0xffff_ffffL;
            p[1] = s.gpr[CpuState.RCX] & 0xffff_ffffL;
            p[2] = s.gpr[CpuState.RDX] & 0xffff_ffffL;
            p[3] = s.gpr[CpuState.RSI] & 0xffff_ffffL;
            p[4] = s.gpr[CpuState.RDI] & 0xffff_ffffL;
            p[5] = s.gpr[CpuState.RBP] & 0xffff_ffffL;
        }
        if (Tracepoints.ON) {
            Tracepoints.xenHypercall(input, p);
        }
        long result = s.cpl == 0 ? call(run, input, p, wide) : CLIENTS;
        if (result == CLIENTS) {
            exit.reason = VcpuExit.XEN;
            exit.xenLongmode = wide;
            exit.xenCpl = s.cpl;
            exit.xenInput = input;
            exit.xenResult = 0;
            run.hypercallRip = s.segBase[CpuState.CS] + s.rip;
            run.completion = Completion.XEN_HYPERCALL;
            return Outcome.EXIT;
        }
        if (result == WAITS) {
            run.mode.mpState = MpState.HALTED;
            result = 0;
        }
        return complete(run, cpu, result);
    }

    static int complete(VcpuRun run, Cpu cpu, long result) {
        run.s.gpr[CpuState.RAX] = result;
        return run.skip(cpu.exit.nextRip);
    }

    private static long call(VcpuRun run, long input, long[] p, boolean wide) {
        XenVcpu xen = run.vcpu.xen;
        if (input == XEN_VERSION) {
            int version = xen.domain().version();
            return p[0] == XENVER_VERSION && version != 0 ? version & 0xffff_ffffL : CLIENTS;
        }
        if (input == EVENT_CHANNEL_OP) {
            return p[0] == EVTCHNOP_SEND ? send(run, p[1]) : CLIENTS;
        }
        if (input == SCHED_OP) {
            int command = (int) p[0];
            if (command == SCHEDOP_POLL && xen.pollsHere()) {
                return poll(run, p[1]);
            }
            if (command == SCHEDOP_POLL || command == SCHEDOP_YIELD) {
                Thread.yield();
                return 0;
            }
            return CLIENTS;
        }
        if (input == VCPU_OP) {
            return xen.hasTimer() ? vcpuOp(run, (int) p[0], (int) p[1], p[2], wide) : CLIENTS;
        }
        if (input == SET_TIMER_OP) {
            return xen.hasTimer() ? setTimer(xen, wide ? p[0] : p[0] | p[1] << 32) : CLIENTS;
        }
        return CLIENTS;
    }

    /** What lies at a linear address of the guest, in one piece; false: nowhere. */
    private static boolean read(VcpuRun run, long la, byte[] to, int bytes) {
        long gpa = new Translation(run.s, run.vcpu.mmu, run.vcpu.cpuid.maxPhysicalAddress()).of(la);
        return gpa != Translation.NOWHERE && run.vcpu.mmu.read(gpa, to, 0, bytes);
    }

    private static long send(VcpuRun run, long la) {
        byte[] b = new byte[4];
        if (!read(run, la, b, 4)) {
            return EFAULT;
        }
        return run.vcpu.xen.domain().sent(LittleEndian.getInt(b, 0)) ? 0 : CLIENTS;
    }

    /** struct sched_poll: where the ports are, how many, and a timeout. */
    private static long poll(VcpuRun run, long la) {
        byte[] b = new byte[POLL_BYTES];
        if (!read(run, la, b, POLL_BYTES)) {
            return EFAULT;
        }
        int count = LittleEndian.getInt(b, 8);
        if (Integer.compareUnsigned(count, MAX_PORTS) > 0) {
            return EINVAL;
        }
        int[] ports = new int[count];
        long at = LittleEndian.getLong(b, 0);
        long timeout = LittleEndian.getLong(b, 16);
        XenVcpu xen = run.vcpu.xen;
        for (int i = 0; i < count; i++) {
            if (!read(run, at + 4L * i, b, 4)) {
                return EFAULT;
            }
            ports[i] = LittleEndian.getInt(b, 0);
            if (!xen.isPort(ports[i])) {
                return EINVAL;
            }
        }
        return xen.poll(ports, count, timeout) ? WAITS : 0;
    }

    private static long vcpuOp(VcpuRun run, int command, int vcpuId, long la, boolean wide) {
        XenVcpu xen = run.vcpu.xen;
        if (command != SET_SINGLESHOT_TIMER && command != STOP_SINGLESHOT_TIMER) {
            return CLIENTS;
        }
        if (vcpuId != xen.xenId()) {
            return EINVAL;
        }
        if (command == STOP_SINGLESHOT_TIMER) {
            xen.stopTimer();
            return 0;
        }
        byte[] b = new byte[16];
        // With what pads the structure of a 64-bit guest.
        if (!read(run, la, b, wide ? 16 : 12)) {
            return EFAULT;
        }
        long at = LittleEndian.getLong(b, 0);
        long left = at - xen.now();
        if ((LittleEndian.getInt(b, 8) & FUTURE) != 0 && left < 0) {
            return ETIME;
        }
        xen.startTimer(at, left);
        return 0;
    }

    /** As Xen: a time that can only be an overflow of the guest's becomes a near one. */
    private static long setTimer(XenVcpu xen, long at) {
        if (at == 0) {
            xen.stopTimer();
            return 0;
        }
        long now = xen.now();
        long left = at - now;
        if (at < 0 || left >= FAR_NANOS) {
            left = SOON_NANOS;
            at = now + left;
        }
        xen.startTimer(at, left);
        return 0;
    }
}
