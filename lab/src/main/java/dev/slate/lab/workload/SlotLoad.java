package dev.slate.lab.workload;

import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.Memslots;
import dev.slate.kvm.memslot.SlotLookup;

/**
 * vCPUs of which each looks up gfns of a memslot of its own, in turn, a few times for each fault: what the faults of a guest do whose
 * memory is split.
 *
 * <p>Of one thread.
 */
public final class SlotLoad {
    /** A fault looks its slot up about as often. */
    private static final int LOOKUPS_A_FAULT = 3;

    private static final int SLOT_PAGES = 64;

    private final SlotLookup[] vcpus;
    private final long[] firstGfn;
    private final Memslots slots;

    /**
     * Makes the vCPUs.
     *
     * @param memory filled by {@link #fill}
     * @param form a value of the knob {@code memslot.lookup}
     */
    public SlotLoad(GuestMemory memory, String form, int vcpuCount) {
        slots = memory.slots(0);
        vcpus = new SlotLookup[vcpuCount];
        firstGfn = new long[vcpuCount];
        for (int i = 0; i < vcpuCount; i++) {
            vcpus[i] = new SlotLookup(SlotLookup.Form.of(form));
            firstGfn[i] = (long) i * slots.used() / vcpuCount * SLOT_PAGES;
        }
    }

    /** Puts {@code count} slots into an empty memory, side by side. */
    public static void fill(GuestMemory memory, int count) {
        for (int i = 0; i < count; i++) {
            long at = (long) i * SLOT_PAGES << 12;
            memory.setUserMemoryRegion(i, 0, at, (long) SLOT_PAGES << 12, (1L << 40) + at);
        }
    }

    /** Looks up. @param after is run after each lookup */
    public void lookUp(int faults, Runnable after) {
        int vcpu = 0;
        for (int i = 0; i < faults; i++) {
            long gfn = firstGfn[vcpu] + (i & SLOT_PAGES - 1);
            for (int j = 0; j < LOOKUPS_A_FAULT; j++) {
                Memslot slot = vcpus[vcpu].find(slots, gfn);
                if (slot == null || !slot.contains(gfn)) {
                    throw new IllegalStateException("the lookup of gfn 0x%x failed".formatted(gfn));
                }
                after.run();
            }
            vcpu = vcpu + 1 == vcpus.length ? 0 : vcpu + 1;
        }
    }

    /** What all vCPUs have counted so far. */
    public SlotLookup.Counts counts() {
        SlotLookup.Counts sum = SlotLookup.Counts.ZERO;
        for (SlotLookup vcpu : vcpus) {
            sum = sum.plus(vcpu.counts());
        }
        return sum;
    }
}
