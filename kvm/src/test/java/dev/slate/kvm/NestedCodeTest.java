package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Code that a hypervisor and its guest have at one linear address, and code that changes while the other of the two runs: neither executes
 * the other's, or what was there before.
 */
final class NestedCodeTest {
    /** A linear address that the hypervisor and, by tables of its own, its guest lead to different pages. */
    private static final long SHARED = 0x18_0000;

    private static final long GUESTS = 0x19_0000;
    private static final long TABLE = 0x11_0000;
    private static final int ROUNDS = 100;
    /** Where the VMCB has RAX. */
    private static final long RAX = NestedGuest.VMCB + 0x5f8;

    private static String le(long value) {
        return "%08x".formatted(Integer.reverseBytes((int) value));
    }

    /** The guest's guest has page tables of its own: one to one, but for one page. */
    private static void tables(NestedGuest n) {
        HostMemory.put64(n.g.hva + n.ownPaging(TABLE) + (SHARED >>> 12) * 8, GUESTS | 0x67);
    }

    /** The hypervisor's loop: {@code before}, VMRUN, {@code after}, as often as R9 says. */
    private static void loop(NestedGuest n, String before, String after) {
        String prepare = "48c70425" + le(NestedGuest.VMCB + 0x578) + le(NestedGuest.L2);
        String body =
                (before + prepare + "48c7c0" + le(NestedGuest.VMCB) + "0f01d8" + after + "49ffc9").replace(" ", "");
        // mov r9d, ROUNDS; ...; jnz; hlt
        n.code(Guest64.CODE, "41b9" + le(ROUNDS) + body + "0f85" + le(-(body.length() / 2 + 6)) + "f4");
    }

    private static void run(NestedGuest n) {
        assertThat(n.g.run()).isEqualTo(new Exit.Halt());
        assertThat(n.exitCode()).isEqualTo(0x81);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "cpu.translator=off", "cpu.translator=eager", "tdp=off", "cpu.translator=eager\ntdp=off"})
    void whatTwoWorldsHaveAtOneAddressIsEachOnesOwn(String knobs) {
        try (NestedGuest n = new NestedGuest(knobs)) {
            tables(n);
            // inc rbx; inc rbp; inc rsi; ret, at the same address
            n.code(SHARED, "48ffc3 c3");
            n.code(GUESTS, "48ffc5 48ffc6 c3");
            String call = "48c7c1" + le(SHARED) + "ffd1";
            n.code(call + call + "0f01d9");
            loop(n, call, call);
            run(n);
            assertThat(n.g.regs().rbx).isEqualTo(2 * ROUNDS);
            assertThat(n.g.regs().rbp).isEqualTo(2 * ROUNDS);
            assertThat(n.g.regs().rsi).isEqualTo(2 * ROUNDS);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "cpu.translator=off", "cpu.translator=eager", "tdp=off"})
    void codeThatTheHypervisorWritesForItsGuestIsWhatThatExecutes(String knobs) {
        try (NestedGuest n = new NestedGuest(knobs)) {
            // The guest adds the constant of its first instruction, which the hypervisor counts up before each VMRUN.
            n.code("4881c3" + le(0) + "0f01d9");
            loop(n, "ff0425" + le(NestedGuest.L2 + 3), "");
            run(n);
            assertThat(n.g.regs().rbx).isEqualTo(ROUNDS * (ROUNDS + 1) / 2);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "cpu.translator=off", "cpu.translator=eager", "tdp=off"})
    void codeThatTheGuestWritesForItsHypervisorIsWhatThatExecutes(String knobs) {
        try (NestedGuest n = new NestedGuest(knobs)) {
            n.code(SHARED, "4881c3" + le(0) + "c3");
            n.code("ff0425" + le(SHARED + 3) + "0f01d9");
            String call = "48c7c1" + le(SHARED) + "ffd1";
            loop(n, call, call);
            run(n);
            assertThat(n.g.regs().rbx).isEqualTo(ROUNDS * (ROUNDS - 1) / 2 + ROUNDS * (ROUNDS + 1) / 2);
        }
    }

    /** Code in a VMCB: what the processor stores there at #VMEXIT is code like what an instruction stores. */
    @ParameterizedTest
    @ValueSource(strings = {"", "cpu.translator=off", "cpu.translator=eager", "tdp=off"})
    void codeThatAnExitStoresIsWhatTheHypervisorExecutes(String knobs) {
        try (NestedGuest n = new NestedGuest(knobs)) {
            // What the guest has in RAX is code to its hypervisor: add rbx, 0; ret. The guest counts the constant up.
            n.put64(0x5f8, 0xc3_00c3_8348L);
            n.code("480500000001 0f01d9");
            String call = "48c7c1" + le(RAX) + "ffd1";
            loop(n, call, call);
            run(n);
            assertThat(n.g.regs().rbx).isEqualTo(ROUNDS * (ROUNDS - 1) / 2 + ROUNDS * (ROUNDS + 1) / 2);
        }
    }
}
