package dev.slate.cpu.mem;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class CodeLinesTest {
    private static final long BASE = 0x7f00_0000_0000L;

    private final CodeLines lines = new CodeLines();

    @Test
    void aLineIsHitByEveryByteOfItAndByNoOther() {
        assertThat(lines.mark(BASE + 128, 64)).isTrue();
        for (int at = 0; at < 4096; at++) {
            assertThat(lines.hit(BASE + at, 1)).as("%d", at).isEqualTo(at >= 128 && at < 192);
        }
        assertThat(lines.hit(BASE + 121, 7)).isFalse();
        assertThat(lines.hit(BASE + 121, 8)).isTrue();
        assertThat(lines.hit(BASE + 191, 8)).isTrue();
        assertThat(lines.hit(BASE + 192, 8)).isFalse();
        assertThat(lines.lines(BASE + 4095)).isEqualTo(4);
        assertThat(lines.mark(BASE + 4095, 1)).isFalse();
        assertThat(lines.lines(BASE)).isEqualTo(4 | Long.MIN_VALUE);
    }

    @Test
    void randomMarksAreThoseOfABitSetPerPageWhileTheTableGrows() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        Random random = new Random(seed);
        Map<Long, BitSet> model = new HashMap<>();
        for (int step = 0; step < 200_000; step++) {
            // Ever more pages, so that the table grows and drops what has no marks.
            long page = BASE + 4096L * random.nextInt(1 + step / 50);
            int at = random.nextInt(4096);
            int bytes = 1 + random.nextInt(Math.min(4096 - at, random.nextInt(8) == 0 ? 4096 : 20));
            BitSet set = model.computeIfAbsent(page, p -> new BitSet());
            int first = at / 64;
            int last = (at + bytes - 1) / 64;
            String where = "seed %d, step %d".formatted(seed, step);
            switch (random.nextInt(4)) {
                case 0 -> {
                    assertThat(lines.mark(page + at, bytes)).as(where).isEqualTo(set.isEmpty());
                    set.set(first, last + 1);
                }
                case 1 -> {
                    lines.unmark(page + at, bytes);
                    set.clear(first, last + 1);
                }
                default -> {
                    int next = set.nextSetBit(first);
                    assertThat(lines.hit(page + at, bytes)).as(where).isEqualTo(next >= 0 && next <= last);
                    long[] words = set.toLongArray();
                    assertThat(lines.lines(page + at)).as(where).isEqualTo(words.length == 0 ? 0 : words[0]);
                }
            }
        }
        assertThat(lines.pages()).isGreaterThan(64);
    }
}
