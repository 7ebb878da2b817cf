package dev.slate.lab.lines;

import java.util.BitSet;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Is told of every access that instrumented code makes ({@link CountingLoader}) and counts the cache lines of the kinds that matter.
 *
 * <p>What a range of native memory holds is told by who reads it: what the processor's walker reads are SPTEs, what the rmap package reads
 * are rmaps.
 *
 * <p>Notes the accesses of one thread only, the one that called {@link #start}. Its public methods are what instrumented code calls.
 */
public final class LineRecorder {
    /** A range of memory that the hypervisor's structures lie in, and what was touched of it since the last exit. */
    private static final class Region {
        final long end;
        final Set<Long> touched = new HashSet<>();
        final Set<Long> walked = new HashSet<>();
        boolean readByProcessor;
        boolean readByRmaps;
        long touchedLines;
        long walkedLines;

        Region(long end) {
            this.end = end;
        }

        void exit() {
            touchedLines += touched.size();
            walkedLines += walked.size();
            clear();
        }

        void clear() {
            touched.clear();
            walked.clear();
        }
    }

    private static final int LINE_SHIFT = 6;
    private static final StackWalker STACK = StackWalker.getInstance();
    private static final String PROCESSOR = "dev.slate.cpu.";
    private static final String MEMSLOT = "dev.slate.kvm.memslot.Memslot";
    private static final String RMAPS = "dev.slate.kvm.rmap.";

    private static final TreeMap<Long, Region> REGIONS = new TreeMap<>();
    private static volatile Thread recorded = Thread.currentThread();
    private static volatile boolean on;

    // Of the recorded thread.
    private static final IdentityHashMap<Object, BitSet> SLOT = new IdentityHashMap<>();
    private static int boundary;
    private static long exits;
    private static long slotLines;
    private static long slotsSeen;

    private LineRecorder() {}

    /** The range {@code [hva, hva + bytes)} holds structures of the hypervisor from now on. */
    public static void region(long hva, long bytes) {
        synchronized (REGIONS) {
            REGIONS.put(hva, new Region(hva + bytes));
        }
    }

    /** The range that starts at {@code hva}, if there is one, is gone. */
    public static void forget(long hva) {
        synchronized (REGIONS) {
            REGIONS.remove(hva);
        }
    }

    /**
     * Counts from here on, on this thread.
     *
     * @param counter the vCPU statistic whose counting ends an interval
     */
    public static void start(int counter) {
        recorded = Thread.currentThread();
        boundary = counter;
        discard();
        exits = 0;
        slotLines = 0;
        slotsSeen = 0;
        synchronized (REGIONS) {
            for (Region region : REGIONS.values()) {
                region.touchedLines = 0;
                region.walkedLines = 0;
            }
        }
        on = true;
    }

    /** Ends the counting; what was touched after the last exit is left out. */
    public static Lines stop() {
        on = false;
        discard();
        long spte = 0;
        long walked = 0;
        long rmap = 0;
        synchronized (REGIONS) {
            for (Region region : REGIONS.values()) {
                if (region.readByProcessor) {
                    spte += region.touchedLines;
                    walked += region.walkedLines;
                } else if (region.readByRmaps) {
                    rmap += region.touchedLines;
                }
            }
        }
        return new Lines(exits, spte, walked, rmap, slotLines, slotsSeen);
    }

    /** What was touched since the last exit does not count: it was not the guest's doing. */
    public static void discard() {
        SLOT.clear();
        synchronized (REGIONS) {
            REGIONS.values().forEach(Region::clear);
        }
    }

    private static void exit() {
        exits++;
        SLOT.forEach((object, lines) -> {
            slotLines += lines.cardinality();
            slotsSeen += object.getClass().getName().equals(MEMSLOT) ? 1 : 0;
        });
        SLOT.clear();
        synchronized (REGIONS) {
            REGIONS.values().forEach(Region::exit);
        }
    }

    // ------------------------------------------------------------------ called by instrumented code

    /** A vCPU's statistic is counted. */
    public static void counted(int counter) {
        if (on && counter == boundary && Thread.currentThread() == recorded) {
            exit();
        }
    }

    /** An access of up to 8 aligned bytes. */
    public static void touch(long hva) {
        if (!on || Thread.currentThread() != recorded) {
            return;
        }
        Region region = find(hva);
        if (region == null) {
            return;
        }
        String reader = reader();
        boolean processor = reader.startsWith(PROCESSOR);
        region.readByProcessor |= processor;
        region.readByRmaps |= reader.startsWith(RMAPS);
        region.touched.add(hva >>> LINE_SHIFT);
        if (processor) {
            region.walked.add(hva >>> LINE_SHIFT);
        }
    }

    /** An access to a range. */
    public static void touch(long hva, long bytes) {
        if (on && Thread.currentThread() == recorded && find(hva) != null) {
            for (long at = hva & -1L << LINE_SHIFT; at < hva + bytes; at += 1 << LINE_SHIFT) {
                touch(Math.max(at, hva));
            }
        }
    }

    /** A read of a memslot's field. @param offset in bytes from the object's start */
    public static void field(Object object, int offset) {
        if (on && Thread.currentThread() == recorded) {
            SLOT.computeIfAbsent(object, key -> new BitSet()).set(offset >>> LINE_SHIFT);
        }
    }

    /** A read of an array of memslots, or of an index of them. @param log2 of an element's bytes */
    public static void element(Object array, int index, int log2) {
        // Compressed headers: 8 bytes and the length, 8-byte elements aligned.
        field(array, (log2 == 3 ? 16 : 12) + (index << log2));
    }

    private static @Nullable Region find(long hva) {
        synchronized (REGIONS) {
            Map.Entry<Long, Region> entry = REGIONS.floorEntry(hva);
            return entry == null || hva >= entry.getValue().end ? null : entry.getValue();
        }
    }

    /** The class that makes the access. */
    private static String reader() {
        return STACK.walk(frames -> frames.map(StackWalker.StackFrame::getClassName)
                .filter(name -> !name.startsWith("dev.slate.lab.lines.") && !name.startsWith("dev.slate.cpu.mem."))
                .findFirst()
                .orElse(""));
    }
}
