package dev.slate.kvm.irqchip;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.mmu.VcpuMmu;
import org.jspecify.annotations.Nullable;

/**
 * Four bytes of guest memory in which a guest that the client has patched keeps its task priority ({@code KVM_SET_VAPIC_ADDR}): TPR, the
 * class in service, nothing, the highest vector requested.
 *
 * <p>Under the vCPU's mutex, outside guest mode.
 */
public final class VapicPage {
    private final @Nullable LocalApic apic;
    private final VcpuMmu mmu;
    private final byte[] word = new byte[4];
    private long gpa;

    public VapicPage(@Nullable LocalApic apic, VcpuMmu mmu) {
        this.apic = apic;
        this.mmu = mmu;
    }

    /** Where it lies; 0: nowhere. False: no memory is there. */
    public boolean place(long address) {
        if (address != 0 && !mmu.read(address, word, 0, word.length)) {
            return false;
        }
        gpa = address;
        return true;
    }

    /** The guest is about to be entered. */
    public void store() {
        LocalApic a = apic;
        if (gpa == 0 || a == null) {
            return;
        }
        int service = Math.max(a.inService(), 0);
        int requested = Math.max(a.requested(), 0);
        LittleEndian.putInt(word, 0, a.taskPriority() | (service & 0xf0) << 8 | requested << 24);
        mmu.write(gpa, word, 0, word.length);
    }

    /** The guest has been left. @return whether it may have changed its task priority */
    public boolean load() {
        LocalApic a = apic;
        if (gpa == 0 || a == null || !mmu.read(gpa, word, 0, word.length)) {
            return false;
        }
        a.setTaskPriority(word[0] & 0xff);
        return true;
    }
}
