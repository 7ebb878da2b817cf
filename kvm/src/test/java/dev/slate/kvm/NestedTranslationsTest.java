package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.stats.VcpuStats;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a processor holds of a guest's guest between two of its VMRUNs (APM 2 15.16): it is kept by ASID, and forgotten when the hypervisor asks.
 * The hypervisor lets its guest read a page, leads the page elsewhere, asks for something, and lets it read again.
 */
final class NestedTranslationsTest {
    private static final long PAGE = 0x18_0000;
    private static final long OTHER = 0x19_0000;
    private static final long TABLE = 0x11_0000;
    private static final long FIRST = 0x4_8000;
    private static final long SECOND = 0x4_8008;
    private static final long OWN = 0x4_8010;

    /** What the hypervisor does between the two. */
    enum Asks {
        NOTHING(false),
        FLUSH(true),
        ANOTHER_ASID(true),
        THE_OLD_ASID_AFTER_ANOTHER(true),
        INVLPGA(true),
        OTHER_TABLES(true),
        ANOTHER_CR0(true),
        ANOTHER_CR4(true);

        final boolean forgets;

        Asks(boolean forgets) {
            this.forgets = forgets;
        }
    }

    private final List<String> code = new ArrayList<>();

    private static String le(long value) {
        return "%08x".formatted(Integer.reverseBytes((int) value));
    }

    private void put64(long at, long value) {
        code.add("48c70425" + le(at) + le(value));
    }

    private void put32(long at, long value) {
        code.add("c70425" + le(at) + le(value));
    }

    private void put(int at, long value) {
        put64(NestedGuest.VMCB + at, value);
    }

    /** VMRUN, and what the guest's guest has read to {@code result}. */
    private void run(long result) {
        put(0x578, NestedGuest.L2);
        code.add("0f01d8 48891c25" + le(result));
        put32(NestedGuest.VMCB + 0x5c, 0);
    }

    private void ask(Asks asks, NestedGuest n) {
        switch (asks) {
            case NOTHING -> {}
            case FLUSH -> put32(NestedGuest.VMCB + 0x5c, 1);
            case ANOTHER_ASID -> put32(NestedGuest.VMCB + 0x58, 2);
            case THE_OLD_ASID_AFTER_ANOTHER -> {
                put32(NestedGuest.VMCB + 0x58, 2);
                run(SECOND);
                put32(NestedGuest.VMCB + 0x58, 1);
            }
            // mov rax, page; mov ecx, 1; invlpga; mov rax, VMCB
            case INVLPGA -> code.add("48c7c0" + le(PAGE) + "b901000000 0f01df 48c7c0" + le(NestedGuest.VMCB));
            case OTHER_TABLES -> {
                boolean below = n.get64(0x90) != 0;
                long from = below ? NestedGuest.NESTED : TABLE;
                HostMemory.copy(n.g.hva + from, n.g.hva + 0x12_0000, 4096);
                put(below ? 0xb0 : 0x550, 0x12_0000);
            }
            case ANOTHER_CR0 -> put32(NestedGuest.VMCB + 0x558, 0x8001_0031L);
            case ANOTHER_CR4 -> put(0x548, 0x6a0);
        }
    }

    /** The entry that maps the page for the guest's guest: of the nested tables, or of its own. */
    private static long entry(NestedGuest n, boolean nestedPaging) {
        if (nestedPaging) {
            n.nestedPaging();
            return NestedGuest.NESTED + 0x3000 + (PAGE >>> 12) * 8;
        }
        return n.ownPaging(TABLE) + (PAGE >>> 12) * 8;
    }

    private void readsTwice(Asks asks, boolean nestedPaging, String knobs) {
        code.clear();
        try (NestedGuest n = new NestedGuest(knobs)) {
            long entry = entry(n, nestedPaging);
            HostMemory.put64(n.g.hva + PAGE, 0x1111);
            HostMemory.put64(n.g.hva + OTHER, 0x2222);
            HostMemory.put64(n.g.hva + SECOND, 0);
            n.code("488b1c25" + le(PAGE) + "0f01d9");
            code.add("48c7c0" + le(NestedGuest.VMCB) + "0f01da");
            run(FIRST);
            put64(entry, OTHER | 0x67);
            ask(asks, n);
            run(SECOND);
            // What the hypervisor reads at the same address is its own.
            code.add("488b1c25" + le(PAGE) + "48891c25" + le(OWN) + "f4");
            n.code(Guest64.CODE, String.join("", code));
            Exit exit = n.g.run();
            assertThat(exit).isEqualTo(new Exit.Halt());
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(HostMemory.get64(n.g.hva + FIRST)).isEqualTo(0x1111);
            assertThat(HostMemory.get64(n.g.hva + OWN)).isEqualTo(0x1111);
            long second = HostMemory.get64(n.g.hva + SECOND);
            if (asks.forgets) {
                assertThat(second).isEqualTo(0x2222);
            } else {
                assertThat(second).isIn(0x1111L, 0x2222L);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatTheHypervisorWantsForgottenIsForgotten(Asks asks) {
        for (String knobs : new String[] {"", "cpu.translator=eager", "cpu.translator=off"}) {
            readsTwice(asks, true, knobs);
            readsTwice(asks, false, knobs);
            readsTwice(asks, false, "tdp=off\n" + knobs);
        }
    }

    /** The processor's translations of either world outlive the other's turn: no flush is counted, and no page is looked up again. */
    @ParameterizedTest
    @CsvSource({"false", "true"})
    void whatNobodyWantsForgottenIsKept(boolean nestedPaging) {
        try (NestedGuest n = new NestedGuest("")) {
            entry(n, nestedPaging);
            n.code("488b1c25" + le(PAGE) + "0f01d9");
            code.add("48c7c0" + le(NestedGuest.VMCB) + "0f01da");
            run(FIRST);
            n.code(Guest64.CODE, String.join("", code) + "f4");
            assertThat(n.g.run()).isEqualTo(new Exit.Halt());
            long flushes = n.g.vcpu.stats().get(VcpuStats.TLB_FLUSH);
            long faults = n.g.vcpu.stats().get(VcpuStats.PF_TAKEN);
            for (int i = 0; i < 50; i++) {
                run(FIRST);
            }
            n.code(Guest64.CODE, String.join("", code) + "f4");
            n.g.start(n.g.vcpu, Guest64.CODE, Guest64.STACK);
            assertThat(n.g.vcpu.stats().get(VcpuStats.NESTED_RUN)).isEqualTo(1);
            enableSvm(n);
            assertThat(n.g.run()).isEqualTo(new Exit.Halt());
            assertThat(n.g.vcpu.stats().get(VcpuStats.NESTED_RUN)).isEqualTo(52);
            // The client's own setting of registers has everything forgotten once.
            assertThat(n.g.vcpu.stats().get(VcpuStats.TLB_FLUSH) - flushes).isLessThanOrEqualTo(2);
            assertThat(n.g.vcpu.stats().get(VcpuStats.PF_TAKEN) - faults).isLessThanOrEqualTo(2);
        }
    }

    private static void enableSvm(NestedGuest n) {
        Sregs s = new Sregs();
        n.g.vcpu.getSregs(s);
        s.efer |= 1 << 12;
        n.g.vcpu.setSregs(s);
    }
}
