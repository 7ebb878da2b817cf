package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A struct, class, union, interface or JVM class: members at places. */
public final class Aggregate extends Type {
    private static final int DEEPEST = 200;

    /** The keyword that it was declared with. */
    public enum Kind {
        STRUCT("struct"),
        CLASS("class"),
        UNION("union"),
        INTERFACE("interface");

        private final String word;

        Kind(String word) {
            this.word = word;
        }

        public String word() {
            return word;
        }
    }

    /** Something between the braces, in the order of the source. */
    public sealed interface Entry permits Member, Variant, AccessMark {}

    /** From here on the entries have this access; a C++ member function says so although it takes no room. */
    public record AccessMark(Access access) implements Entry {}

    /** Who may use a C++ member; NONE where the compiler did not say. */
    public enum Access {
        NONE,
        PUBLIC,
        PROTECTED,
        PRIVATE
    }

    /**
     * One alternative of a Rust enum or an Ada record, or the member that tells which one holds.
     *
     * @param value the discriminant's values, as "3" or "-1, 4..7"; empty for every value that no other one names
     */
    public record Variant(Part part, String value, List<Member> members) implements Entry {
        /** What a variant entry stands for. */
        public enum Part {
            /** The member whose value tells the alternatives apart. */
            DISCRIMINANT,
            /** The alternative for the values that are named. */
            CHOSEN,
            /** The alternative for every value that no other one names. */
            OTHERWISE
        }

        public boolean otherwise() {
            return part == Part.OTHERWISE;
        }
    }

    private final Kind kind;
    private final @Nullable String name;
    private final long size;
    private final boolean declaration;
    private TypeTable.@Nullable Contents contents;
    private @Nullable List<Member> members;
    private @Nullable Layout layout;
    private @Nullable Layout paholeLayout;
    private @Nullable Aggregate definition;
    private boolean lookedForDefinition;
    private boolean opening;
    private int levels; // of parts, this one included; 0: not looked at, -1: being looked at
    private long naturalAlignment = -1;
    /** What {@link Packing} found out, null before it looked. */
    @Nullable
    Boolean packed;

    /** A size that the running program decides. */
    public static final long UNKNOWN = -1;

    /**
     * @param size bytes, or {@link #UNKNOWN}
     * @param declaration whether this only says that the type exists
     */
    public Aggregate(TypeTable table, long id, Kind kind, @Nullable String name, long size, boolean declaration) {
        super(table, id);
        this.kind = kind;
        this.name = name;
        this.size = size;
        this.declaration = declaration;
    }

    public Kind kind() {
        return kind;
    }

    public boolean isUnion() {
        return kind == Kind.UNION;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    @Override
    public long size() {
        if (size != UNKNOWN && !declaration) return size;
        Aggregate whole = definition();
        return whole == this || whole == null ? 0 : whole.size();
    }

    @Override
    public boolean sizeKnown() {
        if (!declaration) return size != UNKNOWN;
        Aggregate whole = definition();
        return whole != null && whole.sizeKnown();
    }

    /** Itself, or the definition of what this only declares; null if that is not to be found. */
    public @Nullable Aggregate definition() {
        if (!declaration) return this;
        if (!lookedForDefinition) {
            lookedForDefinition = true;
            definition = table().definition(this);
        }
        return definition;
    }

    /** Whether it keeps its padding as a base class: see {@link TypeTable.Contents#plain()}. */
    public boolean plain() {
        return contents().plain();
    }

    /** The alignment that was asked for, stated or inferred by the source, in bytes; 0 if none was. */
    public long statedAlignment() {
        return contents().alignment();
    }

    public boolean declaration() {
        return declaration;
    }

    /** What stands between the braces, in the order of the source. */
    public List<Entry> entries() {
        return contents().entries();
    }

    private TypeTable.Contents contents() {
        TypeTable.Contents known = contents;
        if (known == null) {
            if (opening) throw new LayoutException(table().file(), "type " + id() + ": it contains itself");
            opening = true;
            try {
                Aggregate whole = definition();
                known = whole == null || whole == this ? table().contents(this) : whole.contents();
            } finally {
                opening = false;
            }
            contents = known;
        }
        return known;
    }

    /** The members that have a place, with base classes and static members, in the order of the source. */
    public List<Member> members() {
        List<Member> known = members;
        if (known == null) {
            List<Member> found = new ArrayList<>();
            for (Entry entry : entries()) if (entry instanceof Member member) found.add(member);
            known = List.copyOf(found);
            members = known;
        }
        return known;
    }

    /**
     * Checks that what it consists of, members and base classes, ends somewhere: what walks through types nests no deeper than this allows.
     *
     * @throws LayoutException if it is a part of itself or has parts within parts more than 200 deep: no compiler wrote that
     */
    void checkParts() {
        checkParts(0);
    }

    private int checkParts(int above) {
        int known = levels;
        if (known < 0) throw new LayoutException(table().file(), "type " + id() + ": it contains itself");
        if (known == 0) {
            levels = -1;
            int deepest = 0;
            try {
                for (Member member : readableMembers()) {
                    Aggregate part = partOf(member);
                    if (part != null && above < DEEPEST) deepest = Math.max(deepest, part.checkParts(above + 1));
                }
            } finally {
                levels = 0;
            }
            known = deepest + 1;
        }
        if (above + known > DEEPEST)
            throw new LayoutException(
                    table().file(), "type " + id() + ": its parts have parts more than " + DEEPEST + " deep");
        levels = known;
        return known;
    }

    /** The members with those of variants; none if they cannot be read, which is for others to complain about. */
    private List<Member> readableMembers() {
        try {
            List<Member> all = new ArrayList<>(members());
            for (Entry entry : entries()) if (entry instanceof Variant variant) all.addAll(variant.members());
            return all;
        } catch (LayoutException unreadable) {
            return List.of();
        }
    }

    private static @Nullable Aggregate partOf(Member member) {
        if (member.role() == Member.Role.STATIC) return null;
        Type type = Type.strip(member.type());
        for (int i = 0; i < DEEPEST && type instanceof ArrayType array; i++) type = Type.strip(array.element());
        return type instanceof Aggregate aggregate ? aggregate : null;
    }

    /** Holes, paddings and lines, worked out once. */
    public Layout layout() {
        Layout known = layout;
        if (known == null) {
            known = new Layout(this, false);
            layout = known;
        }
        return known;
    }

    /** The same as pahole 1.24 counts it, which differs where members overlap or go backwards. */
    public Layout paholeLayout() {
        Layout known = paholeLayout;
        if (known == null) {
            known = new Layout(this, true);
            paholeLayout = known;
        }
        return known;
    }

    /** The greatest natural alignment of a member, in bytes; 0 for an aggregate without members. */
    public long naturalAlignment() {
        if (naturalAlignment < 0) {
            checkParts();
            long greatest = 0;
            for (Member member : members()) {
                if (member.takesNoPart()) continue;
                greatest = Math.max(greatest, Type.naturalAlignment(member.type()));
            }
            naturalAlignment = greatest;
        }
        return naturalAlignment;
    }
}
