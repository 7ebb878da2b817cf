package dev.slate.kvm.dirty;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.ArenaHost;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class DirtyRingTest {
    private static final int SIZE = DirtyRing.MIN_BYTES / 16;

    private final ArenaHost host = new ArenaHost();
    private final long hva = host.allocate(DirtyRing.MIN_BYTES, 4096);
    private final DirtyRing ring = new DirtyRing(hva, DirtyRing.MIN_BYTES);
    private final List<String> taken = new ArrayList<>();

    @AfterEach
    void free() {
        host.free(hva, DirtyRing.MIN_BYTES);
    }

    private int reset() {
        return ring.reset((slot, page, mask) -> taken.add(slot + ":" + page + ":" + Long.toHexString(mask)));
    }

    private void collect(int index) {
        HostMemory.put32(hva + index * 16L, 2);
    }

    @Test
    void entriesLieAsTheClientReadsThem() {
        ring.push(1 << 16 | 7, 0x1234567890L);
        assertThat(HostMemory.get32(hva)).isOne();
        assertThat(HostMemory.get32(hva + 4)).isEqualTo(1 << 16 | 7);
        assertThat(HostMemory.get64(hva + 8)).isEqualTo(0x1234567890L);
        assertThat(HostMemory.get32(hva + 16)).isZero();
    }

    @Test
    void aResetTakesWhatIsFlaggedInOrderAndStopsAtTheFirstThatIsNot() {
        for (int page : new int[] {3, 5, 64, 65, 3, 4}) {
            ring.push(7, page);
        }
        assertThat(reset()).isZero();
        collect(0);
        collect(1);
        collect(3);
        assertThat(reset()).isEqualTo(2);
        assertThat(taken).containsExactly("7:0:28");
        assertThat(HostMemory.get32(hva)).as("free again").isZero();
        collect(2);
        collect(4);
        collect(5);
        taken.clear();
        assertThat(reset()).isEqualTo(4);
        assertThat(taken).containsExactly("7:64:3", "7:0:18");
    }

    @Test
    void pagesOfDifferentSlotsAreNotJoined() {
        ring.push(7, 3);
        ring.push(8, 4);
        collect(0);
        collect(1);
        reset();
        assertThat(taken).containsExactly("7:0:8", "8:0:10");
    }

    @Test
    void theReserveIsSixtyFourEntriesAndARingGoesRound() {
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < SIZE; i++) {
                assertThat(ring.softFull()).isEqualTo(i >= SIZE - 64);
                assertThat(ring.full()).isFalse();
                ring.push(1, i);
            }
            assertThat(ring.full()).isTrue();
            for (int i = 0; i < SIZE; i++) {
                collect(i);
            }
            assertThat(reset()).isEqualTo(SIZE);
            assertThat(ring.softFull()).isFalse();
        }
    }

    @Test
    void aRingThatIsGoneGivesNothing() {
        ring.push(7, 3);
        collect(0);
        ring.close();
        assertThat(reset()).isZero();
    }
}
