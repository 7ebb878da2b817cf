package dev.slate.kvm.pmu;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.Retirement;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.Timers;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.setting.VmSettings;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's performance counters (APM 2 13.2.1): four, or six with PerfCtrExtCore, each of 48 bits.
 *
 * <p>Of the events, retired instructions (C0h), branches (C2h), far transfers (C6h), near returns (C8h) and conditional branches (D1h) are
 * counted exactly, as family 17h's manual describes them, and cycles (76h) as ticks of the guest's time-stamp counter while it runs; a stay in
 * the guest counts for the privilege at which it ends. Any other event stays where it is. Unit masks, edges, inversion and thresholds are
 * not looked at, as KVM does not where it counts by itself.
 *
 * <p>Under the vCPU's mutex.
 */
public final class Pmu implements Retirement.Watch {
    private static final int CORE_COUNTERS = 6;
    private static final int OLD_COUNTERS = 4;

    private static final long COUNTER = (1L << 48) - 1;

    // Of an event select.
    private static final long RESERVED = 0xffff_fff0_0028_0000L;
    private static final long USER = 1 << 16;
    private static final long KERNEL = 1 << 17;
    private static final long INTERRUPT = 1 << 20;
    private static final long ENABLE = 1 << 22;
    private static final long EVENT = 0xf_0000_00ffL;
    private static final long EVENT_AND_UNIT = EVENT | 0xff00;

    private static final int CYCLES = -1;
    private static final int NOTHING = -2;

    /** Bits of RDPMC's ECX that name no counter; the upper asks for 32 bits. */
    private static final int ECX_FLAGS = 3 << 30;

    private final boolean amd;
    private final boolean there;
    private final Retirement retired;
    private final CpuState s;
    private final CpuidTable cpuid;
    private final VmSettings settings;
    private final VcpuTsc tsc;
    private final @Nullable LocalApic apic;
    private final Timers timers;

    private final long[] selects = new long[CORE_COUNTERS];
    private final long[] counters = new long[CORE_COUNTERS];
    /** What each counts, a kind of {@link Retirement}'s, or {@link #CYCLES}, or {@link #NOTHING}. */
    private final int[] kinds = new int[CORE_COUNTERS];
    /** What stood at the source of each when it was last brought up to date. */
    private final long[] seen = new long[CORE_COUNTERS];

    private boolean countsCycles;
    private boolean inGuest;
    private long enteredTsc;
    private long kernelCycles;
    private long userCycles;

    private final Timers.Timer overflow;

    /**
     * All zero.
     *
     * @param amd the VM's processors are AMD's: Intel's are said to have no counters at all
     * @param there false: the VM has no counters, and its MSRs say so; RDPMC finds zeroes
     * @param retired the processor's
     */
    public Pmu(
            boolean amd,
            boolean there,
            Retirement retired,
            CpuState s,
            CpuidTable cpuid,
            VmSettings settings,
            VcpuTsc tsc,
            @Nullable LocalApic apic,
            GuestMode mode,
            Timers timers) {
        this.amd = amd;
        this.there = there;
        this.retired = retired;
        this.s = s;
        this.cpuid = cpuid;
        this.settings = settings;
        this.tsc = tsc;
        this.apic = apic;
        this.timers = timers;
        overflow = new Timers.Timer() {
            @Override
            protected long expire(long now) {
                mode.kick();
                return Timers.NEVER;
            }
        };
        retired.watch = this;
        reset();
    }

    /** RESET. */
    public void reset() {
        for (int i = 0; i < CORE_COUNTERS; i++) {
            selects[i] = 0;
            counters[i] = 0;
            kinds[i] = NOTHING;
        }
        plan();
    }

    /** The vCPU is gone. */
    public void close() {
        timers.cancel(overflow);
    }

    // ------------------------------------------------------------------ registers

    /** Whether it is an MSR of these, and the guest has it. */
    public boolean holds(int msr) {
        return there
                && (old(msr)
                        || msr >= PmuMsr.F15H_PERF_CTL0
                                && msr <= PmuMsr.F15H_PERF_CTR5
                                && cpuid.has(Feature.PERFCTR_CORE));
    }

    private static boolean old(int msr) {
        return msr >= PmuMsr.K7_EVNTSEL0 && msr <= PmuMsr.K7_PERFCTR3;
    }

    private static boolean selects(int msr) {
        return old(msr) ? msr < PmuMsr.K7_EVNTSEL0 + OLD_COUNTERS : (msr & 1) == 0;
    }

    private static int number(int msr) {
        return old(msr) ? msr - PmuMsr.K7_EVNTSEL0 & OLD_COUNTERS - 1 : msr - PmuMsr.F15H_PERF_CTL0 >> 1;
    }

    /** What an MSR that is here holds. */
    public long read(int msr) {
        return selects(msr) ? selects[number(msr)] : value(number(msr));
    }

    /** Writes an MSR that is here. Reserved bits of a select stay 0. */
    public void write(int msr, long value) {
        int i = number(msr);
        update(i);
        if (selects(msr)) {
            selects[i] = value & ~RESERVED;
            kinds[i] = kind(selects[i]);
        } else {
            counters[i] = value & COUNTER;
        }
        seen[i] = source(i);
        plan();
    }

    /** Whether RDPMC finds a counter by this ECX. */
    public boolean hasCounter(int ecx) {
        return amd
                && Integer.compareUnsigned(
                                ecx & ~ECX_FLAGS, cpuid.has(Feature.PERFCTR_CORE) ? CORE_COUNTERS : OLD_COUNTERS)
                        < 0;
    }

    /** What RDPMC reads. */
    public long readCounter(int ecx) {
        return value(ecx & ~ECX_FLAGS) & (ecx < 0 ? 0xffff_ffffL : -1L);
    }

    private long value(int i) {
        update(i);
        return counters[i];
    }

    /** The client's filter is asked here, when an event is selected. */
    private int kind(long select) {
        if ((select & ENABLE) == 0
                || (select & (USER | KERNEL)) == 0
                || !settings.pmuEvents.allows(select & EVENT_AND_UNIT)) {
            return NOTHING;
        }
        long event = select & EVENT;
        if (event == 0x76) {
            return CYCLES;
        }
        if (event == 0xc0) {
            return Retirement.INSTRUCTIONS;
        }
        if (event == 0xc2) {
            return Retirement.BRANCHES;
        }
        if (event == 0xc6) {
            return Retirement.FAR_TRANSFERS;
        }
        if (event == 0xc8) {
            return Retirement.NEAR_RETURNS;
        }
        return event == 0xd1 ? Retirement.CONDITIONAL_BRANCHES : NOTHING;
    }

    // ------------------------------------------------------------------ counting

    private long source(int i) {
        boolean user = (selects[i] & USER) != 0;
        boolean kernel = (selects[i] & KERNEL) != 0;
        return switch (kinds[i]) {
            case NOTHING -> 0;
            case CYCLES -> (kernel ? kernelCycles : 0) + (user ? userCycles : 0);
            default -> retired.count(kinds[i], kernel, user);
        };
    }

    /** Brings a counter up to date; where it has run over it says so. */
    private void update(int i) {
        long now = source(i);
        long count = counters[i] + now - seen[i];
        seen[i] = now;
        counters[i] = count & COUNTER;
        if (count > COUNTER && (selects[i] & INTERRUPT) != 0 && apic != null) {
            apic.counterOverflow();
        }
    }

    private void updateAll() {
        for (int i = 0; i < CORE_COUNTERS; i++) {
            if (kinds[i] != NOTHING) {
                update(i);
            }
        }
    }

    /** What the processor has to count, and how far it may. */
    private void plan() {
        long left = Long.MAX_VALUE;
        boolean counting = false;
        countsCycles = false;
        for (int i = 0; i < CORE_COUNTERS; i++) {
            if (kinds[i] == CYCLES) {
                countsCycles = true;
            } else if (kinds[i] != NOTHING) {
                counting = true;
                if ((selects[i] & INTERRUPT) != 0) {
                    left = Math.min(left, COUNTER + 1 - counters[i]);
                }
            }
        }
        retired.left = left;
        retired.counting = counting;
    }

    @Override
    public void spent() {
        updateAll();
        plan();
    }

    /** The guest is about to run. */
    public void enterGuest() {
        if (countsCycles) {
            inGuest = true;
            enteredTsc = tsc.read();
            armOverflow();
        }
    }

    /** It has left. */
    public void leaveGuest() {
        if (inGuest) {
            inGuest = false;
            long cycles = tsc.read() - enteredTsc;
            if (s.cpl == 0) {
                kernelCycles += cycles;
            } else {
                userCycles += cycles;
            }
            timers.cancel(overflow);
            updateAll();
            // Those counted by events have moved, too.
            plan();
        }
    }

    private void armOverflow() {
        long ticks = Long.MAX_VALUE;
        for (int i = 0; i < CORE_COUNTERS; i++) {
            if (kinds[i] == CYCLES && (selects[i] & INTERRUPT) != 0) {
                ticks = Math.min(ticks, COUNTER + 1 - counters[i]);
            }
        }
        if (ticks != Long.MAX_VALUE) {
            long nanos = Math.min((long) ((double) ticks * 1e6 / tsc.khz()), Long.MAX_VALUE >> 1);
            timers.arm(overflow, timers.now() + nanos);
        }
    }
}
