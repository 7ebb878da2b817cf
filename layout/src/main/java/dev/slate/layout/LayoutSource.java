package dev.slate.layout;

import java.util.Collection;
import java.util.List;
import java.util.Map;
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
    default void forEachAggregate(Consumer<Aggregate> each) {
        forEachAggregate(each, problem -> {
            throw problem;
        });
    }

    /**
     * As the other one; a type that cannot be laid out is left out, and so is one for which {@code each} throws.
     *
     * @param leftOut is told about each type that was left out
     */
    void forEachAggregate(Consumer<Aggregate> each, Consumer<LayoutException> leftOut);

    /**
     * The named types (struct, class, union, enum or typedef) that have a definition and that each name may mean. A name is written
     * with as many of the scopes around it as one likes ({@code T}, {@code Outer::T}, {@code ns::Outer::T}), and after
     * {@code file.c:} means a type of that unit. They stay valid as long as the source is open.
     *
     * @return for each name the candidates, of which no two have the same qualified name and the same layout; empty only if
     *     every unit was read and none defines it
     * @throws LayoutException if a unit could not be read
     */
    Map<String, List<Type>> find(Collection<String> names);

    /** The first candidate for one name, null if there is none. */
    default @Nullable Type find(String name) {
        List<Type> found = find(List.of(name)).getOrDefault(name, List.of());
        return found.isEmpty() ? null : found.getFirst();
    }

    /** Names of types that somebody who wrote {@code name} may have meant, the likeliest first, at most ten. */
    default List<String> similar(String name) {
        Similar similar = new Similar(name);
        forEachAggregate(a -> similar.add(a.qualifiedName()), problem -> {});
        return similar.best();
    }

    @Override
    void close();
}
