package dev.slate.kvm.memslot;

import org.jspecify.annotations.Nullable;

/** What the MMU does when memslots change. Every method is called under the slots lock. */
public interface MemslotListener {
    /** What a change is ({@code enum kvm_mr_change}). */
    enum Change {
        CREATE,
        DELETE,
        MOVE,
        FLAGS_ONLY
    }

    /**
     * What the MMU will keep with a slot that is created or moved, before anything has changed. {@link SlotMetadata#close} follows when the
     * slot, or the change, is over.
     *
     * @throws dev.slate.kvm.KvmException ENOMEM
     */
    default @Nullable SlotMetadata metadata(long baseGfn, long npages) {
        return null;
    }

    /**
     * A change has been published. Returns when no vCPU uses anything of {@code old} any more that {@code slot} lacks, its dirty
     * bitmap included.
     *
     * @param initiallySet the new bitmap starts with every page marked: nothing needs write-protection yet
     */
    void memslotChanged(@Nullable Memslot old, @Nullable Memslot slot, Change change, boolean initiallySet);

    /**
     * Makes pages that were harvested loggable again: their next write faults. {@link #flushRemoteTlbs} follows.
     *
     * @param page number of the word's first page within the slot, a multiple of 64
     * @param mask one bit for each page from there on; not 0, none behind the slot's end
     */
    void enableLogDirty(Memslot slot, long page, long mask);

    /** Returns when no vCPU has a translation from before the call. */
    void flushRemoteTlbs();
}
