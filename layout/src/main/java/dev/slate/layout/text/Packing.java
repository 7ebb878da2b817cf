package dev.slate.layout.text;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Layout;
import dev.slate.layout.Member;
import dev.slate.layout.Type;
import java.util.IdentityHashMap;
import java.util.Map;

/**
 * Finds out which structs were declared {@code __packed__}, which no debug format records: a struct without holes and padding, one of whose
 * members or whose size is not naturally aligned, must have been. A struct can also give itself away where it is used: at an offset
 * that its natural alignment forbids. What was found stays found, so that the answer for one struct may depend on those shown
 * before it.
 */
final class Packing {
    private final Map<Aggregate, Boolean> decided = new IdentityHashMap<>();

    boolean packed(Aggregate aggregate) {
        return decided.getOrDefault(aggregate, false);
    }

    /** Decides about a struct, and from where they lie perhaps about the structs in it. */
    void look(Aggregate struct) {
        if (struct.isUnion() || decided.containsKey(struct)) return;
        decided.put(struct, decide(struct));
    }

    private boolean decide(Aggregate struct) {
        Layout layout = struct.layout();
        if (layout.padding() != 0 || layout.holeCount() != 0) {
            for (Member member : struct.members()) {
                if (Type.strip(member.type()) instanceof Aggregate inner
                        && !inner.isUnion()
                        && member.byteOffset() % Type.naturalAlignment(inner) != 0) {
                    decided.put(inner, true);
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
    void lookInside(Aggregate union) {
        if (decided.containsKey(union)) return;
        for (Member member : union.members()) {
            if (Type.strip(member.type()) instanceof Aggregate inner
                    && !inner.isUnion()
                    && union.size() % Type.naturalAlignment(inner) != 0) {
                decided.put(inner, true);
            }
        }
        decided.put(union, false);
    }
}
