package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.msr.Msr;
import dev.slate.kvm.stats.VcpuStats;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a hypervisor does about a run of its guest without an exit: VMLOAD, VMSAVE, STGI, CLGI; and when they take one all the same. */
final class NestedInsideTest {
    private static final long CODE = Guest64.CODE;
    private static final long HANDLER = 0x7_0000;

    private static void runToPort(NestedGuest n, int port) {
        assertThat(n.g.run()).isEqualTo(new Exit.PortOut(port, 1, 1));
    }

    @Test
    void theyTakeNoExit() {
        try (NestedGuest n = new NestedGuest("", true)) {
            // mov rax, VMCB; vmload; vmsave; clgi; stgi; out 80h, al
            n.code(CODE, "48c7c000000500 0f01da 0f01db 0f01dd 0f01dc e680");
            n.put64(0x608, 0x1234_5678);
            long before = n.g.vcpu.stats().get(VcpuStats.EXITS);
            runToPort(n, 0x80);
            assertThat(n.g.vcpu.stats().get(VcpuStats.EXITS) - before).isEqualTo(1);
            assertThat(n.get64(0x608)).isEqualTo(0x1234_5678);
            long[] loaded = new long[1];
            assertThat(n.g.vcpu.getMsr(Msr.LSTAR, loaded)).isTrue();
            assertThat(loaded[0]).isEqualTo(0x1234_5678);
        }
    }

    @Test
    void oneThatCannotFaultsAsItDoes() {
        try (NestedGuest n = new NestedGuest("", true)) {
            n.g.gate(13, HANDLER);
            n.code(HANDLER, "e681");
            for (String instruction : new String[] {"0f01da", "0f01db"}) {
                n.start();
                n.code(CODE, "48c7c008000500" + instruction + "e680");
                runToPort(n, 0x81);
            }
        }
    }

    /** What waits behind CLGI comes before the instruction behind STGI, also when it waited for IF before. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whatGifHoldsOffComesAtStgi(boolean nmi) {
        try (NestedGuest n = new NestedGuest("", true)) {
            n.g.gate(2, HANDLER);
            n.g.gate(0x31, HANDLER);
            n.code(HANDLER, "e682");
            // The APIC's spurious-interrupt register; out 80h, al; clgi; sti; nop; nop; out 81h, al; stgi; out 83h, al
            n.code(CODE, "bff000e0fe c707ff010000 e680 0f01dd fb 90 90 e681 0f01dc e683");
            runToPort(n, 0x80);
            if (!nmi) {
                assertThat(n.g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x4031, 0))
                        .isEqualTo(1);
            }
            runToPort(n, 0x81);
            if (nmi) {
                n.g.vcpu.nmi();
            }
            runToPort(n, 0x82);
            assertThat(HostMemory.get64(n.g.hva + n.g.regs().rsp))
                    .as("what goes on behind it")
                    .isEqualTo(CODE + 24);
        }
    }
}
