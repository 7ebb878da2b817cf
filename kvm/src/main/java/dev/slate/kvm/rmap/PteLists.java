package dev.slate.kvm.rmap;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;

/**
 * Lists of SPTEs behind a head of one word ({@code struct kvm_rmap_head}), which is tagged in its low bit: 0 is the empty list, an
 * address is the list's one SPTE, an address with bit 0 set is the first of a chain of descriptors. The rmaps of a memslot are such
 * lists, and the parents of a shadow page.
 *
 * <p>Under the MMU's lock. New SPTEs go into the first descriptor with room, so all descriptors but the last are full until something
 * is removed.
 */
public final class PteLists {
    private static final long CHAIN = 1;
    private static final int COUNT_OFFSET = 8;

    private final PteListForm form;
    private final Slab slab;
    private final int entries;
    private final boolean counted;
    private final int more;
    private final int sptes;

    /** Descriptors looked at, by all operations so far. */
    public long descriptorsWalked;
    /** SPTE places looked at, by all operations so far. */
    public long entriesWalked;

    /** @param slab of objects as large as the form's descriptors */
    public PteLists(PteListForm form, Slab slab) {
        if (slab.objectBytes() != form.bytes()) {
            throw new IllegalArgumentException(
                    "descriptors are " + form.bytes() + " bytes, the slab's objects " + slab.objectBytes());
        }
        this.form = form;
        this.slab = slab;
        this.entries = form.entries();
        this.counted = form.counted();
        this.more = form.moreOffset();
        this.sptes = form.sptesOffset();
    }

    /** The descriptors' form. */
    public PteListForm form() {
        return form;
    }

    /**
     * Adds an SPTE.
     *
     * @param cache holds at least one descriptor
     * @param head address of the list's head
     * @param spte address of the SPTE, a multiple of 8
     * @return number of SPTEs on the way to its place: all that were in the list, unless removals have left room in the middle. KVM
     *     takes its peak from this figure
     */
    public int add(MemoryCache cache, long head, long spte) {
        long value = HostMemory.get64(head);
        if (value == 0) {
            HostMemory.put64(head, spte);
            return 0;
        }
        if ((value & CHAIN) == 0) {
            long desc = cache.take();
            put(desc, 0, value);
            put(desc, 1, spte);
            setCount(desc, 2);
            HostMemory.put64(head, desc | CHAIN);
            return 1;
        }
        long desc = value & ~CHAIN;
        int before = 0;
        int here = used(desc);
        while (here == entries) {
            before += here;
            long next = next(desc);
            if (next == 0) {
                next = cache.take();
                HostMemory.put64(desc + more, next);
            }
            desc = next;
            here = used(desc);
        }
        put(desc, here, spte);
        setCount(desc, here + 1);
        return before + here;
    }

    /**
     * Removes an SPTE. The last of its descriptor takes its place; an empty descriptor is freed.
     *
     * @throws IllegalStateException when it is not there: then the tables and the rmaps contradict each other
     */
    public void remove(long head, long spte) {
        long value = HostMemory.get64(head);
        if ((value & CHAIN) == 0) {
            if (value != spte) {
                throw missing(head, spte);
            }
            HostMemory.put64(head, 0);
            return;
        }
        long previous = 0;
        for (long desc = value & ~CHAIN; desc != 0; desc = next(desc)) {
            int here = used(desc);
            for (int i = 0; i < here; i++) {
                entriesWalked++;
                if (get(desc, i) == spte) {
                    put(desc, i, get(desc, here - 1));
                    put(desc, here - 1, 0);
                    setCount(desc, here - 1);
                    if (here == 1) {
                        unlink(head, previous, desc);
                    }
                    return;
                }
            }
            previous = desc;
        }
        throw missing(head, spte);
    }

    private void unlink(long head, long previous, long desc) {
        long next = next(desc);
        if (previous != 0) {
            HostMemory.put64(previous + more, next);
        } else {
            HostMemory.put64(head, next == 0 ? 0 : next | CHAIN);
        }
        slab.give(desc);
    }

    private static IllegalStateException missing(long head, long spte) {
        return new IllegalStateException("SPTE 0x%x is not in the list at 0x%x".formatted(spte, head));
    }

    /** Number of SPTEs in the list. */
    public int count(long head) {
        long value = HostMemory.get64(head);
        if ((value & CHAIN) == 0) {
            return value == 0 ? 0 : 1;
        }
        int count = 0;
        for (long desc = value & ~CHAIN; desc != 0; desc = next(desc)) {
            count += used(desc);
        }
        return count;
    }

    /** Shows every SPTE to {@code visitor}, which must not change the list. */
    public void forEach(long head, SpteVisitor visitor) {
        long value = HostMemory.get64(head);
        if ((value & CHAIN) == 0) {
            if (value != 0) {
                visitor.visit(value);
            }
            return;
        }
        for (long desc = value & ~CHAIN; desc != 0; desc = next(desc)) {
            int here = used(desc);
            for (int i = 0; i < here; i++) {
                visitor.visit(get(desc, i));
            }
        }
    }

    /**
     * Empties the list, showing each SPTE to {@code visitor} on the way.
     *
     * @return number of SPTEs that were in it
     */
    public int zap(long head, SpteVisitor visitor) {
        return form.zapOnce() ? zapChain(head, visitor) : zapEach(head, visitor);
    }

    private int zapChain(long head, SpteVisitor visitor) {
        long value = HostMemory.get64(head);
        HostMemory.put64(head, 0);
        if ((value & CHAIN) == 0) {
            if (value == 0) {
                return 0;
            }
            visitor.visit(value);
            return 1;
        }
        int count = 0;
        for (long desc = value & ~CHAIN; desc != 0; ) {
            int here = used(desc);
            for (int i = 0; i < here; i++) {
                visitor.visit(get(desc, i));
            }
            count += here;
            long next = next(desc);
            slab.give(desc);
            desc = next;
        }
        return count;
    }

    private int zapEach(long head, SpteVisitor visitor) {
        int count = 0;
        for (; ; ) {
            long value = HostMemory.get64(head);
            if (value == 0) {
                return count;
            }
            long spte = (value & CHAIN) == 0 ? value : get(value & ~CHAIN, 0);
            visitor.visit(spte);
            remove(head, spte);
            count++;
        }
    }

    // ------------------------------------------------------------------ one descriptor

    private long next(long desc) {
        return HostMemory.get64(desc + more);
    }

    private long get(long desc, int i) {
        return HostMemory.get64(desc + sptes + 8L * i);
    }

    private void put(long desc, int i, long spte) {
        HostMemory.put64(desc + sptes + 8L * i, spte);
    }

    private void setCount(long desc, int count) {
        if (counted) {
            HostMemory.put64(desc + COUNT_OFFSET, count);
        }
    }

    /** Number of SPTEs in a descriptor. */
    private int used(long desc) {
        descriptorsWalked++;
        if (counted) {
            return (int) HostMemory.get64(desc + COUNT_OFFSET);
        }
        // As KVM did: first whether the last place is taken, and only then how many are.
        if (get(desc, entries - 1) != 0) {
            entriesWalked++;
            return entries;
        }
        int i = 0;
        while (get(desc, i) != 0) {
            entriesWalked++;
            i++;
        }
        return i;
    }
}
