package dev.slate.kvm.memslot;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.dirty.DirtyBitmap;
import dev.slate.kvm.dirty.DirtyLogSink;
import dev.slate.kvm.dirty.DirtyLogSource;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.host.HostServices;
import java.util.Arrays;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A VM's physical memory: its memslots in both address spaces, and the calls that change them or read their dirty logs.
 *
 * <p>Thread-safe. Lookups read a snapshot and take no lock; changes take the slots lock ({@code kvm->slots_lock}), which is above the
 * MMU's lock.
 */
public final class GuestMemory implements AutoCloseable {
    /** {@code KVM_ADDRESS_SPACE_NUM}: normal, and system management mode. */
    public static final int ADDRESS_SPACES = 2;
    /** {@code KVM_USER_MEM_SLOTS}, in each address space. */
    public static final int USER_MEM_SLOTS = 32764;

    /** {@code KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE}. */
    public static final int MANUAL_PROTECT_ENABLE = 1;
    /** {@code KVM_DIRTY_LOG_INITIALLY_SET}. */
    public static final int INITIALLY_SET = 1 << 1;

    private static final int VALID_FLAGS = Memslot.LOG_DIRTY_PAGES | Memslot.READONLY;
    private static final long PAGE_OFFSET = 4095;
    private static final long MAX_PAGES = (1L << 31) - 1;
    /** First host address that no client memory may reach: the last page below 2^47 is never mapped. */
    private static final long TASK_SIZE = (1L << 47) - 4096;
    /** First gfn that nested paging with four levels cannot map. */
    private static final long MAX_GFN = 1L << 36;

    private final HostServices host;
    private final ReentrantLock slotsLock = new ReentrantLock();
    private @Nullable MemslotListener listener;
    private volatile long slotPages;

    private volatile Memslots normal = Memslots.empty();
    private volatile Memslots smm = Memslots.empty();

    // Under slotsLock.
    private final @Nullable Memslot[][] byId = new @Nullable Memslot[ADDRESS_SPACES][0];
    private volatile int manualProtect;
    private volatile long dirtyRingBytes;

    /** No slots yet. */
    public GuestMemory(HostServices host) {
        this.host = host;
    }

    /** Sets who is told of changes; once, before the first slot. */
    public void listener(MemslotListener who) {
        listener = who;
    }

    /** The slots of an address space now. Any thread, no lock. */
    public Memslots slots(int asId) {
        return asId == 0 ? normal : smm;
    }

    /**
     * {@code KVM_SET_USER_MEMORY_REGION}: creates, moves, deletes a slot or changes its flags. When it returns no vCPU uses what was
     * taken away.
     *
     * @param slot number, address space in bits 16 and up
     * @param flags {@link Memslot#LOG_DIRTY_PAGES}, {@link Memslot#READONLY}
     * @param gpa a multiple of 4096
     * @param bytes a multiple of 4096; 0 deletes
     * @param hva a multiple of 4096
     * @throws dev.slate.kvm.KvmException EINVAL, EEXIST, ENOMEM where KVM gives them; nothing has changed then
     */
    public void setUserMemoryRegion(int slot, int flags, long gpa, long bytes, long hva) {
        int asId = slot >>> 16;
        int id = slot & 0xffff;
        if (id >= USER_MEM_SLOTS
                || asId >= ADDRESS_SPACES
                || (flags & ~VALID_FLAGS) != 0
                || (bytes & PAGE_OFFSET) != 0
                || (gpa & PAGE_OFFSET) != 0
                || (hva & PAGE_OFFSET) != 0
                || !accessible(hva, bytes)
                || Long.compareUnsigned(gpa + bytes, gpa) < 0
                || bytes >>> 12 > MAX_PAGES) {
            throw Errno.EINVAL.raise();
        }
        slotsLock.lock();
        try {
            set(asId, id, flags, gpa >>> 12, bytes >>> 12, hva);
        } finally {
            slotsLock.unlock();
        }
    }

    private static boolean accessible(long hva, long bytes) {
        return Long.compareUnsigned(bytes, TASK_SIZE) <= 0 && Long.compareUnsigned(hva, TASK_SIZE - bytes) <= 0;
    }

    private void set(int asId, int id, int flags, long baseGfn, long npages, long hva) {
        Memslots slots = slots(asId);
        Memslot old = byId(asId, id);
        if (npages == 0) {
            if (old == null) {
                throw Errno.EINVAL.raise();
            }
            commit(asId, old, null, MemslotListener.Change.DELETE, false);
            return;
        }
        MemslotListener.Change change;
        if (old == null) {
            change = MemslotListener.Change.CREATE;
        } else {
            if (hva != old.userspaceAddr || npages != old.npages || ((flags ^ old.flags) & Memslot.READONLY) != 0) {
                throw Errno.EINVAL.raise();
            }
            if (baseGfn != old.baseGfn) {
                change = MemslotListener.Change.MOVE;
            } else if (flags != old.flags) {
                change = MemslotListener.Change.FLAGS_ONLY;
            } else {
                return;
            }
        }
        if (change != MemslotListener.Change.FLAGS_ONLY) {
            if (slots.overlaps(id, baseGfn, baseGfn + npages)) {
                throw Errno.EEXIST.raise();
            }
            if (baseGfn + npages > MAX_GFN) {
                throw Errno.EINVAL.raise();
            }
        }
        SlotMetadata metadata = old == null ? null : old.metadata;
        if (change != MemslotListener.Change.FLAGS_ONLY) {
            metadata = listener == null ? null : listener.metadata(baseGfn, npages);
        }
        boolean initiallySet = false;
        DirtyBitmap bitmap = null;
        if ((flags & Memslot.LOG_DIRTY_PAGES) != 0) {
            initiallySet = (old == null || !old.logsDirty()) && (manualProtect & INITIALLY_SET) != 0;
            bitmap = old == null ? null : old.dirtyBitmap;
            if (bitmap == null && dirtyRingBytes == 0) {
                bitmap = createBitmap(npages, old, metadata);
                if (initiallySet) {
                    bitmap.markAll();
                }
            }
        }
        Memslot slot = new Memslot(asId, id, flags, baseGfn, npages, hva, bitmap, metadata);
        commit(asId, old, slot, change, initiallySet);
    }

    private DirtyBitmap createBitmap(long npages, @Nullable Memslot old, @Nullable SlotMetadata metadata) {
        try {
            return DirtyBitmap.create(host, npages);
        } catch (KvmException e) {
            if (metadata != null && (old == null || old.metadata != metadata)) {
                metadata.close();
            }
            throw e;
        }
    }

    private void commit(
            int asId,
            @Nullable Memslot old,
            @Nullable Memslot slot,
            MemslotListener.Change change,
            boolean initiallySet) {
        Memslots next = slots(asId).with(old, slot);
        if (asId == 0) {
            normal = next;
        } else {
            smm = next;
        }
        @Nullable Memslot[] ids = byId[asId];
        int id = slot != null ? slot.id : old != null ? old.id : 0;
        if (id >= ids.length) {
            ids = Arrays.copyOf(ids, Math.min(Math.max(id + 1, ids.length * 2), USER_MEM_SLOTS));
            byId[asId] = ids;
        }
        ids[id] = slot;
        slotPages += (slot == null ? 0 : slot.npages) - (old == null ? 0 : old.npages);
        if (listener != null) {
            listener.memslotChanged(old, slot, change, initiallySet);
        }
        if (old != null && old.dirtyBitmap != null && (slot == null || slot.dirtyBitmap != old.dirtyBitmap)) {
            old.dirtyBitmap.close();
        }
        if (old != null && old.metadata != null && (slot == null || slot.metadata != old.metadata)) {
            old.metadata.close();
        }
    }

    private @Nullable Memslot byId(int asId, int id) {
        @Nullable Memslot[] ids = byId[asId];
        return id < ids.length ? ids[id] : null;
    }

    /** The slot with the client's number, or null. */
    public @Nullable Memslot slot(int asId, int id) {
        slotsLock.lock();
        try {
            return byId(asId, id);
        } finally {
            slotsLock.unlock();
        }
    }

    // ------------------------------------------------------------------ dirty logs

    /**
     * {@code KVM_ENABLE_CAP(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)}.
     *
     * @param options {@link #MANUAL_PROTECT_ENABLE}, {@link #INITIALLY_SET} with the former only; 0 switches it off
     * @throws dev.slate.kvm.KvmException EINVAL
     */
    public void manualDirtyLogProtect(int options) {
        int allowed = (options & MANUAL_PROTECT_ENABLE) != 0 ? MANUAL_PROTECT_ENABLE | INITIALLY_SET : 0;
        if ((options & ~allowed) != 0) {
            throw Errno.EINVAL.raise();
        }
        slotsLock.lock();
        try {
            manualProtect = options;
        } finally {
            slotsLock.unlock();
        }
    }

    /**
     * {@code KVM_GET_DIRTY_LOG}: gives the slot's bitmap to the client. Without manual protection the pages are clean and
     * write-protected afterwards, and no vCPU writes to them unnoticed any more.
     *
     * @param slot number, address space in bits 16 and up
     * @throws dev.slate.kvm.KvmException EINVAL: no such slot number; ENOENT: no slot, or it is not logged; EFAULT: the sink's; ENXIO: the VM has
     *     dirty rings
     */
    public void getDirtyLog(int slot, DirtyLogSink sink) {
        slotsLock.lock();
        try {
            Memslot s = logged(slot);
            DirtyBitmap bitmap = bitmap(s);
            long from = bitmap.hva();
            if (manualProtect == 0) {
                from = harvest(s, bitmap);
            }
            fail(sink.write(from, bitmap.bytes()));
        } finally {
            slotsLock.unlock();
        }
    }

    private long harvest(Memslot s, DirtyBitmap bitmap) {
        MemslotListener mmu = listener;
        long buffer = bitmap.buffer();
        boolean flush = false;
        HostMemory.fill(buffer, bitmap.bytes(), 0);
        for (long i = 0; i < bitmap.words(); i++) {
            if (bitmap.word(i) != 0) {
                long mask = bitmap.take(i);
                HostMemory.put64(buffer + i * Long.BYTES, mask);
                flush = true;
                if (mmu != null) {
                    mmu.enableLogDirty(s, i << 6, mask);
                }
            }
        }
        if (flush && mmu != null) {
            mmu.flushRemoteTlbs();
        }
        return buffer;
    }

    /**
     * {@code KVM_CLEAR_DIRTY_LOG}: of the pages from {@code firstPage} on, those set in the client's bitmap become clean and
     * write-protected.
     *
     * @param slot number, address space in bits 16 and up
     * @param firstPage a multiple of 64
     * @param numPages a multiple of 64, or up to the slot's end (32-bit unsigned in the ABI)
     * @throws dev.slate.kvm.KvmException EINVAL, ENOENT, EFAULT, ENXIO as KVM
     */
    public void clearDirtyLog(int slot, long firstPage, long numPages, DirtyLogSource source) {
        slotsLock.lock();
        try {
            requireNoRing();
            checkNumber(slot);
            if ((firstPage & 63) != 0) {
                throw Errno.EINVAL.raise();
            }
            Memslot s = logged(slot);
            DirtyBitmap bitmap = bitmap(s);
            long rest = s.npages - firstPage;
            if (Long.compareUnsigned(firstPage, s.npages) > 0
                    || Long.compareUnsigned(numPages, rest) > 0
                    || numPages < rest && (numPages & 63) != 0) {
                throw Errno.EINVAL.raise();
            }
            long words = numPages + 63 >>> 6;
            long buffer = bitmap.buffer();
            if (words != 0) {
                fail(source.read(buffer, words * Long.BYTES));
            }
            clear(s, bitmap, firstPage, words);
        } finally {
            slotsLock.unlock();
        }
    }

    private void clear(Memslot s, DirtyBitmap bitmap, long firstPage, long words) {
        MemslotListener mmu = listener;
        boolean flush = false;
        for (long i = 0; i < words; i++) {
            long mask = HostMemory.get64(bitmap.buffer() + i * Long.BYTES);
            if (mask == 0) {
                continue;
            }
            mask = bitmap.clear((firstPage >>> 6) + i, mask);
            if (mask != 0) {
                flush = true;
                if (mmu != null) {
                    mmu.enableLogDirty(s, firstPage + (i << 6), mask);
                }
            }
        }
        if (flush && mmu != null) {
            mmu.flushRemoteTlbs();
        }
    }

    /**
     * {@code KVM_ENABLE_CAP(KVM_CAP_DIRTY_LOG_RING)}: from now on vCPUs log into rings. Before the first vCPU.
     *
     * @param bytes of each ring
     * @throws dev.slate.kvm.KvmException EINVAL: no power of two, too small, or there are rings; E2BIG
     */
    public void enableDirtyRings(long bytes) {
        checkDirtyRingBytes(bytes);
        slotsLock.lock();
        try {
            if (dirtyRingBytes != 0) {
                throw Errno.EINVAL.raise();
            }
            dirtyRingBytes = bytes;
        } finally {
            slotsLock.unlock();
        }
    }

    /** Checks a size of dirty rings. @throws dev.slate.kvm.KvmException EINVAL: no power of two, or too small; E2BIG */
    public static void checkDirtyRingBytes(long bytes) {
        if (Long.bitCount(bytes) != 1 || bytes > 0 && bytes < DirtyRing.MIN_BYTES) {
            throw Errno.EINVAL.raise();
        }
        if (Long.compareUnsigned(bytes, DirtyRing.MAX_BYTES) > 0) {
            throw Errno.E2BIG.raise();
        }
    }

    /** Pages of all slots together. */
    public long slotPages() {
        return slotPages;
    }

    /** Bytes of each vCPU's dirty ring, or 0: bitmaps are used. */
    public long dirtyRingBytes() {
        return dirtyRingBytes;
    }

    /**
     * {@code KVM_RESET_DIRTY_RINGS}: takes back what the client has collected, and write-protects those pages.
     *
     * @return number of entries taken back
     */
    public int resetDirtyRings(Iterable<DirtyRing> rings) {
        slotsLock.lock();
        try {
            int count = 0;
            for (DirtyRing ring : rings) {
                count += ring.reset(this::enableLogDirty);
            }
            if (count != 0 && listener != null) {
                listener.flushRemoteTlbs();
            }
            return count;
        } finally {
            slotsLock.unlock();
        }
    }

    /** A vCPU's ring goes away; returns when no reset looks at it. */
    public void closeDirtyRing(DirtyRing ring) {
        slotsLock.lock();
        try {
            ring.close();
        } finally {
            slotsLock.unlock();
        }
    }

    /** For what a client left in its ring: pages that are no pages are passed over, as KVM does. */
    private void enableLogDirty(int number, long page, long mask) {
        if (number >>> 16 >= ADDRESS_SPACES || (number & 0xffff) >= USER_MEM_SLOTS) {
            return;
        }
        Memslot s = byId(number >>> 16, number & 0xffff);
        long last = page + Long.SIZE - 1 - Long.numberOfLeadingZeros(mask);
        if (s != null && listener != null && page >= 0 && last < s.npages) {
            listener.enableLogDirty(s, page, mask);
        }
    }

    private static void checkNumber(int slot) {
        if (slot >>> 16 >= ADDRESS_SPACES || (slot & 0xffff) >= USER_MEM_SLOTS) {
            throw Errno.EINVAL.raise();
        }
    }

    private void requireNoRing() {
        if (dirtyRingBytes != 0) {
            throw Errno.ENXIO.raise();
        }
    }

    private Memslot logged(int slot) {
        requireNoRing();
        checkNumber(slot);
        Memslot s = byId(slot >>> 16, slot & 0xffff);
        if (s == null || s.dirtyBitmap == null) {
            throw Errno.ENOENT.raise();
        }
        return s;
    }

    private static DirtyBitmap bitmap(Memslot s) {
        DirtyBitmap bitmap = s.dirtyBitmap;
        if (bitmap == null) {
            throw Errno.ENOENT.raise();
        }
        return bitmap;
    }

    private static void fail(int errno) {
        if (errno != 0) {
            throw Errno.EFAULT.raise();
        }
    }

    /** Gives back the bitmaps; no vCPU and no call may be under way. */
    @Override
    public void close() {
        for (@Nullable Memslot[] ids : byId) {
            for (Memslot s : ids) {
                if (s != null && s.dirtyBitmap != null) {
                    s.dirtyBitmap.close();
                }
                if (s != null && s.metadata != null) {
                    s.metadata.close();
                }
            }
            Arrays.fill(ids, null);
        }
        normal = Memslots.empty();
        smm = Memslots.empty();
    }
}
