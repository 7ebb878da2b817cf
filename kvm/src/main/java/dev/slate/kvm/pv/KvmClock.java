package dev.slate.kvm.pv;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.time.Instant;

/** A vCPU's kvmclock: the MSRs by which a guest says where it wants the time, and the writing of it. */
public final class KvmClock {
    private static final long ENABLED = 1;
    private static final long NANOS = 1_000_000_000L;
    private static final int FLAGS = 29;
    private static final byte GUEST_STOPPED = 2;

    private final int vcpuId;
    private final VmClock clock;
    private final VcpuTsc tsc;
    private final GuestMode mode;
    private final VcpuMmu mmu;
    /** MSR_KVM_SYSTEM_TIME: address and enable bit. */
    private long systemTime;

    /** Where the wall-clock time is still to be written, or 0. */
    private long wallClockWanted;

    /** {@code KVM_KVMCLOCK_CTRL}: the guest is to hear that it stood still. */
    private boolean stopped;

    private int version;
    /** Instead of an address. */
    public static final long NOWHERE = -1;

    /** Where else the time is wanted. */
    private final long[] copies = {NOWHERE, NOWHERE};

    private byte[] page = new byte[0];

    public KvmClock(int vcpuId, VmClock clock, VcpuTsc tsc, GuestMode mode, VcpuMmu mmu) {
        this.vcpuId = vcpuId;
        this.clock = clock;
        this.tsc = tsc;
        this.mode = mode;
        this.mmu = mmu;
    }

    /** RESET and INIT. */
    public void reset() {
        systemTime = 0;
    }

    /** What a clock MSR holds. @param wallClock MSR_KVM_WALL_CLOCK, which the VM has once; else MSR_KVM_SYSTEM_TIME */
    public long read(boolean wallClock) {
        return wallClock ? clock.wallClock : systemTime;
    }

    /** A write of a clock MSR; see {@link #read}. */
    public void write(boolean wallClock, long value) {
        if (wallClock) {
            clock.wallClock = value;
            wallClockWanted = value;
        } else {
            systemTime = value;
        }
        mode.request(Request.CLOCK_UPDATE);
    }

    /** {@code KVM_KVMCLOCK_CTRL}: the guest stood still, and its watchdogs shall know; false: it has no clock. */
    public boolean guestStopped() {
        if ((systemTime & ENABLED) == 0) {
            return false;
        }
        stopped = true;
        mode.request(Request.CLOCK_UPDATE);
        return true;
    }

    /** The time goes there, too ({@link #NOWHERE}: no more). @param copy which one of two */
    public void copyTo(int copy, long gpa) {
        copies[copy] = gpa;
    }

    /** Writes what the guest has asked for; before the guest is entered. */
    public void update() {
        if (wallClockWanted != 0) {
            writeWallClock(wallClockWanted);
            wallClockWanted = 0;
        }
        if ((systemTime & ENABLED) != 0) {
            writePage(systemTime & ~ENABLED);
        }
        for (long gpa : copies) {
            if (gpa != NOWHERE) {
                writePage(gpa);
            }
        }
    }

    /** The version is odd while the page changes, so that a guest that reads meanwhile tries again. */
    private void writePage(long gpa) {
        if (page.length == 0) {
            page = new byte[VmClock.PAGE_BYTES];
        }
        // The guest takes the flag back when it has heard.
        boolean told = mmu.read(gpa + FLAGS, page, FLAGS, 1) && (page[FLAGS] & GUEST_STOPPED) != 0;
        clock.fill(tsc, version + 1, page);
        if (stopped || told) {
            page[FLAGS] |= GUEST_STOPPED;
            stopped = false;
        }
        // Each write is whole before the next begins: the window on the page is closed in between.
        mmu.write(gpa, page, 0, 4);
        mmu.write(gpa + 4, page, 4, VmClock.PAGE_BYTES - 4);
        version += 2;
        LittleEndian.putInt(page, 0, version);
        mmu.write(gpa, page, 0, 4);
        if (Tracepoints.ON) {
            Tracepoints.pvclockUpdate(
                    vcpuId,
                    version,
                    LittleEndian.getLong(page, 8),
                    LittleEndian.getLong(page, 16),
                    LittleEndian.getInt(page, 24),
                    page[28],
                    page[FLAGS]);
        }
    }

    /** The wall-clock time at which kvmclock read 0: version, seconds, nanoseconds. */
    private void writeWallClock(long gpa) {
        byte[] b = new byte[12];
        if (!mmu.read(gpa, b, 0, 4)) {
            return;
        }
        int v = LittleEndian.getInt(b, 0);
        v += (v & 1) + 1;
        Instant now = Instant.now();
        long boot = now.getEpochSecond() * NANOS + now.getNano() - clock.now();
        LittleEndian.putInt(b, 0, v);
        LittleEndian.putInt(b, 4, (int) (boot / NANOS));
        LittleEndian.putInt(b, 8, (int) (boot % NANOS));
        mmu.write(gpa, b, 0, 12);
        LittleEndian.putInt(b, 0, v + 1);
        mmu.write(gpa, b, 0, 4);
    }
}
