package dev.slate.lab.report;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.Locale;

/**
 * What a report says of where and how it was made.
 *
 * @param command the command line
 * @param processor model and number of processors that may be used
 * @param memory of the machine
 * @param kernel name and version
 * @param jdk version
 * @param date in UTC
 */
public record Machine(String command, String processor, String memory, String kernel, String jdk, String date) {
    /** This machine, today. */
    public static Machine here(String command) throws IOException {
        return new Machine(
                command,
                first("/proc/cpuinfo", "model name") + ", "
                        + Runtime.getRuntime().availableProcessors() + " usable",
                gibibytes(first("/proc/meminfo", "MemTotal")),
                "Linux " + System.getProperty("os.version"),
                System.getProperty("java.vm.version", "unknown"),
                LocalDate.now(ZoneOffset.UTC).toString());
    }

    private static String first(String file, String word) throws IOException {
        for (String line : Files.readAllLines(Path.of(file))) {
            if (line.startsWith(word)) {
                return line.substring(line.indexOf(':') + 1).strip();
            }
        }
        return "unknown";
    }

    /** /proc/meminfo counts kibibytes and calls them kB. */
    static String gibibytes(String kibibytes) {
        String digits = kibibytes.replaceAll("\\D", "");
        return digits.isEmpty()
                ? kibibytes
                : String.format(Locale.ROOT, "%.1f GiB", Long.parseLong(digits) / (1024.0 * 1024.0));
    }

    /** In one line. */
    public String text() {
        return processor + "; " + memory + "; " + kernel + "; JDK " + jdk;
    }
}
