package dev.slate.layout;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Tells whether an aggregate was seen before. Two are the same when qualified name, size and every member's name and place are; their
 * members' types are not looked at, as one header compiled into two units may name different private types.
 */
public final class Distinct {
    private record Key(long first, long second) {}

    private final Set<Key> seen = new HashSet<>();

    private final boolean scopes;

    /** Has seen nothing yet. */
    public Distinct() {
        this(true);
    }

    /** @param scopes whether types of one name in two scopes differ; pahole takes them for one */
    public Distinct(boolean scopes) {
        this.scopes = scopes;
    }

    /** Whether this aggregate is the first of its kind. */
    public boolean first(Aggregate aggregate) {
        return seen.add(key(aggregate));
    }

    private Key key(Aggregate aggregate) {
        List<Member> members = aggregate.members();
        // Two hashes of different make: among a million types a collision of both is as good as impossible.
        String name = scopes ? aggregate.qualifiedName() : aggregate.name();
        long first = mix(1125899906842597L, name);
        long second = 0x9E3779B97F4A7C15L + hash(name);
        first = first * 31 + aggregate.size();
        second = second * 0x100000001B3L + aggregate.size();
        for (Member member : members) {
            first = mix(first, member.name());
            second = second * 0x100000001B3L + hash(member.name());
            long place = member.bitOffset() * 67 + member.bitfieldSize();
            first = (first ^ place) * 0x5DEECE66DL + 11;
            second = (second + place) * 0x100000001B3L ^ (second >>> 29);
        }
        return new Key(first, second);
    }

    private static int hash(@Nullable String text) {
        return text == null ? 7 : text.hashCode();
    }

    private static long mix(long seed, @Nullable String text) {
        long hash = seed * 0x5DEECE66DL + 1;
        if (text == null) return hash * 0x5DEECE66DL;
        for (int i = 0; i < text.length(); i++) hash = (hash ^ text.charAt(i)) * 0x5DEECE66DL + (hash >>> 31);
        return hash;
    }
}
