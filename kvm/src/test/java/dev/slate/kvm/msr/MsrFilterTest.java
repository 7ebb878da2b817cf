package dev.slate.kvm.msr;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MsrFilterTest {
    private static MsrFilter filter(boolean allow, int flags, int base, int count, long... bitmap) {
        return new MsrFilter(allow, new int[] {flags}, new int[] {base}, new int[] {count}, new long[][] {bitmap});
    }

    @Test
    void aBitOfTheRangeDecidesAndTheRestFollowsTheDefault() {
        MsrFilter f = filter(false, MsrFilter.READ, 0xc000_0080, 70, 1L << 2, 1L << 1);
        assertThat(f.allows(0xc000_0082, MsrFilter.READ)).isTrue();
        assertThat(f.allows(0xc000_0083, MsrFilter.READ)).isFalse();
        assertThat(f.allows(0xc000_0080 + 65, MsrFilter.READ)).isTrue();
        assertThat(f.allows(0xc000_0080 + 70, MsrFilter.READ))
                .as("behind the range")
                .isFalse();
        assertThat(f.allows(0xc000_0082, MsrFilter.WRITE))
                .as("the range counts for reads")
                .isFalse();
        assertThat(f.allows(0xc000_007f, MsrFilter.READ)).as("before the range").isFalse();
    }

    @Test
    void x2apicRegistersAreNeverFiltered() {
        MsrFilter f = filter(false, MsrFilter.READ | MsrFilter.WRITE, 0x800, 0x100, 0, 0, 0, 0);
        assertThat(f.allows(0x80b, MsrFilter.WRITE)).isTrue();
        assertThat(f.allows(0x7ff, MsrFilter.WRITE)).isFalse();
    }

    @Test
    void theFirstRangeThatMatchesWins() {
        MsrFilter f = new MsrFilter(
                true,
                new int[] {MsrFilter.READ, MsrFilter.READ | MsrFilter.WRITE},
                new int[] {0x10, 0x10},
                new int[] {1, 1},
                new long[][] {{1}, {0}});
        assertThat(f.allows(0x10, MsrFilter.READ)).isTrue();
        assertThat(f.allows(0x10, MsrFilter.WRITE)).isFalse();
    }
}
