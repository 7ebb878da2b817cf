package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where the definitions of some files' structs and classes are, by qualified name. A compiler may only declare a class in a unit that
 * uses it, and define it in the unit of its first virtual function. The index is made when the first declaration is met whose size
 * matters: C and Rust never need it.
 *
 * <p>May be used by many threads; the types that it finds belong to the session that asked.
 */
public final class Definitions {
    private final List<Dwarf> files = new ArrayList<>();
    private @Nullable LongMap<Place> index;

    /** A file, and the number of a type in it. */
    private record Place(Sections file, long id) {}

    /** Knows no file yet. */
    public Definitions() {}

    synchronized void add(Dwarf file) {
        files.add(file);
        index = null;
    }

    /** The definition of a name, made in that thread's session; null if no file has one. */
    @Nullable
    Aggregate find(String name, Session asking) {
        Place place = index().get(hash(name));
        if (place == null) return null;
        Session session = asking.of(place.file());
        return session.type(place.id()) instanceof Aggregate a && !a.declaration() && name.equals(a.qualifiedName())
                ? a
                : null;
    }

    /** A name's number, which is not 0. */
    static long hash(String name) {
        long hash = 1125899906842597L;
        for (int i = 0; i < name.length(); i++) hash = Scan.mix(hash, name.charAt(i));
        return hash == 0 ? 1 : hash;
    }

    private synchronized LongMap<Place> index() {
        LongMap<Place> known = index;
        if (known == null) {
            LongMap<Place> made = new LongMap<>();
            for (Dwarf file : files)
                file.definitions((hash, place, at) -> {
                    if (made.get(hash) == null)
                        made.put(hash, new Place(place.root(), at | place.head().mark()));
                });
            index = made;
            known = made;
        }
        return known;
    }
}
