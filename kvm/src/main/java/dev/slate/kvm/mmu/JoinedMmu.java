package dev.slate.kvm.mmu;

import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.SlotMetadata;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Two-dimensional paging for guests, and the shadow MMU for their guests: what is taken away is taken from both. The one lock is held over both
 * halves of each step.
 */
public final class JoinedMmu implements Mmu {
    private final Mmu guests;
    private final Mmu nested;
    private final ReentrantLock lock;

    /**
     * Two MMUs of one context, and from here on the listener to its memslots.
     *
     * @param nested keeps something with each slot
     */
    public JoinedMmu(MmuContext context, Mmu guests, Mmu nested) {
        this.guests = guests;
        this.nested = nested;
        this.lock = context.lock();
        context.memory().listener(this);
    }

    private void both(Consumer<Mmu> step) {
        lock.lock();
        try {
            step.accept(nested);
            step.accept(guests);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public @Nullable SlotMetadata metadata(long baseGfn, long npages) {
        return nested.metadata(baseGfn, npages);
    }

    @Override
    public void memslotChanged(@Nullable Memslot old, @Nullable Memslot slot, Change change, boolean initiallySet) {
        both(mmu -> mmu.memslotChanged(old, slot, change, initiallySet));
    }

    @Override
    public void enableLogDirty(Memslot slot, long page, long mask) {
        both(mmu -> mmu.enableLogDirty(slot, page, mask));
    }

    @Override
    public void flushRemoteTlbs() {
        guests.flushRemoteTlbs();
    }

    @Override
    public void hostInvalidateBegin(long startHva, long endHva) {
        both(mmu -> mmu.hostInvalidateBegin(startHva, endHva));
    }

    @Override
    public void hostInvalidateEnd(long startHva, long endHva) {
        both(mmu -> mmu.hostInvalidateEnd(startHva, endHva));
    }

    @Override
    public void zapAll() {
        both(Mmu::zapAll);
    }

    @Override
    public boolean used(long startHva, long endHva, boolean clear) {
        lock.lock();
        try {
            // Both, for they forget.
            boolean used = nested.used(startHva, endHva, clear);
            return guests.used(startHva, endHva, clear) || used;
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void recoverNxHugePages(int ratio) {
        both(mmu -> mmu.recoverNxHugePages(ratio));
    }

    @Override
    public long metadataBytes() {
        return nested.metadataBytes() + guests.metadataBytes();
    }

    @Override
    public void close() {
        nested.close();
        guests.close();
    }
}
