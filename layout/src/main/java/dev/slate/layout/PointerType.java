package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/** A pointer, a reference, or a C++ pointer to member. */
public final class PointerType extends Type {
    /** What kind of pointer. */
    public enum Kind {
        POINTER,
        REFERENCE,
        RVALUE_REFERENCE,
        MEMBER
    }

    private final Kind kind;
    private final long target;
    private final long containing;
    private final @Nullable String name;
    private final long stated;

    /** @param containing the class of a pointer to member, 0 for every other kind */
    public PointerType(TypeTable table, long id, Kind kind, @Nullable String name, long target, long containing) {
        this(table, id, kind, name, target, containing, 0);
    }

    /** @param stated bytes where the source states them: a pointer may be narrower than the addresses of the debug data; 0 if not */
    public PointerType(
            TypeTable table, long id, Kind kind, @Nullable String name, long target, long containing, long stated) {
        super(table, id);
        this.stated = stated;
        this.kind = kind;
        this.name = name;
        this.target = target;
        this.containing = containing;
    }

    public Kind kind() {
        return kind;
    }

    public @Nullable Type target() {
        return table().type(target);
    }

    /** The class whose member a {@link Kind#MEMBER} points to. */
    public @Nullable Type containing() {
        return table().type(containing);
    }

    /** Whether it points to void. */
    public boolean toVoid() {
        return target == 0;
    }

    @Override
    public @Nullable String name() {
        return name;
    }

    @Override
    public long size() {
        // The Itanium C++ ABI (2.3): a pointer to data member is one ptrdiff_t, one to a member function two.
        if (kind == Kind.MEMBER && strip(target()) instanceof FunctionType) return 2L * table().addressSize();
        return stated > 0 ? stated : table().addressSize();
    }
}
