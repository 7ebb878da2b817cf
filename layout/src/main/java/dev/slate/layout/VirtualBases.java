package dev.slate.layout;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Where a C++ class keeps its virtual bases. DWARF says only how the running program finds them; the Itanium C++ ABI (2.4,
 * "Virtual Base Allocation") says where they are. What it says is taken only if it comes to the size that the compiler recorded.
 *
 * <p>Every way in checks the class ({@link Aggregate#checkParts()}), so that the walks here end and nest no deeper than it allows.
 *
 * @param placed the virtual bases that take room, in the order of their places
 * @param known whether the places could be worked out; true if there are no virtual bases
 */
public record VirtualBases(List<Placed> placed, boolean known) {
    /** A virtual base at its place. */
    public record Placed(Aggregate base, long offset, long size) {}

    static final VirtualBases NONE = new VirtualBases(List.of(), true);

    static VirtualBases of(Aggregate aggregate) {
        aggregate.checkParts();
        if (!aggregate.table().language().cxx() || !anyVirtual(aggregate)) return NONE;
        Map<String, Aggregate> order = new LinkedHashMap<>();
        collect(aggregate, order);
        Map<String, Aggregate> primaries = new LinkedHashMap<>();
        primaries(aggregate, primaries);
        List<Placed> placed = new ArrayList<>();
        long pointer = aggregate.table().addressSize();
        long end = nonVirtualEnd(aggregate);
        long alignment = ownAlignment(aggregate);
        for (Map.Entry<String, Aggregate> entry : order.entrySet()) {
            Aggregate base = entry.getValue();
            if (!base.sizeKnown()) return new VirtualBases(List.of(), false);
            alignment = Math.max(alignment, ownAlignment(base));
            if (primaries.containsKey(entry.getKey())) {
                if (primary(aggregate) == base || samePrimary(aggregate, base))
                    placed.add(new Placed(base, 0, pointer));
                continue;
            }
            if (empty(base)) continue;
            long size = baseSize(base);
            long at = roundUp(end, ownAlignment(base));
            placed.add(new Placed(base, at, size));
            end = at + size;
        }
        if (roundUp(end, alignment) != aggregate.size()) return new VirtualBases(List.of(), false);
        return new VirtualBases(List.copyOf(placed), true);
    }

    /** The alignment of a class that has virtual bases somewhere, in bytes; 0 for any other. */
    static long alignment(Aggregate aggregate) {
        aggregate.checkParts();
        if (!aggregate.table().language().cxx() || !anyVirtual(aggregate)) return 0;
        long greatest = ownAlignment(aggregate);
        Map<String, Aggregate> order = new LinkedHashMap<>();
        collect(aggregate, order);
        for (Aggregate base : order.values()) greatest = Math.max(greatest, ownAlignment(base));
        return greatest;
    }

    /** Bytes that a base class takes without its own virtual bases, which the most derived class places. */
    static long withoutVirtual(Member member) {
        if (member.type() == null || !(Type.strip(member.type()) instanceof Aggregate base)) return member.byteSize();
        base.checkParts();
        if (!base.table().language().cxx() || !anyVirtual(base)) return member.byteSize();
        return Math.min(member.byteSize(), nonVirtualEnd(base));
    }

    /** A base class as large as it is without its virtual bases; any other member as it is. */
    public static Member trimmed(Member member) {
        if (member.role() != Member.Role.BASE || member.virtual()) return member;
        long size = withoutVirtual(member);
        if (size == member.byteSize()) return member;
        return new Member(
                member.name(),
                member.type(),
                member.role(),
                member.byteOffset(),
                member.bitOffset(),
                0,
                0,
                size,
                member.alignment(),
                member.access(),
                false,
                0);
    }

    private static @Nullable Aggregate baseOf(Member member) {
        return member.role() == Member.Role.BASE && Type.strip(member.type()) instanceof Aggregate a ? a : null;
    }

    private static boolean anyVirtual(Aggregate aggregate) {
        for (Member member : aggregate.members()) {
            Aggregate base = baseOf(member);
            if (base != null && (member.virtual() || anyVirtual(base))) return true;
        }
        return false;
    }

    private static String key(Aggregate base) {
        String name = base.qualifiedName();
        return name == null ? "#" + base.id() : name;
    }

    private static void collect(Aggregate aggregate, Map<String, Aggregate> order) {
        for (Member member : aggregate.members()) {
            Aggregate base = baseOf(member);
            if (base == null) continue;
            if (member.virtual()) order.putIfAbsent(key(base), base);
            collect(base, order);
        }
    }

    /** Virtual bases that some class of the hierarchy has as its primary base: they lie at its start and take no room elsewhere. */
    private static void primaries(Aggregate aggregate, Map<String, Aggregate> found) {
        for (Member member : aggregate.members()) {
            Aggregate base = baseOf(member);
            if (base != null) primaries(base, found);
        }
        Aggregate primary = primary(aggregate);
        if (primary != null) found.putIfAbsent(key(primary), primary);
    }

    private static boolean samePrimary(Aggregate aggregate, Aggregate base) {
        Aggregate primary = primary(aggregate);
        return primary != null && key(primary).equals(key(base));
    }

    /** The virtual base that lies at a class's start, null if none does. */
    private static @Nullable Aggregate primary(Aggregate aggregate) {
        for (Member member : aggregate.members()) {
            Aggregate base = baseOf(member);
            if (member.name() != null && member.name().startsWith("_vptr")) return null;
            if (base != null && !member.virtual() && dynamic(base)) return null;
        }
        Map<String, Aggregate> order = new LinkedHashMap<>();
        collect(aggregate, order);
        for (Aggregate base : order.values()) if (nearlyEmpty(base)) return base;
        return null;
    }

    private static boolean dynamic(Aggregate aggregate) {
        for (Member member : aggregate.members()) {
            if (member.name() != null && member.name().startsWith("_vptr")) return true;
            Aggregate base = baseOf(member);
            if (base != null && (member.virtual() || dynamic(base))) return true;
        }
        return false;
    }

    private static boolean nearlyEmpty(Aggregate aggregate) {
        if (!dynamic(aggregate)) return false;
        for (Member member : aggregate.members()) {
            if (member.role() == Member.Role.STATIC) continue;
            Aggregate base = baseOf(member);
            if (base != null) {
                if (!empty(base) && !nearlyEmpty(base)) return false;
            } else if (member.name() == null || !member.name().startsWith("_vptr")) {
                return false;
            }
        }
        return true;
    }

    /** Whether a class has nothing in it: an object of it takes a byte only where it must. */
    public static boolean empty(Aggregate aggregate) {
        aggregate.checkParts();
        if (aggregate.size() != 1) return false;
        for (Member member : aggregate.members()) {
            if (member.role() == Member.Role.STATIC) continue;
            Aggregate base = baseOf(member);
            if (base == null || member.virtual() || !empty(base)) return false;
        }
        return true;
    }

    /** Where the members and ordinary bases end, without padding. */
    static long nonVirtualEnd(Aggregate aggregate) {
        aggregate.checkParts();
        long end = primary(aggregate) != null ? aggregate.table().addressSize() : 0;
        for (Member member : aggregate.members()) {
            if (member.takesNoPart()) continue;
            Aggregate base = baseOf(member);
            if (base == null) end = Math.max(end, (member.bitEnd() + 7) / 8);
            else if (!empty(base)) end = Math.max(end, member.byteOffset() + baseSize(base));
        }
        return end;
    }

    /** Bytes that a class takes as a base: plain data keeps its padding, everything else gives it up. */
    static long baseSize(Aggregate base) {
        return base.plain() ? base.size() : nonVirtualEnd(base);
    }

    private static long ownAlignment(Aggregate aggregate) {
        Platform platform = Platform.of(aggregate.table());
        long greatest = Math.max(1, aggregate.statedAlignment());
        if (dynamic(aggregate)) greatest = Math.max(greatest, aggregate.table().addressSize());
        for (Member member : aggregate.members()) {
            if (member.role() == Member.Role.STATIC) continue;
            Aggregate base = baseOf(member);
            if (base != null && !member.virtual()) greatest = Math.max(greatest, ownAlignment(base));
            else if (base == null) greatest = Math.max(greatest, platform.alignmentOf(member));
        }
        return greatest;
    }

    private static long roundUp(long value, long to) {
        return (value + to - 1) / to * to;
    }
}
