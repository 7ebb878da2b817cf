package dev.slate.layout;

import org.jspecify.annotations.Nullable;

/**
 * A member with its place.
 *
 * @param name null for an anonymous struct or union
 * @param type null for void, which only a broken file has
 * @param byteOffset from the start of the aggregate; for a bit field, of the storage unit that holds it
 * @param bitOffset from the start of the aggregate, in bits
 * @param bitfieldSize bits of a bit field, 0 for an ordinary member
 * @param bitfieldOffset the bit in the storage unit where a bit field starts
 * @param byteSize bytes of the member, of a bit field's storage unit
 * @param alignment the alignment that was asked for (stated, or inferred by the source), in bytes, 0 if none was
 * @param value the value of a static constant, 0 if none is known
 */
public record Member(
        @Nullable String name,
        @Nullable Type type,
        Role role,
        long byteOffset,
        long bitOffset,
        int bitfieldSize,
        int bitfieldOffset,
        long byteSize,
        long alignment,
        Aggregate.Access access,
        boolean virtual,
        long value)
        implements Aggregate.Entry {
    /** What part a member plays. */
    public enum Role {
        FIELD,
        BASE,
        STATIC,
        /** A member whose place the running program decides: behind another one of variable size. */
        DYNAMIC
    }

    /** An ordinary field of a whole number of bytes. */
    public static Member field(@Nullable String name, @Nullable Type type, long offset, long size) {
        return new Member(name, type, Role.FIELD, offset, offset * 8, 0, 0, size, 0, Aggregate.Access.NONE, false, 0);
    }

    /** Whether its own place says nothing: a static member, a virtual base, or one whose place the running program decides. */
    public boolean takesNoPart() {
        return role == Role.STATIC || role == Role.DYNAMIC || role == Role.BASE && virtual;
    }

    /** Whether {@link #byteSize()} is the truth; see {@link Type#sizeKnown()}. */
    public boolean sizeKnown() {
        return bitfieldSize != 0 || byteSize != 0 || Type.knowsSize(type);
    }

    /** The same member somewhere else. */
    public Member at(long byteOffset, long bitOffset, int bitfieldOffset) {
        return new Member(
                name,
                type,
                role,
                byteOffset,
                bitOffset,
                bitfieldSize,
                bitfieldOffset,
                byteSize,
                alignment,
                access,
                virtual,
                value);
    }

    /** The first bit after it. */
    public long bitEnd() {
        return bitOffset + (bitfieldSize != 0 ? bitfieldSize : byteSize * 8);
    }
}
