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
import java.util.Deque;
import java.util.List;
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
 * The DWARF of one file, or of its separate debug file. Units are read in parallel, a few ahead of the one that is handed over,
 * and dropped after it: memory does not grow with the file.
 */
public final class Dwarf implements LayoutSource {
    private final String name;
    private final Sections sections;
    private final int threads;
    private final List<Place> places = new ArrayList<>();

    /** A unit and the file that it is in. */
    private record Place(Sections sections, Unit.Head head) {}

    private Dwarf(String name, Sections sections, int threads) {
        this.name = name;
        this.sections = sections;
        this.threads = threads;
        for (Unit.Head head : sections.units()) places.add(new Place(sections, head));
        Sections alternate = sections.alternate();
        if (alternate != null) for (Unit.Head head : alternate.units()) places.add(new Place(alternate, head));
    }

    /**
     * Opens the DWARF that belongs to an ELF file, which is closed with it.
     *
     * @param threads how many units are read at a time, at least 1
     * @return null if neither the file nor a separate debug file has any
     */
    public static @Nullable Dwarf open(ElfFile elf, int threads) {
        if (elf.has(".debug_info")) return new Dwarf(elf.name(), new Sections(elf, elf.name(), 0), threads);
        Path separate = elf.separateDebugFile();
        if (separate == null) return null;
        ElfFile debug = ElfFile.of(Image.open(separate));
        if (!debug.has(".debug_info")) {
            debug.close();
            return null;
        }
        elf.close();
        return new Dwarf(elf.name(), new Sections(debug, separate.toString(), 0), threads);
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

    /** What one unit brought. */
    private record Found(Unit unit, List<Integer> places, List<Long> prints) {}

    @Override
    public void forEachAggregate(Consumer<Aggregate> each) {
        Distinct distinct = new Distinct();
        Set<Long> known = ConcurrentHashMap.newKeySet();
        inOrder(
                place -> {
                    Unit unit = new Session(sections).unit(place.head(), place.sections());
                    Scan scan = new Scan(unit, known);
                    scan.run();
                    refuseSplit(unit, scan.found().isEmpty());
                    return new Found(unit, scan.found(), scan.prints());
                },
                found -> {
                    for (int i = 0; i < found.places().size(); i++) {
                        if (!known.add(found.prints().get(i))) continue;
                        Type type = found.unit()
                                .type(found.places().get(i) | found.unit().head.mark());
                        if (type instanceof Aggregate a && a.name() != null && !a.declaration() && distinct.first(a))
                            each.accept(a);
                    }
                    return false;
                });
    }

    private static void refuseSplit(Unit unit, boolean empty) {
        if (unit.split && empty) {
            throw unit.broken(
                    unit.head.start(),
                    "the unit's types lie in a separate .dwo file, which is not read; compile without -gsplit-dwarf, or read the .dwo itself");
        }
    }

    @Override
    public @Nullable Type find(String name) {
        Scan.Names wanted = new Scan.Names(name, sections);
        Sections alternate = sections.alternate();
        Scan.Names elsewhere = alternate == null ? wanted : new Scan.Names(name, alternate);
        List<Type> hit = new ArrayList<>();
        inOrder(
                place -> {
                    Unit unit = new Session(sections).unit(place.head(), place.sections());
                    int at = Scan.find(unit, place.sections() == sections ? wanted : elsewhere);
                    refuseSplit(unit, at < 0);
                    return at < 0 ? null : unit.type(at | place.head().mark());
                },
                type -> {
                    if (type != null) hit.add(type);
                    return type != null;
                });
        return hit.isEmpty() ? null : hit.getFirst();
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
                throw new LayoutException(sections.file(), "types nested too deep to follow");
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new LayoutException(name, "reading was interrupted");
        }
    }

    @Override
    public void close() {
        sections.close();
    }
}
