package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * How a compiler gives places to members in the order of their declaration: the System V ABI of x86-64 (3.1.2 "Aggregates and Unions",
 * "Bit-Fields"), which other ABIs share but for the widest alignment, and on top of it the Itanium C++ ABI's base classes and Go's rule
 * for a last member without size.
 *
 * @param widest the widest alignment of a scalar, in bytes
 * @param doubtful the widest alignment, in bytes, of a struct inside that may be packed as a whole or in part: no debug format says so
 */
public record Platform(long widest, long doubtful) {
    /** A struct that looks as if it were not packed is not. */
    public static final long NATURAL = 1L << 40;

    // Parts in parts, and the typedefs, qualifiers and arrays between them.
    private static final int DEEPEST = 1000;

    /** The System V ABI of x86-64. */
    public static final Platform SYSTEM_V = new Platform(16, NATURAL);

    /** Members with their places, and what they add up to. */
    public record Placed(List<Member> members, long size, long alignment) {}

    /** The rules of the platform that a table's types were compiled for. */
    public static Platform of(TypeTable table) {
        return new Platform(table.widestAlignment(), NATURAL);
    }

    /**
     * The alignment of one member, in bytes. No debug format says that a struct is packed; where one lies at a place that its members
     * forbid, it must be.
     */
    public long alignmentOf(Member member) {
        long natural = alignmentOf(member.type());
        if (member.bitfieldSize() == 0 && member.byteOffset() % natural != 0) natural = 1;
        return Math.max(member.alignment(), natural);
    }

    /** The alignment of a type, in bytes. */
    public long alignmentOf(@Nullable Type type) {
        return alignmentOf(type, 0);
    }

    private long alignmentOf(@Nullable Type type, int depth) {
        if (depth > DEEPEST)
            throw new LayoutException(type == null ? "?" : type.table().file(), "a type that never ends");
        return switch (type) {
            case TypedefType t -> t.alignment() != 0 ? t.alignment() : alignmentOf(t.target(), depth + 1);
            case QualifiedType q -> {
                long inner = alignmentOf(q.target(), depth + 1);
                long size = q.size();
                // C11 atomics of a size that the machine reads at once are aligned to it.
                boolean whole = q.kind() == QualifiedType.Kind.ATOMIC && size <= 16 && Long.bitCount(size) == 1;
                yield whole ? Math.max(inner, size) : inner;
            }
            case ArrayType a when a.vector() -> Math.max(1, Long.highestOneBit(a.size()));
            case ArrayType a -> alignmentOf(a.element(), depth + 1);
            case BaseType b -> scalar(b.encoding() == BaseType.Encoding.COMPLEX ? b.size() / 2 : b.size());
            case EnumType e -> scalar(e.size());
            case PointerType p -> scalar(Math.min(p.size(), p.table().addressSize()));
            case UnspecifiedType u -> scalar(u.size());
            case Aggregate a -> {
                a.checkParts();
                yield aggregate(a, depth);
            }
            case FunctionType f -> scalar(f.size());
            case null -> 1;
        };
    }

    private long scalar(long size) {
        return size <= 0 ? 1 : Math.min(Long.lowestOneBit(size), widest);
    }

    private long aggregate(Aggregate aggregate, int depth) {
        long stated = aggregate.statedAlignment();
        if (aggregate.table().language() == TypeTable.Language.RUST && stated != 0) return stated;
        long greatest = Math.max(1, stated);
        long virtual = VirtualBases.alignment(aggregate);
        if (virtual != 0) return Math.max(greatest, virtual);
        long natural = 1;
        boolean crooked = false;
        for (Aggregate.Entry entry : aggregate.entries()) {
            List<Member> members = switch (entry) {
                case Member member -> List.of(member);
                case Aggregate.Variant variant -> variant.members();
                case Aggregate.AccessMark mark -> List.of();
            };
            for (Member member : members) {
                if (member.role() == Member.Role.STATIC || member.role() == Member.Role.DYNAMIC) continue;
                long its = Math.max(member.alignment(), alignmentOf(member.type(), depth + 1));
                natural = Math.max(natural, its);
                crooked |= member.bitfieldSize() == 0 && member.byteOffset() % its != 0;
            }
        }
        if (crooked || aggregate.size() % natural != 0) {
            // Packed as a whole, or in part: then the rest decides, as far as the size allows it.
            if (doubtful == NATURAL) return greatest;
            return Math.max(greatest, Math.min(doubtful, Math.min(natural, Long.lowestOneBit(aggregate.size()))));
        }
        if (natural > doubtful && stated == 0 && tight(aggregate)) return doubtful;
        return Math.max(greatest, natural);
    }

    /** Whether a struct would look the same if it had been declared packed. */
    private static boolean tight(Aggregate aggregate) {
        if (aggregate.isUnion()) return aggregate.members().stream().anyMatch(m -> m.bitEnd() == aggregate.size() * 8);
        Layout layout = aggregate.layout();
        return layout.holeCount() == 0
                && layout.bitHoleCount() == 0
                && layout.padding() == 0
                && layout.bitPadding() == 0;
    }

    /**
     * Gives places to members in the given order; where they were before plays no part.
     *
     * @param atLeast the alignment that the whole was asked to have, in bytes, 0 or 1 for none
     */
    public Placed place(List<Member> members, long atLeast) {
        return place(members, atLeast, TypeTable.Language.C, Reuse.NOTHING, this::alignmentOf);
    }

    /** Whose tail padding the next member may lie in (Itanium C++ ABI 2.4): classes that are not plain data, as bases or members. */
    public enum Reuse {
        BASES,
        BASES_AND_MEMBERS,
        NOTHING
    }

    /**
     * As the other one, by the rules of a language.
     *
     * @param alignments the alignment of each member, in bytes
     */
    public Placed place(
            List<Member> members,
            long atLeast,
            TypeTable.Language language,
            Reuse reuse,
            ToLongFunction<Member> alignments) {
        List<Member> placed = new ArrayList<>(members.size());
        long bit = 0;
        long greatest = Math.max(1, atLeast);
        Member last = null;
        for (Member member : members) {
            if (member.takesNoPart()) {
                placed.add(member);
                continue;
            }
            long alignment = alignments.applyAsLong(member);
            long size = member.byteSize();
            if (member.bitfieldSize() != 0) {
                // A bit field lies within one storage unit of its type, behind the bits already taken there.
                long unit = size * 8;
                if (member.alignment() > 1) bit = roundUp(bit, member.alignment() * 8);
                if (bit / unit != (bit + member.bitfieldSize() - 1) / unit) bit = roundUp(bit, unit);
                long byteOffset = bit / unit * size;
                placed.add(member.at(byteOffset, bit, (int) (bit - byteOffset * 8)));
                bit += member.bitfieldSize();
            } else {
                bit = roundUp(bit, alignment * 8);
                placed.add(member.at(bit / 8, bit, 0));
                boolean gives =
                        reuse == Reuse.BASES_AND_MEMBERS || reuse == Reuse.BASES && member.role() == Member.Role.BASE;
                Type type = gives ? Type.strip(member.type()) : null;
                bit += 8 * (type instanceof Aggregate inner && size != 0 ? VirtualBases.baseSize(inner) : size);
            }
            greatest = Math.max(greatest, alignment);
            last = member;
        }
        // Go: a pointer to a last member without size must not point behind the object.
        if (language == TypeTable.Language.GO && last != null && last.byteSize() == 0 && bit > 0) bit += 8;
        return new Placed(List.copyOf(placed), roundUp(bit, greatest * 8) / 8, greatest);
    }

    private static long roundUp(long bit, long to) {
        return (bit + to - 1) / to * to;
    }
}
