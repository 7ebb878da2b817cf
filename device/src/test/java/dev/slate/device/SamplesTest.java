package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The samples of docs/debugging.md are what the commands above them print. */
class SamplesTest {
    private static final Path ROOT = Host.MODULE.getParent();
    private static final Pattern TRACE =
            Pattern.compile("(?s)```sh\n\\./slate trace (.*?) -- \\./hello-kvm\n```.*?```\n(.*?)```");
    private static final Pattern GDB = Pattern.compile("(?s)```\n\\$ gdb\n(.*?)```");
    private static final Pattern PORT = Pattern.compile("target remote :(\\d+)\n");

    private static Matcher sample(Pattern pattern) throws IOException {
        Matcher matcher = pattern.matcher(Files.readString(ROOT.resolve("docs/debugging.md")));
        assertThat(matcher.find()).as("a sample like " + pattern).isTrue();
        return matcher;
    }

    private static Path hello() throws Exception {
        return Host.compile(ROOT.resolve("examples/hello-kvm.c"));
    }

    @Test
    void traceOfHelloKvm() throws Exception {
        Matcher sample = sample(TRACE);
        // As the slate script hands the options over.
        String options = sample.group(1)
                .replaceAll("--(from|to|skip|count|vcpu) ", "$1=")
                .replaceAll(" ?--", "\n");
        Host.Result result = Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_TRACE", options.replace(' ', '\n')), hello());
        assertThat(result.output()).contains(sample.group(2));
        assertThat(result.status()).isZero();
    }

    @Test
    void gdbOnHelloKvm() throws Exception {
        assumeTrue(
                Host.run(Map.of(), List.of("sh", "-c", "gdb --version")).status() == 0,
                "needs gdb: apt-get install -y gdb");
        Path guest = Host.start(Map.of("SLATE_GDB", "0"), hello());
        try {
            Matcher port;
            do {
                Thread.sleep(20);
                port = PORT.matcher(Files.readString(guest, StandardCharsets.ISO_8859_1));
            } while (!port.find());
            List<String> lines = new ArrayList<>();
            List<String> gdb = new ArrayList<>(List.of("gdb", "-batch", "-nx"));
            for (String line : sample(GDB).group(1).split("\n")) {
                if (line.startsWith("(gdb) ")) {
                    gdb.add("-ex");
                    gdb.add(line.substring(6).replace(":1234", ":" + port.group(1)));
                } else {
                    lines.add(line);
                }
            }
            gdb.add("-ex");
            gdb.add("kill");
            assertThat(Host.run(Map.of("LC_ALL", "C"), gdb).output().lines()).containsSubsequence(lines);
        } finally {
            Files.delete(guest);
        }
    }

    @Test
    void aPortThatIsInUseEndsTheClientWithTheReason() throws Exception {
        try (java.net.ServerSocket taken = new java.net.ServerSocket(0, 1, java.net.InetAddress.getLoopbackAddress())) {
            String port = Integer.toString(taken.getLocalPort());
            Host.Result result = Host.slate(Map.of("SLATE_GDB", port), hello());
            assertThat(result.status()).isEqualTo(2);
            assertThat(result.output())
                    .contains("--gdb " + port + ": that port can't be listened on", "0 for one that is free");
        }
    }

    @Test
    void aTraceOfARangeThatNothingRanInSaysSo() throws Exception {
        Host.Result result = Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_TRACE", "from=0x900000\n"), hello());
        assertThat(result.status()).isZero();
        assertThat(result.output()).contains("slate: trace: nothing was logged: no instruction from 0x900000 on ran\n");
    }
}
