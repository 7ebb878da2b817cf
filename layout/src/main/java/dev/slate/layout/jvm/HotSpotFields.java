package dev.slate.layout.jvm;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where HotSpot 25 puts an object's fields with its default options: a header of 12 bytes, references of 4, objects on multiples of 8.
 *
 * <p>Each class of the line of ancestors, the topmost first, adds its own fields: numbers of at least 4 bytes, the widest first; then the smaller ones;
 * then references, which go first instead where what lies last so far is a reference, so that the collector finds them side by side. A field takes the
 * tightest gap that it fits, the rearmost of equals, and otherwise the end. Verified against the running JVM with random classes; JOL 0.17's model
 * does not know the rule about references yet.
 */
final class HotSpotFields {
    static final int HEADER = 12;
    private static final int REFERENCE = 4;

    /**
     * An instance field.
     *
     * @param size bytes, which is also its alignment
     */
    record Field(String host, String name, String type, int size, boolean reference) {}

    /** A field and its offset in bytes. */
    record Placed(Field field, long offset) {}

    private record Gap(long start, long end) {
        boolean fits(int size) {
            return (start + size - 1) / size * size + size <= end;
        }
    }

    private final List<Placed> placed = new ArrayList<>();
    private final List<Gap> gaps = new ArrayList<>();
    private long end = HEADER;

    static int sizeOf(char descriptor) {
        return switch (descriptor) {
            case 'Z', 'B' -> 1;
            case 'C', 'S' -> 2;
            case 'I', 'F' -> 4;
            case 'J', 'D' -> 8;
            default -> REFERENCE;
        };
    }

    /** Adds one class's own fields, in the order of the class file. */
    void add(List<Field> fields) {
        List<Field> big = new ArrayList<>();
        List<Field> small = new ArrayList<>();
        List<Field> references = new ArrayList<>();
        for (Field field : fields)
            (field.reference() ? references : field.size() >= REFERENCE ? big : small).add(field);
        Comparator<Field> widestFirst = Comparator.comparingInt(f -> -f.size());
        big.sort(widestFirst);
        small.sort(widestFirst);
        boolean referenceLast = endsWithReference();
        if (referenceLast) place(references);
        place(big);
        place(small);
        if (!referenceLast) place(references);
    }

    private boolean endsWithReference() {
        @Nullable Placed last = null;
        for (Placed p : placed) if (last == null || p.offset() > last.offset()) last = p;
        return last != null && last.field().reference();
    }

    private void place(List<Field> fields) {
        for (Field field : fields) placed.add(new Placed(field, take(field.size())));
    }

    private long take(int size) {
        Gap best = null;
        for (Gap gap : gaps) {
            boolean tighter = best == null || gap.end() - gap.start() <= best.end() - best.start();
            if (gap.fits(size) && tighter) best = gap;
        }
        long from = best == null ? end : best.start();
        long offset = (from + size - 1) / size * size;
        if (best == null) {
            if (offset > end) gaps.add(new Gap(end, offset));
            end = offset + size;
            return offset;
        }
        int index = gaps.indexOf(best);
        gaps.remove(index);
        if (offset + size < best.end()) gaps.add(index, new Gap(offset + size, best.end()));
        if (best.start() < offset) gaps.add(index, new Gap(best.start(), offset));
        return offset;
    }

    /** All fields in the order of their places. */
    List<Placed> placed() {
        List<Placed> sorted = new ArrayList<>(placed);
        sorted.sort(Comparator.comparingLong(Placed::offset));
        return sorted;
    }

    /** Bytes of an object. */
    long size() {
        return (end + 7) / 8 * 8;
    }
}
