package dev.slate.kvm.memslot;

import org.jspecify.annotations.Nullable;

/**
 * A vCPU's way from a gfn to its memslot ({@code kvm_vcpu_gfn_to_memslot}), in one of the forms that KVM has had, with its hint and its
 * counts.
 *
 * <p>Of the vCPU's thread only; the counts may be read from any thread.
 */
public final class SlotLookup {
    /** The knob {@code memslot.lookup}. */
    public enum Form {
        /** Binary search each time. */
        NONE,
        /** The slot that any vCPU of the VM found last, then binary search (before Linux 5.15). */
        VM,
        /** The slot that this vCPU found last, then binary search (Linux 5.15). */
        VCPU,
        /** The slot that this vCPU found last, then the tree (since Linux 5.17). */
        TREE;

        /** The form with a knob's value. */
        public static Form of(String value) {
            return switch (value) {
                case "none" -> NONE;
                case "vm" -> VM;
                case "vcpu" -> VCPU;
                case "tree" -> TREE;
                default -> throw new IllegalArgumentException("memslot.lookup=" + value);
            };
        }
    }

    /**
     * Counts of lookups.
     *
     * @param lookups of a slot by gfn
     * @param hits answered by the slot that was found last
     * @param probes slots that were looked into
     */
    public record Counts(long lookups, long hits, long probes) {
        public static final Counts ZERO = new Counts(0, 0, 0);

        /** Both together. */
        public Counts plus(Counts other) {
            return new Counts(lookups + other.lookups, hits + other.hits, probes + other.probes);
        }
    }

    private final Form form;
    /** VCPU: an index in gfn order, possibly stale. Any value is harmless: it is checked against the snapshot at hand. */
    int lastUsedIndex;
    /** TREE: a slot of {@link #lastSnapshot}, whose reference stands for KVM's generation. */
    private @Nullable Memslot lastUsedSlot;

    private @Nullable Memslots lastSnapshot;

    private long lookups;
    private long hits;
    private long probes;

    /** A look-up of this form, with nothing remembered. */
    public SlotLookup(Form form) {
        this.form = form;
    }

    /** What has been counted so far. From any thread; may be a little behind. */
    public Counts counts() {
        return new Counts(lookups, hits, probes);
    }

    /** The slot that holds {@code gfn} in {@code slots}, or null. */
    public @Nullable Memslot find(Memslots slots, long gfn) {
        lookups++;
        return form == Form.TREE ? findByTree(slots, gfn) : findByIndex(slots, gfn);
    }

    private @Nullable Memslot findByTree(Memslots slots, long gfn) {
        if (slots != lastSnapshot) {
            lastSnapshot = slots;
            lastUsedSlot = null;
        }
        Memslot last = lastUsedSlot;
        if (last != null) {
            probes++;
            if (last.contains(gfn)) {
                hits++;
                return last;
            }
        }
        GfnTree.Node node = slots.tree();
        while (node != null) {
            probes++;
            Memslot slot = node.slot;
            if (gfn < slot.baseGfn) {
                node = node.left;
            } else if (slot.contains(gfn)) {
                lastUsedSlot = slot;
                return slot;
            } else {
                node = node.right;
            }
        }
        // The last used slot stays: a miss would only make the next lookup one too.
        return null;
    }

    private @Nullable Memslot findByIndex(Memslots slots, long gfn) {
        if (form != Form.NONE) {
            Memslot last = slots.at(form == Form.VCPU ? lastUsedIndex : slots.lastUsedSlot);
            if (last != null) {
                probes++;
                if (last.contains(gfn)) {
                    hits++;
                    return last;
                }
            }
        }
        int low = 0;
        int high = slots.used();
        while (low < high) {
            probes++;
            int mid = low + high >>> 1;
            if (slots.base(mid) <= gfn) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        Memslot slot = slots.at(low - 1);
        if (slot == null || !slot.contains(gfn)) {
            return null;
        }
        if (form == Form.VCPU) {
            lastUsedIndex = low - 1;
        } else if (form == Form.VM) {
            slots.lastUsedSlot = low - 1;
        }
        return slot;
    }
}
