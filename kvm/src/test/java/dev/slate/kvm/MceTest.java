package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Corrected machine-check interrupts (SDM 3B 15.5): with Intel's processors, where the client has asked for them. */
class MceTest {
    private static final long CMCI = 1 << 10;
    private static final int BANK = 7;
    private static final int CTL2 = 0x280 + BANK;
    private static final long ENABLE = 1 << 30;
    /** VAL, UC, EN: uncorrected, and no action is required. */
    private static final long UCNA = 1L << 63 | 1L << 61 | 1L << 60 | 0x90;

    private static final int LVT_CMCI = 0x2f0;
    private static final int VERSION = 0x30;
    private static final int IRR = 0x200;
    private static final int VECTOR = 0xa9;

    private static Guest64 guest(String vendor) {
        return new Guest64(Knobs.parse("cpu.vendor=" + vendor), Vm::createIrqchip, 0x90);
    }

    private static int register(Guest64 g, int at) {
        byte[] apic = new byte[1024];
        g.vcpu.getLapic(apic);
        return apic[at] & 0xff | (apic[at + 1] & 0xff) << 8 | (apic[at + 2] & 0xff) << 16 | (apic[at + 3] & 0xff) << 24;
    }

    private static void setRegister(Guest64 g, int at, int value) {
        byte[] apic = new byte[1024];
        g.vcpu.getLapic(apic);
        for (int i = 0; i < 4; i++) {
            apic[at + i] = (byte) (value >>> 8 * i);
        }
        g.vcpu.setLapic(apic);
    }

    private static boolean requested(Guest64 g) {
        return (register(g, IRR + VECTOR / 32 * 16) >>> VECTOR % 32 & 1) != 0;
    }

    @Test
    void anAmdProcessorHasNone() {
        try (Guest64 g = guest("amd")) {
            assertThat(g.kvm.mceCapSupported() & CMCI).isZero();
            assertThatThrownBy(() -> g.vcpu.setupMce(32 | CMCI)).hasMessageContaining("EINVAL");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theVectorIsThereOnceTheClientHasAskedForIt(boolean cmci) {
        try (Guest64 g = guest("intel")) {
            assertThat(g.kvm.mceCapSupported() & CMCI).isNotZero();
            g.vcpu.setupMce(32 | (cmci ? CMCI : 0));
            assertThat(register(g, VERSION) >>> 16 & 0xff)
                    .as("last local vector")
                    .isEqualTo(cmci ? 6 : 5);
            assertThat(register(g, LVT_CMCI)).isEqualTo(cmci ? 1 << 16 : 0);
            assertThat(g.vcpu.setMsr(CTL2, ENABLE)).isEqualTo(cmci);
            assertThat(g.vcpu.setMsr(CTL2, ENABLE | 1 << 29)).as("reserved").isFalse();
        }
    }

    @Test
    void anErrorThatAsksForNothingIsToldWhereItsBankSaysSo() {
        try (Guest64 g = guest("intel")) {
            g.vcpu.setupMce(32 | CMCI);
            setRegister(g, 0xf0, 0x1ff);
            setRegister(g, LVT_CMCI, VECTOR);
            g.vcpu.setMce(BANK, UCNA, 0x1000, 0, 0);
            assertThat(requested(g)).as("the bank is silent").isFalse();
            assertThat(g.vcpu.setMsr(CTL2, ENABLE)).isTrue();
            setRegister(g, LVT_CMCI, VECTOR | 1 << 16);
            g.vcpu.setMce(BANK, UCNA, 0x2000, 0, 0);
            assertThat(requested(g)).as("masked").isFalse();
            setRegister(g, LVT_CMCI, VECTOR);
            g.vcpu.setMce(BANK, UCNA, 0x3000, 0, 0);
            assertThat(requested(g)).isTrue();
            long[] v = new long[1];
            assertThat(g.vcpu.getMsr(0x402 + 4 * BANK, v)).isTrue();
            assertThat(v[0]).isEqualTo(0x3000);
        }
    }
}
