package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HostTest {
    @Test
    void aProgramThatDoesNotEndIsKilledWithWhatItHasStartedAndItsOutputIsShown(@TempDir Path folder) throws Exception {
        Path child = folder.resolve("child");
        // The program speaks once its child runs, and both would run for ever.
        String script = "sleep 1000000 & echo $! >" + child + "; echo begun; wait";
        assertThatThrownBy(() -> Host.run(Map.of(), List.of("sh", "-c", script), Duration.ofSeconds(5)))
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("did not end in PT5S")
                .hasMessageContaining("begun");
        long pid = Long.parseLong(Files.readString(child).strip());
        ProcessHandle.of(pid)
                .ifPresent(p -> p.onExit().orTimeout(60, TimeUnit.SECONDS).join());
    }
}
