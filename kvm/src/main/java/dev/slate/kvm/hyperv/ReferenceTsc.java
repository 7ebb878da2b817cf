package dev.slate.kvm.hyperv;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.mmu.VcpuMmu;
import org.jspecify.annotations.Nullable;

/**
 * The partition's reference time in units of 100 ns, and the page by which a guest reads it without leaving (TLFS, "partition reference
 * time"): time = (TSC * scale &gt;&gt; 64) + offset while the page's sequence is not 0.
 *
 * <p>Writing is guarded by the partition's lock; the time may be read by any thread.
 */
final class ReferenceTsc {
    private static final long ENABLED = 1;
    private static final long FRAME = ~0xfffL;

    // The page.
    private static final int SEQUENCE = 0;
    private static final int SCALE = 8;
    private static final int OFFSET = 16;
    private static final int BYTES = 24;

    /** What stands in the page, and holds. */
    private record Factors(long scale, long offset) {}

    private enum Page {
        UNSET,
        GUEST_CHANGED,
        HOST_CHANGED,
        SET,
        /** No memory there, or a frequency that can't be said in it: the counter's MSR serves. */
        BROKEN
    }

    private final VmClock clock;
    private final byte[] page = new byte[BYTES];
    private final byte[] kvmClock = new byte[VmClock.PAGE_BYTES];
    private volatile @Nullable Factors factors;
    private Page state = Page.UNSET;
    private long msr;

    /** The guest has its TSC emulated after a migration (TSC_EMULATION_CONTROL): it expects that the page stays as it is. */
    private long emulationControl;

    ReferenceTsc(VmClock clock) {
        this.clock = clock;
    }

    long msr() {
        return msr;
    }

    /** REFERENCE_TSC is written; whether the page is to be made before the guest runs on. */
    boolean write(long value, boolean host) {
        msr = value;
        factors = null;
        boolean on = (value & ENABLED) != 0;
        state = !on ? Page.UNSET : host ? Page.HOST_CHANGED : Page.GUEST_CHANGED;
        return on;
    }

    long emulationControl() {
        return emulationControl;
    }

    void writeEmulationControl(long value) {
        emulationControl = value;
    }

    private boolean mustStay() {
        return state != Page.GUEST_CHANGED && emulationControl != 0;
    }

    /** The VM's clock or a TSC was set. */
    void clockChanged() {
        if (state == Page.SET && !mustStay()) {
            state = Page.HOST_CHANGED;
            factors = null;
        }
    }

    /** The time now. @param tsc of the first virtual processor */
    long now(VcpuTsc tsc) {
        Factors f = factors;
        return f == null
                ? Long.divideUnsigned(clock.now(), 100)
                : Math.unsignedMultiplyHigh(tsc.read(), f.scale) + f.offset;
    }

    /** Writes the page where that is due. On the thread of the vCPU whose access to memory {@code mmu} is. */
    void update(VcpuTsc tsc, VcpuMmu mmu) {
        if (state == Page.GUEST_CHANGED || state == Page.HOST_CHANGED) {
            state = write(tsc, mmu) ? Page.SET : Page.BROKEN;
        }
    }

    private boolean write(VcpuTsc tsc, VcpuMmu mmu) {
        long gpa = msr & FRAME;
        if (!mmu.read(gpa, page, 0, BYTES)) {
            return false;
        }
        int sequence = LittleEndian.getInt(page, SEQUENCE);
        if (sequence != 0 && mustStay()) {
            factors = new Factors(LittleEndian.getLong(page, SCALE), LittleEndian.getLong(page, OFFSET));
            return true;
        }
        // While the factors change the guest is to ask the counter's MSR.
        LittleEndian.putInt(page, SEQUENCE, 0);
        Factors f = compute(tsc);
        if (!mmu.write(gpa, page, SEQUENCE, 4) || f == null) {
            return false;
        }
        LittleEndian.putLong(page, SCALE, f.scale);
        LittleEndian.putLong(page, OFFSET, f.offset);
        if (!mmu.write(gpa + SCALE, page, SCALE, BYTES - SCALE)) {
            return false;
        }
        // 0 and -1 mean that the page does not hold.
        sequence = sequence + 1 == 0 || sequence + 1 == -1 ? 1 : sequence + 1;
        LittleEndian.putInt(page, SEQUENCE, sequence);
        if (!mmu.write(gpa, page, SEQUENCE, 4)) {
            return false;
        }
        factors = f;
        return true;
    }

    /** kvmclock's factors in Hyper-V's form; null: the scale does not fit into 64 bits. */
    private @Nullable Factors compute(VcpuTsc tsc) {
        clock.fill(tsc, 0, kvmClock);
        long timestamp = LittleEndian.getLong(kvmClock, 8);
        long nanos = LittleEndian.getLong(kvmClock, 16);
        long multiplier = LittleEndian.getInt(kvmClock, 24) & 0xffff_ffffL;
        int shift = kvmClock[28];
        // scale = multiplier * 2^(32 + shift) / 100 has to stay below 2^64.
        if (shift >= 0 && multiplier >= 100L << 32 - shift) {
            return null;
        }
        int bits = 32 + shift;
        long scale = (multiplier / 100 << bits) + (multiplier % 100 << bits) / 100;
        return new Factors(scale, Long.divideUnsigned(nanos, 100) - Math.unsignedMultiplyHigh(timestamp, scale));
    }
}
