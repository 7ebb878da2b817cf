package dev.slate.kvm.hyperv;

import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.SyntheticSources;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What of Hyper-V all virtual processors of a VM have together.
 *
 * <p>Thread-safe. Its lock guards the MSRs and is taken inside a vCPU's mutex; under it guest memory is written, no other lock is taken.
 */
public final class Partition implements SyntheticSources.Targets {
    /** VP indices are below this. */
    static final int MAX_VPS = 1024;

    private static final long HYPERCALL_ENABLED = 1;
    private static final long FRAME = ~0xfffL;
    private static final long CRASH_NOTIFY = 1L << 63;

    private final GuestModes modes;
    private final Irqchip irqchip;
    private final VmSettings settings;
    private final boolean intel;
    private final ReferenceTsc referenceTsc;
    private final SyntheticDebugger debugger = new SyntheticDebugger();
    private final EventConnections connections = new EventConnections();
    private final long[] crash = new long[HvMsr.CRASH_P4 - HvMsr.CRASH_P0 + 1];

    private volatile VirtualProcessor[] vps = {};
    private volatile long guestOsId;
    private long hypercall;
    private long crashControl;
    private long reenlightenment;
    private long emulationStatus;

    /** @param intel whether the processors are Intel's: VMCALL is the instruction */
    public Partition(VmClock clock, GuestModes modes, Irqchip irqchip, VmSettings settings, boolean intel) {
        this.modes = modes;
        this.irqchip = irqchip;
        this.settings = settings;
        this.intel = intel;
        this.referenceTsc = new ReferenceTsc(clock);
        irqchip.sendSyntheticTo(this);
    }

    /** A vCPU's part; it gets the next number. */
    public synchronized void add(VirtualProcessor vp) {
        VirtualProcessor[] all = vps;
        vp.numbered(all.length);
        VirtualProcessor[] next = Arrays.copyOf(all, all.length + 1);
        next[all.length] = vp;
        vps = next;
    }

    long guestOsId() {
        return guestOsId;
    }

    EventConnections connections() {
        return connections;
    }

    /** {@code KVM_HYPERV_EVENTFD}. @param counter kept @throws dev.slate.kvm.KvmException EEXIST */
    public void connect(int connection, EventFd counter) {
        connections.assign(connection, counter);
    }

    /** Takes back a connection. @throws dev.slate.kvm.KvmException ENOENT */
    public void disconnect(int connection) {
        connections.deassign(connection);
    }

    // ------------------------------------------------------------------ MSRs

    synchronized boolean read(VirtualProcessor vp, int msr, boolean fromClient) {
        vp.value = switch (msr) {
            case HvMsr.GUEST_OS_ID -> guestOsId;
            case HvMsr.HYPERCALL -> hypercall;
            case HvMsr.TIME_REF_COUNT -> referenceTime();
            case HvMsr.REFERENCE_TSC -> referenceTsc.msr();
            case HvMsr.RESET -> 0;
            case HvMsr.CRASH_CTL -> crashControl;
            case HvMsr.REENLIGHTENMENT_CONTROL -> reenlightenment;
            case HvMsr.TSC_EMULATION_CONTROL -> referenceTsc.emulationControl();
            case HvMsr.TSC_EMULATION_STATUS -> emulationStatus;
            default ->
                msr >= HvMsr.CRASH_P0 && msr <= HvMsr.CRASH_P4 ? crash[msr - HvMsr.CRASH_P0] : debugger.read(msr);
        };
        if (!isDebugger(msr)) {
            return true;
        }
        if (!fromClient && !vp.cpuid().syntheticDebugger()) {
            return false;
        }
        if (Tracepoints.ON) {
            HyperVTracepoints.syndbgGetMsr(vp.vcpuId(), vp.index(), msr, vp.value);
        }
        return true;
    }

    synchronized boolean write(VirtualProcessor vp, int msr, long v, boolean fromClient) {
        switch (msr) {
            case HvMsr.GUEST_OS_ID -> {
                guestOsId = v;
                if (v == 0) {
                    hypercall &= ~HYPERCALL_ENABLED;
                }
            }
            case HvMsr.HYPERCALL -> {
                return writeHypercall(vp, v);
            }
            case HvMsr.REFERENCE_TSC -> {
                if (referenceTsc.write(v, fromClient)) {
                    vp.mode().request(Request.CLOCK_UPDATE);
                }
            }
            case HvMsr.TIME_REF_COUNT -> {
                return fromClient;
            }
            case HvMsr.RESET -> {
                if (v == 1) {
                    vp.mode().request(Request.HV_RESET);
                }
            }
            case HvMsr.CRASH_CTL -> {
                if (fromClient) {
                    crashControl = v & CRASH_NOTIFY;
                } else if ((v & CRASH_NOTIFY) != 0) {
                    vp.mode().request(Request.HV_CRASH);
                }
            }
            case HvMsr.REENLIGHTENMENT_CONTROL -> reenlightenment = v;
            case HvMsr.TSC_EMULATION_CONTROL -> referenceTsc.writeEmulationControl(v);
            case HvMsr.TSC_EMULATION_STATUS -> {
                if (v != 0 && !fromClient) {
                    return false;
                }
                emulationStatus = v;
            }
            default -> {
                if (!isDebugger(msr)) {
                    crash[msr - HvMsr.CRASH_P0] = v;
                    return true;
                }
                if (!fromClient && !vp.cpuid().syntheticDebugger()) {
                    return false;
                }
                if (Tracepoints.ON) {
                    HyperVTracepoints.syndbgSetMsr(vp.vcpuId(), vp.index(), msr, v);
                }
                if (debugger.write(msr, v) && !fromClient) {
                    vp.exitForDebugger(msr, debugger);
                }
            }
        }
        return true;
    }

    private static boolean isDebugger(int msr) {
        return msr >= HvMsr.SYNDBG_CONTROL && msr <= HvMsr.SYNDBG_OPTIONS;
    }

    /** The page gets the instruction that makes a hypercall, and RET. Without a guest's identity the MSR stays as it is. */
    private boolean writeHypercall(VirtualProcessor vp, long v) {
        if (guestOsId == 0) {
            return true;
        }
        if ((v & HYPERCALL_ENABLED) != 0) {
            byte vendor = (byte) (intel ? 0xc1 : 0xd9);
            // Where Xen's hypercalls are on, too, bit 31 of EAX tells them apart, as Xen itself has it: OR EAX,
            // 8000_0000h.
            byte[] code = settings.xenHypercalls
                    ? new byte[] {0x0d, 0, 0, 0, (byte) 0x80, 0x0f, 0x01, vendor, (byte) 0xc3}
                    : new byte[] {0x0f, 0x01, vendor, (byte) 0xc3};
            if (!vp.mmu().write(v & FRAME, code, 0, code.length)) {
                return false;
            }
        }
        hypercall = v;
        return true;
    }

    boolean debuggerUsesHypercalls() {
        synchronized (this) {
            return debugger.usesHypercalls();
        }
    }

    synchronized void setDebuggerStatus(long status) {
        debugger.status = status;
    }

    // ------------------------------------------------------------------ time

    long referenceTime() {
        return referenceTsc.now(vps[0].tsc());
    }

    synchronized void updateReferenceTsc(VcpuTsc tsc, VcpuMmu mmu) {
        referenceTsc.update(tsc, mmu);
    }

    /** The VM's clock, or a vCPU's TSC, was set by the client. The caller posts {@link Request#CLOCK_UPDATE}. */
    public synchronized void clockChanged() {
        referenceTsc.clockChanged();
    }

    // ------------------------------------------------------------------ interrupts and flushes

    @Override
    public int raiseSource(int vpIndex, int source) {
        VirtualProcessor vp = byIndex(vpIndex);
        return vp == null ? -1 : vp.synIc().raise(source);
    }

    @Override
    public void sourceRouted(int vpIndex, int source, int gsi) {
        VirtualProcessor vp = byIndex(vpIndex);
        if (vp != null) {
            vp.synIc().route(source, gsi);
        }
    }

    private @Nullable VirtualProcessor byIndex(int vpIndex) {
        for (VirtualProcessor vp : vps) {
            if (vp.index() == vpIndex) {
                return vp;
            }
        }
        return null;
    }

    void gsiEnded(int gsi) {
        irqchip.gsiEnded(gsi);
    }

    /** A vector to every virtual processor of a set. */
    void sendIpi(int vector, VpSet to) {
        for (VirtualProcessor vp : vps) {
            LocalApic a = vp.apic();
            if (a != null && to.holds(vp.index())) {
                a.request(vector);
            }
        }
    }

    /** The virtual processors of a set forget their translations; returns when none can use an old one any more. */
    void flush(VpSet of) {
        VirtualProcessor[] all = vps;
        for (VirtualProcessor vp : all) {
            if (of.holds(vp.index())) {
                vp.mode().request(Request.TLB_FLUSH_GUEST);
                // One that is about to enter has to come out again, too.
                vp.mode().kick();
            }
        }
        for (VirtualProcessor vp : all) {
            if (of.holds(vp.index())) {
                GuestMode m = vp.mode();
                // Taken after the request was posted: a vCPU that entered later has seen it.
                long token = m.token();
                if (token != 0 && m.test(Request.TLB_FLUSH_GUEST)) {
                    modes.awaitLeaving(m, token);
                }
            }
        }
    }

    /** The VM is gone. */
    public void close() {
        connections.close();
    }
}
