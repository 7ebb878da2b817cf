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
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Makes types and members out of one unit's entries. */
final class Entries {
    /** How many names may be asked for inside one another. */
    private static final int DEEPEST_NAME = 64;

    private static final ThreadLocal<int[]> NAMING = ThreadLocal.withInitial(() -> new int[1]);

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
            case Tag.BASE -> new BaseType(unit, id, die.name(), bits(die), encoding(die));
            case Tag.POINTER -> pointer(die, id, PointerType.Kind.POINTER);
            case Tag.REFERENCE -> pointer(die, id, PointerType.Kind.REFERENCE);
            case Tag.RVALUE_REFERENCE -> pointer(die, id, PointerType.Kind.RVALUE_REFERENCE);
            case Tag.MEMBER_POINTER -> pointer(die, id, PointerType.Kind.MEMBER);
            case Tag.CONST, Tag.IMMUTABLE -> qualified(die, id, QualifiedType.Kind.CONST);
            case Tag.VOLATILE -> qualified(die, id, QualifiedType.Kind.VOLATILE);
            case Tag.RESTRICT -> qualified(die, id, QualifiedType.Kind.RESTRICT);
            case Tag.ATOMIC -> qualified(die, id, QualifiedType.Kind.ATOMIC);
            case Tag.PACKED, Tag.SHARED -> qualified(die, id, QualifiedType.Kind.TAG);
            case Tag.TYPEDEF, Tag.TEMPLATE_ALIAS ->
                new TypedefType(unit, id, die.name(), die.reference(At.TYPE), die.number(At.ALIGNMENT));
            case Tag.ARRAY -> array(die, id);
            case Tag.STRING -> sized(die, id, "string");
            case Tag.SET -> sized(die, id, "set");
            case Tag.FILE -> sized(die, id, "file");
            case Tag.COARRAY, Tag.DYNAMIC -> new UnspecifiedType(unit, id, die.name());
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
        if (bits < 0 || bits > 1 << 30) throw unit.broken(die.offset, "a base type of " + bits + " bits");
        return (int) bits;
    }

    /** DWARF 5, table 7.11, and gcc's code for complex integers. */
    private static BaseType.Encoding encoding(Die die) {
        return switch ((int) die.number(At.ENCODING)) {
            case 0x02 -> BaseType.Encoding.BOOLEAN;
            case 0x03, 0x80 -> BaseType.Encoding.COMPLEX;
            case 0x05 -> BaseType.Encoding.SIGNED;
            case 0x06, 0x08, 0x10 -> BaseType.Encoding.CHARACTER;
            case 0x07 -> BaseType.Encoding.UNSIGNED;
            default -> BaseType.Encoding.OTHER;
        };
    }

    /** A type without parts that states its size, or a type of unknown size. */
    private Type sized(Die die, long id, String word) {
        String name = die.name();
        if (!die.constant(At.BYTE_SIZE)) return new UnspecifiedType(unit, id, name == null ? word : name);
        return new BaseType(unit, id, name == null ? word : name, bits(die));
    }

    private Type subrange(Die die, long id) {
        long base = die.reference(At.TYPE);
        boolean own = die.constant(At.BYTE_SIZE) || base == 0;
        return own ? new BaseType(unit, id, die.name(), bits(die)) : new TypedefType(unit, id, die.name(), base);
    }

    private PointerType pointer(Die die, long id, PointerType.Kind kind) {
        long size = kind != PointerType.Kind.MEMBER && die.constant(At.BYTE_SIZE) ? die.number(At.BYTE_SIZE) : 0;
        if (size < 0 || size > 32) throw unit.broken(die.offset, "a pointer of " + size + " bytes");
        return new PointerType(
                unit, id, kind, die.name(), die.reference(At.TYPE), die.reference(At.CONTAINING_TYPE), size);
    }

    private QualifiedType qualified(Die die, long id, QualifiedType.Kind kind) {
        return new QualifiedType(unit, id, kind, die.reference(At.TYPE));
    }

    private ArrayType array(Die die, long id) {
        List<Long> counts = new ArrayList<>(2);
        boolean known = true;
        for (Die child : children(die)) {
            long count = 0;
            if (child.tag() == Tag.SUBRANGE) count = count(child);
            else if (child.tag() == Tag.ENUMERATION)
                count = enumeration(child, id).values().size();
            else continue;
            known &= count != ArrayType.UNKNOWN;
            counts.add(Math.max(0, count));
        }
        long[] all = new long[counts.size()];
        for (int i = 0; i < all.length; i++) all[i] = counts.get(i);
        boolean vector = die.number(At.GNU_VECTOR) != 0;
        return new ArrayType(unit, id, die.reference(At.TYPE), all, vector, size(die, all.length, known));
    }

    private long size(Die die, int dimensions, boolean known) {
        TypeTable.Language language = unit.language();
        long pointer = unit.addressSize();
        if (die.has(At.DATA_LOCATION)) {
            // The elements are elsewhere, and a descriptor is here. gfortran's (libgfortran.h, since GCC 8) has a
            // base, an offset, 16 bytes about the type, a span, and three words for each dimension; Free Pascal
            // has a pointer.
            if (language == TypeTable.Language.FORTRAN && pointer == 8) return 40 + 24L * dimensions;
            // A dynamic array is a pointer to its elements; a short string has them behind its length, as many as
            // its variable says.
            return language == TypeTable.Language.PASCAL && dereferences(die) ? pointer : ArrayType.UNKNOWN;
        }
        boolean stated = die.constant(At.BYTE_SIZE) && language != TypeTable.Language.RUST;
        if (stated && !language.cxx() && language != TypeTable.Language.C) return Math.max(0, die.number(At.BYTE_SIZE));
        return known ? ArrayType.COUNTED : ArrayType.UNKNOWN;
    }

    /** Whether the place of an array's elements is read from memory (DW_OP_deref). */
    private static boolean dereferences(Die die) {
        Reader in = die.block(At.DATA_LOCATION);
        if (in == null) return false;
        int end = die.blockEnd(At.DATA_LOCATION);
        while (in.at < end) if (in.byte1() == 0x06) return true;
        return false;
    }

    /** How many elements a dimension has; 0 for a flexible array, UNKNOWN where only a running program knows. */
    private long count(Die subrange) {
        if (subrange.constant(At.COUNT)) return checked(subrange, subrange.number(At.COUNT));
        if (subrange.has(At.COUNT)) return ArrayType.UNKNOWN;
        boolean upper = subrange.has(At.UPPER_BOUND);
        if (!upper) return wholeRange(subrange);
        if (!subrange.constant(At.UPPER_BOUND) || subrange.has(At.LOWER_BOUND) && !subrange.constant(At.LOWER_BOUND))
            return dynamicBound();
        // gcc gives an empty array the bound -1, in as many bytes as it likes.
        long bound = subrange.number(At.UPPER_BOUND);
        if (bound == 0xffffffffL && unit.lowestBound() == 0) bound = -1;
        long lower = subrange.numberOr(At.LOWER_BOUND, unit.lowestBound());
        return bound < lower ? 0 : checked(subrange, bound - lower + 1);
    }

    /** C's variable-length arrays are never members; the bounds of other languages' may be. */
    private long dynamicBound() {
        TypeTable.Language language = unit.language();
        return language == TypeTable.Language.C || language.cxx() ? 0 : ArrayType.UNKNOWN;
    }

    /** A dimension that only names its index type: all values of an enumeration or a subrange; C's flexible array. */
    private long wholeRange(Die subrange) {
        TypeTable.Language language = unit.language();
        if (language != TypeTable.Language.ADA && language != TypeTable.Language.PASCAL) return 0;
        Type index = Type.strip(unit.type(subrange.reference(At.TYPE)));
        return index instanceof EnumType e ? e.values().size() : ArrayType.UNKNOWN;
    }

    private long checked(Die subrange, long count) {
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
        // A variable size refers to a value or computes it (Ada); a definition in bits is rounded up.
        boolean variable = die.has(At.BYTE_SIZE) && !die.constant(At.BYTE_SIZE);
        long size = variable ? 0 : die.has(At.BYTE_SIZE) ? die.number(At.BYTE_SIZE) : (die.number(At.BIT_SIZE) + 7) / 8;
        if (size < 0 || size > 1L << 40) throw unit.broken(die.offset, "a type of " + size + " bytes");
        return new Aggregate(unit, id, kind, nameOf(die), variable ? Aggregate.UNKNOWN : size, declaration);
    }

    /** The name, which for a class defined outside of where it was declared stands at the declaration. */
    @Nullable
    String nameOf(Die die) {
        Die named = declarationOf(die, 0);
        String name = die.has(At.NAME) ? die.name() : named.name();
        if (name == null || !unit.language().cxx() || name.indexOf('<') >= 0 || !unit.templated(die.offset))
            return name;
        int[] depth = NAMING.get();
        // A class that is its own template's argument, or lies in one that is: no compiler writes that.
        if (depth[0] > DEEPEST_NAME) throw unit.broken(die.offset, "a name that contains itself");
        depth[0]++;
        try {
            String arguments = new Templates(this).arguments(die);
            return arguments.isEmpty() ? name : name + arguments;
        } finally {
            depth[0]--;
        }
    }

    /** The entry that has the name and the scope of one that is defined elsewhere than it is declared. */
    private Die declarationOf(Die die, int depth) {
        int attribute = die.has(At.SPECIFICATION) ? At.SPECIFICATION : At.ABSTRACT_ORIGIN;
        // gcc's type units repeat the name beside the declaration, which alone has the scope.
        if (!die.has(attribute) || depth > 4) return die;
        long reference = die.reference(attribute);
        Die found = unit.owner(reference).entry((int) (reference & ~(Unit.TYPES | Unit.ALT)));
        return found == null || found.offset == die.offset && found.unit == die.unit
                ? die
                : declarationOf(found, depth + 1);
    }

    /** The scope, unit and line of the entry of a type. */
    TypeTable.Where where(int offset, int depth) {
        Die die = unit.entry(offset);
        if (die == null) return TypeTable.Where.NOWHERE;
        Die named = declarationOf(die, 0);
        boolean primary = die.number(At.DECL_FILE) <= 1;
        return new TypeTable.Where(
                named.unit.scopeOf(named.offset, depth),
                unit.source(),
                (int) Math.min(Integer.MAX_VALUE, die.number(At.DECL_LINE)),
                !primary);
    }

    /** The qualified name of a scope. */
    String scopeName(int offset, int depth) {
        Die die = unit.entry(offset);
        if (die == null) return "";
        if (Tag.aggregate(die.tag())
                && die.has(At.SIGNATURE)
                && unit.type(die.reference(At.SIGNATURE)) instanceof Aggregate a
                && a.id() != (offset | unit.head.mark()))
            return String.valueOf(a.qualifiedName()); // a type unit has it
        Die named = declarationOf(die, 0);
        String name = Tag.aggregate(die.tag()) ? nameOf(die) : named.name();
        if (name == null) name = die.tag() == Tag.NAMESPACE ? "(anonymous namespace)" : "{...}";
        String outer = named.unit.scopeOf(named.offset, depth + 1);
        return outer.isEmpty() ? name : outer + unit.language().separator() + name;
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

    /** The type that an entry names. */
    @Nullable
    Type typeOf(Die die) {
        return unit.type(die.reference(At.TYPE));
    }

    /** Whether an entry's type is a scoped enumeration, whose values are written behind its name. */
    boolean scoped(Die die) {
        long id = die.reference(At.TYPE);
        Die type = id == 0 ? null : unit.owner(id).entry((int) (id & ~(Unit.TYPES | Unit.ALT)));
        return type != null && type.has(At.ENUM_CLASS);
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
        boolean plain = true;
        for (Die child : children(die)) {
            Aggregate.Entry entry = entry(child, aggregate);
            if (entry != null) entries.add(entry);
            if (child.tag() == Tag.VARIANT_PART) variants(child, aggregate, entries, 0);
            plain &= plain(child, aggregate, entry);
        }
        if (unit.language() == TypeTable.Language.RUST) sort(entries);
        return new TypeTable.Contents(entries, die.number(At.ALIGNMENT), plain);
    }

    /** Itanium C++ ABI 1.1, "POD": no bases, no virtual functions, nothing hidden, no constructor of its own, no other members. */
    private boolean plain(Die child, Aggregate owner, Aggregate.@Nullable Entry entry) {
        if (!unit.language().cxx()) return true;
        if (child.tag() == Tag.INHERITANCE) return false;
        if (child.tag() == Tag.SUBPROGRAM) {
            if (child.number(At.VIRTUALITY) != 0) return false;
            String name = child.has(At.ARTIFICIAL) ? null : child.name();
            String own = owner.name();
            if (name == null || own == null) return true;
            int arguments = own.indexOf('<');
            return !name.equals(arguments > 0 ? own.substring(0, arguments) : own)
                    && !name.startsWith("~")
                    && !name.equals("operator=");
        }
        if (!(entry instanceof Member member) || member.role() == Member.Role.STATIC) return true;
        boolean hidden = member.access() == Aggregate.Access.PRIVATE
                || member.access() == Aggregate.Access.PROTECTED
                || member.access() == Aggregate.Access.NONE && owner.kind() == Aggregate.Kind.CLASS;
        Type type = Type.strip(member.type());
        for (int steps = 0; type instanceof ArrayType array && steps < 64; steps++) type = Type.strip(array.element());
        boolean reference = type instanceof PointerType p
                && (p.kind() == PointerType.Kind.REFERENCE || p.kind() == PointerType.Kind.RVALUE_REFERENCE);
        return !hidden && !reference && !(type instanceof Aggregate inner && inner != owner && !inner.plain());
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
        boolean virtual = die.number(At.VIRTUALITY) != 0;
        boolean constant = !die.has(At.DATA_MEMBER_LOCATION) || die.constant(At.DATA_MEMBER_LOCATION);
        long byteOffset = constant ? die.number(At.DATA_MEMBER_LOCATION) : 0;
        boolean dynamic = !constant && !(base && virtual);
        long bits = die.constant(At.BIT_SIZE) ? die.number(At.BIT_SIZE) : 0;
        long alignment = die.number(At.ALIGNMENT);
        Aggregate.Access access = access(die);
        long size = Type.sizeOf(type);
        if (base && size == 1 && Type.strip(type) instanceof Aggregate a && empty(a, 0))
            size = 0; // the empty base takes no room
        // Free Pascal gives the characters of a short string the bounds of the whole, with the length before them.
        if (unit.language() == TypeTable.Language.PASCAL && "ShortString".equals(owner.name()))
            size = Math.min(size, Math.max(0, owner.size() - byteOffset));
        // rustc before 1.66: a function item as a member has its pointer's type and 0 bits.
        if (bits == 0 && die.constant(At.BIT_SIZE)) size = 0;
        if (bits <= 0) {
            if (!dynamic && owner.sizeKnown()) checkPlace(die, owner, byteOffset, size, base);
            return new Member(
                    die.name(),
                    type,
                    dynamic ? Member.Role.DYNAMIC : base ? Member.Role.BASE : Member.Role.FIELD,
                    byteOffset,
                    byteOffset * 8,
                    0,
                    0,
                    size,
                    alignment,
                    access,
                    virtual,
                    0);
        }
        return bitfield(die, type, byteOffset, bits, alignment, access);
    }

    private static boolean empty(Aggregate aggregate, int depth) {
        if (depth > 100) return false;
        for (Member member : aggregate.members()) {
            if (member.role() == Member.Role.STATIC) continue;
            boolean base = member.role() == Member.Role.BASE && !member.virtual();
            if (!base || !(Type.strip(member.type()) instanceof Aggregate inner) || !empty(inner, depth + 1))
                return false;
        }
        return true;
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
            Die die, @Nullable Type type, long location, long bits, long alignment, Aggregate.Access access) {
        long size = die.number(At.BYTE_SIZE);
        if (size <= 0) size = Type.sizeOf(Type.strip(type));
        if (size <= 0 || bits > 1 << 30)
            throw unit.broken(die.offset, "a bit field of " + bits + " bits in a storage unit of " + size + " bytes");
        long unitBits = size * 8;
        long bitOffset;
        if (die.has(At.DATA_BIT_OFFSET)) {
            bitOffset = location * 8 + die.number(At.DATA_BIT_OFFSET);
        } else {
            long fromTop = die.number(At.BIT_OFFSET);
            bitOffset = location * 8 + (unit.little() ? unitBits - fromTop - bits : fromTop);
        }
        if (bitOffset < 0) throw unit.broken(die.offset, "a bit field before the start of its aggregate");
        // Ada packs whole records and arrays into bits: those have no storage unit but the bytes that they touch.
        boolean packed = size > 16 || Long.bitCount(size) != 1 || bits > unitBits;
        long byteOffset = packed ? bitOffset / 8 : bitOffset / unitBits * size;
        if (packed) size = (bitOffset + bits + 7) / 8 - byteOffset;
        return new Member(
                die.name(),
                type,
                Member.Role.FIELD,
                byteOffset,
                bitOffset,
                (int) bits,
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

    /**
     * The alternatives of a Rust enum or an Ada record (DWARF 5, 5.7.10), behind the member that tells them apart. Ada's is often a member of
     * the record itself, and an alternative may have alternatives of its own.
     */
    private void variants(Die part, Aggregate owner, List<Aggregate.Entry> entries, int depth) {
        if (depth > 50) throw unit.broken(part.offset, "variants nested more than 50 deep");
        Type tag = null;
        for (Die child : children(part)) {
            if (child.tag() == Tag.MEMBER) {
                Member member = member(child, owner);
                tag = Type.strip(member.type());
                entries.add(new Aggregate.Variant(Aggregate.Variant.Part.DISCRIMINANT, "", List.of(member)));
            }
        }
        if (tag == null) tag = tagOf(part);
        for (Die child : children(part)) {
            if (child.tag() != Tag.VARIANT) continue;
            List<Member> members = new ArrayList<>();
            List<Die> parts = new ArrayList<>();
            for (Die inner : children(child)) {
                if (inner.tag() == Tag.MEMBER) members.add(member(inner, owner));
                else if (inner.tag() == Tag.VARIANT_PART) parts.add(inner);
            }
            String value = new Discriminants(unit, tag).values(child);
            Aggregate.Variant.Part which =
                    value.isEmpty() ? Aggregate.Variant.Part.OTHERWISE : Aggregate.Variant.Part.CHOSEN;
            entries.add(new Aggregate.Variant(which, value, List.copyOf(members)));
            for (Die inner : parts) variants(inner, owner, entries, depth + 1);
        }
    }

    /** The type of the discriminant that a variant part names by its place. */
    private @Nullable Type tagOf(Die part) {
        long discriminant = part.has(At.DISCR) ? part.reference(At.DISCR) : 0;
        if (discriminant == 0) return Type.strip(unit.type(part.reference(At.TYPE)));
        Die member = unit.owner(discriminant).entry((int) (discriminant & ~(Unit.TYPES | Unit.ALT)));
        return member == null ? null : Type.strip(unit.type(member.reference(At.TYPE)));
    }
}
