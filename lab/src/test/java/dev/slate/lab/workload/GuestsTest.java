package dev.slate.lab.workload;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.lab.Bench;
import dev.slate.lab.Scale;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The guests of the experiments, built by the host's compiler and run. */
final class GuestsTest {
    private static final Bench BENCH = new Bench(
            Path.of(System.getProperty("slate.root", "..")).toAbsolutePath().normalize(), Scale.QUICK, System.err);
    private static final long MEMORY = 32 << 20;
    private static final int BUFFER = 0x40_0000;
    private static final int SAMPLES = 50;

    private static byte[] fork;
    private static byte[] exits;

    @BeforeAll
    static void build() throws Exception {
        fork = Files.readAllBytes(BENCH.guest("rmap-fork"));
        exits = Files.readAllBytes(BENCH.guest("exit-latency"));
    }

    @Test
    void a_guest_forks_children_that_see_their_own_copies_and_exits_them() {
        try (Machine machine = new Machine(new ArenaHost(), "", fork, MEMORY, 10, 100, 4, 2)) {
            for (int round = 0; round < 2; round++) {
                assertThat(machine.run()).isEqualTo(100);
                assertThat(machine.run()).isEqualTo(101);
                assertThat(machine.run()).isEqualTo(102);
            }
            assertThat(machine.run()).isZero();
        }
    }

    @Test
    void a_guest_that_fails_says_with_what_and_where() {
        // Each child needs six pages, and there are not as many.
        try (Machine machine = new Machine(new ArenaHost(), "", fork, 4 << 20, 1000, 512, 1, 1)) {
            assertThat(machine.run()).isEqualTo(100);
            assertThatThrownBy(machine::run)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("mark 1 at rip 0x10");
        }
    }

    /** A batch of each kind of exit: how many exits, whether all samples are there. */
    private static long exits(int kind) {
        ArenaHost host = new ArenaHost();
        Area area = null;
        try (Machine machine = new Machine(host, "", exits, MEMORY, kind, SAMPLES, BUFFER, 1L << 30, 100_000)) {
            area = new Area(machine, host, 1L << 30, 2 << 20);
            assertThat(machine.run()).isEqualTo(100);
            HostMemory.fill(machine.hva() + BUFFER, SAMPLES * 8L, 0xff);
            long before = machine.vcpu().stats().get(VcpuStats.EXITS);
            assertThat(machine.run()).isEqualTo(100);
            for (int i = 0; i < SAMPLES; i++) {
                assertThat(HostMemory.get64(machine.hva() + BUFFER + 8L * i)).isNotNegative();
            }
            // The mark is one too.
            return machine.vcpu().stats().get(VcpuStats.EXITS) - before - 1;
        } finally {
            if (area != null) {
                area.close();
            }
        }
    }

    @Test
    void loops_exit_once_for_each_sample() {
        assertThat(exits(0)).as("nothing").isZero();
        assertThat(exits(1)).as("CPUID").isEqualTo(SAMPLES);
        assertThat(exits(2)).as("IN").isEqualTo(SAMPLES);
        assertThat(exits(3)).as("MMIO").isEqualTo(SAMPLES);
        assertThat(exits(4)).as("WRMSR").isEqualTo(SAMPLES);
    }

    @Test
    void a_halted_guest_is_woken_by_what_it_waits_for() {
        assertThat(exits(9)).as("HLT with an interrupt pending").isGreaterThanOrEqualTo(SAMPLES);
        assertThat(exits(10)).as("HLT to a deadline").isGreaterThanOrEqualTo(SAMPLES);
    }
}
