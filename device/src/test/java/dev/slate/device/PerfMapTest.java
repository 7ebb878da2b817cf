package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** {@code slate run --perf-map}, with examples/hello-kvm.c, whose guest sieves a million numbers. */
class PerfMapTest {
    private static final String WAYS_OUT = ":ways-out";
    private static final Pattern LINE = Pattern.compile("([0-9a-f]+) ([0-9a-f]+) (\\S+)");
    private static final Pattern GUEST = Pattern.compile("guest:([0-9a-f]+)-([0-9a-f]+)");
    private static final long CODE = 0x10000;

    /** Runs the client, and gives the number of its process. */
    private static String run(Map<String, String> environment, Path client) throws Exception {
        Host.Result result = Host.slate(environment, Path.of("sh"), "-c", "echo process $$.; exec " + client);
        assertThat(result.status()).as(result.output()).isZero();
        Matcher number = Pattern.compile("process (\\d+)\\.").matcher(result.output());
        assertThat(number.find()).as(result.output()).isTrue();
        return number.group(1);
    }

    private static Path client() throws Exception {
        String source = Files.readString(Host.MODULE.getParent().resolve("examples/hello-kvm.c"))
                .replace("200000", "1000")
                .replace("\"4:  cmp", "\".globl hot_loop\\nhot_loop: 4:  cmp");
        return Host.compile("hello-kvm-named", source);
    }

    private static long address(Path program, String symbol) throws Exception {
        Host.Result names = Host.run(Map.of(), List.of("nm", program.toString()));
        Matcher line = Pattern.compile("([0-9a-f]+) \\w " + symbol + "\n").matcher(names.output());
        assertThat(line.find()).as(names.output()).isTrue();
        return Long.parseLong(line.group(1), 16);
    }

    @Test
    void aHotGuestsMapHasItsLoopByAddress() throws Exception {
        Path client = client();
        long loop = CODE + address(client, "hot_loop") - address(client, "guest_start");
        Path map = Path.of("/tmp", "perf-" + run(Map.of("SLATE_QUIET", "1", "SLATE_PERF_MAP", "1"), client) + ".map");
        try {
            boolean found = false;
            // Of one vCPU: what runs, and apart from it the ways out.
            long[] end = new long[2];
            for (String text : Files.readAllLines(map)) {
                Matcher line = LINE.matcher(text);
                assertThat(line.matches()).as(text).isTrue();
                long start = Long.parseLong(line.group(1), 16);
                // Made once: in the order of its making, nothing over another.
                int apart = line.group(3).endsWith(WAYS_OUT) ? 1 : 0;
                assertThat(start).as(text).isGreaterThanOrEqualTo(end[apart]);
                end[apart] = start + Long.parseLong(line.group(2), 16);
                assertThat(end[apart]).as(text).isGreaterThan(start);
                Matcher guest = GUEST.matcher(line.group(3).replace(WAYS_OUT, ""));
                if (guest.matches()) {
                    found |= Long.parseLong(guest.group(1), 16) == loop;
                    assertThat(Long.parseLong(guest.group(2), 16)).as(text).isBetween(CODE, CODE + 0x200);
                } else {
                    assertThat(line.group(3)).isEqualTo("slate:entry-and-exits");
                }
            }
            assertThat(found)
                    .as("the loop at %x in %s", loop, Files.readString(map))
                    .isTrue();
        } finally {
            Files.deleteIfExists(map);
        }
    }

    @Test
    void whoDoesNotAskForAMapGetsNone() throws Exception {
        assertThat(Path.of("/tmp", "perf-" + run(Map.of("SLATE_QUIET", "1"), client()) + ".map"))
                .doesNotExist();
    }
}
