package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/**
 * Random instruction streams in every mode and at every privilege, over random page tables, end in an exit that KVM has or in a fault
 * that the guest gets: never in a bug of Slate's, a hang or the death of the process.
 *
 * <p>Properties: {@code slate.garbage.cases} (of each MMU, and of machine code), {@code slate.garbage.seed}, {@code slate.garbage.first} (number of the
 * first case), {@code slate.garbage.set} (one of these only: knobs). What fails says which make it fail again, and is appended to {@code
 * target/garbage.failures} in the form of the resource {@code garbage.cases}, whose lines are run every time. The number of the
 * running case stands in {@code target/garbage.running}, should the process die.
 */
class GarbageStreamsTest {
    private static final List<String> SETS = List.of("", "tdp=off", "cpu.translator=eager");
    private static final long CASES = Long.getLong("slate.garbage.cases", 20_000);
    private static final long FIRST = Long.getLong("slate.garbage.first", 0);
    private static final long HANG_MILLIS = 300_000;
    private static final int MOST_FAILURES = 20;

    private final AtomicLong running = new AtomicLong(-1);
    private final List<String> failures = new ArrayList<>();

    @ParameterizedTest
    @FieldSource("SETS")
    void randomStreamsEndInAnExitOrAFault(String knobs) throws IOException {
        String only = System.getProperty("slate.garbage.set");
        assertThat(only == null || SETS.contains(only))
                .as("-Dslate.garbage.set=%s is one of %s", only, SETS)
                .isTrue();
        if (only != null && !only.equals(knobs)) {
            return;
        }
        long seed = Long.getLong("slate.garbage.seed", System.nanoTime());
        System.out.println("GarbageStreamsTest seed " + seed + " set '" + knobs + "'");
        GarbageStream stream = new GarbageStream(seed, knobs);
        long begin = System.nanoTime();
        Thread watchdog = watchdog(Thread.currentThread(), seed, knobs);
        try (FileChannel file = FileChannel.open(
                Path.of("target", "garbage.running"),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
            ByteBuffer mark = file.map(FileChannel.MapMode.READ_WRITE, 0, 16);
            mark.putLong(0, seed);
            for (long i = FIRST; i < FIRST + CASES && failures.size() < MOST_FAILURES; i++) {
                mark.putLong(8, i);
                running.set(i);
                run(stream, seed, i, knobs);
            }
        } finally {
            watchdog.interrupt();
        }
        report(stream, System.nanoTime() - begin);
        stream.close();
        assertThat(failures).isEmpty();
        assumeTrue(stream.translates(), "this host allows no executable memory");
        if (CASES >= 20_000) {
            if (knobs.equals("cpu.translator=eager")) {
                assertThat(stream.translatedEntries()).isGreaterThan(CASES);
            }
            // Every kind of end has been seen, or the streams have become tame.
            assertThat(stream.exits[VcpuExit.IO]).isPositive();
            assertThat(stream.exits[VcpuExit.MMIO]).isPositive();
            assertThat(stream.exits[VcpuExit.HLT]).isPositive();
            assertThat(stream.exits[VcpuExit.SHUTDOWN]).isPositive();
            for (int vector : new int[] {0, 1, 3, 6, 7, 10, 11, 12, 13, 14, 17}) {
                assertThat(stream.vectors[vector])
                        .as("vector %d delivered", vector)
                        .isPositive();
            }
            // Five levels may not be offered here; of any bits at all, most are no state.
            for (int mode = 0; mode < GarbageStream.FIVE_LEVELS; mode++) {
                assertThat(stream.refused[mode])
                        .as("states of %s that KVM_SET_SREGS refuses", GarbageStream.MODES[mode])
                        .isLessThan(stream.cases[mode] / 10);
            }
            assertThat(stream.refused[GarbageStream.ANYTHING]).isLessThan(stream.cases[GarbageStream.ANYTHING]);
        }
    }

    private void run(GarbageStream stream, long seed, long number, String knobs) throws IOException {
        try {
            stream.run(number);
        } catch (RuntimeException | AssertionError | StackOverflowError e) {
            StringBuilder where = new StringBuilder();
            for (StackTraceElement at : e.getStackTrace()) {
                if (where.length() < 600) {
                    where.append("\n    ").append(at);
                }
            }
            failures.add(again(seed, number, knobs) + "\n  " + e + where + "\n  " + stream.describe());
            Files.writeString(
                    Path.of("target", "garbage.failures"),
                    (knobs.isEmpty() ? "-" : knobs) + " " + seed + " " + number + " # " + e + "\n",
                    StandardOpenOption.CREATE,
                    StandardOpenOption.APPEND);
        }
    }

    private static String again(long seed, long number, String knobs) {
        return "again: -Dtest=GarbageStreamsTest -Dslate.garbage.seed=" + seed + " -Dslate.garbage.first=" + number
                + " -Dslate.garbage.cases=1 '-Dslate.garbage.set=" + knobs + "'";
    }

    private Thread watchdog(Thread watched, long seed, String knobs) {
        Thread thread = new Thread(() -> {
            try {
                for (long last = -2; ; ) {
                    Thread.sleep(HANG_MILLIS);
                    long now = running.get();
                    if (now == last) {
                        System.out.println("hangs; " + again(seed, now, knobs));
                        for (StackTraceElement at : watched.getStackTrace()) {
                            if (at.getClassName().startsWith("dev.slate")) {
                                System.out.println("    " + at);
                            }
                        }
                        Runtime.getRuntime().halt(3);
                    }
                    last = now;
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void report(GarbageStream s, long nanos) {
        System.out.printf(
                Locale.ROOT,
                "%,d cases in %.1f s, %,d steps, %d operations; ended by the limit %,d%n",
                java.util.Arrays.stream(s.cases).sum(),
                nanos / 1e9,
                s.instructions,
                s.operations(),
                s.interrupted);
        System.out.printf(Locale.ROOT, "  machine code entered %,d times%n", s.translatedEntries());
        for (int i = 0; i < GarbageStream.MODES.length; i++) {
            System.out.printf(
                    Locale.ROOT,
                    "  %-20s %,d cases, %,d states refused%n",
                    GarbageStream.MODES[i],
                    s.cases[i],
                    s.refused[i]);
        }
        for (int i = 0; i < s.exits.length; i++) {
            if (s.exits[i] != 0) {
                System.out.printf(Locale.ROOT, "  exit reason %-8d %,d%n", i, s.exits[i]);
            }
        }
        for (int i = 0; i < 32; i++) {
            if (s.vectors[i] != 0) {
                System.out.printf(Locale.ROOT, "  vector %-13d %,d delivered%n", i, s.vectors[i]);
            }
        }
    }

    @Test
    void whatOnceFailedDoesNot() throws IOException {
        try (InputStream in = GarbageStreamsTest.class.getResourceAsStream("garbage.cases")) {
            for (String line : new String(in.readAllBytes(), StandardCharsets.US_ASCII).split("\n")) {
                String[] part = line.replaceAll("#.*", "").strip().split("\\s+");
                if (part.length == 3) {
                    String knobs = part[0].equals("-") ? "" : part[0];
                    try (GarbageStream stream = new GarbageStream(Long.parseLong(part[1]), knobs)) {
                        stream.run(Long.parseLong(part[2]));
                    }
                }
            }
        }
    }
}
