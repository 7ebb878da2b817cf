package dev.slate.layout;

import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Somewhere types come from. A source may be large, so that it hands its types over one after another and keeps
 * none of them; {@link AutoCloseable#close()} gives back the file.
 */
public interface LayoutSource extends AutoCloseable {
    /** What the user called it. */
    String name();

    /** "BTF", "DWARF", "JVM" or "FFM". */
    String format();

    /**
     * Hands over every struct, class and union that has a name and a definition, each distinct one once, in the order of the source, always
     * from the calling thread. The types reachable from one stay valid until {@code each} returns.
     */
    void forEachAggregate(Consumer<Aggregate> each);

    /**
     * The first named type (struct, class, union, enum or typedef) of that name that has a definition. It stays valid as long
     * as the source is open.
     *
     * @return null only if every unit was read and none defines it
     * @throws LayoutException if a unit could not be read
     */
    @Nullable
    Type find(String name);

    @Override
    void close();
}
