package dev.slate.layout;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The types of one BTF section, one DWARF unit or one class path, read on demand. Not thread-safe.
 */
public interface TypeTable {
    /** The file, for messages. */
    String file();

    /** Bytes of a pointer. */
    int addressSize();

    /** The language whose words the types are spoken in. */
    Language language();

    /**
     * The type with that number.
     *
     * @return null for void
     * @throws LayoutException if there is no such type or its bytes are broken
     */
    @Nullable
    Type type(long id);

    /**
     * Reads the members and other entries of an aggregate of this table, in the order of the source, with every place worked out.
     * {@link Aggregate} calls it once.
     */
    Contents contents(Aggregate aggregate);

    /** In what scope, unit and line a type of this table was declared. */
    default Where where(long id) {
        return Where.NOWHERE;
    }

    /** The definition of an aggregate that this table only declares, wherever it stands; null if none is to be found. */
    default @Nullable Aggregate definition(Aggregate declaration) {
        return null;
    }

    /** The widest alignment that the platform gives a scalar, in bytes. */
    default long widestAlignment() {
        return 16;
    }

    /** Whether the source states alignment that was asked for; BTF does not, so that it is inferred from the offsets. */
    boolean statesAlignment();

    /**
     * What an aggregate is made of.
     *
     * @param alignment the alignment that was asked for, in bytes, 0 if none was
     * @param plain whether it is plain data for the purpose of layout (Itanium C++ ABI 1.1, "POD"): as a base class it keeps its padding
     */
    record Contents(List<Aggregate.Entry> entries, long alignment, boolean plain) {
        public Contents(List<Aggregate.Entry> entries, long alignment) {
            this(entries, alignment, true);
        }
    }

    /**
     * Where a type was declared.
     *
     * @param scope the namespaces, classes and functions around it, joined as the language joins them; empty for none
     * @param unit the source file that the compiler was given, null if not known
     * @param line the line of the declaration, 0 if not known
     * @param header whether the line is one of a file that the unit includes
     */
    record Where(String scope, @Nullable String unit, int line, boolean header) {
        public static final Where NOWHERE = new Where("", null, 0, false);
    }

    /** Languages that are told apart when a type is named. */
    enum Language {
        C,
        /** C++ before C++11, or of a compiler that does not say which. */
        CPP,
        /** C++11 and later. */
        CPP_11,
        RUST,
        JAVA,
        GO,
        D,
        ADA,
        FORTRAN,
        PASCAL,
        OTHER;

        /** Whether it is C++ of any age. */
        public boolean cxx() {
            return this == CPP || this == CPP_11;
        }

        /** Whether the case of its names does not matter. */
        public boolean anyCase() {
            return this == ADA || this == FORTRAN || this == PASCAL;
        }

        /** What stands between a scope and a name. */
        public String separator() {
            return switch (this) {
                case GO, D, ADA, PASCAL, JAVA -> ".";
                default -> "::";
            };
        }
    }
}
