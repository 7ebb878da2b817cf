package dev.slate.kvm.mmu;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stats.VmStats;

/**
 * What of a VM its MMU works with.
 *
 * @param modes the modes of the VM's vCPUs
 * @param tablePages where page tables come from
 */
public record MmuContext(
        HostServices host,
        Knobs knobs,
        GuestMemory memory,
        GuestModes modes,
        VmStats stats,
        Slab tablePages,
        HvaInvalidation invalidation) {
    /** A context with pages and invalidation of its own. */
    public static MmuContext of(HostServices host, Knobs knobs, GuestMemory memory, GuestModes modes, VmStats stats) {
        return new MmuContext(host, knobs, memory, modes, stats, Slab.ofPages(host), new HvaInvalidation());
    }
}
