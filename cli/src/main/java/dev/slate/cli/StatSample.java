package dev.slate.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A VM's statistics at one time.
 *
 * @param vm PID-FD
 * @param program that runs it
 * @param vcpus their number
 * @param millis when the values were written, in milliseconds since 1970
 * @param totals by KVM's names
 * @param rates per second since the sample before; empty without one
 */
record StatSample(
        String vm, String program, int vcpus, long millis, Map<String, Long> totals, Map<String, Double> rates) {
    /** The sample in a VM's folder, or null when it went away or is only being made. */
    static @Nullable StatSample read(Path folder) throws IOException {
        Map<String, Long> totals = new TreeMap<>();
        int vcpus = 0;
        String vm = folder.getFileName().toString();
        long millis;
        try (Stream<Path> entries = Files.list(folder)) {
            millis = Files.getLastModifiedTime(folder).toMillis();
            for (Path file : (Iterable<Path>) entries::iterator) {
                String name = file.getFileName().toString();
                if (Files.isDirectory(file)) {
                    vcpus++;
                } else if (!name.equals("mmu_rmaps_stat")) {
                    totals.put(name, Long.parseLong(Files.readString(file).strip()));
                }
            }
        } catch (NoSuchFileException | NumberFormatException e) {
            return null;
        }
        return totals.isEmpty() ? null : new StatSample(vm, program(vm), vcpus, millis, totals, Map.of());
    }

    private static String program(String vm) {
        Path file = Path.of("/proc", vm.substring(0, vm.indexOf('-')), "comm");
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1).strip();
        } catch (IOException e) {
            return "(gone)";
        }
    }

    /** This sample with rates. Values are written once a second: where they have not been, the rates stay as they were. */
    StatSample since(StatSample before) {
        if (millis <= before.millis) {
            return new StatSample(vm, program, vcpus, before.millis, totals, before.rates);
        }
        Map<String, Double> perSecond = new TreeMap<>();
        totals.forEach((name, value) -> {
            Long old = before.totals.get(name);
            if (old != null) {
                perSecond.put(name, (value - old) * 1000.0 / (millis - before.millis));
            }
        });
        return new StatSample(vm, program, vcpus, millis, totals, perSecond);
    }

    long total(String name) {
        return totals.getOrDefault(name, 0L);
    }

    double rate(String name) {
        return rates.getOrDefault(name, 0.0);
    }

    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("vm", vm);
        map.put("program", program);
        map.put("vcpus", vcpus);
        map.put("time_ms", millis);
        map.put("totals", totals);
        map.put("rates", rates);
        return map;
    }
}
