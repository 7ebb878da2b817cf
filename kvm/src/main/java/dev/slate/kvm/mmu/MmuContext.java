package dev.slate.kvm.mmu;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stats.VmStats;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * What of a VM its MMU works with.
 *
 * @param modes the modes of the VM's vCPUs
 * @param nxHugePages whether large pages are mapped without execution, at this moment ({@code is_nx_huge_page_enabled})
 * @param lock {@code mmu_lock}: below the slots lock, and the one of all MMUs of the VM
 * @param tablePages where page tables come from
 */
public record MmuContext(
        HostServices host,
        Knobs knobs,
        GuestMemory memory,
        GuestModes modes,
        VmStats stats,
        BooleanSupplier nxHugePages,
        ReentrantLock lock,
        Slab tablePages,
        HvaInvalidation invalidation) {
    /** A context with a lock, pages and invalidation of its own. */
    public static MmuContext of(
            HostServices host,
            Knobs knobs,
            GuestMemory memory,
            GuestModes modes,
            VmStats stats,
            BooleanSupplier nxHugePages) {
        return new MmuContext(
                host,
                knobs,
                memory,
                modes,
                stats,
                nxHugePages,
                new ReentrantLock(),
                Slab.ofPages(host),
                new HvaInvalidation());
    }
}
