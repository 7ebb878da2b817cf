package dev.slate.kvm.stats;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.ArenaHost;
import org.junit.jupiter.api.Test;

final class StatsTest {
    private final ArenaHost host = new ArenaHost();

    @Test
    void theTablesHaveTheSizesOfLinux61() {
        assertThat(VmStats.SCHEMA).hasSize(15);
        assertThat(VcpuStats.SCHEMA).hasSize(45);
        try (VcpuStats v = new VcpuStats(host);
                VmStats m = new VmStats(host)) {
            assertThat(v.bytes()).isEqualTo((42 + 3 * 32) * 8);
            assertThat(m.bytes()).isEqualTo(15 * 8);
        }
        assertThat(host.allocatedBytes()).isZero();
    }

    @Test
    void noTwoRowsOverlapAndTheHistogramsTakeThirtyTwoValues() {
        int offset = 0;
        for (Stat s : VcpuStats.SCHEMA) {
            assertThat(s.offset()).as(s.name()).isEqualTo(offset);
            assertThat(s.values()).as(s.name()).isEqualTo(s.name().endsWith("_hist") ? 32 : 1);
            assertThat(s.exponent()).as(s.name()).isEqualTo(s.unit() == Stat.UNIT_SECONDS ? -9 : 0);
            offset += s.values() * 8;
        }
    }

    @Test
    void countersLandWhereTheClientReadsThem() {
        try (VcpuStats v = new VcpuStats(host)) {
            v.add(VcpuStats.EXITS);
            v.add(VcpuStats.EXITS, 4);
            v.set(VcpuStats.GUEST_MODE, 1);
            assertThat(HostMemory.get64(v.hva + VcpuStats.EXITS)).isEqualTo(5);
            assertThat(v.get(VcpuStats.GUEST_MODE)).isOne();
        }
    }

    @Test
    void logarithmicHistogramsCountByPowersOfTwo() {
        try (VcpuStats v = new VcpuStats(host)) {
            for (long nanos : new long[] {0, 1, 2, 3, 4, 1L << 40, Long.MAX_VALUE}) {
                v.histogram(VcpuStats.HALT_WAIT_HIST, nanos);
            }
            assertThat(v.get(VcpuStats.HALT_WAIT_HIST)).isOne();
            assertThat(v.get(VcpuStats.HALT_WAIT_HIST + 8)).isOne();
            assertThat(v.get(VcpuStats.HALT_WAIT_HIST + 16)).isEqualTo(2);
            assertThat(v.get(VcpuStats.HALT_WAIT_HIST + 24)).isOne();
            assertThat(v.get(VcpuStats.HALT_WAIT_HIST + 31 * 8)).isEqualTo(2);
        }
    }

    @Test
    void pagesAreAddedUpFromTheLinesTheyAreCountedIn() {
        try (VmStats m = new VmStats(host)) {
            for (long table = 0; table < 100; table++) {
                m.addPages(0x7000_0000L + (table << 12) + 8 * table, VmStats.PAGES_4K, 3);
                m.addPages(table << 12, VmStats.PAGES_2M, 1);
            }
            m.add(VmStats.PAGES_4K, -50);
            assertThat(m.get(VmStats.PAGES_4K)).isEqualTo(250);
            assertThat(m.get(VmStats.PAGES_2M)).isEqualTo(100);
            assertThat(m.get(VmStats.PAGES_1G)).isZero();
            assertThat(m.get(VmStats.NX_LPAGE_SPLITS)).isZero();
            m.clear(VmStats.PAGES_4K);
            assertThat(m.get(VmStats.PAGES_4K)).isZero();
            assertThat(m.get(VmStats.PAGES_2M)).isEqualTo(100);
        }
    }

    @Test
    void peaksOnlyRise() {
        try (VmStats m = new VmStats(host)) {
            m.peak(VmStats.MAX_MMU_RMAP_SIZE, 5);
            m.peak(VmStats.MAX_MMU_RMAP_SIZE, 3);
            assertThat(m.get(VmStats.MAX_MMU_RMAP_SIZE)).isEqualTo(5);
            assertThat(HostMemory.get64(m.hva + VmStats.MAX_MMU_RMAP_SIZE)).isEqualTo(5);
        }
    }
}
