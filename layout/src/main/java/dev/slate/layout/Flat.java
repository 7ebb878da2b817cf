package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The members of an aggregate with those of the structs inside it, each with its path and its place in the whole. A virtual base whose
 * place could be worked out counts as a member.
 *
 * @param path names joined by dots; a nameless struct adds nothing to it
 * @param member the member where it is declared
 * @param bitOffset from the start of the whole, in bits
 * @param room bits that it takes of the whole: fewer than it has where a C++ member is empty or others lie in the padding at its end
 */
public record Flat(String path, Member member, long bitOffset, long room) {
    /** How many members a flattening may have; a broken file could nest exponentially many. */
    private static final int LIMIT = 1_000_000;

    /** What is opened. */
    private enum Open {
        /** Members without a name. */
        NAMELESS,
        /** Members whose type has no name: nobody else tells what is inside. */
        NAMELESS_TYPES,
        /** The same, and the values of discriminants are told. */
        COMPARED,
        /** All structs and unions. */
        ALL
    }

    /** From the start of the whole, in bytes. */
    public long offset() {
        return bitOffset / 8;
    }

    /** Bits that the member has. */
    public long bits() {
        return bits(member);
    }

    private static long bits(Member member) {
        return member.bitfieldSize() != 0 ? member.bitfieldSize() : member.byteSize() * 8;
    }

    /** The first byte after the member. */
    public long end() {
        return (bitOffset + bits() + 7) / 8;
    }

    /** The type without typedefs and qualifiers. */
    public @Nullable Type type() {
        return Type.strip(member.type());
    }

    /** Members of nameless structs and unions stand with those around them; everything else is one member. */
    public static List<Flat> members(Aggregate aggregate) {
        return walk(aggregate, Open.NAMELESS);
    }

    /**
     * As {@link #members}, with what is inside members, and arrays of them ({@code name[].inner}), whose struct has no name of its own:
     * everything that this type and no other one says about the layout.
     */
    public static List<Flat> own(Aggregate aggregate) {
        return walk(aggregate, Open.NAMELESS_TYPES);
    }

    /** As {@link #own}, where a member of a variant also tells the values that choose it. */
    public static List<Flat> compared(Aggregate aggregate) {
        return walk(aggregate, Open.COMPARED);
    }

    /** Members down to those that are no structs; a struct stands before its members. Arrays of structs are not opened. */
    public static List<Flat> deep(Aggregate aggregate) {
        return walk(aggregate, Open.ALL);
    }

    private static List<Flat> walk(Aggregate aggregate, Open open) {
        List<Flat> found = new ArrayList<>();
        walk(aggregate, "", 0, open, found, 0);
        for (VirtualBases.Placed base : aggregate.layout().virtualBases().placed()) {
            Member member = new Member(
                    null,
                    base.base(),
                    Member.Role.BASE,
                    base.offset(),
                    base.offset() * 8,
                    0,
                    0,
                    base.size(),
                    0,
                    Aggregate.Access.NONE,
                    true,
                    0);
            found.add(
                    new Flat("<virtual base " + base.base().name() + ">", member, base.offset() * 8, base.size() * 8));
        }
        return found;
    }

    private static void walk(Aggregate aggregate, String prefix, long base, Open how, List<Flat> found, int depth) {
        if (depth > 1000)
            throw new LayoutException(
                    aggregate.table().file(), "type " + aggregate.id() + ": types nested too deep, or in themselves");
        long[] rooms = aggregate.table().language().cxx() ? aggregate.layout().rooms() : null;
        int index = 0;
        for (Aggregate.Entry entry : aggregate.entries()) {
            switch (entry) {
                case Member member -> {
                    long room = rooms == null ? Long.MAX_VALUE : rooms[index++];
                    add(aggregate, member, room, prefix, base, how, found, depth);
                }
                case Aggregate.Variant variant -> {
                    String chosen = how == Open.COMPARED && variant.part() == Aggregate.Variant.Part.CHOSEN
                            ? "[" + variant.value() + "] "
                            : "";
                    for (Member member : variant.members())
                        add(aggregate, member, Long.MAX_VALUE, prefix + chosen, base, how, found, depth);
                }
                case Aggregate.AccessMark mark -> {}
            }
        }
    }

    private static void add(
            Aggregate aggregate,
            Member given,
            long room,
            String prefix,
            long base,
            Open how,
            List<Flat> found,
            int depth) {
        if (given.takesNoPart()) return;
        Member member = VirtualBases.trimmed(given);
        if (found.size() > LIMIT) {
            throw new LayoutException(aggregate.table().file(), "a type of more than " + LIMIT + " members");
        }
        Type type = Type.strip(member.type());
        boolean parent = member.role() == Member.Role.BASE;
        String name = member.name();
        boolean open = name == null && type instanceof Aggregate;
        long at = base + member.bitOffset();
        String path = prefix + (parent ? "<base " + nameOf(type) + ">" : name == null ? "<" + at / 8 + ">" : name);
        if (!open || parent) found.add(new Flat(path, member, at, Math.min(room, bits(member))));
        if (type instanceof Aggregate inner) {
            boolean inside = open || how == Open.ALL || how != Open.NAMELESS && inner.name() == null;
            if (inside && inner.definition() != null)
                walk(inner, open ? prefix : path + ".", at, how, found, depth + 1);
        } else if (how == Open.NAMELESS_TYPES || how == Open.COMPARED) {
            Type element = element(type);
            if (element instanceof Aggregate inner && inner.name() == null)
                walk(inner, path + "[].", at, how, found, depth + 1);
        }
    }

    private static @Nullable Type element(@Nullable Type type) {
        Type at = type;
        for (int steps = 0; at instanceof ArrayType array && steps < 64; steps++) at = Type.strip(array.element());
        return at;
    }

    private static @Nullable String nameOf(@Nullable Type type) {
        return type == null ? null : type.name();
    }
}
