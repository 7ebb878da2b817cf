package dev.slate.cpu.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class TlbTest {
    private final Tlb tlb = new Tlb();

    private static final long PAGE = 0x7f12_3456_7000L;
    private static final long HOST = 0x5555_0000_3000L;

    @Test
    void anEmptyTlbHitsNothingNotEvenAddressZero() {
        assertThat(tlb.hits(0, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(-1, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(-4096, 8, Tlb.WRITE, Tlb.USER | Tlb.SMAP)).isFalse();
    }

    @Test
    void aFilledPageHitsForEveryByteOfItAndNoOther() {
        tlb.fill(PAGE + 5, 0, HOST + 5, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 8, Tlb.READ, 0)).isTrue();
        assertThat(tlb.hits(PAGE + 4095, 1, Tlb.READ, 0)).isTrue();
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE - 1, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hva(PAGE + 123)).isEqualTo(HOST + 123);
    }

    @Test
    void anAccessOverThePagesEndNeverHits() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        assertThat(tlb.hits(PAGE + 4088, 8, Tlb.READ, 0)).isTrue();
        for (int i = 1; i < 8; i++) {
            assertThat(tlb.hits(PAGE + 4088 + i, 8, Tlb.READ, 0))
                    .as("offset %d", i)
                    .isFalse();
            assertThat(tlb.hits(PAGE + 4088 + i, 8, Tlb.WRITE, 0)).isFalse();
        }
    }

    @Test
    void aRightThatWasNotGivenIsNotThere() {
        tlb.fill(PAGE, Tlb.USER, HOST, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, Tlb.USER)).isTrue();
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, Tlb.USER)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.FETCH, Tlb.USER)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, Tlb.USER | Tlb.SMAP)).isFalse();
    }

    @Test
    void theSamePageGainsRightsAndKeepsThoseItHad() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE);
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.FETCHABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isTrue();
        assertThat(tlb.hits(PAGE, 1, Tlb.FETCH, 0)).isTrue();
    }

    @Test
    void anotherPageInTheSamePlaceInheritsNoRight() {
        long alias = PAGE + 4096L * Tlb.ENTRIES;
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        tlb.fill(alias, 0, HOST + 0x10000, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.WRITE, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.FETCH, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.READ, 0)).isTrue();
    }

    @Test
    void theSamePageOnAnotherFrameInheritsNoRight() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE, 0, HOST + 0x10000, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isFalse();
    }

    @Test
    void invlpgOfOnePieceDropsAllPiecesOfALargePage() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.LARGE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE | Tlb.LARGE);
        tlb.flushPage(PAGE);
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isFalse();
    }

    @Test
    void invlpgOfASmallPageLeavesItsNeighbours() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE);
        tlb.flushPage(PAGE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isTrue();
    }

    @Test
    void aPageWithDecodedCodeLosesItsFastStoreUnderEveryNameItHas() {
        long other = PAGE + 7 * 4096;
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(other, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.protectCode(HOST);
        for (long page : new long[] {PAGE, other}) {
            assertThat(tlb.hits(page, 1, Tlb.WRITE, 0)).isFalse();
            assertThat(tlb.hitsCode(page + 17, 8, 0)).isTrue();
            assertThat(tlb.hits(page, 1, Tlb.READ, 0)).isTrue();
        }
    }

    @Test
    void aFlushDropsEverything() {
        for (int i = 0; i < Tlb.ENTRIES; i++) {
            tlb.fill(PAGE + 4096L * i, 0, HOST + 4096L * i, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        }
        tlb.flush();
        for (int i = 0; i < Tlb.ENTRIES; i++) {
            assertThat(tlb.hits(PAGE + 4096L * i, 1, Tlb.READ, 0)).isFalse();
        }
    }
}
