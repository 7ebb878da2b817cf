package dev.slate.cli;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** The tables of {@code slate stat}. */
final class StatTable {
    /** What statistics are sorted by. */
    @SuppressWarnings("checkstyle:ConstantName") // as they are typed
    enum Key {
        rate,
        total,
        name
    }

    /** Lines of a table beside its statistics. */
    private static final int HEADING = 3;

    private StatTable() {}

    /** One line a VM. */
    static void machines(List<StatSample> samples, PrintStream out) {
        if (samples.isEmpty()) {
            out.println("No virtual machine runs on Slate (or none is a second old).");
            return;
        }
        out.printf(
                Locale.ROOT,
                "%-14s %-20s %5s %16s %12s %12s %12s%n",
                "PID-FD",
                "PROGRAM",
                "VCPUS",
                "EXITS",
                "EXITS/S",
                "FAULTS/S",
                "PAGES");
        for (StatSample s : samples) {
            out.printf(
                    Locale.ROOT,
                    "%-14s %-20s %5d %,16d %,12.0f %,12.0f %,12d%n",
                    s.vm(),
                    s.program(),
                    s.vcpus(),
                    s.total("exits"),
                    s.rate("exits"),
                    s.rate("pf_taken"),
                    s.total("pages_4k") + 512 * s.total("pages_2m") + (512 * 512) * s.total("pages_1g"));
        }
    }

    /** One VM's statistics. @param rows lines that there is room for */
    static void statistics(StatSample s, Key sort, boolean all, int rows, PrintStream out) {
        List<String> names = new ArrayList<>();
        for (String name : s.totals().keySet()) {
            if (all || s.total(name) != 0) {
                names.add(name);
            }
        }
        Comparator<String> order = switch (sort) {
            case rate ->
                Comparator.comparingDouble((String n) -> -Math.abs(s.rate(n)))
                        .thenComparing(Comparator.comparingLong((String n) -> -s.total(n)));
            case total -> Comparator.comparingLong(n -> -s.total(n));
            case name -> Comparator.naturalOrder();
        };
        names.sort(order.thenComparing(Comparator.naturalOrder()));
        out.printf("%s  %s, %d vCPU%s%n", s.vm(), s.program(), s.vcpus(), s.vcpus() == 1 ? "" : "s");
        out.printf("%-30s %20s %14s%n", "STATISTIC", "TOTAL", "PER SECOND");
        int room = Math.max(1, rows - HEADING);
        for (int i = 0; i < names.size() && i < room; i++) {
            String name = names.get(i);
            out.printf(
                    Locale.ROOT,
                    "%-30s %,20d %14s%n",
                    name,
                    s.total(name),
                    s.rates().isEmpty() ? "" : String.format(Locale.ROOT, "%,.0f", s.rate(name)));
        }
    }
}
