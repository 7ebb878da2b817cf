package dev.slate.layout.dwarf;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What tells a record's variants apart. */
final class DiscriminantsTest {
    /** 2^61 bytes have 2^64 bits, which no long holds: an array of a broken file's can claim them. */
    @ParameterizedTest
    @CsvSource({"0, 64", "1, 8", "8, 64", "16, 128", "17, 128", "2305843009213693952, 128", "9223372036854775807, 128"})
    void aTypeOfAnySizeHasAsManyBitsAsANumberCan(long bytes, int bits) {
        assertThat(Discriminants.bits(bytes)).isEqualTo(bits);
    }
}
