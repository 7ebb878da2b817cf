package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The programs of guests/, run by the bundled C client examples/run-guest.c under the shim. */
class GuestClientTest {
    private static final Path ROOT = Host.MODULE.getParent();

    @ParameterizedTest
    @ValueSource(strings = {"real-mode", "tasks", "pae", "v8086", "la57"})
    void aGuestRunsToItsGoodEndUnderACClient(String guest) throws Exception {
        Path images = Host.MODULE.resolve("target/guests");
        Host.Result built =
                Host.run(Map.of(), List.of(ROOT.resolve("guests/build.sh").toString(), images.toString(), guest));
        assertThat(built.status()).as(built.output()).isZero();
        Path client = Host.compile(ROOT.resolve("examples/run-guest.c"));
        String image = images.resolve(guest + ".bin").toString();
        String[] arguments = guest.equals("real-mode") ? new String[] {"--real", image} : new String[] {image};
        Host.Result result = Host.slate(Map.of("SLATE_QUIET", "1"), client, arguments);
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).isNotEmpty();
    }
}
