package dev.slate.junit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.Exit;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.discovery.DiscoverySelectors;
import org.junit.platform.engine.reporting.ReportEntry;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

@GuestTest
final class GuestTestTest {
    /** in al, 0x60; add al, 1; out 0xe9, al; hlt. */
    private static final byte[] INCREMENT = HexFormat.of().parseHex("e460" + "0401" + "e6e9" + "f4");

    @Test
    void a_guest_runs_and_its_exits_come_with_their_values(TestMachine machine) {
        machine.load(0x100, INCREMENT);
        machine.startRealMode(0x100);
        assertThat(machine.run(exit -> 41))
                .containsExactly(
                        new GuestExit(new Exit.PortIn(0x60, 1, 1), 41),
                        new GuestExit(new Exit.PortOut(0xe9, 1, 1), 42),
                        new GuestExit(new Exit.Halt(), 0));
    }

    @Test
    void a_device_in_memory_is_answered_in_the_width_that_is_asked(TestMachine machine) {
        // ds = 0xf000 + 0x1000 paragraphs beyond the memory of 1 MB: mov ax, 0xffff; mov ds, ax; mov ax, [0x1000]; mov
        // [0x1002], al; hlt
        machine.load(0, HexFormat.of().parseHex("b8ffff8ed8" + "a10010" + "a20210" + "f4"));
        machine.startRealMode(0);
        assertThat(machine.run(exit -> 0x1234))
                .containsExactly(
                        new GuestExit(new Exit.MmioRead(0x100ff0, 2), 0x1234),
                        new GuestExit(new Exit.MmioWrite(0x100ff2, 1, 0x34), 0x34),
                        new GuestExit(new Exit.Halt(), 0));
    }

    @Test
    void each_test_has_a_machine_of_its_own(TestMachine machine) {
        assertThat(machine.exits()).isEmpty();
        assertThat(dev.slate.cpu.mem.HostMemory.get64(machine.hva(0))).isZero();
    }

    @Test
    @GuestTest(memory = 8192, limit = 3)
    void the_annotation_of_the_method_says_how_much_memory_and_how_many_exits(TestMachine machine) {
        assertThatThrownBy(() -> machine.load(8192, new byte[1])).isInstanceOf(IllegalArgumentException.class);
        machine.load(8191, new byte[1]);
        machine.load(0, HexFormat.of().parseHex("e6e9" + "ebfc")); // out 0xe9, al for ever
        machine.startRealMode(0);
        assertThatThrownBy(machine::run)
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("made 3 exits and did not halt")
                .hasMessageContaining("PortOut[port=233, size=1, count=1]");
    }

    @Test
    void a_guest_that_does_not_halt_fails_the_test_with_its_exits(TestMachine machine) {
        machine.load(
                0,
                HexFormat.of().parseHex("e6e9" + "0f011e0001" + "cc")); // out; lidt [0x100], a table of no bytes; int3
        machine.startRealMode(0);
        assertThatThrownBy(machine::run).isInstanceOf(AssertionError.class).hasMessageContaining("Shutdown");
    }

    @Test
    void the_report_of_a_test_has_the_exits_of_its_guest() {
        AtomicReference<String> exits = new AtomicReference<>("");
        AtomicReference<TestExecutionResult.Status> status = new AtomicReference<>();
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
                .selectors(DiscoverySelectors.selectMethod(
                        GuestTestTest.class,
                        "a_guest_runs_and_its_exits_come_with_their_values",
                        TestMachine.class.getName()))
                .build();
        LauncherFactory.create().execute(request, new TestExecutionListener() {
            @Override
            public void reportingEntryPublished(TestIdentifier test, ReportEntry entry) {
                exits.set(entry.getKeyValuePairs().getOrDefault("exits", ""));
            }

            @Override
            public void executionFinished(TestIdentifier test, TestExecutionResult result) {
                if (test.isTest()) {
                    status.set(result.getStatus());
                }
            }
        });
        assertThat(status.get()).isEqualTo(TestExecutionResult.Status.SUCCESSFUL);
        assertThat(exits.get()).contains(List.of("PortIn[port=96", "value=41", "value=42", "Halt[]"));
    }
}
