package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The members of an aggregate with those of the structs inside it, each with its path and its place in the whole.
 *
 * @param path names joined by dots; a nameless struct adds nothing to it
 * @param member the member where it is declared
 * @param bitOffset from the start of the whole, in bits
 */
public record Flat(String path, Member member, long bitOffset) {
    /** How many members a flattening may have; a broken file could nest exponentially many. */
    private static final int LIMIT = 1_000_000;

    /** From the start of the whole, in bytes. */
    public long offset() {
        return bitOffset / 8;
    }

    /** Bits that the member takes. */
    public long bits() {
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
        List<Flat> found = new ArrayList<>();
        walk(aggregate, "", 0, false, found, 0);
        return found;
    }

    /** Members down to those that are no structs; a struct stands before its members. Arrays of structs are not opened. */
    public static List<Flat> deep(Aggregate aggregate) {
        List<Flat> found = new ArrayList<>();
        walk(aggregate, "", 0, true, found, 0);
        return found;
    }

    private static void walk(Aggregate aggregate, String prefix, long base, boolean deep, List<Flat> found, int depth) {
        if (depth > 200)
            throw new LayoutException(
                    aggregate.table().file(), "type " + aggregate.id() + ": types nested too deep, or in themselves");
        for (Aggregate.Entry entry : aggregate.entries()) {
            switch (entry) {
                case Member member -> add(aggregate, member, prefix, base, deep, found, depth);
                case Aggregate.Variant variant -> {
                    for (Member member : variant.members()) add(aggregate, member, prefix, base, deep, found, depth);
                }
                case Aggregate.AccessMark mark -> {}
            }
        }
    }

    private static void add(
            Aggregate aggregate, Member member, String prefix, long base, boolean deep, List<Flat> found, int depth) {
        if (member.takesNoPart()) return;
        if (found.size() > LIMIT) {
            throw new LayoutException(aggregate.table().file(), "a type of more than " + LIMIT + " members");
        }
        Type type = Type.strip(member.type());
        boolean parent = member.role() == Member.Role.BASE;
        String name = member.name();
        boolean open = name == null && type instanceof Aggregate;
        long at = base + member.bitOffset();
        String path = prefix + (parent ? "<base " + nameOf(type) + ">" : name == null ? "<" + at / 8 + ">" : name);
        if (!open || parent) found.add(new Flat(path, member, at));
        if (type instanceof Aggregate inner && (open || deep) && !inner.declaration()) {
            walk(inner, open ? prefix : path + ".", at, deep, found, depth + 1);
        }
    }

    private static @Nullable String nameOf(@Nullable Type type) {
        return type == null ? null : type.name();
    }
}
