package dev.slate.debug;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Where a plan's places are in the guest that runs: its kernel may have moved itself, and a module's functions have addresses from when
 * it is loaded to when it is unloaded. Written under {@link Heat}'s lock, read by all vCPUs.
 */
final class HeatSymbols {
    /** A place that can be reached. Objects of modules are learnt through the two that tell of them. */
    record Spot(long la, int register, long offset, int type) {}

    static final int MODULE_BEGINS = -2;
    static final int MODULE_ENDS = -3;

    /**
     * All of a time.
     *
     * @param filter has a bit set for each address, by {@link #bit}
     * @param located whether it is known where the kernel stands
     */
    record Spots(Spot[] all, long filter, boolean located) {
        static Spots of(List<Spot> spots, boolean located) {
            long filter = 0;
            for (Spot s : spots) {
                filter |= bit(s.la);
            }
            return new Spots(spots.toArray(Spot[]::new), filter, located);
        }
    }

    static long bit(long la) {
        return 1L << ((la ^ la >>> 6) & 63);
    }

    /** Kernels move by multiples of this. */
    private static final long STEP = 2 << 20;

    private static final int SYMBOL = 24;
    private static final int NAME = 56;
    private static final int RDI = 7;
    private static final int MOST_SYMBOLS = 1 << 20;

    private final HeatPlan plan;
    // What is said of each once, however often it is loaded.
    private final Set<String> modulesSeen = new LinkedHashSet<>();
    private final Set<String> modulesGone = new LinkedHashSet<>();
    private final Set<String> missing = new LinkedHashSet<>();
    /** Spots by place of the plan; null: not known where. */
    private final @Nullable Spot[] found;

    private boolean located;
    private boolean foreign;
    private long slide;

    HeatSymbols(HeatPlan plan) {
        this.plan = plan;
        this.found = new Spot[plan.places().size()];
        located = plan.kernel().systemCall() == 0;
        place();
    }

    /** A kernel has said where its system calls begin: if it is the plan's, that tells where it stands. */
    void locate(long lstar) {
        if (located) {
            return;
        }
        long by = lstar - plan.kernel().systemCall();
        foreign = by % STEP != 0;
        if (!foreign) {
            slide = by;
            located = true;
            place();
        }
    }

    private void place() {
        for (int i = 0; i < found.length; i++) {
            HeatPlan.Place p = plan.places().get(i);
            if (p.module() == null && (p.fixed() || located)) {
                found[i] = new Spot(p.la() + (p.fixed() ? 0 : slide), p.register(), p.offset(), p.type());
            }
        }
    }

    Spots spots() {
        List<Spot> all = new ArrayList<>();
        for (Spot spot : found) {
            if (spot != null) {
                all.add(spot);
            }
        }
        HeatPlan.Kernel k = plan.kernel();
        if (located && k.moduleBegins() != 0) {
            all.add(new Spot(k.moduleBegins() + slide, RDI, 0, MODULE_BEGINS));
            all.add(new Spot(k.moduleEnds() + slide, RDI, 0, MODULE_ENDS));
        }
        return Spots.of(all, located);
    }

    /** A module is about to run, its {@code struct module} at {@code la}: takes the addresses of its functions from its own symbols. */
    void moduleBegins(LinearMemory memory, long la) {
        String module = name(memory, la);
        if (!wanted(module)) {
            return;
        }
        modulesSeen.add(module);
        List<Integer> at = plan.kernel().offsets();
        long table = word(memory, la + at.get(1), 8);
        long symbols = word(memory, table + at.get(2), 8);
        int count = Math.clamp(word(memory, table + at.get(3), 4), 0, MOST_SYMBOLS);
        long strings = word(memory, table + at.get(4), 8);
        byte[] entries = new byte[count * SYMBOL];
        count = memory.read(symbols, entries, entries.length) / SYMBOL;
        long end = 0;
        for (int i = 0; i < count; i++) {
            end = Math.max(end, word(entries, i * SYMBOL, 4));
        }
        byte[] text = new byte[(int) Math.min(end + 512, 1 << 26)];
        int readable = memory.read(strings, text, text.length);
        TreeSet<String> near = new TreeSet<>();
        for (int p = 0; p < found.length; p++) {
            HeatPlan.Place place = plan.places().get(p);
            if (!module.equals(place.module())) {
                continue;
            }
            found[p] = null;
            near.clear();
            int times = 0;
            for (int i = 0; i < count; i++) {
                String name = text(text, (int) word(entries, i * SYMBOL, 4), readable);
                boolean function = (entries[i * SYMBOL + 4] & 15) == 2;
                if (function && name.equals(place.name())) {
                    found[p] =
                            new Spot(word(entries, i * SYMBOL + 8, 8), place.register(), place.offset(), place.type());
                    times++;
                } else if (function && name.startsWith(place.name() + ".")) {
                    near.add(name);
                }
            }
            if (times != 1) {
                found[p] = null;
                missing.add("module " + module + " has "
                        + (times == 0 ? "no function " : "more than one function ") + place.name()
                        + (near.isEmpty() ? "" : ", but " + String.join(", ", near))
                        + (times == 0
                                ? ": the compiler may have put it into its callers; name one of those"
                                : ": name another"));
            }
        }
    }

    void moduleEnds(LinearMemory memory, long la) {
        String module = name(memory, la);
        if (wanted(module)) {
            modulesGone.add(module);
            for (int p = 0; p < found.length; p++) {
                if (module.equals(plan.places().get(p).module())) {
                    found[p] = null;
                }
            }
        }
    }

    private String name(LinearMemory memory, long la) {
        byte[] name = new byte[NAME];
        int bytes = memory.read(la + plan.kernel().offsets().get(0), name, NAME);
        return text(name, 0, bytes);
    }

    private boolean wanted(String module) {
        for (HeatPlan.Place p : plan.places()) {
            if (module.equals(p.module())) {
                return true;
            }
        }
        return false;
    }

    private static String text(byte[] bytes, int from, int end) {
        int to = from;
        while (to < end && bytes[to] != 0) {
            to++;
        }
        return from >= end || from < 0 ? "" : new String(bytes, from, to - from, StandardCharsets.ISO_8859_1);
    }

    private static long word(LinearMemory memory, long la, int bytes) {
        byte[] b = new byte[bytes];
        return memory.read(la, b, bytes) < bytes ? 0 : word(b, 0, bytes);
    }

    private static long word(byte[] from, int at, int bytes) {
        long v = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            v = v << 8 | from[at + i] & 0xff;
        }
        return v;
    }

    /** Why a place was not met, as far as that is known here; empty: it is not. */
    String trouble() {
        List<String> said = new ArrayList<>();
        if (!located) {
            said.add(
                    foreign
                            ? "the guest's kernel is not the one whose symbols were given: its system calls do not"
                                    + " begin where they say, moved as a whole or not. Take the symbols of that very"
                                    + " kernel"
                            : "the guest has no 64-bit Linux that was seen to start");
        }
        said.addAll(missing);
        plan.places().stream()
                .map(HeatPlan.Place::module)
                .filter(m -> m != null && located && !modulesSeen.contains(m))
                .distinct()
                .forEach(m ->
                        said.add("module " + m + " was not loaded during the run: have the guest load it, and name it"
                                + " as the guest's lsmod does"));
        modulesGone.forEach(
                m -> said.add("module " + m + " was unloaded during the run: its objects' memory may have become"
                        + " others' since, so end them with --until, or have it stay loaded"));
        return String.join("; ", said);
    }
}
