package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The small VMMs of examples/, each after the manner of one that people use, under both MMUs. */
class SmallVmmsTest {
    private static final Path EXAMPLES = Path.of("../examples");
    private static final List<String> GUEST = List.of(
            "cc", "-ffreestanding", "-fno-pie", "-fno-stack-protector", "-mno-red-zone", "-nostdlib", "-static");

    private static Map<String, String> mmu(String tdp) {
        return Map.of("SLATE_QUIET", "1", "SLATE_SET", "tdp=" + tdp);
    }

    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void aGuestRunsInEveryMode(String tdp) throws Exception {
        Host.Result result = Host.slate(mmu(tdp), Host.compile(EXAMPLES.resolve("four-modes.c")));
        assertThat(result.status()).as(result.output()).isZero();
        assertThat(result.output()).isEqualTo("""
                Hello from real mode
                Hello from protected mode
                Hello from protected mode with paging
                Hello from 64-bit mode
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void aUnikernelRunsBehindAFilterThatKillsTheThread(String tdp) throws Exception {
        Path guest = Host.compile(EXAMPLES.resolve("hvt/guest.c"), "-hvt", GUEST);
        Path vmm = Host.compile(EXAMPLES.resolve("hvt/vmm.c"), "-hvt", List.of("cc"));
        Host.Result result = Host.slate(mmu(tdp), vmm, guest.toString(), "hello");
        assertThat(result.status()).as(result.output()).isEqualTo(7);
        assertThat(result.output())
                .contains("the seccomp filter that the program installs forbids futex")
                .contains("unikernel: hello\n")
                .contains("forbids to load libraries, so guest code is interpreted.")
                .endsWith("78498 primes, and the clock went on\n");
    }

    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void aLinuxProgramRunsInAGuestsUserMode(String tdp) throws Exception {
        Path guest = Host.compile(EXAMPLES.resolve("tiny-vmm/guest.c"), "-tiny", GUEST);
        Host.Result result = Host.slate(mmu(tdp), tinyVmm(), guest.toString());
        assertThat(result.output()).isEqualTo("Hello from a Linux program in a guest's user mode\n");
        assertThat(result.status()).isEqualTo(42);
    }

    @ParameterizedTest
    @ValueSource(strings = {"on", "off"})
    void aProgramOfMuslsRunsThereToo(String tdp) throws Exception {
        assumeTrue(
                Host.run(Map.of(), List.of("sh", "-c", "command -v musl-gcc")).status() == 0,
                "needs musl-gcc: apt-get install -y musl-tools");
        Path source = Host.built().resolve("hello-musl.c");
        Files.writeString(source, """
                #include <stdio.h>
                #include <stdlib.h>
                int main(void) {
                    char *text = malloc(300000);
                    sprintf(text, "%d by malloc and printf", 6 * 7);
                    puts(text);
                    return 5;
                }
                """);
        Path guest = Host.compile(source, "", List.of("musl-gcc", "-static", "-no-pie"));
        Host.Result result = Host.slate(mmu(tdp), tinyVmm(), guest.toString());
        assertThat(result.output()).isEqualTo("42 by malloc and printf\n");
        assertThat(result.status()).isEqualTo(5);
    }

    private static Path tinyVmm() throws Exception {
        assumeTrue(
                Host.run(Map.of(), List.of("sh", "-c", "command -v c++")).status() == 0,
                "needs c++: apt-get install -y g++");
        return Host.compile(EXAMPLES.resolve("tiny-vmm/vmm.cpp"), "-tiny", List.of("c++"));
    }
}
