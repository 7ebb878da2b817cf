package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** How a compiler gives places to members in the order of their declaration. */
public interface Platform {
    /** The System V ABI of x86-64 (3.1.2 "Aggregates and Unions", "Bit-Fields"), which other 64-bit Linux ABIs share. */
    Platform SYSTEM_V = new Platform() {};

    /** Members with their places, and what they add up to. */
    record Placed(List<Member> members, long size, long alignment) {}

    /**
     * The alignment of one member, in bytes. No debug format says that a struct is packed; where one lies at a place that its members
     * forbid, it must be.
     */
    default long alignmentOf(Member member) {
        long natural = alignmentOf(member.type());
        if (member.bitfieldSize() == 0 && member.byteOffset() % natural != 0) natural = 1;
        return Math.max(member.alignment(), natural);
    }

    /** The alignment of a type, in bytes. */
    default long alignmentOf(@Nullable Type type) {
        Type stripped = Type.strip(type);
        if (stripped instanceof ArrayType array) return alignmentOf(array.element());
        if (!(stripped instanceof Aggregate aggregate)) return Type.naturalAlignment(stripped);
        long greatest = Math.max(1, aggregate.statedAlignment());
        if (aggregate.naturalAlignment() == 0)
            return greatest; // asked before its members are: it refuses an aggregate that holds itself
        for (Aggregate.Entry entry : aggregate.entries()) {
            switch (entry) {
                case Member member -> greatest = Math.max(greatest, member.takesNoPart() ? 1 : alignmentOf(member));
                case Aggregate.Variant variant -> {
                    for (Member member : variant.members()) greatest = Math.max(greatest, alignmentOf(member));
                }
                case Aggregate.AccessMark mark -> {}
            }
        }
        return aggregate.size() % greatest == 0 ? greatest : 1;
    }

    /**
     * Gives places to members in the given order; where they were before plays no part.
     *
     * @param atLeast the alignment that the whole was asked to have, in bytes, 0 or 1 for none
     */
    default Placed place(List<Member> members, long atLeast) {
        List<Member> placed = new ArrayList<>(members.size());
        long bit = 0;
        long greatest = Math.max(1, atLeast);
        for (Member member : members) {
            if (member.role() == Member.Role.STATIC) {
                placed.add(member);
                continue;
            }
            long alignment = alignmentOf(member);
            long size = member.byteSize();
            if (member.bitfieldSize() != 0) {
                // A bit field lies within one storage unit of its type, behind the bits already taken there.
                long unit = size * 8;
                if (member.alignment() > 1) bit = roundUp(bit, member.alignment() * 8);
                if (bit / unit != (bit + member.bitfieldSize() - 1) / unit) bit = roundUp(bit, unit);
                long byteOffset = bit / unit * size;
                placed.add(new Member(
                        member.name(),
                        member.type(),
                        member.role(),
                        byteOffset,
                        bit,
                        member.bitfieldSize(),
                        (int) (bit - byteOffset * 8),
                        size,
                        member.alignment(),
                        member.access(),
                        member.virtual(),
                        0));
                bit += member.bitfieldSize();
            } else {
                bit = roundUp(bit, alignment * 8);
                placed.add(new Member(
                        member.name(),
                        member.type(),
                        member.role(),
                        bit / 8,
                        bit,
                        0,
                        0,
                        size,
                        member.alignment(),
                        member.access(),
                        member.virtual(),
                        0));
                bit += size * 8;
            }
            greatest = Math.max(greatest, alignment);
        }
        return new Placed(List.copyOf(placed), roundUp(bit, greatest * 8) / 8, greatest);
    }

    private static long roundUp(long bit, long to) {
        return (bit + to - 1) / to * to;
    }
}
