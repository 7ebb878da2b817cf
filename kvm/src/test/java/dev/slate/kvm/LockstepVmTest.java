package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.junit.jupiter.api.Test;

/** Machines with {@code cpu.translator=lockstep}. */
final class LockstepVmTest {
    private static final Knobs LOCKSTEP = Knobs.parse("cpu.translator=lockstep");

    @Test
    void whatMachineCodeDoesIsDoneAgainAndCounted() {
        // 1: add %rax,(DATA); dec %ecx; jne 1b; out %al,$0x40
        int[] loop = {0xb9, 0x10, 0x27, 0, 0, 0x48, 0x01, 0x04, 0x25, 0, 0, 4, 0, 0xff, 0xc9, 0x75, 0xf4, 0xe6, 0x40};
        try (Guest64 g = new Guest64(LOCKSTEP, false, loop)) {
            g.run();
            assumeTrue(g.vcpu.translation() != null, "this host allows no executable memory");
            long compared =
                    Long.parseLong(g.vm.debugFiles().read("translator_compared").strip());
            assertThat(compared).isBetween(3 * 9_000L, 3 * 10_000L + 1);
        }
    }

    @Test
    void aMachineHasOneVcpuAndIsToldWhy() {
        try (Guest64 g = new Guest64(LOCKSTEP, false, 0xe4, 0x40)) {
            assertThat(g.kvm.checkExtension(Cap.MAX_VCPUS.number())).isEqualTo(1);
            assertThat(g.kvm.checkExtension(Cap.NR_VCPUS.number())).isEqualTo(1);
            assertThatExceptionOfType(KvmException.class)
                    .isThrownBy(() -> g.vm.createVcpu(1))
                    .satisfies(e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
            assertThat(g.host.said).singleElement().asString().contains("cpu.translator=lockstep");
        }
        try (Guest64 g = new Guest64(0xe4, 0x40)) {
            assertThat(g.kvm.checkExtension(Cap.MAX_VCPUS.number())).isEqualTo(Kvm.MAX_VCPUS);
        }
    }
}
