package dev.slate.kvm.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Which addresses the host in plain Java takes for memory. */
class ArenaHostTest {
    private static final int EFAULT = 14;

    private final ArenaHost host = new ArenaHost();

    @Test
    void memoryIsThereFromItsAllocationUntilItIsFreedAndNoByteMore() {
        SplittableRandom random = new SplittableRandom(7);
        TreeMap<Long, Long> ranges = new TreeMap<>();
        for (int step = 0; step < 3000; step++) {
            if (ranges.size() < 200 && random.nextInt(3) != 0) {
                long bytes = random.nextLong(1, 300_000);
                ranges.put(host.allocate(bytes, 16), bytes);
            } else if (!ranges.isEmpty()) {
                Map.Entry<Long, Long> any =
                        ranges.ceilingEntry(random.nextLong(ranges.firstKey(), ranges.lastKey() + 1));
                host.free(any.getKey(), any.getValue());
                assertThat(host.populate(any.getKey(), any.getValue(), true)).isEqualTo(EFAULT);
                ranges.remove(any.getKey());
            }
            ranges.forEach((hva, bytes) -> {
                assertThat(host.populate(hva, bytes, true)).isZero();
                assertThat(host.populate(hva + bytes - 1, 1, true)).isZero();
                if (!ranges.containsKey(hva + bytes)) {
                    assertThat(host.populate(hva, bytes + 1, true)).isEqualTo(EFAULT);
                }
            });
        }
        ranges.forEach(host::free);
        assertThat(host.allocatedBytes()).isZero();
    }

    @Test
    void whatWasNotAllocatedCannotBeFreed() {
        assertThatThrownBy(() -> host.free(4096, 4096))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("0x1000");
    }
}
