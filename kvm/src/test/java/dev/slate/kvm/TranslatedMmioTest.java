package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TranslatedMmioTest {
    private static final int ROUNDS = 200;

    /** mov ecx,200; 1: mov rax,rsi; test cl,1; cmovne rax,rdi; mov [rax],rcx; dec ecx; jne 1b; hlt */
    private static final int[] LOOP = {
        0xb9, ROUNDS, 0, 0, 0, 0x48, 0x89, 0xf0, 0xf6, 0xc1, 1, 0x48, 0x0f, 0x45, 0xc7, 0x48, 0x89, 0x08, 0xff, 0xc9,
        0x75, 0xef, 0xf4
    };

    @ParameterizedTest
    @ValueSource(strings = {"off", "on", "eager"})
    void oneInstructionStoresToADeviceAndToMemoryInTurn(String translator) {
        try (Guest64 g = new Guest64(Knobs.parse("cpu.translator=" + translator), false, LOOP)) {
            g.vcpu.getRegs(g.regs);
            g.regs.rsi = Guest64.DATA;
            g.regs.rdi = Guest64.NOWHERE;
            g.vcpu.setRegs(g.regs);
            for (int n = ROUNDS - 1; n > 0; n -= 2) {
                assertThat(g.vcpu.run(false)).isZero();
                assertThat(g.vcpu.exit().value()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 8, n));
                // What memory got between this one and the one before.
                assertThat(HostMemory.get64(g.hva + Guest64.DATA)).isEqualTo(n + 1);
            }
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
        }
    }
}
