package dev.slate.kvm.xen;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.mmu.VcpuMmu;

/**
 * How long a vCPU has been in each of its states ({@code struct vcpu_runstate_info}): told to the guest where it wants that.
 *
 * <p>Guarded by the vCPU's mutex, on its thread.
 */
final class RunStates {
    static final int RUNNING = 0;
    static final int RUNNABLE = 1;
    static final int OFFLINE = 3;
    static final int STATES = 4;

    /** XEN_RUNSTATE_UPDATE: in the time of entry while the rest changes. */
    private static final long UPDATING = 1L << 63;

    // From the time of entry on; a 32-bit guest's lie 4 bytes lower.
    private static final int ENTRY_TIME = 8;
    private static final int ENTRY_TIME_32 = 4;

    private final VmClock clock;
    private final HostServices host;
    private final VcpuMmu mmu;
    private final byte[] image = new byte[8 + 8 * STATES];

    int state;
    /** In the VM's clock. */
    long entryTime;

    final long[] times = new long[STATES];
    private long lastDelay;

    /** Where the guest reads them, or {@link XenDomain#NOWHERE}. */
    long gpa = XenDomain.NOWHERE;

    RunStates(VmClock clock, HostServices host, VcpuMmu mmu) {
        this.clock = clock;
        this.host = host;
        this.mmu = mmu;
    }

    long now() {
        return clock.now();
    }

    /** What was set by hand begins now. */
    void delayCountedSoFar() {
        lastDelay = host.runDelayNanos();
    }

    /** From now on in {@code next}. Waiting for a processor while it ran counts as runnable. */
    void enter(int next) {
        long now = clock.now();
        long passed = now - entryTime;
        long delay = host.runDelayNanos();
        if (entryTime == 0) {
            state = OFFLINE;
        }
        if (state == RUNNING) {
            long stolen = delay - lastDelay;
            passed -= stolen;
            times[RUNNABLE] += stolen;
        }
        lastDelay = delay;
        times[state] += passed;
        state = next;
        entryTime = now;
    }

    /** The guest's copy follows. @param wide it is a 64-bit guest */
    void tell(boolean wide) {
        if (gpa == XenDomain.NOWHERE) {
            return;
        }
        long at = gpa + (wide ? ENTRY_TIME : ENTRY_TIME_32);
        LittleEndian.putLong(image, 0, entryTime | UPDATING);
        if (!mmu.write(at, image, 0, 8)) {
            return;
        }
        LittleEndian.putInt(image, 0, state);
        mmu.write(gpa, image, 0, 4);
        for (int i = 0; i < STATES; i++) {
            LittleEndian.putLong(image, 8 + 8 * i, times[i]);
        }
        mmu.write(at + 8, image, 8, 8 * STATES);
        LittleEndian.putLong(image, 0, entryTime);
        mmu.write(at, image, 0, 8);
    }
}
