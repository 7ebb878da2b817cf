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

    private Dwarf(String name, Sections sections, int threads) {
        this.name = name;
        this.sections = sections;
        this.threads = threads;
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

    /** How many units the file has. */
    public int unitCount() {
        return sections.units().size();
    }

    /** What one unit brought. */
    private record Found(Unit unit, List<Integer> places, List<Long> prints) {}

    @Override
    public void forEachAggregate(Consumer<Aggregate> each) {
        Distinct distinct = new Distinct();
        Set<Long> known = ConcurrentHashMap.newKeySet();
        inOrder(
                head -> {
                    Unit unit = new Session(sections).unit(head, sections);
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
        List<Type> hit = new ArrayList<>();
        inOrder(
                head -> {
                    Unit unit = new Session(sections).unit(head, sections);
                    int at = Scan.find(unit, wanted);
                    refuseSplit(unit, at < 0);
                    return at < 0 ? null : unit.type(at | head.mark());
                },
                type -> {
                    if (type != null) hit.add(type);
                    return type != null;
                });
        return hit.isEmpty() ? null : hit.getFirst();
    }

    /** Works on the units in parallel and takes the results in their order, until {@code take} has enough. */
    private <R extends @Nullable Object> void inOrder(Function<Unit.Head, R> work, Function<R, Boolean> take) {
        if (threads == 1) {
            for (Unit.Head head : sections.units()) if (take.apply(work.apply(head))) return;
            return;
        }
        Deque<Future<R>> ahead = new ArrayDeque<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().daemon().factory())) {
            int next = 0;
            List<Unit.Head> units = sections.units();
            while (next < units.size() || !ahead.isEmpty()) {
                while (next < units.size() && ahead.size() < threads * 4) {
                    Unit.Head head = units.get(next++);
                    ahead.add(pool.submit(() -> work.apply(head)));
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
