package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * The header of a shadow page, with the fields and places of Linux 6.1's {@code struct kvm_mmu_page}. A page is named by its header's
 * address. Everything under the MMU's lock.
 *
 * <pre>
 *   0 link (next, prev)    16 hash_link (next, pprev)   33 unsync   34 mmu_valid_gen   35 lpage_disallowed   36 role
 *  40 gfn   48 spt   56 shadowed_translation   64 root_count   68 unsync_children   72 parent_ptes   80 unsync_child_bitmap (64 bytes)
 * 144 lpage_disallowed_link 160 write_flooding_count  168 rcu_head
 * </pre>
 */
final class ShadowPage {
    /** {@code sizeof(struct kvm_mmu_page)}. */
    static final int BYTES = 184;

    static final int ENTRIES = 512;

    private static final int NEXT = 0;
    private static final int PREVIOUS = 8;
    private static final int HASH_NEXT = 16;
    private static final int HASH_PPREV = 24;
    private static final int UNSYNC = 33;
    private static final int VALID_GEN = 34;
    private static final int LPAGE_DISALLOWED = 35;
    private static final int ROLE = 36;
    private static final int GFN = 40;
    private static final int SPT = 48;
    private static final int SHADOWED = 56;
    private static final int ROOT_COUNT = 64;
    private static final int UNSYNC_CHILDREN = 68;
    private static final int PARENT_PTES = 72;
    private static final int UNSYNC_BITMAP = 80;
    private static final int LPAGE_DISALLOWED_LINK = 144;
    private static final int FLOODING = 160;

    private ShadowPage() {}

    /** The page that an entry lies on. */
    static long of(long sptep) {
        return Slab.owner(sptep);
    }

    /** The page whose table a present entry that is no leaf points to. */
    static long child(long spte) {
        return Slab.owner(dev.slate.kvm.mmu.Spte.frame(spte));
    }

    /** What a tracepoint shows of a page. */
    static Tracepoints.ShadowPage traced(long sp) {
        return new Tracepoints.ShadowPage(generation(sp), gfn(sp), role(sp), rootCount(sp), unsync(sp));
    }

    /** Number of an entry in its table. */
    static int index(long sptep) {
        return (int) (sptep >>> 3) & ENTRIES - 1;
    }

    // ------------------------------------------------------------------ lists: active pages, hash, invalid pages

    static void initList(long head) {
        HostMemory.put64(head + NEXT, head);
        HostMemory.put64(head + PREVIOUS, head);
    }

    static void addFirst(long head, long sp) {
        long next = HostMemory.get64(head + NEXT);
        HostMemory.put64(sp + NEXT, next);
        HostMemory.put64(sp + PREVIOUS, head);
        HostMemory.put64(next + PREVIOUS, sp);
        HostMemory.put64(head + NEXT, sp);
    }

    static void removeFromList(long sp) {
        long next = HostMemory.get64(sp + NEXT);
        long previous = HostMemory.get64(sp + PREVIOUS);
        HostMemory.put64(previous + NEXT, next);
        HostMemory.put64(next + PREVIOUS, previous);
    }

    static long next(long sp) {
        return HostMemory.get64(sp + NEXT);
    }

    static long previous(long sp) {
        return HostMemory.get64(sp + PREVIOUS);
    }

    /** Where a page stands in the list of those that {@link #lpageDisallowed} tells of: named as a list's member. */
    static long disallowedLink(long sp) {
        return sp + LPAGE_DISALLOWED_LINK;
    }

    /** The page whose {@link #disallowedLink} this is. */
    static long ofDisallowedLink(long link) {
        return link - LPAGE_DISALLOWED_LINK;
    }

    /** For lists that are taken apart from their head only. */
    static void setNext(long sp, long next) {
        HostMemory.put64(sp + NEXT, next);
    }

    static void addToBucket(long bucket, long sp) {
        long first = HostMemory.get64(bucket);
        HostMemory.put64(sp + HASH_NEXT, first);
        HostMemory.put64(sp + HASH_PPREV, bucket);
        if (first != 0) {
            HostMemory.put64(first + HASH_PPREV, sp + HASH_NEXT);
        }
        HostMemory.put64(bucket, sp);
    }

    static void removeFromBucket(long sp) {
        long next = HostMemory.get64(sp + HASH_NEXT);
        long pprev = HostMemory.get64(sp + HASH_PPREV);
        HostMemory.put64(pprev, next);
        if (next != 0) {
            HostMemory.put64(next + HASH_PPREV, pprev);
        }
    }

    static long nextInBucket(long sp) {
        return HostMemory.get64(sp + HASH_NEXT);
    }

    // ------------------------------------------------------------------ fields

    static void init(long sp, long gfn, int role, long spt, long shadowed, int generation) {
        HostMemory.put64(sp + GFN, gfn);
        HostMemory.put32(sp + ROLE, role);
        HostMemory.put64(sp + SPT, spt);
        HostMemory.put64(sp + SHADOWED, shadowed);
        HostMemory.put8(sp + VALID_GEN, generation);
        Slab.owner(spt, sp);
    }

    static int role(long sp) {
        return HostMemory.get32(sp + ROLE);
    }

    static void invalidate(long sp) {
        HostMemory.put32(sp + ROLE, role(sp) | Role.INVALID);
    }

    static boolean invalid(long sp) {
        return (role(sp) & Role.INVALID) != 0;
    }

    static int level(long sp) {
        return Role.level(role(sp));
    }

    /** Of the guest's table; of the first page mapped, for a direct page. */
    static long gfn(long sp) {
        return HostMemory.get64(sp + GFN);
    }

    static long spt(long sp) {
        return HostMemory.get64(sp + SPT);
    }

    static int generation(long sp) {
        return HostMemory.get8(sp + VALID_GEN);
    }

    static boolean unsync(long sp) {
        return HostMemory.get8(sp + UNSYNC) != 0;
    }

    static void unsync(long sp, boolean on) {
        HostMemory.put8(sp + UNSYNC, on ? 1 : 0);
    }

    /** Whether the page exists only because the guest executes there, and large pages must not be executed from. */
    static boolean lpageDisallowed(long sp) {
        return HostMemory.get8(sp + LPAGE_DISALLOWED) != 0;
    }

    static void lpageDisallowed(long sp, boolean on) {
        HostMemory.put8(sp + LPAGE_DISALLOWED, on ? 1 : 0);
    }

    /** vCPU roots that this page is. */
    static int rootCount(long sp) {
        return HostMemory.get32(sp + ROOT_COUNT);
    }

    static void addRootCount(long sp, int delta) {
        HostMemory.put32(sp + ROOT_COUNT, rootCount(sp) + delta);
    }

    /** Address of the list of the entries that point to this page. */
    static long parentPtes(long sp) {
        return sp + PARENT_PTES;
    }

    static int unsyncChildren(long sp) {
        return HostMemory.get32(sp + UNSYNC_CHILDREN);
    }

    /** Marks an entry as one below which something is unsync; true when it was marked already. */
    static boolean markUnsyncChild(long sp, int index) {
        long at = sp + UNSYNC_BITMAP + (index >>> 6 << 3);
        long word = HostMemory.get64(at);
        if ((word >>> index & 1) != 0) {
            return true;
        }
        HostMemory.put64(at, word | 1L << index);
        HostMemory.put32(sp + UNSYNC_CHILDREN, unsyncChildren(sp) + 1);
        return false;
    }

    static void clearUnsyncChild(long sp, int index) {
        long at = sp + UNSYNC_BITMAP + (index >>> 6 << 3);
        HostMemory.put64(at, HostMemory.get64(at) & ~(1L << index));
        HostMemory.put32(sp + UNSYNC_CHILDREN, unsyncChildren(sp) - 1);
    }

    /** The first marked entry from {@code from} on, or -1. */
    static int nextUnsyncChild(long sp, int from) {
        for (int i = from; i < ENTRIES; i = (i | 63) + 1) {
            long word = HostMemory.get64(sp + UNSYNC_BITMAP + (i >>> 6 << 3)) >>> i;
            if (word != 0) {
                return i + Long.numberOfTrailingZeros(word);
            }
        }
        return -1;
    }

    /** Writes that hit the guest's table while it was protected, since it was last used. */
    static int countWrite(long sp) {
        int count = HostMemory.get32(sp + FLOODING) + 1;
        HostMemory.put32(sp + FLOODING, count);
        return count;
    }

    static void clearWriteFlooding(long sp) {
        HostMemory.put32(sp + FLOODING, 0);
    }

    // ------------------------------------------------------------------ what an entry translates

    /** Address of entry {@code index}. */
    static long sptep(long sp, int index) {
        return spt(sp) + (long) index * Long.BYTES;
    }

    /** gfn of what entry {@code index} maps. */
    static long entryGfn(long sp, int index) {
        int role = role(sp);
        return Role.direct(role)
                ? gfn(sp) + ((long) index << 9 * (Role.level(role) - 1))
                : HostMemory.get64(shadowed(sp) + (long) index * Long.BYTES) >>> 12;
    }

    /** Notes what entry {@code index} maps, and with which rights; a direct page need not. */
    static void setEntry(long sp, int index, long gfn, int access) {
        if (!Role.direct(role(sp))) {
            HostMemory.put64(shadowed(sp) + (long) index * Long.BYTES, gfn << 12 | access);
        }
    }

    /** Address of the 512 words of gfn and rights; 0 for a direct page. */
    static long shadowed(long sp) {
        return HostMemory.get64(sp + SHADOWED);
    }
}
