package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * Random ioctl sequences: whatever a client does, its process lives and Slate finds no fault of its own. The normal build throws a
 * few; {@code -Dslate.fuzz.sequences=100000} throws as many as one likes, {@code -Dslate.fuzz.seed=N} others.
 */
class FuzzTest {
    private static final int SEQUENCES = Integer.getInteger("slate.fuzz.sequences", 1500);
    private static final long SEED = Long.getLong("slate.fuzz.seed", 1);

    @Test
    void aClientThatCallsAtRandomLives() throws Exception {
        Path fuzz = Host.compile(Path.of("src/test/native/fuzz.c"));
        Host.Result result =
                Host.slate(Map.of("SLATE_QUIET", "1"), fuzz, Long.toString(SEED), Integer.toString(SEQUENCES));
        assertThat(result.status()).as("seed " + SEED + "\n" + result.output()).isZero();
        assertThat(result.output()).contains(SEQUENCES + " sequences").doesNotContain("a bug of Slate's");
    }
}
