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

    /** Whether the source states alignment that was asked for; BTF does not, so that it is inferred from the offsets. */
    boolean statesAlignment();

    /**
     * What an aggregate is made of.
     *
     * @param alignment the alignment that was asked for, in bytes, 0 if none was
     */
    record Contents(List<Aggregate.Entry> entries, long alignment) {}

    /** Languages that are told apart when a type is named. */
    enum Language {
        C,
        /** C++ before C++11, or of a compiler that does not say which. */
        CPP,
        /** C++11 and later. */
        CPP_11,
        RUST,
        JAVA,
        OTHER
    }
}
