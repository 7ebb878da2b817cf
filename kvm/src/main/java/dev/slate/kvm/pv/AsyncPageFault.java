package dev.slate.kvm.pv;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.mmu.VcpuMmu;
import org.jspecify.annotations.Nullable;

/**
 * Asynchronous page faults: the host may tell a guest that a page is not there yet, and later that it is. Here a page is always there
 * when the guest goes on, so that the first is never said; what the interface asks for else is kept: a guest that switches it on is told
 * once that whatever waited may go on.
 *
 * <p>Under the vCPU's mutex, outside guest mode.
 */
public final class AsyncPageFault {
    private static final long ENABLED = 1;
    private static final long AS_VMEXIT = 1 << 2;
    private static final long AS_INTERRUPT = 1 << 3;
    private static final long RESERVED = 0x30;
    private static final long ADDRESS = ~0x3fL;

    /** The token that means "all". */
    private static final int ALL = -1;

    private final @Nullable LocalApic apic;
    private final VcpuMmu mmu;
    private final byte[] token = new byte[4];

    private long enable;
    private long interrupt;
    private boolean wakeAll;
    private boolean unacknowledged;

    public AsyncPageFault(@Nullable LocalApic apic, VcpuMmu mmu) {
        this.apic = apic;
        this.mmu = mmu;
    }

    /** RESET and INIT. */
    public void reset() {
        enable = 0;
        interrupt = 0;
        wakeAll = false;
        unacknowledged = false;
    }

    public long enable() {
        return enable;
    }

    public long interrupt() {
        return interrupt;
    }

    /** MSR_KVM_ASYNC_PF_EN; false: refused. @param vmExit whether the guest has KVM_FEATURE_ASYNC_PF_VMEXIT; likewise {@code asInterrupt} */
    public boolean writeEnable(long value, boolean vmExit, boolean asInterrupt) {
        if ((value & RESERVED) != 0
                || !vmExit && (value & AS_VMEXIT) != 0
                || !asInterrupt && (value & AS_INTERRUPT) != 0) {
            return false;
        }
        if (apic == null) {
            return value == 0;
        }
        boolean on = (value & (ENABLED | AS_INTERRUPT)) == (ENABLED | AS_INTERRUPT);
        if (on && !mmu.read(value & ADDRESS, token, 0, token.length)) {
            return false;
        }
        enable = value;
        wakeAll = on;
        tell();
        return true;
    }

    /** MSR_KVM_ASYNC_PF_INT: the vector; false: refused. */
    public boolean writeInterrupt(long value) {
        if (value >>> 8 != 0 || apic == null) {
            return false;
        }
        interrupt = value;
        return true;
    }

    /** MSR_KVM_ASYNC_PF_ACK. */
    public void acknowledge(long value) {
        if ((value & 1) != 0) {
            unacknowledged = false;
            tell();
        }
    }

    private void tell() {
        LocalApic a = apic;
        if (!wakeAll || unacknowledged || a == null) {
            return;
        }
        wakeAll = false;
        LittleEndian.putInt(token, 0, ALL);
        if (mmu.write((enable & ADDRESS) + 4, token, 0, token.length)) {
            unacknowledged = true;
            a.request((int) interrupt & 0xff);
        }
    }
}
