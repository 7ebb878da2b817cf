package dev.slate.lab.lines;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.lab.Bench;
import dev.slate.lab.Scale;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** Exits whose lines can be said without a machine. */
final class LinesTest {
    private static final int SAMPLES = 512;

    @SuppressWarnings("unchecked")
    private static Lines count(int kind, boolean faults) throws Exception {
        Bench bench = new Bench(
                Path.of(System.getProperty("slate.root", "..")).toAbsolutePath().normalize(), Scale.QUICK, System.err);
        byte[] image = Files.readAllBytes(bench.guest("exit-latency"));
        try (CountingLoader loader = new CountingLoader()) {
            Function<ExitJob, Lines> work =
                    (Function<ExitJob, Lines>) loader.create("dev.slate.lab.workload.CountedExits");
            return work.apply(new ExitJob(
                    image,
                    "",
                    16 << 20,
                    1L << 30,
                    2 << 20,
                    new long[] {kind, SAMPLES, 0x40_0000, 1L << 30, 0},
                    faults,
                    faults,
                    2,
                    2));
        }
    }

    @Test
    void cpuid_touches_no_line_of_the_mmu() throws Exception {
        Lines lines = count(1, false);
        assertThat(lines.exits()).isEqualTo(2 * SAMPLES + 2);
        assertThat(lines.spte() + lines.rmap() + lines.slot()).isZero();
    }

    @Test
    void a_page_fault_walks_four_levels_and_writes_the_last() throws Exception {
        Lines lines = count(8, true);
        assertThat(lines.exits()).isEqualTo(2 * SAMPLES);
        // Each fault reads one entry of each level. The guest's own tables are read on a TLB miss too: their SPTEs
        // come on top, but seldom.
        assertThat(lines.perExit(lines.spte())).isBetween(4.0, 4.5);
        assertThat(lines.walked()).isLessThanOrEqualTo(lines.spte());
        assertThat(lines.rmap()).as("the TDP MMU has none").isZero();
        assertThat(lines.perExit(lines.slot())).isBetween(1.0, 10.0);
    }

    @Test
    void the_program_s_own_classes_stay_as_they_are() throws Exception {
        try (CountingLoader loader = new CountingLoader()) {
            Class<?> instrumented = loader.loadClass("dev.slate.cpu.mem.HostMemory");
            assertThat(instrumented).isNotSameAs(dev.slate.cpu.mem.HostMemory.class);
            assertThat(loader.loadClass("dev.slate.lab.lines.LineRecorder")).isSameAs(LineRecorder.class);
        }
    }
}
