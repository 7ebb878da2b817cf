package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.BaseType;
import dev.slate.layout.EnumType;
import dev.slate.layout.FunctionType;
import dev.slate.layout.Member;
import dev.slate.layout.PointerType;
import dev.slate.layout.QualifiedType;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import dev.slate.layout.UnspecifiedType;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Makes types and members out of one unit's entries. */
final class Entries {
    private final Unit unit;

    Entries(Unit unit) {
        this.unit = unit;
    }

    Type type(int offset, long id) {
        Die die = unit.entry(offset);
        if (die == null) throw unit.broken(offset, "a type is referred to where a list of children ends");
        if (Tag.named(die.tag()) && die.has(At.SIGNATURE)) {
            // The definition was moved to a type unit (DWARF 5, 3.1.4).
            Type definition = unit.type(die.reference(At.SIGNATURE));
            if (definition != null && definition.id() != id) return definition;
        }
        return switch (die.tag()) {
            case Tag.BASE -> new BaseType(unit, id, die.name(), bits(die));
            case Tag.POINTER -> pointer(die, id, PointerType.Kind.POINTER);
            case Tag.REFERENCE -> pointer(die, id, PointerType.Kind.REFERENCE);
            case Tag.RVALUE_REFERENCE -> pointer(die, id, PointerType.Kind.RVALUE_REFERENCE);
            case Tag.MEMBER_POINTER -> pointer(die, id, PointerType.Kind.MEMBER);
            case Tag.CONST, Tag.IMMUTABLE -> qualified(die, id, QualifiedType.Kind.CONST);
            case Tag.VOLATILE -> qualified(die, id, QualifiedType.Kind.VOLATILE);
            case Tag.RESTRICT -> qualified(die, id, QualifiedType.Kind.RESTRICT);
            case Tag.ATOMIC -> qualified(die, id, QualifiedType.Kind.ATOMIC);
            case Tag.PACKED, Tag.SHARED -> qualified(die, id, QualifiedType.Kind.TAG);
            case Tag.TYPEDEF -> new TypedefType(unit, id, die.name(), die.reference(At.TYPE));
            case Tag.ARRAY -> array(die, id);
            case Tag.STRING -> new BaseType(unit, id, "string", bits(die));
            case Tag.STRUCTURE, Tag.CLASS, Tag.UNION, Tag.INTERFACE -> aggregate(die, id);
            case Tag.ENUMERATION -> enumeration(die, id);
            case Tag.SUBROUTINE, Tag.SUBPROGRAM -> function(die, id);
            case Tag.UNSPECIFIED -> new UnspecifiedType(unit, id, die.name());
            case Tag.SUBRANGE -> subrange(die, id);
            default ->
                throw unit.broken(offset, "an entry of tag 0x" + Integer.toHexString(die.tag()) + " is used as a type");
        };
    }

    private int bits(Die die) {
        long bits = die.has(At.BYTE_SIZE) ? die.number(At.BYTE_SIZE) * 8 : die.number(At.BIT_SIZE);
        if (bits < 0 || bits > 1 << 20) throw unit.broken(die.offset, "a base type of " + bits + " bits");
        return (int) bits;
    }

    private Type subrange(Die die, long id) {
        long base = die.reference(At.TYPE);
        return base == 0 ? new BaseType(unit, id, die.name(), bits(die)) : new TypedefType(unit, id, die.name(), base);
    }

    private PointerType pointer(Die die, long id, PointerType.Kind kind) {
        return new PointerType(unit, id, kind, die.name(), die.reference(At.TYPE), die.reference(At.CONTAINING_TYPE));
    }

    private QualifiedType qualified(Die die, long id, QualifiedType.Kind kind) {
        return new QualifiedType(unit, id, kind, die.reference(At.TYPE));
    }

    private ArrayType array(Die die, long id) {
        List<Long> counts = new ArrayList<>(2);
        for (Die child : children(die)) {
            if (child.tag() == Tag.SUBRANGE) counts.add(count(child));
            else if (child.tag() == Tag.ENUMERATION)
                counts.add((long) enumeration(child, id).values().size());
        }
        long[] all = new long[counts.size()];
        for (int i = 0; i < all.length; i++) all[i] = counts.get(i);
        return new ArrayType(unit, id, die.reference(At.TYPE), all, die.number(At.GNU_VECTOR) != 0);
    }

    /** How many elements a dimension has; 0 for a flexible array and for one whose length only a running program knows. */
    private long count(Die subrange) {
        long count = 0;
        if (subrange.constant(At.COUNT)) count = subrange.number(At.COUNT);
        else if (subrange.constant(At.UPPER_BOUND)) {
            // gcc gives an empty array the bound -1, in as many bytes as it likes.
            long bound = subrange.number(At.UPPER_BOUND);
            count = bound == 0xffffffffL ? 0 : bound + 1;
        }
        if (count < 0) throw unit.broken(subrange.offset, "an array of " + count + " elements");
        return count;
    }

    private Aggregate aggregate(Die die, long id) {
        Aggregate.Kind kind = switch (die.tag()) {
            case Tag.UNION -> Aggregate.Kind.UNION;
            case Tag.CLASS -> Aggregate.Kind.CLASS;
            case Tag.INTERFACE -> Aggregate.Kind.INTERFACE;
            default -> Aggregate.Kind.STRUCT;
        };
        boolean declaration = die.number(At.DECLARATION) != 0;
        long size = die.number(At.BYTE_SIZE);
        if (size < 0 || size > 1L << 40) throw unit.broken(die.offset, "a type of " + size + " bytes");
        return new Aggregate(unit, id, kind, nameOf(die), size, declaration);
    }

    /** The name, which for a class defined outside of where it was declared stands at the declaration. */
    private @Nullable String nameOf(Die die) {
        if (die.has(At.NAME)) return die.name();
        long specification = die.reference(At.SPECIFICATION);
        if (specification == 0 || specification == (die.offset | unit.head.mark())) return null;
        return unit.type(specification) instanceof Aggregate a ? a.name() : null;
    }

    private EnumType enumeration(Die die, long id) {
        List<EnumType.Value> values = new ArrayList<>();
        boolean signed = false;
        for (Die child : children(die)) {
            if (child.tag() != Tag.ENUMERATOR) continue;
            String name = child.name();
            long value = child.number(At.CONST_VALUE);
            signed |= value < 0;
            values.add(new EnumType.Value(name == null ? "" : name, value));
        }
        return new EnumType(unit, id, die.name(), die.number(At.BYTE_SIZE), signed, values);
    }

    private FunctionType function(Die die, long id) {
        List<FunctionType.Parameter> parameters = new ArrayList<>();
        boolean variadic = false;
        for (Die child : children(die)) {
            if (child.tag() == Tag.FORMAL_PARAMETER) {
                parameters.add(new FunctionType.Parameter(child.name(), child.reference(At.TYPE)));
            } else if (child.tag() == Tag.UNSPECIFIED_PARAMETERS) {
                variadic = true;
            }
        }
        return new FunctionType(unit, id, die.reference(At.TYPE), parameters, variadic);
    }

    /** The entries directly below one. */
    List<Die> children(Die parent) {
        List<Die> found = new ArrayList<>();
        if (!parent.abbrev.children) return found;
        Reader in = unit.reader(parent.after());
        while (true) {
            if (in.at >= unit.head.end()) throw in.broken("the unit ends inside a list of children");
            Die child = unit.entry(in.at);
            if (child == null) return found;
            found.add(child);
            if (found.size() > 10_000_000) throw in.broken("an entry of more than ten million children");
            in.at = child.after();
            if (child.abbrev.children) Skip.children(unit, in);
        }
    }

    TypeTable.Contents contents(Aggregate aggregate) {
        int offset = (int) (aggregate.id() & ~(Unit.TYPES | Unit.ALT));
        Die die = unit.entry(offset);
        if (die == null) throw unit.broken(offset, "a type lies where a list of children ends");
        List<Aggregate.Entry> entries = new ArrayList<>();
        for (Die child : children(die)) {
            Aggregate.Entry entry = entry(child, aggregate);
            if (entry != null) entries.add(entry);
            if (child.tag() == Tag.VARIANT_PART) variants(child, aggregate, entries);
        }
        if (unit.language() == TypeTable.Language.RUST) sort(entries);
        return new TypeTable.Contents(entries, die.number(At.ALIGNMENT));
    }

    /** Rust orders fields as it likes, and names them in the order of the source: put them into the order of their places. */
    private static void sort(List<Aggregate.Entry> entries) {
        List<Member> members = new ArrayList<>();
        for (Aggregate.Entry entry : entries) if (entry instanceof Member member) members.add(member);
        members.sort(Comparator.comparingLong(Member::byteOffset));
        int next = 0;
        for (int i = 0; i < entries.size(); i++)
            if (entries.get(i) instanceof Member) entries.set(i, members.get(next++));
    }

    private Aggregate.@Nullable Entry entry(Die child, Aggregate owner) {
        return switch (child.tag()) {
            case Tag.MEMBER, Tag.INHERITANCE -> member(child, owner);
            case Tag.SUBPROGRAM ->
                access(child) == Aggregate.Access.NONE ? null : new Aggregate.AccessMark(access(child));
            default ->
                null; // functions, inner types, template parameters: nothing that takes room; variant parts come after
        };
    }

    private Member member(Die die, Aggregate owner) {
        Type type = unit.type(die.reference(At.TYPE));
        boolean base = die.tag() == Tag.INHERITANCE;
        boolean placed = die.has(At.DATA_MEMBER_LOCATION) || die.has(At.DATA_BIT_OFFSET);
        boolean unplacedStatic = !base
                && !placed
                && !owner.isUnion()
                && (die.has(At.EXTERNAL) || die.has(At.CONST_VALUE) || die.has(At.DECLARATION));
        if (unplacedStatic) return staticMember(die, type);
        long virtuality = die.number(At.VIRTUALITY);
        long byteOffset = die.constant(At.DATA_MEMBER_LOCATION) ? die.number(At.DATA_MEMBER_LOCATION) : 0;
        long bits = die.number(At.BIT_SIZE);
        long alignment = die.number(At.ALIGNMENT);
        Aggregate.Access access = access(die);
        long size = Type.sizeOf(type);
        if (base && size == 1 && type instanceof Aggregate a && a.members().isEmpty())
            size = 0; // the empty base takes no room
        if (bits <= 0) {
            checkPlace(die, owner, byteOffset, size, base);
            return new Member(
                    die.name(),
                    type,
                    base ? Member.Role.BASE : Member.Role.FIELD,
                    byteOffset,
                    byteOffset * 8,
                    0,
                    0,
                    size,
                    alignment,
                    access,
                    virtuality != 0,
                    0);
        }
        if (bits > 255) throw unit.broken(die.offset, "a bit field of " + bits + " bits");
        return bitfield(die, type, byteOffset, (int) bits, alignment, access);
    }

    /** A member that leaves its aggregate is no layout. A base may: its tail padding is used again (Itanium C++ ABI 2.4). */
    private void checkPlace(Die die, Aggregate owner, long offset, long size, boolean base) {
        if (base || owner.declaration()) return;
        if (offset < 0 || offset > owner.size() || size > owner.size() - offset) {
            if (size == 1 && offset <= owner.size()) return; // an empty member marked no_unique_address
            throw unit.broken(
                    die.offset,
                    "a member of " + owner.kind().word() + " " + owner.name() + " lies at byte " + offset + " and is "
                            + size + " bytes long, but the type has " + owner.size());
        }
    }

    /**
     * A bit field in the storage unit of its type at a multiple of its size. DWARF 2 and 3 count from the unit's most significant
     * bit, DWARF 4 and 5 from the start of the aggregate (DWARF 5, 5.7.6).
     */
    private Member bitfield(
            Die die, @Nullable Type type, long location, int bits, long alignment, Aggregate.Access access) {
        long size = die.number(At.BYTE_SIZE);
        if (size <= 0) size = Type.sizeOf(Type.strip(type));
        if (size <= 0 || size > 16)
            throw unit.broken(die.offset, "a bit field in a storage unit of " + size + " bytes");
        long unitBits = size * 8;
        long bitOffset;
        if (die.has(At.DATA_BIT_OFFSET)) {
            bitOffset = location * 8 + die.number(At.DATA_BIT_OFFSET);
        } else {
            long fromTop = die.number(At.BIT_OFFSET);
            bitOffset =
                    location * 8 + (unit.in.order() == ByteOrder.LITTLE_ENDIAN ? unitBits - fromTop - bits : fromTop);
        }
        if (bitOffset < 0) throw unit.broken(die.offset, "a bit field before the start of its aggregate");
        long byteOffset = bitOffset / unitBits * size;
        return new Member(
                die.name(),
                type,
                Member.Role.FIELD,
                byteOffset,
                bitOffset,
                bits,
                (int) (bitOffset - byteOffset * 8),
                size,
                alignment,
                access,
                false,
                0);
    }

    private Member staticMember(Die die, @Nullable Type type) {
        return new Member(
                die.name(),
                type,
                Member.Role.STATIC,
                0,
                0,
                0,
                0,
                0,
                die.number(At.ALIGNMENT),
                access(die),
                false,
                die.has(At.CONST_VALUE) && die.constant(At.CONST_VALUE) ? die.number(At.CONST_VALUE) : 0);
    }

    private static Aggregate.Access access(Die die) {
        return switch ((int) die.number(At.ACCESSIBILITY)) {
            case 1 -> Aggregate.Access.PUBLIC;
            case 2 -> Aggregate.Access.PROTECTED;
            case 3 -> Aggregate.Access.PRIVATE;
            default -> Aggregate.Access.NONE;
        };
    }

    /** The alternatives of a Rust enum (DWARF 5, 5.7.10), behind the member that tells them apart. */
    private void variants(Die part, Aggregate owner, List<Aggregate.Entry> entries) {
        for (Die child : children(part)) {
            if (child.tag() == Tag.MEMBER) {
                Member tag = member(child, owner);
                entries.add(new Aggregate.Variant(true, 0, List.of(tag)));
            } else if (child.tag() == Tag.VARIANT) {
                List<Member> members = new ArrayList<>();
                for (Die inner : children(child)) if (inner.tag() == Tag.MEMBER) members.add(member(inner, owner));
                boolean chosen = child.has(At.DISCRIMINANT_VALUE);
                entries.add(new Aggregate.Variant(!chosen, child.number(At.DISCRIMINANT_VALUE), List.copyOf(members)));
            }
        }
    }
}
