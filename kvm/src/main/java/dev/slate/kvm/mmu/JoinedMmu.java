package dev.slate.kvm.mmu;

import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.memslot.SlotMetadata;
import java.util.concurrent.locks.ReentrantLock;
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

    @Override
    public @Nullable SlotMetadata metadata(long baseGfn, long npages) {
        return nested.metadata(baseGfn, npages);
    }

    @Override
    public void memslotChanged(@Nullable Memslot old, @Nullable Memslot slot, Change change, boolean initiallySet) {
        lock.lock();
        try {
            nested.memslotChanged(old, slot, change, initiallySet);
            guests.memslotChanged(old, slot, change, initiallySet);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void enableLogDirty(Memslot slot, long page, long mask) {
        lock.lock();
        try {
            nested.enableLogDirty(slot, page, mask);
            guests.enableLogDirty(slot, page, mask);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void flushRemoteTlbs() {
        guests.flushRemoteTlbs();
    }

    @Override
    public void hostInvalidateBegin(long startHva, long endHva) {
        lock.lock();
        try {
            nested.hostInvalidateBegin(startHva, endHva);
            guests.hostInvalidateBegin(startHva, endHva);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void hostInvalidateEnd(long startHva, long endHva) {
        lock.lock();
        try {
            nested.hostInvalidateEnd(startHva, endHva);
            guests.hostInvalidateEnd(startHva, endHva);
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void zapAll() {
        lock.lock();
        try {
            nested.zapAll();
            guests.zapAll();
        } finally {
            lock.unlock();
        }
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
        lock.lock();
        try {
            nested.recoverNxHugePages(ratio);
            guests.recoverNxHugePages(ratio);
        } finally {
            lock.unlock();
        }
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
