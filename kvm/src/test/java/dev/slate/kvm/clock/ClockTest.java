package dev.slate.kvm.clock;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.TestHost;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class ClockTest {
    private final TestHost host = new TestHost();

    @Test
    void theHostsFrequencyIsExactAndAnotherOneScales() {
        VcpuTsc tsc = new VcpuTsc(host, (int) host.tscKhz());
        assertThat(tsc.scale(0x1234_5678_9abc_def0L)).isEqualTo(0x1234_5678_9abc_def0L);
        tsc.setKhz((int) host.tscKhz() * 2);
        assertThat(tsc.scale(1000)).isEqualTo(2000);
        tsc.setKhz((int) host.tscKhz() / 4);
        assertThat(tsc.scale(1_000_000)).isEqualTo(250_000);
    }

    @Test
    void itIsTheHostsRdtscAndAnOffsetWhereTheHostHasOneAndTheFrequencyIsTheHosts() {
        VcpuTsc tsc = new VcpuTsc(host, (int) host.tscKhz());
        assertThat(tsc.isSum()).isFalse();
        host.hasTsc = true;
        assertThat(tsc.isSum()).isTrue();
        tsc.setKhz((int) host.tscKhz() * 2);
        assertThat(tsc.isSum()).isFalse();
    }

    @Test
    void aGuestsWriteOfTheCounterMovesTheAdjustRegisterWithIt() {
        VcpuTsc tsc = new VcpuTsc(host, (int) host.tscKhz());
        tsc.setOffset(tsc.offsetFor(0));
        tsc.write(1L << 40);
        assertThat(tsc.read() >>> 38).isEqualTo(4);
        assertThat(tsc.adjust + (1L << 37) >>> 38).isEqualTo(4);
        tsc.writeAdjust(0);
        assertThat(tsc.read() >>> 38).isZero();
    }

    @Test
    void vcpusThatAreWrittenAlikeShareOneOffset() {
        TscSync sync = new TscSync(host);
        VcpuTsc first = new VcpuTsc(host, 2_000_000);
        VcpuTsc second = new VcpuTsc(host, 2_000_000);
        sync.synchronize(first, 0);
        sync.synchronize(second, 0);
        assertThat(second.offset()).isEqualTo(first.offset());
        sync.synchronize(first, 1L << 50);
        sync.synchronize(second, (1L << 50) + 1000);
        assertThat(second.offset()).isEqualTo(first.offset());
        sync.synchronize(second, 1L << 51);
        assertThat(second.offset()).isNotEqualTo(first.offset());
    }

    @Test
    void aGuestReadsItsPageAsTheClientReadsTheClock() {
        long seed = System.nanoTime();
        System.out.println("ClockTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        VmClock clock = new VmClock(host);
        VcpuTsc tsc = new VcpuTsc(host, (int) host.tscKhz());
        byte[] page = new byte[VmClock.PAGE_BYTES];
        for (int i = 0; i < 1000; i++) {
            tsc.setOffset(random.nextLong());
            clock.set(random.nextLong(1L << 60));
            clock.fill(tsc, 2, page);
            long later = host.readTsc() + random.nextLong(1L << 40);
            long guestTsc = tsc.scale(later) + tsc.offset();
            int multiplier = (int) word(page, 24, 4);
            long ticks = guestTsc - word(page, 8, 8);
            long reading = word(page, 16, 8) + VmClock.scale(ticks, multiplier, page[28]);
            assertThat(reading).isEqualTo(clock.at(later));
        }
        assertThat(page[29]).as("TSC is stable").isEqualTo((byte) 1);
    }

    @Test
    void theClockPassesANanosecondANanosecond() {
        VmClock clock = new VmClock(host);
        long at = host.readTsc();
        long second = host.tscKhz() * 1000;
        assertThat(clock.at(at + 3600 * second) - clock.at(at)).isBetween(3_599_999_999_000L, 3_600_000_001_000L);
    }

    private static long word(byte[] from, int at, int bytes) {
        long v = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            v = v << 8 | from[at + i] & 0xff;
        }
        return v;
    }
}
