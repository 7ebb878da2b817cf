package dev.slate.lab.workload;

import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.rmap.PteListForm;
import dev.slate.kvm.rmap.PteLists;
import dev.slate.kvm.rmap.SlotRmaps;
import java.util.Random;

/**
 * The rmaps of a slot of a VM with two-dimensional paging, whose frames a nested guest maps: all once, or few more often. The vCPUs take
 * descriptors from their own caches, which are topped up whether they need any or not.
 *
 * <p>Of one thread.
 */
public final class AliasLoad implements AutoCloseable {
    private static final long SEED = 2;
    private static final int MOST_ALIASES = 10;
    /** SPTE addresses are only compared, never followed. */
    private static final long FIRST_SPTE = 1L << 40;
    /** What a fault sees to before it takes the lock: as many as it could need. */
    private static final int NEEDED = 14;

    private final Slab slab;
    private final MemoryCache[] caches;
    private final SlotRmaps rmaps;
    private final PteLists lists;
    private final int frames;

    public AliasLoad(HostServices host, PteListForm form, int vcpus, int frames) {
        this.frames = frames;
        slab = new Slab(host, form.bytes(), Long.BYTES);
        lists = new PteLists(form, slab);
        rmaps = new SlotRmaps(host, 0, frames);
        caches = new MemoryCache[vcpus];
        for (int i = 0; i < vcpus; i++) {
            caches[i] = new MemoryCache(slab);
            topUp(caches[i]);
        }
    }

    private static void topUp(MemoryCache cache) {
        if (!cache.topUp(NEEDED)) {
            throw new IllegalStateException("no memory");
        }
    }

    /**
     * Lets the nested guest map every frame: each by a vCPU of its own turn.
     *
     * @param aliased whether some are mapped more than once
     */
    public void map(boolean aliased) {
        Random random = new Random(SEED);
        long spte = FIRST_SPTE;
        for (int gfn = 0; gfn < frames; gfn++) {
            int draw = aliased ? random.nextInt(1024) : 1023;
            int aliases = draw == 0 ? 3 + random.nextInt(MOST_ALIASES - 2) : draw <= 8 ? 2 : 1;
            for (int i = 0; i < aliases; i++) {
                MemoryCache cache = caches[random.nextInt(caches.length)];
                topUp(cache);
                lists.add(cache, rmaps.head(gfn, 1), spte);
                spte += Long.BYTES;
            }
        }
    }

    /** {@code pte_list_desc} objects taken from the slab: in lists and in caches. */
    public long objects() {
        return slab.used();
    }

    /** Those in caches. */
    public long cached() {
        long sum = 0;
        for (MemoryCache cache : caches) {
            sum += cache.count();
        }
        return sum;
    }

    @Override
    public void close() {
        for (MemoryCache cache : caches) {
            cache.drain();
        }
        rmaps.close();
        slab.close();
    }
}
