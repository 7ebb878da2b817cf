package dev.slate.layout;

import java.util.List;

/**
 * The holes and paddings of one aggregate: the one algorithm, whatever the source. A hole is counted in whole bytes, except
 * inside a bit field's storage unit, where it is counted in bits.
 */
public final class Layout {
    private final Aggregate aggregate;
    private final int[] holes;
    private final int[] bitHoles;
    private long preHole;
    private int preBitHole;
    private int holeCount;
    private int bitHoleCount;
    private long padding;
    private int bitPadding;

    Layout(Aggregate aggregate) {
        this.aggregate = aggregate;
        List<Member> members = aggregate.members();
        holes = new int[members.size()];
        bitHoles = new int[members.size()];
        if (!aggregate.isUnion()) measure(members);
    }

    private void measure(List<Member> members) {
        long sizeInBits = aggregate.size() * 8;
        long unitEnd = sizeInBits; // where the storage unit of the bit fields at hand ends
        long unitSize = 0;
        long seen = 0; // every bit below this one is accounted for
        boolean inUnit = false;
        int last = -1;
        for (int i = 0; i < members.size(); i++) {
            Member member = members.get(i);
            if (member.takesNoPart()) continue;
            boolean bitfield = member.bitfieldSize() != 0;
            long start = member.bitOffset();
            long end = member.bitEnd();
            long bits = 0;
            long bytes = 0;
            if (inUnit) {
                // What the last unit has left over, up to its end or to this member.
                long leftoverEnd = Math.min(start, unitEnd);
                bits = leftoverEnd - seen;
                seen = leftoverEnd;
            }
            if (bitfield) {
                long unitStart = member.byteOffset() * 8;
                if (seen < unitStart && unitStart <= start) {
                    bytes = member.byteOffset() - seen / 8;
                    seen = unitStart;
                }
                bits += start - seen;
            } else {
                bytes = start / 8 - seen / 8;
            }
            seen = end;
            if (bitfield) {
                inUnit = true;
                long storage = member.byteSize() * 8;
                if (end > unitEnd || storage > unitSize) {
                    unitSize = storage;
                    unitEnd = member.byteOffset() * 8 + unitSize;
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
            last = i;
        }
        if (inUnit) {
            long leftoverEnd = Math.min(sizeInBits, unitEnd);
            bitPadding = (int) (leftoverEnd - seen);
            seen = leftoverEnd;
        }
        for (Aggregate.Entry entry : aggregate.entries()) {
            // The alternatives of a Rust enum lie over each other, like the members of a union.
            if (!(entry instanceof Aggregate.Variant variant)) continue;
            for (Member member : variant.members()) seen = Math.max(seen, member.bitEnd());
        }
        padding = aggregate.size() - seen / 8;
    }

    public Aggregate aggregate() {
        return aggregate;
    }

    /** Bytes that lie unused after a member, by its place in {@link Aggregate#members()}; negative where the next one overlaps it. */
    public int hole(int member) {
        return holes[member];
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
