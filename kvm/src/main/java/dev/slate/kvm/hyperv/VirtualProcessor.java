package dev.slate.kvm.hyperv;

import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.SyntheticSources;
import dev.slate.kvm.irqchip.Timers;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.pv.PvEoi;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * What of Hyper-V belongs to one vCPU: its index, its assist page, its access to the APIC by MSRs, its SynIC and its timers.
 *
 * <p>Guarded by the vCPU's mutex, except what says otherwise. Lock order: the mutex, then the partition's lock.
 */
public final class VirtualProcessor implements SynIc.Listener {
    private static final int TIMERS = 4;
    private static final long ASSIST_ENABLED = 1;
    private static final long FRAME = ~0xfffL;
    private static final byte[] ZEROS = new byte[4];

    /** One count of the APIC's timer is a nanosecond. */
    private static final long APIC_HERTZ = 1_000_000_000L;

    // APIC registers, as numbers of 16-byte steps.
    private static final int APIC_TPR = 8;
    private static final int APIC_EOI = 0xb;
    private static final int APIC_ICR = 0x30;

    private final int vcpuId;
    private final Partition partition;
    private final HostServices host;
    private final GuestMode mode;
    private final VcpuTsc tsc;
    private final @Nullable LocalApic apic;
    private final PvEoi pvEoi;
    private final VcpuMmu mmu;
    private final HvCpuid cpuid = new HvCpuid();
    private final SynIc synIc;
    private final SyntheticTimer[] timers = new SyntheticTimer[TIMERS];
    private final AtomicInteger dueTimers = new AtomicInteger();
    private final HvHypercalls hypercalls;

    /** In the order of the partition's vCPUs; at first {@link #index} is the same. */
    private int number;

    private volatile int index;
    private long assistPage;
    /** What VP_RUNTIME is ahead of the thread's processor time, in units of 100 ns. */
    private long runtimeOffset;

    // What the client is to hear: as in struct kvm_hyperv_exit, from the union on.
    private int exitType;
    private final long[] exitData = new long[VcpuExit.HYPERV_WORDS];

    /** The answer of a read. */
    public long value;

    public VirtualProcessor(
            int vcpuId,
            Partition partition,
            HostServices host,
            GuestMode mode,
            VcpuTsc tsc,
            @Nullable LocalApic apic,
            PvEoi pvEoi,
            VcpuMmu mmu,
            Timers timers) {
        this.vcpuId = vcpuId;
        this.partition = partition;
        this.host = host;
        this.mode = mode;
        this.tsc = tsc;
        this.apic = apic;
        this.pvEoi = pvEoi;
        this.mmu = mmu;
        this.synIc = new SynIc(vcpuId, mmu, apic, this);
        for (int i = 0; i < TIMERS; i++) {
            this.timers[i] = new SyntheticTimer(i, this, timers);
        }
        this.hypercalls = new HvHypercalls(partition, this);
    }

    /** It is the partition's {@code number}-th. */
    void numbered(int number) {
        this.number = number;
        index = number;
    }

    int number() {
        return number;
    }

    /** VP_INDEX. From any thread. */
    int index() {
        return index;
    }

    int vcpuId() {
        return vcpuId;
    }

    GuestMode mode() {
        return mode;
    }

    VcpuTsc tsc() {
        return tsc;
    }

    VcpuMmu mmu() {
        return mmu;
    }

    @Nullable
    LocalApic apic() {
        return apic;
    }

    HvCpuid cpuid() {
        return cpuid;
    }

    SynIc synIc() {
        return synIc;
    }

    /** What the local APIC asks about its vectors. */
    public SyntheticSources.Vectors vectors() {
        return synIc;
    }

    /** The guest's hypercalls. */
    public HvHypercalls hypercalls() {
        return hypercalls;
    }

    /** The vCPU has a new CPUID. */
    public void cpuidSet(CpuidTable table) {
        cpuid.set(table);
    }

    /** {@code KVM_CAP_HYPERV_ENFORCE_CPUID}. */
    public void enforceCpuid(boolean on) {
        cpuid.enforced = on;
    }

    /** {@code KVM_CAP_HYPERV_SYNIC} and {@code SYNIC2}; the caller has seen to it that there is a local APIC. */
    public void activateSynIc(boolean keepsPages) {
        synIc.activate(keepsPages);
    }

    /** Whether a hypercall of the guest is one to Hyper-V. */
    public boolean takesHypercalls() {
        return cpuid.enabled() && partition.guestOsId() != 0;
    }

    // ------------------------------------------------------------------ MSRs

    /** Reads an MSR for which {@link HvMsr#holds} into {@link #value}; false: refused. */
    public boolean read(int msr, boolean fromClient) {
        if (!fromClient && (!cpuid.enabled() || !cpuid.opens(msr))) {
            return false;
        }
        if (HvMsr.partitionWide(msr)) {
            return partition.read(this, msr, fromClient);
        }
        switch (msr) {
            case HvMsr.VP_INDEX -> value = index;
            case HvMsr.VP_RUNTIME -> value = processorTime() + runtimeOffset;
            case HvMsr.TSC_FREQUENCY -> value = tsc.khz() * 1000L;
            case HvMsr.APIC_FREQUENCY -> value = APIC_HERTZ;
            case HvMsr.EOI, HvMsr.ICR, HvMsr.TPR -> {
                LocalApic a = apic;
                if (a == null || !a.canRead(apicRegister(msr))) {
                    return false;
                }
                value = a.readWide(apicRegister(msr));
            }
            case HvMsr.VP_ASSIST_PAGE -> value = assistPage;
            default -> {
                if (msr >= HvMsr.STIMER0_CONFIG && msr <= HvMsr.STIMER3_COUNT) {
                    SyntheticTimer t = timers[(msr - HvMsr.STIMER0_CONFIG) / 2];
                    value = (msr & 1) == 0 ? t.config() : t.count();
                    return true;
                }
                if (!isSynIc(msr) || !synIc.active() && !fromClient) {
                    return false;
                }
                value = synIc.read(msr);
            }
        }
        return true;
    }

    /** Writes such an MSR; false: refused. */
    public boolean write(int msr, long v, boolean fromClient) {
        if (!fromClient && (!cpuid.enabled() || !cpuid.opens(msr))) {
            return false;
        }
        if (HvMsr.partitionWide(msr)) {
            return partition.write(this, msr, v, fromClient);
        }
        switch (msr) {
            case HvMsr.VP_INDEX -> {
                int wanted = (int) v;
                if (!fromClient || Integer.compareUnsigned(wanted, Partition.MAX_VPS) >= 0) {
                    return false;
                }
                index = wanted;
            }
            case HvMsr.VP_RUNTIME -> {
                if (!fromClient) {
                    return false;
                }
                runtimeOffset = v - processorTime();
            }
            case HvMsr.TSC_FREQUENCY, HvMsr.APIC_FREQUENCY -> {
                // Read only; what a client restores is dropped.
                return fromClient;
            }
            case HvMsr.EOI, HvMsr.ICR, HvMsr.TPR -> {
                LocalApic a = apic;
                return a != null && a.writeWide(apicRegister(msr), v);
            }
            case HvMsr.VP_ASSIST_PAGE -> {
                return writeAssistPage(v);
            }
            default -> {
                return writeSynIcOrTimer(msr, v, fromClient);
            }
        }
        return true;
    }

    private boolean writeSynIcOrTimer(int msr, long v, boolean fromClient) {
        boolean timer = msr >= HvMsr.STIMER0_CONFIG && msr <= HvMsr.STIMER3_COUNT;
        if (!timer && !isSynIc(msr) || !synIc.active() && (!fromClient || v != 0)) {
            return false;
        }
        if (timer) {
            SyntheticTimer t = timers[(msr - HvMsr.STIMER0_CONFIG) / 2];
            if ((msr & 1) != 0) {
                t.writeCount(v, fromClient);
            } else if (!fromClient && (v & 1 << 12) != 0 && !cpuid.hasDirectTimers()) {
                return false;
            } else {
                t.writeConfig(v, fromClient);
            }
            return true;
        }
        if (!synIc.write(msr, v, fromClient)) {
            return false;
        }
        if (!fromClient && (msr == HvMsr.SCONTROL || msr == HvMsr.SIEFP || msr == HvMsr.SIMP)) {
            exitType = VcpuExit.HYPERV_SYNIC;
            exitData[0] = msr & 0xffff_ffffL;
            exitData[1] = synIc.control();
            exitData[2] = synIc.eventPage();
            exitData[3] = synIc.messagePage();
            mode.request(Request.HV_EXIT);
        }
        return true;
    }

    private static boolean isSynIc(int msr) {
        return msr >= HvMsr.SCONTROL && msr <= HvMsr.EOM || msr >= HvMsr.SINT0 && msr <= HvMsr.SINT15;
    }

    private static int apicRegister(int msr) {
        return switch (msr) {
            case HvMsr.EOI -> APIC_EOI;
            case HvMsr.ICR -> APIC_ICR;
            default -> APIC_TPR;
        };
    }

    /** The page's first word is the bit by which the guest ends interrupts; the rest may hold what is worth keeping. */
    private boolean writeAssistPage(long v) {
        if ((v & ASSIST_ENABLED) == 0) {
            assistPage = v;
            return pvEoi.write(0);
        }
        if (!mmu.write(v & FRAME, ZEROS, 0, 4)) {
            return false;
        }
        assistPage = v;
        return pvEoi.write(v & FRAME | ASSIST_ENABLED);
    }

    private long processorTime() {
        return host.processorTimeNanos() / 100;
    }

    // ------------------------------------------------------------------ what the client is to hear

    /** The debugger's registers go to the client. */
    void exitForDebugger(int msr, SyntheticDebugger d) {
        exitType = VcpuExit.HYPERV_SYNDBG;
        exitData[0] = msr & 0xffff_ffffL;
        exitData[1] = d.control;
        exitData[2] = d.status;
        exitData[3] = d.sendPage;
        exitData[4] = d.receivePage;
        exitData[5] = d.pendingPage;
        mode.request(Request.HV_EXIT);
    }

    /** {@link Request#HV_EXIT} is served. */
    public void fillExit(VcpuExit exit) {
        exit.reason = VcpuExit.HYPERV;
        exit.hypervType = exitType;
        System.arraycopy(exitData, 0, exit.hypervData, 0, exitData.length);
    }

    /** The client has answered an exit of the debugger's. @param status as it stands in the run area */
    public void debuggerAnswered(long status) {
        if (exitType == VcpuExit.HYPERV_SYNDBG && (int) exitData[0] == HvMsr.SYNDBG_CONTROL) {
            partition.setDebuggerStatus(status);
        }
    }

    // ------------------------------------------------------------------ time

    /** {@link Request#CLOCK_UPDATE} is served: the reference TSC page follows. */
    public void clockUpdated() {
        partition.updateReferenceTsc(tsc, mmu);
    }

    long referenceTime() {
        return partition.referenceTime();
    }

    /** A timer has something to do. From any thread. @param wakes out of HLT or the guest */
    void timerDue(int timer, boolean wakes) {
        dueTimers.accumulateAndGet(1 << timer, (bits, bit) -> bits | bit);
        mode.request(Request.HV_STIMER);
        if (wakes) {
            mode.kick();
        }
    }

    void timerNotDue(int timer) {
        dueTimers.accumulateAndGet(1 << timer, (bits, bit) -> bits & ~bit);
    }

    /** {@link Request#HV_STIMER} is served. */
    public void processTimers() {
        // A one-shot timer whose time is over when it is set is due again at once; each then waits or is off.
        for (int due = dueTimers.getAndSet(0); due != 0; due = dueTimers.getAndSet(0)) {
            for (int rest = due; rest != 0; rest &= rest - 1) {
                timers[Integer.numberOfTrailingZeros(rest)].process();
            }
        }
    }

    /** A timer's own vector. */
    boolean interrupt(int vector) {
        LocalApic a = apic;
        return a == null || a.request(vector);
    }

    @Override
    public void sourceEnded(int source, int gsi) {
        if (Tracepoints.ON) {
            HyperVTracepoints.notifyAckedSint(vcpuId, source);
        }
        for (SyntheticTimer t : timers) {
            t.sourceEnded(source);
        }
        if (gsi >= 0) {
            partition.gsiEnded(gsi);
        }
    }

    /** The vCPU is gone. */
    public void close() {
        for (SyntheticTimer t : timers) {
            t.stop();
        }
    }
}
