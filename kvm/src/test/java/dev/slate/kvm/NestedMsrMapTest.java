package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.CpuidEntry;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** When VMRUN reads a hypervisor's map of MSRs: always, but where it has Hyper-V's interface and says by it that nothing has changed. */
final class NestedMsrMapTest {
    private static final int GUEST_OS_ID = 0x4000_0000;
    private static final int CLEAN = 0xc0;
    private static final int ENLIGHTENMENTS = 0x3e0;
    private static final int MSR_BITMAP = 1 << 1;
    private static final int UNCHANGED = 1 << 31;
    /** Another control block. */
    private static final long OTHER = 0x5_2000;
    /** Offset of the hypervisor's second instruction. */
    private static final int BEHIND_ADDRESS = 7;

    private static final int MSR = 0x7c;
    private static final int VMMCALL = 0x81;

    private static NestedGuest guest(boolean hyperV) {
        NestedGuest n = new NestedGuest("");
        if (hyperV) {
            List<CpuidEntry> all = new ArrayList<>(n.g.kvm.supportedCpuid());
            all.removeIf(e -> e.function() >>> 28 == 4);
            all.addAll(n.g.kvm.supportedHypervCpuid());
            n.g.vcpu.setCpuid(all);
            assertThat(n.g.vcpu.setMsr(GUEST_OS_ID, 0x8100L << 48)).isTrue();
        }
        // mov ecx, C0000101h; rdmsr; vmmcall
        n.code("b9010100c0 0f32 0f01d9");
        n.intercept(MSR);
        return n;
    }

    private static void map(NestedGuest n, boolean wanted) {
        HostMemory.put8(n.g.hva + NestedGuest.MSRPM + 0x840, wanted ? 4 : 0);
    }

    private static int run(NestedGuest n, boolean wanted, int enlightenments, int clean) {
        return run(n, NestedGuest.VMCB, wanted, enlightenments, clean);
    }

    /** Has the hypervisor run its guest by a control block, with the map as it is. @return the exit's code */
    private static int run(NestedGuest n, long vmcb, boolean wanted, int enlightenments, int clean) {
        map(n, wanted);
        n.put32(ENLIGHTENMENTS, enlightenments);
        n.put32(CLEAN, clean);
        n.put64(0x578, NestedGuest.L2);
        if (vmcb != NestedGuest.VMCB) {
            HostMemory.copy(n.g.hva + NestedGuest.VMCB, n.g.hva + vmcb, 4096);
        }
        Regs r = n.g.regs();
        r.rip = Guest64.CODE + BEHIND_ADDRESS;
        r.rax = vmcb;
        n.g.vcpu.setRegs(r);
        n.g.vcpu.setMpState(MpState.RUNNABLE);
        toL1(n);
        return HostMemory.get32(n.g.hva + vmcb + 0x70);
    }

    private static void toL1(NestedGuest n) {
        assertThat(n.g.run()).isEqualTo(new Exit.Halt());
        assertThat(n.g.regs().rip).isEqualTo(NestedGuest.DONE);
    }

    @Test
    void aMapThatIsCalledUnchangedIsTheOneOfBefore() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, MSR_BITMAP, 0)).isEqualTo(MSR);
            assertThat(run(n, false, MSR_BITMAP, UNCHANGED)).as("unchanged").isEqualTo(MSR);
            assertThat(run(n, false, MSR_BITMAP, 0)).as("changed").isEqualTo(VMMCALL);
            assertThat(run(n, true, MSR_BITMAP, UNCHANGED)).as("unchanged").isEqualTo(VMMCALL);
            assertThat(run(n, true, MSR_BITMAP, 0)).as("changed").isEqualTo(MSR);
        }
    }

    @Test
    void aMapThatWasNeverReadIsReadWhateverIsSaidOfIt() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, MSR_BITMAP, UNCHANGED)).isEqualTo(MSR);
        }
    }

    @Test
    void whatIsSaidCountsForTheMapOfTheSameControlBlockOnly() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, MSR_BITMAP, 0)).isEqualTo(MSR);
            assertThat(run(n, OTHER, false, MSR_BITMAP, UNCHANGED)).isEqualTo(VMMCALL);
            assertThat(run(n, true, MSR_BITMAP, UNCHANGED)).isEqualTo(MSR);
        }
    }

    @Test
    void aRunThatSaysNothingEndsWhatWasKept() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, MSR_BITMAP, 0)).isEqualTo(MSR);
            assertThat(run(n, false, 0, 0)).isEqualTo(VMMCALL);
            assertThat(run(n, false, MSR_BITMAP, UNCHANGED)).isEqualTo(VMMCALL);
        }
    }

    @Test
    void aStateThatIsPutBackHasTheMapThatMemoryHas() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, MSR_BITMAP, 0)).isEqualTo(MSR);
            // hlt, and the same again
            n.code("f4 b9010100c0 0f32 0f01d9");
            map(n, false);
            n.put64(0x578, NestedGuest.L2);
            n.put32(CLEAN, UNCHANGED);
            Regs r = n.g.regs();
            r.rip = Guest64.CODE;
            n.g.vcpu.setRegs(r);
            n.g.vcpu.setMpState(MpState.RUNNABLE);
            assertThat(n.g.run()).isEqualTo(new Exit.Halt());
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(state.flags & NestedState.GUEST_MODE).isNotZero();
            state.vmcb[ENLIGHTENMENTS] = MSR_BITMAP;
            state.vmcb[CLEAN + 3] = (byte) 0x80;
            n.g.vcpu.setNestedState(state);
            n.g.vcpu.setMpState(MpState.RUNNABLE);
            toL1(n);
            assertThat(n.exitCode()).isEqualTo(VMMCALL);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, MSR_BITMAP})
    void withoutHyperVsInterfaceNothingIsBelieved(int enlightenments) {
        try (NestedGuest n = guest(false)) {
            assertThat(run(n, true, enlightenments, 0)).isEqualTo(MSR);
            assertThat(run(n, false, enlightenments, UNCHANGED)).isEqualTo(VMMCALL);
            assertThat(run(n, true, enlightenments, UNCHANGED)).isEqualTo(MSR);
        }
    }

    @Test
    void withItAMapOfWhichNothingIsSaidIsReadAnew() {
        try (NestedGuest n = guest(true)) {
            assertThat(run(n, true, 0, UNCHANGED)).isEqualTo(MSR);
            assertThat(run(n, false, 0, UNCHANGED)).isEqualTo(VMMCALL);
        }
    }
}
