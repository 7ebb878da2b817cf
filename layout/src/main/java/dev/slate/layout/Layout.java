package dev.slate.layout;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The holes and paddings of one aggregate: the one algorithm, whatever the source. A hole is counted in whole bytes, except
 * inside a bit field's storage unit, where it is counted in bits. Bytes that two members share (reused tail padding, an empty member, a
 * variant) count once; a member of unknown size reaches up to the next one.
 */
public final class Layout {
    private final Aggregate aggregate;
    private final boolean pahole;
    /** The parts, in the order of their places; none of a union. */
    private final List<Part> parts;

    private final int[] holes;
    private final int[] bitHoles;
    private final VirtualBases virtualBases;
    private long preHole;
    private int preBitHole;
    private int holeCount;
    private int bitHoleCount;
    private long padding;
    private int bitPadding;

    /** Something that takes room: a member by its index, or a virtual base by its index behind the members. */
    private record Part(int index, long start, long end, long unitStart, long unit) {}

    // State of the walk: see measure.
    private long unitEnd;
    private long unitSize;
    private long seen;
    private boolean inUnit;
    private int last = -1;

    /** @param pahole whether to count as pahole 1.24 does */
    Layout(Aggregate aggregate, boolean pahole) {
        this.aggregate = aggregate;
        this.pahole = pahole;
        List<Member> members = aggregate.members();
        virtualBases = pahole ? VirtualBases.NONE : VirtualBases.of(aggregate);
        holes = new int[members.size() + virtualBases.placed().size()];
        bitHoles = new int[holes.length];
        parts = aggregate.isUnion() ? List.of() : parts(members);
        if (!aggregate.isUnion()) measure(parts);
    }

    private List<Part> parts(List<Member> members) {
        List<Part> parts = new ArrayList<>();
        boolean sorted = true;
        for (int i = 0; i < members.size(); i++) {
            Member member = members.get(i);
            if (member.takesNoPart() || !pahole && takesNoRoom(members, i)) continue;
            long end = member.bitEnd();
            if (!pahole && !member.sizeKnown()) end = Long.MAX_VALUE;
            else if (!pahole && member.role() == Member.Role.BASE)
                end = member.bitOffset() + 8 * VirtualBases.withoutVirtual(member);
            boolean bits = member.bitfieldSize() != 0;
            Part part = new Part(i, member.bitOffset(), end, member.byteOffset() * 8, bits ? member.byteSize() * 8 : 0);
            if (!parts.isEmpty() && parts.getLast().start() > part.start()) sorted = false;
            parts.add(part);
        }
        for (int i = 0; i < virtualBases.placed().size(); i++) {
            VirtualBases.Placed base = virtualBases.placed().get(i);
            long start = base.offset() * 8;
            parts.add(new Part(members.size() + i, start, start + base.size() * 8, start, 0));
            sorted = false;
        }
        if (pahole) return parts;
        if (!sorted) parts.sort(Comparator.comparingLong(Part::start).thenComparingLong(Part::end));
        clampToNext(parts, members);
        long whole = aggregate.size() * 8;
        for (int i = parts.size() - 1; i >= 0; i--) {
            Part p = parts.get(i);
            if (p.end() != Long.MAX_VALUE) continue;
            long next = i + 1 < parts.size() ? parts.get(i + 1).start() : Math.max(whole, p.start());
            parts.set(i, new Part(p.index(), p.start(), next, p.unitStart(), 0));
        }
        return parts;
    }

    /**
     * Whether an empty C++ member is one that takes no room ([[no_unique_address]], Itanium C++ ABI 2.4): a later member lies at its place or
     * before it, or it lies in an earlier one.
     */
    private boolean takesNoRoom(List<Member> members, int index) {
        Member member = members.get(index);
        if (!aggregate.table().language().cxx() || member.byteSize() != 1 || member.role() != Member.Role.FIELD)
            return false;
        if (!(Type.strip(member.type()) instanceof Aggregate inner) || !VirtualBases.empty(inner)) return false;
        for (int i = 0; i < members.size(); i++) {
            Member other = members.get(i);
            if (i == index || other.takesNoPart() || other.byteOffset() > member.byteOffset()) continue;
            if (i > index || member.bitOffset() < ownEnd(other)) return true;
        }
        return false;
    }

    /** The first bit behind a member and what lies in it, without the padding at its end. */
    private static long ownEnd(Member member) {
        return Type.strip(member.type()) instanceof Aggregate inner && !inner.isUnion()
                ? member.bitOffset() + 8 * VirtualBases.nonVirtualEnd(inner)
                : member.bitEnd();
    }

    /** Where the next member lies in the tail padding of a C++ class, that padding belongs to the whole. */
    private void clampToNext(List<Part> parts, List<Member> members) {
        if (!aggregate.table().language().cxx()) return;
        for (int i = 0; i + 1 < parts.size(); i++) {
            Part p = parts.get(i);
            long next = parts.get(i + 1).start();
            if (next >= p.end() || p.index() >= members.size()) continue;
            if (!(Type.strip(members.get(p.index()).type()) instanceof Aggregate inner)) continue;
            if (next >= p.start() + 8 * VirtualBases.nonVirtualEnd(inner))
                parts.set(i, new Part(p.index(), p.start(), next, p.unitStart(), p.unit()));
        }
    }

    private void measure(List<Part> parts) {
        long sizeInBits = aggregate.size() * 8;
        unitEnd = sizeInBits; // where the storage unit of the bit fields at hand ends
        unitSize = 0;
        seen = 0; // every bit below this one is accounted for
        inUnit = false;
        for (Part part : parts) {
            if (pahole || part.start() >= seen) step(part, part.start());
            else if (part.end() > seen) step(part, seen); // it overlaps what came before
        }
        if (inUnit) {
            long leftoverEnd = Math.min(sizeInBits, unitEnd);
            bitPadding = (int) (leftoverEnd - seen);
            seen = leftoverEnd;
        }
        boolean dynamic = false;
        for (Aggregate.Entry entry : aggregate.entries()) {
            // The alternatives of a Rust enum lie over each other, like the members of a union.
            if (entry instanceof Member member && member.role() == Member.Role.DYNAMIC) dynamic = true;
            if (!(entry instanceof Aggregate.Variant variant)) continue;
            for (Member member : variant.members()) {
                dynamic |= member.role() == Member.Role.DYNAMIC || !member.sizeKnown();
                seen = Math.max(seen, member.bitEnd());
            }
        }
        padding = aggregate.size() - seen / 8;
        boolean empty = seen == 0
                && aggregate.size() == 1
                && aggregate.table().language().cxx(); // the byte that tells two empty objects apart
        if (!pahole && (empty || dynamic || padding < 0 || !aggregate.sizeKnown() || !virtualBases.known()))
            padding = 0;
    }

    private void step(Part part, long start) {
        long end = part.end();
        long bits = 0;
        long bytes = 0;
        if (inUnit) {
            // What the last unit has left over, up to its end or to this member.
            long leftoverEnd = Math.min(start, unitEnd);
            bits = leftoverEnd - seen;
            seen = leftoverEnd;
        }
        boolean bitfield = part.unit() != 0;
        if (bitfield) {
            if (seen < part.unitStart() && part.unitStart() <= start) {
                bytes = part.unitStart() / 8 - seen / 8;
                seen = part.unitStart();
            }
            bits += start - seen;
        } else {
            bytes = start / 8 - seen / 8;
        }
        seen = end;
        if (bitfield) {
            inUnit = true;
            if (end > unitEnd || part.unit() > unitSize) {
                unitSize = part.unit();
                unitEnd = part.unitStart() + unitSize;
                if (end > unitEnd) unitEnd += unitSize; // the field started in the unit before
            }
        } else {
            inUnit = false;
            unitSize = 0;
            unitEnd = end;
        }
        if (last >= 0) {
            holes[last] = (int) bytes;
            bitHoles[last] = (int) bits;
        } else {
            preHole = bytes;
            preBitHole = (int) bits;
        }
        if (bits != 0) bitHoleCount++;
        if (bytes != 0) holeCount++;
        last = part.index();
    }

    public Aggregate aggregate() {
        return aggregate;
    }

    /** The virtual bases, with their places where those could be worked out. */
    public VirtualBases virtualBases() {
        return virtualBases;
    }

    /**
     * Bytes that lie unused after a member, by its place in {@link Aggregate#members()}, or after a virtual base, counted on from the members;
     * as pahole counts, negative where the next one overlaps it.
     */
    public int hole(int member) {
        return holes[member];
    }

    /**
     * Bits that each member takes of the whole, by its place in {@link Aggregate#members()}: 0 of an empty one that takes no room, fewer than it
     * has where others lie in the padding at its end.
     */
    long[] rooms() {
        List<Member> members = aggregate.members();
        long[] rooms = new long[members.size()];
        if (aggregate.isUnion()) {
            for (int i = 0; i < rooms.length; i++)
                rooms[i] = members.get(i).bitEnd() - members.get(i).bitOffset();
        }
        for (Part part : parts) if (part.index() < rooms.length) rooms[part.index()] = part.end() - part.start();
        return rooms;
    }

    /** Bits that lie unused after a bit field. */
    public int bitHole(int member) {
        return bitHoles[member];
    }

    /** Bytes that lie unused before the first member. */
    public long preHole() {
        return preHole;
    }

    /** Bits that lie unused before the first member. */
    public int preBitHole() {
        return preBitHole;
    }

    /** How many holes there are. */
    public int holeCount() {
        return holeCount;
    }

    /** How many holes inside storage units there are. */
    public int bitHoleCount() {
        return bitHoleCount;
    }

    /** Bytes of all holes. */
    public long holeSum() {
        long sum = preHole;
        for (int hole : holes) if (hole > 0) sum += hole;
        return sum;
    }

    /** Bits of all holes inside storage units. */
    public long bitHoleSum() {
        long sum = preBitHole;
        for (int hole : bitHoles) if (hole > 0) sum += hole;
        return sum;
    }

    /** Bytes that lie unused after the last member. */
    public long padding() {
        return padding;
    }

    /** Bits that lie unused after the last bit field in its unit. */
    public int bitPadding() {
        return bitPadding;
    }

    /** How many lines of that many bytes the object takes if it starts on one. */
    public long lines(int lineSize) {
        return (aggregate.size() + lineSize - 1) / lineSize;
    }
}
