package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Distinct;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The DWARF of one file or of the members of an archive, with that of the separate debug files and split units that it names. Units are
 * read in parallel, a few ahead of the one that is handed over, and dropped after it: memory does not grow with the file.
 */
public final class Dwarf implements LayoutSource {
    private final String name;
    private final int threads;
    private final Definitions definitions;
    private final List<Sections> files = new ArrayList<>();
    private final List<Place> places = new ArrayList<>();
    private final List<LayoutException> missing = new ArrayList<>();
    private @Nullable List<Found> survey;

    /** A unit, the file that it is in, and the file whose session reads it. */
    record Place(Sections root, Sections sections, Unit.Head head) {}

    private Dwarf(String name, int threads, Definitions definitions) {
        this.name = name;
        this.threads = threads;
        this.definitions = definitions;
    }

    private void add(Sections file) {
        files.add(file);
        for (Unit.Head head : file.units()) places.add(new Place(file, file, head));
        Sections alternate = file.alternate();
        if (alternate != null) for (Unit.Head head : alternate.units()) places.add(new Place(file, alternate, head));
        if (file.maySplit()) missing.addAll(new SplitUnits(file, this::add).open());
    }

    /** Opens the DWARF that belongs to an ELF file, which is closed with it; as the other one, with declarations resolved in that file alone. */
    public static @Nullable Dwarf open(ElfFile elf, int threads) {
        return open(elf, threads, new Definitions());
    }

    /**
     * Opens the DWARF that belongs to an ELF file, which is closed with it.
     *
     * @param threads how many units are read at a time, at least 1
     * @param definitions where declarations are looked up; the file's own definitions are added
     * @return null if neither the file nor a separate debug file has any
     */
    public static @Nullable Dwarf open(ElfFile elf, int threads, Definitions definitions) {
        Sections sections = sections(elf);
        if (sections == null) return null;
        Dwarf dwarf = new Dwarf(elf.name(), threads, definitions);
        dwarf.add(sections);
        definitions.add(dwarf);
        return dwarf;
    }

    /**
     * Opens the DWARF of an archive's members, which are closed with it.
     *
     * @return null if no member has any
     */
    public static @Nullable Dwarf open(String name, List<ElfFile> members, int threads, Definitions definitions) {
        Dwarf dwarf = new Dwarf(name, threads, definitions);
        for (ElfFile member : members) {
            try {
                Sections sections = sections(member);
                if (sections != null) dwarf.add(sections);
            } catch (LayoutException e) {
                dwarf.missing.add(e);
            }
        }
        if (dwarf.files.isEmpty() && dwarf.missing.isEmpty()) return null;
        definitions.add(dwarf);
        return dwarf;
    }

    private static @Nullable Sections sections(ElfFile elf) {
        if (elf.has(".debug_info") || elf.has(".debug_info.dwo")) return new Sections(elf, elf.name(), 0);
        Path separate = elf.separateDebugFile();
        if (separate == null) return null;
        ElfFile debug = ElfFile.of(Image.open(separate));
        if (!debug.has(".debug_info")) {
            debug.close();
            return null;
        }
        elf.close();
        return new Sections(debug, separate.toString(), 0);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String format() {
        return "DWARF";
    }

    /** How many units there are, with those of the shared debug file that it names. */
    public int unitCount() {
        return places.size();
    }

    private Unit open(Place place) {
        return new Session(place.root(), definitions).unit(place.head(), place.sections());
    }

    /** A unit, and which of its definitions no unit before it has. */
    private static final class Found {
        final Place place;
        final boolean cxx;
        final int[] at;

        Found(Place place, boolean cxx, int[] at) {
            this.place = place;
            this.cxx = cxx;
            this.at = at;
        }
    }

    /** Takes the number of a qualified name, and the entry that defines it. */
    interface Definition {
        void at(long hash, Place place, int entry);
    }

    /** The distinct definitions of all units, found once; a unit that cannot be read costs itself. */
    private synchronized List<Found> survey() {
        List<Found> known = survey;
        if (known == null) {
            List<Found> made = new ArrayList<>();
            Map<Sections, LongMap<Place>> prints = new HashMap<>();
            inOrder(
                    places,
                    place -> {
                        try {
                            return Scan.of(open(place));
                        } catch (LayoutException e) {
                            return e;
                        }
                    },
                    (place, result) -> {
                        if (result instanceof LayoutException problem) missing.add(problem);
                        if (!(result instanceof Scan scan)) return;
                        int[] fresh = fresh(scan, place, prints.computeIfAbsent(place.root(), s -> new LongMap<>()));
                        if (fresh.length == 0) return;
                        TypeTable.Language language = scan.unit().language();
                        if (Unit.scoped(language)) place.sections().scopes(place.head(), scan.scopes());
                        made.add(new Found(place, language.cxx(), fresh));
                    });
            survey = made;
            known = made;
        }
        return known;
    }

    private static int[] fresh(Scan scan, Place place, LongMap<Place> seen) {
        int[] found = scan.found();
        long[] prints = scan.prints();
        int count = 0;
        for (int i = 0; i < found.length; i++) {
            long print = prints[i] == 0 ? 1 : prints[i];
            if (seen.get(print) != null) continue;
            seen.put(print, place);
            found[count++] = found[i];
        }
        return Arrays.copyOf(found, count);
    }

    /** Tells the definitions of C++, which alone declares in one unit what another defines. */
    void definitions(Definition each) {
        List<Found> found = survey().stream().filter(f -> f.cxx).toList();
        inOrder(
                found,
                one -> {
                    // Without a way to definitions: a name must not need the index that is being made.
                    Unit unit = new Session(one.place.root(), null).unit(one.place.head(), one.place.sections());
                    long[] names = new long[one.at.length];
                    for (int i = 0; i < names.length; i++) {
                        try {
                            String name = unit.qualifiedName(one.at[i]);
                            if (name != null) names[i] = Definitions.hash(name);
                        } catch (LayoutException unreadable) {
                            names[i] = 0; // whoever lists it tells
                        }
                    }
                    return names;
                },
                (one, names) -> {
                    for (int i = 0; i < names.length; i++) if (names[i] != 0) each.at(names[i], one.place, one.at[i]);
                });
    }

    @Override
    public void forEachAggregate(Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        List<Found> found = survey();
        for (LayoutException problem : missing) leftOut.accept(problem);
        Distinct distinct = new Distinct();
        inOrder(found, this::read, (one, made) -> {
            for (Object result : made) {
                if (result instanceof LayoutException problem) leftOut.accept(problem);
                else if (result instanceof Aggregate a) hand(a, distinct, each, leftOut);
            }
        });
    }

    private static void hand(
            Aggregate aggregate, Distinct distinct, Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        try {
            if (distinct.first(aggregate)) each.accept(aggregate);
        } catch (LayoutException e) {
            leftOut.accept(e);
        }
    }

    /** Works out here, beside other units, what whoever takes it will ask for; what goes wrong will go wrong there again. */
    private static void prepare(Aggregate aggregate) {
        try {
            aggregate.qualifiedName();
            aggregate.layout();
        } catch (LayoutException later) {
            return;
        }
    }

    /** A unit's structs, classes and unions, or what kept one from being made. */
    private List<Object> read(Found found) {
        Unit unit = open(found.place);
        List<Object> made = new ArrayList<>(found.at.length);
        for (int at : found.at) {
            try {
                Type type = unit.type(at | unit.head.mark());
                if (!(type instanceof Aggregate a) || a.name() == null || a.declaration()) continue;
                made.add(a);
                prepare(a);
            } catch (LayoutException e) {
                made.add(e);
            }
        }
        return made;
    }

    @Override
    public Map<String, List<Type>> find(Collection<String> wanted) {
        Map<Sections, Names> spellings = new ConcurrentHashMap<>();
        Candidates candidates = new Candidates(wanted);
        inOrder(
                places,
                place -> {
                    Names names = spellings.computeIfAbsent(place.sections(), s -> new Names(wanted, s));
                    Unit unit = open(place);
                    List<Type> types = new ArrayList<>();
                    for (int at : Scan.find(unit, names)) {
                        Type type = unit.type(at | place.head().mark());
                        if (type != null) types.add(type);
                    }
                    return types;
                },
                (place, types) -> {
                    for (Type type : types) candidates.add(type);
                });
        Map<String, List<Type>> found = candidates.found();
        for (List<Type> types : found.values()) if (types.isEmpty() && !missing.isEmpty()) throw missing.getFirst();
        return found;
    }

    /** Works in parallel on units, or what was found in them, and takes the results in their order. */
    private <T, R> void inOrder(List<T> all, Function<T, R> work, BiConsumer<T, R> take) {
        if (threads == 1) {
            for (T one : all) take.accept(one, work.apply(one));
            return;
        }
        Deque<Future<R>> ahead = new ArrayDeque<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().daemon().factory())) {
            int next = 0;
            for (T one : all) {
                while (next < all.size() && ahead.size() < threads * 4) {
                    T coming = all.get(next++);
                    ahead.add(pool.submit(() -> work.apply(coming)));
                }
                take.accept(one, ahead.remove().get());
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) throw cause;
            if (e.getCause() instanceof StackOverflowError)
                throw new LayoutException(name, "types nested too deep to follow");
            if (e.getCause() instanceof OutOfMemoryError full) throw full;
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new LayoutException(name, "reading was interrupted");
        }
    }

    @Override
    public void close() {
        for (Sections file : files) file.close();
    }
}
