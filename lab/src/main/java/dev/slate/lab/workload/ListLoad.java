package dev.slate.lab.workload;

import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.rmap.PteListForm;
import dev.slate.kvm.rmap.PteLists;
import java.util.Random;

/**
 * Many lists of SPTEs of the same length, as the rmaps of frames that as many address spaces alias: filled in turn, so that the descriptors of a
 * list lie apart, as they do when faults come in.
 *
 * <p>Of one thread.
 */
public final class ListLoad implements AutoCloseable {
    private static final long SEED = 2;
    /** SPTE addresses are only compared, never followed. */
    private static final long FIRST_SPTE = 1L << 40;

    private final HostServices host;
    private final Slab slab;
    private final MemoryCache cache;
    private final PteLists lists;
    private final int count;
    private final long heads;
    private final int[] order;
    private final Random random = new Random(SEED);
    private int length;
    private long seen;

    /** @param count of lists, all empty */
    public ListLoad(HostServices host, PteListForm form, int count) {
        this.host = host;
        this.count = count;
        slab = new Slab(host, form.bytes(), Long.BYTES);
        cache = new MemoryCache(slab);
        lists = new PteLists(form, slab);
        heads = host.allocate(count * (long) Long.BYTES, 64);
        if (heads == 0) {
            throw new IllegalStateException("no memory for the heads of " + count + " lists");
        }
        order = new int[count];
        for (int i = 0; i < count; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
    }

    /** Address of the heads: a word for each list. */
    public long heads() {
        return heads;
    }

    public int lists() {
        return count;
    }

    /** SPTEs in each list. */
    public int length() {
        return length;
    }

    /** {@code pte_list_desc} objects taken from the slab, those in the cache included. */
    public long descriptors() {
        return slab.used();
    }

    /** Adds one SPTE to each list. @param after is run after each */
    public void add(Runnable after) {
        long spte = FIRST_SPTE + (long) length * count * Long.BYTES;
        for (int i = 0; i < count; i++) {
            if (!cache.topUp(1)) {
                throw new IllegalStateException("no memory");
            }
            int list = order[i];
            lists.add(cache, heads + (long) list * Long.BYTES, spte + (long) list * Long.BYTES);
            after.run();
        }
        length++;
    }

    /** Looks at every SPTE of every list. */
    public void walk(Runnable after) {
        for (int i = 0; i < count; i++) {
            lists.forEach(heads + (long) order[i] * Long.BYTES, spte -> seen += spte);
            after.run();
        }
    }

    /** Takes one SPTE, anywhere in it, from each list; the load is of no use after that but to be closed. */
    public void remove(Runnable after) {
        for (int i = 0; i < count; i++) {
            int list = order[i];
            long spte = FIRST_SPTE + ((long) random.nextInt(length) * count + list) * Long.BYTES;
            lists.remove(heads + (long) list * Long.BYTES, spte);
            after.run();
        }
        length--;
    }

    /** What {@link #walk} has seen, so that nobody can leave it out. */
    public long seen() {
        return seen;
    }

    @Override
    public void close() {
        cache.drain();
        slab.close();
        host.free(heads, count * (long) Long.BYTES);
    }
}
