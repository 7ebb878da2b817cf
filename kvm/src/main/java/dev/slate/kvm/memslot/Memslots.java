package dev.slate.kvm.memslot;

import org.jspecify.annotations.Nullable;

/**
 * The memslots of one address space at one moment ({@code struct kvm_memslots}): immutable but for a hint, so that a vCPU that holds one never sees
 * a half-made change, and the reference itself is the proof that nothing changed meanwhile.
 *
 * <p>A change costs two copies of an array of references (by gfn and by hva) and one of a path in the tree.
 */
public final class Memslots {
    private static final Memslot[] NONE = {};

    /**
     * With {@code memslot.lookup=vm}: index of the slot that any vCPU found last ({@code slots->lru_slot} before Linux 5.15). A hint,
     * like the vCPUs' own: any value is harmless, and writes race.
     */
    public volatile int lastUsedSlot;

    /** Number of changes to this address space so far. */
    public final long generation;

    private final Memslot[] byGfn;
    private final Memslot[] byHva;
    private final GfnTree.@Nullable Node tree;
    /** No slot is longer than this: bounds the look backwards in {@link #firstByHva}. */
    private final long longestBytes;

    private Memslots(
            long generation, Memslot[] byGfn, Memslot[] byHva, GfnTree.@Nullable Node tree, long longestBytes) {
        this.generation = generation;
        this.byGfn = byGfn;
        this.byHva = byHva;
        this.tree = tree;
        this.longestBytes = longestBytes;
    }

    static Memslots empty() {
        return new Memslots(0, NONE, NONE, null, 0);
    }

    /** Number of slots. */
    public int used() {
        return byGfn.length;
    }

    /** The slot at an index in gfn order, or null when there is no such index: any int may be asked for. */
    public @Nullable Memslot at(int index) {
        Memslot[] slots = byGfn;
        return Integer.compareUnsigned(index, slots.length) < 0 ? slots[index] : null;
    }

    /** First gfn of the slot at an index that is there. */
    long base(int index) {
        return byGfn[index].baseGfn;
    }

    /** The slots as a tree, or null when there are none. */
    GfnTree.@Nullable Node tree() {
        return tree;
    }

    /** Index of the slot that holds {@code gfn}, or -1. */
    public int search(long gfn) {
        int i = floor(gfn);
        return i >= 0 && byGfn[i].contains(gfn) ? i : -1;
    }

    /** The slot that holds {@code gfn}, or null. */
    public @Nullable Memslot find(long gfn) {
        int i = search(gfn);
        return i < 0 ? null : byGfn[i];
    }

    /** Index of the last slot that starts at or below {@code gfn} (a valid one: not negative), or -1. */
    private int floor(long gfn) {
        Memslot[] slots = byGfn;
        int low = 0;
        int high = slots.length;
        while (low < high) {
            int mid = low + high >>> 1;
            if (slots[mid].baseGfn <= gfn) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        return low - 1;
    }

    /** Whether a slot other than number {@code id} has a page in {@code [start, end)}. */
    boolean overlaps(int id, long start, long end) {
        for (int i = Math.max(floor(start), 0); i < byGfn.length && byGfn[i].baseGfn < end; i++) {
            if (byGfn[i].id != id && byGfn[i].endGfn() > start) {
                return true;
            }
        }
        return false;
    }

    /** What is done with the pages of a memslot that lie in a range of the client's memory. */
    @FunctionalInterface
    public interface GfnRange {
        /** Does it. @param firstGfn inclusive @param endGfn exclusive @return whether anything was there */
        boolean apply(Memslot slot, long firstGfn, long endGfn);
    }

    /**
     * Calls {@code range} for the part of each slot that lies in {@code [startHva, endHva)}, in hva order; a page that lies there in part
     * counts. Not for run paths: it may allocate.
     *
     * @return whether any call gave true; all are made
     */
    public boolean overHva(long startHva, long endHva, GfnRange range) {
        boolean any = false;
        for (int i = firstByHva(startHva); i < byHva.length && byHva[i].userspaceAddr < endHva; i++) {
            Memslot s = byHva[i];
            long from = Math.max(startHva, s.userspaceAddr);
            long to = Math.min(endHva, s.endHva());
            if (from < to) {
                long first = s.baseGfn + (from - s.userspaceAddr >>> 12);
                long end = s.baseGfn + (to - s.userspaceAddr + 4095 >>> 12);
                any |= range.apply(s, first, end);
            }
        }
        return any;
    }

    /** Index in hva order from where slots that reach into {@code [startHva, ...)} are to be looked for. */
    private int firstByHva(long startHva) {
        long from = startHva - longestBytes;
        int low = 0;
        int high = byHva.length;
        while (low < high) {
            int mid = low + high >>> 1;
            if (byHva[mid].userspaceAddr <= from) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        return low;
    }

    /** The next snapshot: {@code old} taken out, {@code slot} put in; either may be null. */
    Memslots with(@Nullable Memslot old, @Nullable Memslot slot) {
        long longest = Math.max(longestBytes, slot == null ? 0 : slot.npages << 12);
        Memslot[] gfns = replace(byGfn, old, slot, false);
        GfnTree.Node nodes = old == null ? tree : GfnTree.remove(tree, old);
        nodes = slot == null ? nodes : GfnTree.insert(nodes, slot);
        return new Memslots(
                generation + 1, gfns, replace(byHva, old, slot, true), nodes, gfns.length == 0 ? 0 : longest);
    }

    private static Memslot[] replace(Memslot[] from, @Nullable Memslot old, @Nullable Memslot slot, boolean hva) {
        int remove = old == null ? -1 : indexOf(from, old, hva);
        int insert = slot == null ? -1 : position(from, slot, hva);
        Memslot[] to = new Memslot[from.length + (slot == null ? 0 : 1) - (old == null ? 0 : 1)];
        if (slot == null) {
            System.arraycopy(from, 0, to, 0, remove);
            System.arraycopy(from, remove + 1, to, remove, to.length - remove);
        } else if (old == null) {
            System.arraycopy(from, 0, to, 0, insert);
            to[insert] = slot;
            System.arraycopy(from, insert, to, insert + 1, from.length - insert);
        } else if (insert <= remove) {
            System.arraycopy(from, 0, to, 0, insert);
            to[insert] = slot;
            System.arraycopy(from, insert, to, insert + 1, remove - insert);
            System.arraycopy(from, remove + 1, to, remove + 1, to.length - remove - 1);
        } else {
            System.arraycopy(from, 0, to, 0, remove);
            System.arraycopy(from, remove + 1, to, remove, insert - remove - 1);
            to[insert - 1] = slot;
            System.arraycopy(from, insert, to, insert, to.length - insert);
        }
        return to;
    }

    /** Index of the first slot that is not before {@code slot} in the order (key, then number). */
    private static int position(Memslot[] slots, Memslot slot, boolean hva) {
        int low = 0;
        int high = slots.length;
        while (low < high) {
            int mid = low + high >>> 1;
            if (before(slots[mid], slot, hva)) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        return low;
    }

    private static int indexOf(Memslot[] slots, Memslot slot, boolean hva) {
        int i = position(slots, slot, hva);
        if (i >= slots.length || slots[i] != slot) {
            throw new AssertionError("not in its snapshot: " + slot);
        }
        return i;
    }

    /** Slots may share client memory, so the number makes the order total. */
    private static boolean before(Memslot a, Memslot b, boolean hva) {
        long x = hva ? a.userspaceAddr : a.baseGfn;
        long y = hva ? b.userspaceAddr : b.baseGfn;
        return x != y ? x < y : a.id < b.id;
    }
}
