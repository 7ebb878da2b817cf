package dev.slate.kvm;

import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.msr.Msr;
import java.time.Instant;

/** A vCPU's kvmclock: the MSRs by which a guest says where it wants the time, and the writing of it. */
final class KvmClock {
    private static final long ENABLED = 1;
    private static final long NANOS = 1_000_000_000L;

    private final Vcpu vcpu;
    /** MSR_KVM_SYSTEM_TIME: address and enable bit. */
    private long systemTime;

    /** Where the wall-clock time is still to be written, or 0. */
    private long wallClockWanted;

    private int version;
    private byte[] page = new byte[0];

    KvmClock(Vcpu vcpu) {
        this.vcpu = vcpu;
    }

    /** RESET and INIT. */
    void reset() {
        systemTime = 0;
    }

    long read(int index) {
        return isWallClock(index) ? vcpu.vm().wallClock() : systemTime;
    }

    void write(int index, long value) {
        if (isWallClock(index)) {
            vcpu.vm().setWallClock(value);
            wallClockWanted = value;
        } else {
            systemTime = value;
        }
        vcpu.mode.request(Request.CLOCK_UPDATE);
    }

    private static boolean isWallClock(int index) {
        return index == Msr.KVM_WALL_CLOCK || index == Msr.KVM_WALL_CLOCK_NEW;
    }

    /** Writes what the guest has asked for; before the guest is entered. */
    void update(VcpuRun run) {
        if (wallClockWanted != 0) {
            writeWallClock(run, wallClockWanted);
            wallClockWanted = 0;
        }
        if ((systemTime & ENABLED) != 0) {
            writePage(run, systemTime & ~ENABLED);
        }
    }

    /** The version is odd while the page changes, so that a guest that reads meanwhile tries again. */
    private void writePage(VcpuRun run, long gpa) {
        if (page.length == 0) {
            page = new byte[VmClock.PAGE_BYTES];
        }
        vcpu.vm().clock().fill(vcpu.tsc, version + 1, page);
        run.mmu.write(gpa, page, 0, 4);
        run.mmu.write(gpa + 4, page, 4, VmClock.PAGE_BYTES - 4);
        version += 2;
        RegisterTransfer.putInt(page, 0, version);
        run.mmu.write(gpa, page, 0, 4);
    }

    /** The wall-clock time at which kvmclock read 0: version, seconds, nanoseconds. */
    private void writeWallClock(VcpuRun run, long gpa) {
        byte[] b = new byte[12];
        if (!run.mmu.read(gpa, b, 0, 4)) {
            return;
        }
        int v = RegisterTransfer.getInt(b, 0);
        v += (v & 1) + 1;
        Instant now = Instant.now();
        long boot = now.getEpochSecond() * NANOS + now.getNano() - vcpu.vm().clockNow();
        RegisterTransfer.putInt(b, 0, v);
        RegisterTransfer.putInt(b, 4, (int) (boot / NANOS));
        RegisterTransfer.putInt(b, 8, (int) (boot % NANOS));
        run.mmu.write(gpa, b, 0, 12);
        RegisterTransfer.putInt(b, 0, v + 1);
        run.mmu.write(gpa, b, 0, 4);
    }
}
