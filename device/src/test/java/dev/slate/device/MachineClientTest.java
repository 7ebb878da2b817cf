package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Interrupts and devices of a machine's own, as a C program uses them: each function of src/test/native/machine.c in its process. */
class MachineClientTest {
    private static final Path SOURCE = Path.of("src/test/native/machine.c");

    static Stream<String> names() throws Exception {
        return Host.run(Map.of(), List.of(Host.compile(SOURCE).toString()))
                .output()
                .lines();
    }

    @ParameterizedTest
    @MethodSource("names")
    void onSlate(String name) throws Exception {
        Host.Result result = Host.slate(Map.of("SLATE_QUIET", "1"), Host.compile(SOURCE), name);
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).doesNotContain("a bug of Slate's").doesNotContain("fatal error");
    }
}
