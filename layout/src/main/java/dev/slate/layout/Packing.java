package dev.slate.layout;

/**
 * Finds out which structs were declared {@code __packed__}, which no debug format records: a struct without holes and padding, one of whose
 * members or whose size is not naturally aligned, must have been. A struct can also give itself away where it is used: at an offset
 * that its natural alignment forbids. What was found stays found, so that the answer for one struct may depend on those shown
 * before it.
 */
public final class Packing {
    private Packing() {}

    /** What was found out so far. */
    public static boolean packed(Aggregate aggregate) {
        return Boolean.TRUE.equals(aggregate.packed);
    }

    /** Decides about a struct, and from where they lie perhaps about the structs in it. */
    public static void look(Aggregate struct) {
        if (struct.isUnion() || struct.packed != null) return;
        struct.packed = decide(struct);
    }

    private static boolean decide(Aggregate struct) {
        Layout layout = struct.layout();
        if (layout.padding() != 0 || layout.holeCount() != 0) {
            for (Member member : struct.members()) {
                if (Type.strip(member.type()) instanceof Aggregate inner
                        && !inner.isUnion()
                        && member.byteOffset() % Type.naturalAlignment(inner) != 0) {
                    inner.packed = true;
                }
            }
            return false;
        }
        long greatest = 1;
        for (Member member : struct.members()) {
            if (member.takesNoPart()) continue;
            long natural = Type.naturalAlignment(member.type());
            greatest = Math.max(greatest, natural);
            if (member.byteOffset() % natural != 0) return true;
        }
        return greatest != 1 && struct.statedAlignment() == 1 || struct.size() % greatest != 0;
    }

    /** A struct in a union whose size its natural alignment does not divide would lie crooked in an array of the union. */
    public static void lookInside(Aggregate union) {
        if (union.packed != null) return;
        for (Member member : union.members()) {
            if (Type.strip(member.type()) instanceof Aggregate inner
                    && !inner.isUnion()
                    && union.size() % Type.naturalAlignment(inner) != 0) {
                inner.packed = true;
            }
        }
        union.packed = false;
    }
}
