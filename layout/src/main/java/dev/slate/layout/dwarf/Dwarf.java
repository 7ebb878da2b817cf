package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Distinct;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Type;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
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

    /** A unit, the file that it is in, and the file whose session reads it. */
    private record Place(Sections root, Sections sections, Unit.Head head) {}

    private Dwarf(String name, int threads, Definitions definitions) {
        this.name = name;
        this.threads = threads;
        this.definitions = definitions;
    }

    private void add(Sections file) {
        files.add(file);
        definitions.add(file);
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
        return dwarf.files.isEmpty() && dwarf.missing.isEmpty() ? null : dwarf;
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

    /** What one unit brought. */
    private record Found(Unit unit, List<Integer> places, List<Long> prints) {}

    @Override
    public void forEachAggregate(Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        for (LayoutException problem : missing) leftOut.accept(problem);
        Distinct distinct = new Distinct();
        Map<Sections, Set<Long>> known = new HashMap<>();
        for (Place place : places) known.putIfAbsent(place.root(), ConcurrentHashMap.newKeySet());
        inOrder(
                place -> {
                    Unit unit = open(place);
                    Scan scan = new Scan(unit, known.getOrDefault(place.root(), Set.of()));
                    scan.run();
                    return new Found(unit, scan.found(), scan.prints());
                },
                found -> {
                    Set<Long> seen = known.getOrDefault(found.unit().root(), Set.of());
                    for (int i = 0; i < found.places().size(); i++) {
                        if (!seen.add(found.prints().get(i))) continue;
                        hand(found.unit(), found.places().get(i), distinct, each, leftOut);
                    }
                    return false;
                });
    }

    private static void hand(
            Unit unit, int place, Distinct distinct, Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        try {
            Type type = unit.type(place | unit.head.mark());
            if (type instanceof Aggregate a && a.name() != null && !a.declaration() && distinct.first(a))
                each.accept(a);
        } catch (LayoutException e) {
            leftOut.accept(e);
        }
    }

    @Override
    public Map<String, List<Type>> find(Collection<String> wanted) {
        Map<Sections, Names> spellings = new ConcurrentHashMap<>();
        Candidates candidates = new Candidates(wanted);
        inOrder(
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
                types -> {
                    for (Type type : types) candidates.add(type);
                    return false;
                });
        Map<String, List<Type>> found = candidates.found();
        for (List<Type> types : found.values()) if (types.isEmpty() && !missing.isEmpty()) throw missing.getFirst();
        return found;
    }

    /** Works on the units in parallel and takes the results in their order, until {@code take} has enough. */
    private <R extends @Nullable Object> void inOrder(Function<Place, R> work, Function<R, Boolean> take) {
        if (threads == 1) {
            for (Place place : places) if (take.apply(work.apply(place))) return;
            return;
        }
        Deque<Future<R>> ahead = new ArrayDeque<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().daemon().factory())) {
            int next = 0;
            while (next < places.size() || !ahead.isEmpty()) {
                while (next < places.size() && ahead.size() < threads * 4) {
                    Place place = places.get(next++);
                    ahead.add(pool.submit(() -> work.apply(place)));
                }
                if (take.apply(ahead.remove().get())) {
                    pool.shutdownNow();
                    return;
                }
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) throw cause;
            if (e.getCause() instanceof StackOverflowError)
                throw new LayoutException(name, "types nested too deep to follow");
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
