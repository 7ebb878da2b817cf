package dev.slate.kvm;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What can be chosen about Slate's structures: each knob's name, default, kernel parameter, meaning and seed, and the values chosen.
 *
 * <p>Immutable. Values come from lines {@code name=value}, one for each {@code --set}.
 */
public final class Knobs {
    /** What a knob's values are. */
    public enum Kind {
        /** {@code on} or {@code off}; {@code Y}, {@code N}, {@code 1} and {@code 0} are taken too, as the kernel's parameters are. */
        SWITCH,
        /** A whole number within the knob's bounds. */
        NUMBER,
        /** One of the knob's words. */
        CHOICE
    }

    /**
     * A knob.
     *
     * @param name as given to {@code --set}
     * @param kind of value
     * @param standard the default, KVM's own
     * @param min least NUMBER, inclusive
     * @param max greatest NUMBER, inclusive
     * @param choices the words of a CHOICE
     * @param parameter the kernel's module parameter, or empty
     * @param meaning one sentence
     * @param seed the thread that it stems from, or empty
     */
    public record Knob(
            String name,
            Kind kind,
            String standard,
            long min,
            long max,
            List<String> choices,
            String parameter,
            String meaning,
            String seed) {}

    /** The word for a number that follows from other knobs. */
    private static final String AUTO = "auto";

    public static final Knob CPU_MODEL = choice(
            "cpu.model",
            "max",
            List.of("v2", "v3", "host-like", "max"),
            "What CPUID offers and the processor executes: x86-64-v2 or -v3, what the host's processor has, all there is.",
            "");
    public static final Knob TRANSLATOR = choice(
            "cpu.translator",
            "on",
            List.of("off", "on", "eager", "lockstep"),
            "Run hot 64-bit guest code as machine code of the host; eager: all of it, at its first entry; lockstep: eager, and all of it once more"
                    + " interpreted and compared, on machines with one vCPU.",
            "");
    public static final Knob TRANSLATOR_CACHE = number(
            "cpu.translator.cache",
            "64",
            1,
            1024,
            "",
            "MiB that the translations of a VM's vCPUs may take together; who needs more than is left gives up its own, or waits for it.",
            "");
    public static final Knob CPU_VENDOR = choice(
            "cpu.vendor",
            "host",
            List.of("host", "amd", "intel"),
            "Whose processor KVM_GET_SUPPORTED_CPUID names; where AMD and Intel differ a guest gets what its CPUID says.",
            "");
    public static final Knob NESTED = toggle(
            "nested",
            false,
            "kvm_amd.nested",
            "Guests that are AMD's get SVM, with nested paging where tdp is on: they can run guests of their own.",
            "002");
    public static final Knob PMU = toggle(
            "pmu",
            true,
            "kvm.enable_pmu",
            "Guests that are AMD's get performance counters, which count their instructions and branches exactly.",
            "");
    public static final Knob EAGER_PAGE_SPLIT = toggle(
            "mmu.eager-page-split",
            true,
            "kvm.eager_page_split",
            "Split huge mappings when dirty logging starts, not at the first write to each.",
            "002");
    public static final Knob HUGE_PAGES =
            toggle("mmu.huge-pages", true, "", "Map 2 MiB at once where guest, slot and host pages allow it.", "");

    public static final Knob AD_BITS = toggle(
            "mmu.ad-bits",
            true,
            "kvm_intel.eptad",
            "Accessed and dirty bits in the second-level tables; off: use is noticed by faults, as on processors without them.",
            "003");
    public static final Knob NX_HUGE_PAGES = toggle(
            "mmu.nx-huge-pages",
            false,
            "kvm.nx_huge_pages",
            "Large mappings cannot be executed from: where a guest does, they are split.",
            "");
    public static final Knob NX_HUGE_PAGES_RECOVERY_RATIO = number(
            "mmu.nx-huge-pages-recovery-ratio",
            "60",
            0,
            0xffff_ffffL,
            "kvm.nx_huge_pages_recovery_ratio",
            "Of the mappings split so, one in this many is made large again each time; 0: none is.",
            "");
    public static final Knob NX_HUGE_PAGES_RECOVERY_PERIOD_MS = number(
            "mmu.nx-huge-pages-recovery-period-ms",
            "0",
            0,
            0xffff_ffffL,
            "kvm.nx_huge_pages_recovery_period_ms",
            "Milliseconds from one such time to the next; 0: an hour divided by the ratio.",
            "");
    public static final Knob HALT_POLL_NS = number(
            "halt-poll-ns",
            "200000",
            0,
            1_000_000_000,
            "kvm.halt_poll_ns",
            "Longest time in nanoseconds that a vCPU in HLT polls for a wake-up before it sleeps; 0: never.",
            "");

    public static final Knob MEMSLOT_LOOKUP = choice(
            "memslot.lookup",
            "tree",
            List.of("tree", "vcpu", "vm", "none"),
            "How a memslot is looked up: the one that the vCPU found last, then a tree (since Linux 5.17) or binary search (5.15);"
                    + " the one that any vCPU of the VM found last, then binary search (before); binary search alone.",
            "003");

    public static final Knob TDP = toggle(
            "tdp",
            true,
            "kvm_amd.npt",
            "Two-dimensional paging; off: the hypervisor shadows the guest's page tables.",
            "003");
    public static final Knob PTE_LIST_ENTRIES = number(
            "mmu.pte-list-entries",
            AUTO,
            2,
            510,
            "",
            "SPTEs in one pte_list_desc; auto: 14 with shadow paging, 2 without (what the seed's patch 2 makes of it).",
            "002");
    public static final Knob PTE_LIST_FORM = choice(
            "mmu.pte-list-form",
            "counted",
            List.of("counted", "uncounted"),
            "Whether a pte_list_desc counts its SPTEs (since Linux 5.15) or ends at the first empty place (before).",
            "004");
    public static final Knob RMAP_ZAP = choice(
            "mmu.rmap-zap",
            "chain",
            List.of("chain", "entry"),
            "How the rmap of a page is zapped: in one walk of its chain (since Linux 5.15), or entry by entry (before).",
            "004");

    public static final Knob MMIO_EMULATION = choice(
            "mmio.emulation",
            "full",
            List.of("full", "kvm"),
            "Which instructions may access MMIO and write to read-only slots: all, or those that KVM 6.1's emulator knows; the others"
                    + " end in its internal error.",
            "");

    private static final List<Knob> ALL = List.of(
            CPU_MODEL,
            TRANSLATOR,
            TRANSLATOR_CACHE,
            CPU_VENDOR,
            NESTED,
            PMU,
            TDP,
            EAGER_PAGE_SPLIT,
            HUGE_PAGES,
            AD_BITS,
            NX_HUGE_PAGES,
            NX_HUGE_PAGES_RECOVERY_RATIO,
            NX_HUGE_PAGES_RECOVERY_PERIOD_MS,
            MEMSLOT_LOOKUP,
            PTE_LIST_ENTRIES,
            PTE_LIST_FORM,
            RMAP_ZAP,
            HALT_POLL_NS,
            MMIO_EMULATION);

    private static final Knobs STANDARD = new Knobs(Map.of());

    private final Map<String, String> chosen;

    private Knobs(Map<String, String> chosen) {
        this.chosen = chosen;
    }

    /** Every knob at its default. */
    public static Knobs standard() {
        return STANDARD;
    }

    /** All knobs, in the order of their listing. */
    public static List<Knob> all() {
        return ALL;
    }

    /**
     * Reads {@code name=value} lines; empty lines are skipped, a later line for the same knob wins.
     *
     * @throws IllegalArgumentException with a message for a person: unknown name (with the near ones) or bad value
     */
    public static Knobs parse(String lines) {
        Map<String, String> chosen = new LinkedHashMap<>();
        for (String raw : lines.split("\n")) {
            String line = raw.strip();
            if (line.isEmpty()) {
                continue;
            }
            int eq = line.indexOf('=');
            if (eq < 0) {
                throw new IllegalArgumentException("--set " + line + ": no '='; write --set NAME=VALUE");
            }
            Knob knob = find(line.substring(0, eq).strip());
            chosen.put(knob.name(), normal(knob, line.substring(eq + 1).strip()));
        }
        return new Knobs(Map.copyOf(chosen));
    }

    /** Whether a SWITCH is on. */
    public boolean on(Knob knob) {
        return "on".equals(value(knob));
    }

    /** A NUMBER's value. */
    public long number(Knob knob) {
        return Long.parseLong(value(knob));
    }

    /** The value in its normal spelling, chosen or default. */
    public String value(Knob knob) {
        return chosen.getOrDefault(knob.name(), knob.standard());
    }

    /** A NUMBER's value, or {@code automatic} while it is left to follow from other knobs. */
    public long number(Knob knob, long automatic) {
        return value(knob).equals(AUTO) ? automatic : number(knob);
    }

    private static Knob toggle(String name, boolean on, String parameter, String meaning, String seed) {
        return new Knob(name, Kind.SWITCH, on ? "on" : "off", 0, 0, List.of(), parameter, meaning, seed);
    }

    private static Knob number(
            String name, String standard, long min, long max, String parameter, String meaning, String seed) {
        return new Knob(name, Kind.NUMBER, standard, min, max, List.of(), parameter, meaning, seed);
    }

    private static Knob choice(String name, String standard, List<String> choices, String meaning, String seed) {
        return new Knob(name, Kind.CHOICE, standard, 0, 0, choices, "", meaning, seed);
    }

    private static Knob find(String name) {
        List<String> near = new ArrayList<>();
        for (Knob k : ALL) {
            if (k.name().equals(name)) {
                return k;
            }
            if (distance(k.name(), name) <= Math.min(3, name.length() / 3)
                    || k.name().contains(name) && !name.isEmpty()) {
                near.add(k.name());
            }
        }
        throw new IllegalArgumentException("--set " + name + ": no such knob"
                + (near.isEmpty() ? "; `slate knobs` lists them" : "; did you mean " + String.join(", ", near) + "?"));
    }

    private static String normal(Knob knob, String value) {
        switch (knob.kind()) {
            case SWITCH -> {
                return switch (value) {
                    case "on", "Y", "y", "1", "true" -> "on";
                    case "off", "N", "n", "0", "false" -> "off";
                    default -> throw bad(knob, value, "on or off");
                };
            }
            case NUMBER -> {
                if (value.equals(knob.standard())) {
                    return value;
                }
                String range = "a whole number from " + knob.min() + " to " + knob.max();
                long n;
                try {
                    n = Long.parseLong(value);
                } catch (NumberFormatException e) {
                    throw bad(knob, value, range);
                }
                if (n < knob.min() || n > knob.max()) {
                    throw bad(knob, value, range);
                }
                return Long.toString(n);
            }
            case CHOICE -> {
                if (!knob.choices().contains(value)) {
                    throw bad(knob, value, String.join(", ", knob.choices()));
                }
                return value;
            }
        }
        throw new AssertionError(knob.kind());
    }

    private static IllegalArgumentException bad(Knob knob, String value, String allowed) {
        return new IllegalArgumentException("--set " + knob.name() + "=" + value + ": the value must be " + allowed);
    }

    /** Levenshtein's distance. */
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int up = row[j];
                int same = a.charAt(i - 1) == b.charAt(j - 1) ? diagonal : diagonal + 1;
                row[j] = Math.min(same, Math.min(up, row[j - 1]) + 1);
                diagonal = up;
            }
        }
        return row[b.length()];
    }
}
