package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.msr.Msr;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A guest that runs a guest (APM 2 chapter 15). */
final class NestedSvmTest {
    private static final long L2 = NestedGuest.L2;
    private static final int UNUSED = 0x4_0000;

    /**
     * An intercept and code of L2's that brings it about.
     *
     * @param at offset of the instruction, which is the rest of the code
     * @param rip offset of the rip that is saved
     * @param nextRip whether the address after the instruction is told
     */
    record Row(
            String name,
            int exit,
            String hex,
            int at,
            int rip,
            boolean nextRip,
            long info1,
            long info2,
            Consumer<NestedGuest> more) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static final List<Row> ROWS = new ArrayList<>();

    private static void row(
            String name,
            int exit,
            String hex,
            int at,
            boolean next,
            long info1,
            long info2,
            Consumer<NestedGuest> more) {
        ROWS.add(new Row(name, exit, hex.replace(" ", ""), at, at, next, info1, info2, more));
    }

    private static void instruction(String name, int exit, String hex, long info1) {
        row(name, exit, hex, 0, true, info1, 0, n -> {});
    }

    private static void exception(int vector, String hex, int at, long error, Consumer<NestedGuest> more) {
        row("exception " + vector, 0x40 + vector, hex, at, vector == 3 || vector == 4, error, 0, more);
    }

    private static final String AT_DATA = "2500000400";
    private static final long MOV = 1L << 63;

    static {
        for (int n : new int[] {0, 2, 3, 4}) {
            String reg = Integer.toHexString(0xc0 + 8 * n);
            instruction("MOV from CR" + n, n, "0f20" + reg, MOV);
            instruction("MOV to CR" + n, 0x10 + n, "0f22" + reg, MOV);
        }
        instruction("MOV from CR8 to RBX", 8, "440f20c3", MOV | 3);
        instruction("MOV to CR8", 0x18, "440f22c0", MOV);
        instruction("SMSW", 0, "0f01e0", 0);
        instruction("CLTS", 0x10, "0f06", 0);
        instruction("LMSW", 0x10, "0f01f0", 0);
        instruction("a write of CR0 that clears PE", 0x65, "0f22c0", MOV);
        instruction("LMSW as a selective write", 0x65, "0f01f0", 0);
        for (int n = 0; n < 8; n++) {
            String reg = Integer.toHexString(0xc1 + 8 * n);
            instruction("MOV from DR" + n, 0x20 + n, "0f21" + reg, 1);
            instruction("MOV to DR" + n, 0x30 + n, "0f23" + reg, 1);
        }
        instruction("SIDT", 0x66, "0f010c" + AT_DATA, 0);
        instruction("SGDT", 0x67, "0f0104" + AT_DATA, 0);
        instruction("SLDT", 0x68, "0f00c0", 0);
        instruction("STR", 0x69, "0f00c8", 0);
        instruction("LIDT", 0x6a, "0f011c" + AT_DATA, 0);
        instruction("LGDT", 0x6b, "0f0114" + AT_DATA, 0);
        instruction("LLDT", 0x6c, "0f00d0", 0);
        instruction("LTR", 0x6d, "0f00d8", 0);
        instruction("RDTSC", 0x6e, "0f31", 0);
        instruction("RDPMC", 0x6f, "0f33", 0);
        instruction("PUSHF", 0x70, "9c", 0);
        instruction("POPF", 0x71, "9d", 0);
        instruction("CPUID", 0x72, "0fa2", 0);
        instruction("RSM", 0x73, "0faa", 0);
        instruction("IRET", 0x74, "48cf", 0);
        instruction("INT n", 0x75, "cd21", 0x21);
        instruction("INVD", 0x76, "0f08", 0);
        instruction("PAUSE", 0x77, "f390", 0);
        instruction("HLT", 0x78, "f4", 0);
        instruction("INVLPG", 0x79, "0f013c" + AT_DATA, UNUSED);
        instruction("INVLPGA", 0x7a, "0f01df", 0);
        row("IN", 0x7b, "ec", 0, true, 0x11, L2 + 1, NestedSvmTest::everyPort);
        row("OUT DX, EAX", 0x7b, "ef", 0, true, 0x40, L2 + 1, NestedSvmTest::everyPort);
        row("OUT imm8", 0x7b, "e642", 0, true, 0x42_0010, L2 + 2, n -> HostMemory.put8(port(n, 0x42), 4));
        row(
                "REP OUTSW, FS",
                0x7b,
                "b902000000 be00000400 64f3666f",
                10,
                true,
                4 << 10 | 0x200 | 8 | 4 | 0x20,
                L2 + 14,
                NestedSvmTest::everyPort);
        row("RDMSR", 0x7c, "0f32", 0, true, 0, 0, n -> HostMemory.put8(n.g.hva + NestedGuest.MSRPM, 1));
        row("WRMSR", 0x7c, "0f30", 0, true, 1, 0, n -> HostMemory.put8(n.g.hva + NestedGuest.MSRPM, 2));
        row(
                "RDMSR of c0000082",
                0x7c,
                "b9820000c0 0f32",
                5,
                true,
                0,
                0,
                n -> HostMemory.put8(n.g.hva + NestedGuest.MSRPM + 0x820, 0x10));
        row(
                "WRMSR of c0010117",
                0x7c,
                "b9170101c0 0f30",
                5,
                true,
                1,
                0,
                n -> HostMemory.put8(n.g.hva + NestedGuest.MSRPM + 0x1045, 0x80));
        row("RDMSR beyond the map", 0x7c, "b900004b00 0f32", 5, true, 0, 0, n -> {});
        row("a task switch", 0x7d, "ea000000002000", 0, true, 0x20, 1L << 38, NestedGuest::legacy);
        row("a shutdown", 0x7f, "0f0b", 0, false, 0, 0, n -> n.put32(0x484, 0));
        instruction("VMRUN", 0x80, "0f01d8", 0);
        instruction("VMMCALL", 0x81, "0f01d9", 0);
        instruction("VMLOAD", 0x82, "0f01da", 0);
        instruction("VMSAVE", 0x83, "0f01db", 0);
        instruction("STGI", 0x84, "0f01dc", 0);
        instruction("CLGI", 0x85, "0f01dd", 0);
        instruction("SKINIT", 0x86, "0f01de", 0);
        instruction("RDTSCP", 0x87, "0f01f9", 0);
        instruction("INT1", 0x88, "f1", 0);
        instruction("WBINVD", 0x89, "0f09", 0);
        instruction("MONITOR", 0x8a, "0f01c8", 0);
        instruction("MWAIT", 0x8b, "0f01c9", 0);
        instruction("MWAIT, armed", 0x8c, "0f01c9", 0);
        instruction("XSETBV", 0x8d, "0f01d1", 0);
        instruction("INVPCID", 0xa2, "660f388204" + AT_DATA, 0);

        exception(0, "31c9 f7f1", 2, 0, n -> {});
        ROWS.add(new Row("exception 1", 0x41, "f1", 0, 1, false, 0, 0, n -> {}));
        exception(3, "cc", 0, 0, n -> {});
        exception(4, "b8ffffff7f 83c001 ce", 8, 0, NestedGuest::legacy);
        exception(5, "620500000400", 0, 0, n -> {
            n.legacy();
            HostMemory.put32(n.g.hva + UNUSED, 7);
        });
        exception(6, "0f0b", 0, 0, n -> {});
        exception(7, "d9e8", 0, 0, n -> n.put64(0x558, 0x8000_0039L));
        exception(8, "0f0b", 0, 0, n -> n.put32(0x484, 0));
        exception(10, "ea000000002000", 0, 0x20, n -> {
            n.legacy();
            HostMemory.put64(n.g.hva + 0x5020, 0x0000_8906_9000_0010L);
        });
        exception(11, "66b81800 8ed8", 4, 0x18, n -> {});
        exception(12, "66b81800 8ed0", 4, 0x18, n -> {});
        exception(13, "48b80000000000008000 8b00", 10, 0, n -> {});
        row("exception 14", 0x4e, "8b0425 00000040", 0, false, 0, 0x4000_0000, n -> n.put64(0x640, 0x1234));
        exception(16, "dbe3 d92c2500000400 d9e8 d9ee def9 9b", 15, 0, n -> HostMemory.put32(n.g.hva + UNUSED, 0x37b));
        exception(17, "a101000400", 0, 0, n -> {
            n.legacy();
            n.put64(0x558, 0x4_0031);
            n.put64(0x570, 0x4_0002);
            n.put32(0x4c8, 3 << 24);
            n.segment(0x410, 0x33, 0xcfb, 0, -1);
            n.segment(0x420, 0x13, 0xcf3, 0, -1);
            n.segment(0x430, 0x13, 0xcf3, 0, -1);
        });
        exception(19, "0fae142508000400 0f57c0 0f280c2510000400 0f5ec8", 19, 0, n -> {
            HostMemory.put32(n.g.hva + UNUSED + 8, 0x1d80);
            HostMemory.put64(n.g.hva + UNUSED + 0x10, 0x3f80_0000_3f80_0000L);
            HostMemory.put64(n.g.hva + UNUSED + 0x18, 0x3f80_0000_3f80_0000L);
        });
    }

    /** What nothing here raises: exceptions that do not arise, FERR_FREEZE, and what comes from outside (other tests). */
    private static final Set<Integer> ELSEWHERE =
            Set.of(0x42, 0x49, 0x4f, 0x52, 0x60, 0x61, 0x62, 0x63, 0x64, 0x7e, 0x8e, 0x8f);

    static List<Row> rows() {
        return ROWS;
    }

    private static long port(NestedGuest n, int port) {
        return n.g.hva + NestedGuest.IOPM + (port >>> 3);
    }

    private static void everyPort(NestedGuest n) {
        HostMemory.fill(n.g.hva + NestedGuest.IOPM, 0x3000, -1);
    }

    /** Runs until L1 halts. */
    private static void runToL1(NestedGuest n) {
        assertThat(n.g.run()).isEqualTo(new Exit.Halt());
        assertThat(n.g.regs().rip).isEqualTo(NestedGuest.DONE);
    }

    @ParameterizedTest
    @MethodSource("rows")
    void anInterceptLeadsToTheHypervisorWithWhatBelongsToIt(Row row) {
        for (String knobs : List.of("tdp=on", "tdp=off", "cpu.translator=eager")) {
            try (NestedGuest n = new NestedGuest(knobs)) {
                row.more.accept(n);
                n.intercept(row.exit);
                n.code(row.hex + "0f01d9");
                runToL1(n);
                assertThat(n.exitCode()).as("exit code").isEqualTo(row.exit);
                assertThat(n.get64(0x578)).as("rip").isEqualTo(L2 + row.rip);
                assertThat(n.get64(0xc8)).as("nRIP").isEqualTo(row.nextRip ? L2 + row.hex.length() / 2 : 0);
                assertThat(n.get64(0x78)).as("EXITINFO1").isEqualTo(row.info1);
                assertThat(n.get64(0x80)).as("EXITINFO2").isEqualTo(row.info2);
                // A double fault comes of the second #GP, in the delivery of that of #UD's.
                long event = row.exit == 0x48 ? (6L * 8 + 2) << 32 | 0x8000_0b0dL : 0;
                assertThat(n.get64(0x88)).as("EXITINTINFO").isEqualTo(event);
                if (row.exit == 0x4e) {
                    assertThat(n.get64(0x640)).as("CR2").isEqualTo(0x1234);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("rows")
    void withEveryOtherInterceptSetItIsAnotherExitIfAny(Row row) {
        if (row.exit == 0x80) {
            return;
        }
        try (NestedGuest n = new NestedGuest("cpu.translator=eager")) {
            row.more.accept(n);
            for (int code = 0; code < 0xc0; code++) {
                if (code != row.exit) {
                    n.intercept(code);
                }
            }
            if (row.exit == 0x81) {
                n.put32(0x10, n.get32(0x10) & ~2);
            }
            n.code(row.hex + "f4");
            assertThat(n.g.vcpu.run(false)).isZero();
            assertThat(n.exitCode()).isNotEqualTo(row.exit);
        }
    }

    @Test
    void everyInterceptBelowInvpcidHasARow() {
        Set<Integer> seen = new HashSet<>(ELSEWHERE);
        ROWS.forEach(row -> seen.add(row.exit));
        Set<Integer> wanted = new HashSet<>(Set.of(0, 2, 3, 4, 8, 0x10, 0x12, 0x13, 0x14, 0x18, 0xa2));
        for (int n = 0; n < 8; n++) {
            wanted.add(0x20 + n);
            wanted.add(0x30 + n);
        }
        for (int code = 0x40; code <= 0x53; code++) {
            wanted.add(code);
        }
        for (int code = 0x60; code <= 0x8f; code++) {
            wanted.add(code);
        }
        assertThat(seen).isEqualTo(wanted);
    }

    /** With nested tables and without: the loop runs as machine code, and leaves at the same PAUSE whatever it has been translated for. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void theGuestsGuestIsTranslatedAndLeavesAtWhatIsIntercepted(boolean nested) {
        try (NestedGuest n = new NestedGuest("cpu.translator=on")) {
            for (int round = 0; round < 4; round++) {
                boolean wanted = round % 2 != 0;
                n.start();
                if (nested) {
                    n.nestedPaging();
                }
                if (wanted) {
                    n.intercept(0x77);
                }
                // mov ecx, 10000; loop: dec ecx; je done; pause; pushfq; pop rax; jmp loop; done: vmmcall
                n.code("b910270000 ffc9 7406 f390 9c 58 ebf6 0f01d9");
                runToL1(n);
                assertThat(n.exitCode()).isEqualTo(wanted ? 0x77 : 0x81);
                assertThat(n.g.regs().rcx).isEqualTo(wanted ? 9_999 : 0);
            }
            // Of the hypervisor's no instruction comes often.
            assertThat(Long.parseLong(
                            n.g.vm.debugFiles().read("translator_regions").strip()))
                    .isPositive();
        }
    }

    @Test
    void theHypervisorGoesOnAsItWas() {
        try (NestedGuest n = new NestedGuest("")) {
            Regs r = n.g.regs();
            r.rbx = 5;
            r.rflags = 0x202;
            n.g.vcpu.setRegs(r);
            Sregs before = new Sregs();
            n.g.vcpu.getSregs(before);
            n.legacy();
            // mov ebx, 7; mov eax, 9; push eax; sti; nop; vmmcall
            n.code("bb07000000 b809000000 50 fb 90 0f01d9");
            runToL1(n);
            Sregs after = new Sregs();
            n.g.vcpu.getSregs(after);
            r = n.g.regs();
            assertThat(r.rax).isEqualTo(NestedGuest.VMCB);
            assertThat(r.rbx).as("what VMRUN does not switch").isEqualTo(7);
            assertThat(r.rsp).isEqualTo(Guest64.STACK);
            assertThat(r.rflags).isEqualTo(0x202);
            assertThat(after.cr0).isEqualTo(before.cr0);
            assertThat(after.cr3).isEqualTo(before.cr3);
            assertThat(after.cr4).isEqualTo(before.cr4);
            assertThat(after.efer).isEqualTo(before.efer);
            assertThat(after.cs.selector).isEqualTo(8);
            assertThat(after.cs.l).isEqualTo(1);
            assertThat(after.idtLimit).isEqualTo(0xfff);
            assertThat(after.tr.base).as("VMLOAD's").isEqualTo(NestedGuest.OLD_TASK);
            assertThat(n.get64(0x5f8)).isEqualTo(9);
            assertThat(n.get64(0x5d8)).isEqualTo(NestedGuest.L2_STACK - 4);
            assertThat(n.get64(0x570)).isEqualTo(0x202);
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(state.flags).as("GIF is clear").isZero();
        }
    }

    @Test
    void aVirtualInterruptIsTakenWhenTheGuestCanAndItsPriorityAllows() {
        try (NestedGuest n = new NestedGuest("")) {
            n.g.gate(0x31, L2 + 0x100);
            HostMemory.put8(n.g.hva + L2 + 0x100, 0xf4);
            n.intercept(0x78);
            int control = 1 << 8 | 3 << 16 | 1 << 24;
            n.put32(0x64, 0x31);
            n.put32(0x60, control | 2);
            n.code("fb 90 90 0f01d9");
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x78);
            assertThat(n.get64(0x578)).isEqualTo(L2 + 0x100);
            assertThat(n.get32(0x60)).as("V_IRQ is over").isEqualTo(control & ~0x100 | 2);

            n.start();
            n.intercept(0x78);
            n.intercept(0x64);
            n.put32(0x64, 0x31);
            n.put32(0x60, control | 2);
            runToL1(n);
            assertThat(n.exitCode()).as("the intercept comes before").isEqualTo(0x64);
            assertThat(n.get64(0x578)).as("STI's shadow is over").isEqualTo(L2 + 2);
            assertThat(n.get32(0x60)).isEqualTo(control | 2);

            n.start();
            n.put32(0x64, 0x31);
            n.put32(0x60, control | 3);
            runToL1(n);
            assertThat(n.exitCode()).as("its priority is too low").isEqualTo(0x81);

            n.start();
            n.intercept(0x78);
            n.put32(0x64, 0x31);
            n.put32(0x60, control | 1 << 20 | 15);
            runToL1(n);
            assertThat(n.exitCode()).as("whatever its priority is").isEqualTo(0x78);
        }
    }

    /** Runs L2 to an access of a port that is the client's. */
    private static void runToPort(NestedGuest n) {
        assertThat(n.g.run()).isEqualTo(new Exit.PortOut(0x80, 1, 1));
    }

    @Test
    void anNmiLeavesToTheHypervisorThatWantsItAndElseIsTheGuests() {
        try (NestedGuest n = new NestedGuest("")) {
            n.intercept(0x61);
            n.code("e680 90 0f01d9");
            runToPort(n);
            n.g.vcpu.nmi();
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x61);
            assertThat(n.get64(0x578)).isEqualTo(L2 + 2);
            VcpuEvents e = new VcpuEvents();
            n.g.vcpu.getEvents(e);
            assertThat(e.nmiPending).as("it waits for STGI").isEqualTo(1);
        }
        try (NestedGuest n = new NestedGuest("")) {
            n.g.gate(2, L2 + 0x100);
            HostMemory.put8(n.g.hva + L2 + 0x100, 0xf4);
            n.intercept(0x78);
            n.code("e680 90 0f01d9");
            runToPort(n);
            n.g.vcpu.nmi();
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x78);
            assertThat(n.get64(0x578)).isEqualTo(L2 + 0x100);
        }
    }

    /**
     * Rows: whose IF is set, the hypervisor's and L2's; whether the hypervisor masks interrupts (V_INTR_MASKING); whether it intercepts them; what
     * comes of one: an exit, L2's handler, or nothing yet.
     */
    @ParameterizedTest
    @CsvSource({
        "0, 1, 0, 1, 60",
        "0, 0, 0, 1, 81",
        "1, 0, 0, 1, 81",
        "1, 0, 1, 1, 60",
        "0, 1, 1, 1, 81",
        "0, 1, 0, 0, 78",
        "1, 0, 1, 0, 78",
        "0, 1, 1, 0, 81",
        "1, 1, 1, 1, 60"
    })
    void anInterruptLeavesToTheHypervisorThatWantsItWhenTheFlagThatCountsIsSet(
            int host, int own, int masks, int wanted, String code) {
        try (NestedGuest n = new NestedGuest("", true)) {
            Regs r = n.g.regs();
            r.rflags = 2 | host << 9;
            n.g.vcpu.setRegs(r);
            n.put64(0x570, 2 | own << 9);
            n.put32(0x60, masks << 24);
            n.g.gate(0x31, L2 + 0x100);
            HostMemory.put8(n.g.hva + L2 + 0x100, 0xf4);
            if (wanted != 0) {
                n.intercept(0x60);
            }
            n.intercept(0x78);
            // The APIC's spurious-interrupt register, which is the hypervisor's; then a port.
            n.code("bff000e0fe c707ff010000 e680 90 0f01d9");
            n.g.write(NestedGuest.DONE - 1, 0xe6, 0x81);
            runToPort(n);
            assertThat(n.g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x4031, 0)).isEqualTo(1);
            // Behind #VMEXIT GIF is clear, so that the hypervisor's IF lets nothing through.
            assertThat(n.g.run()).isEqualTo(new Exit.PortOut(0x81, 1, 1));
            int expected = Integer.parseInt(code, 16);
            assertThat(n.exitCode()).isEqualTo(expected);
            assertThat(n.get64(0x578)).isEqualTo(expected == 0x60 ? L2 + 13 : expected == 0x78 ? L2 + 0x100 : L2 + 14);
            assertThat(n.get64(0x88)).as("nothing was under delivery").isZero();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void initLeavesToTheHypervisorThatWantsItAndElseResetsTheProcessor(boolean wanted) {
        try (NestedGuest n = new NestedGuest("", true)) {
            if (wanted) {
                n.intercept(0x63);
            }
            n.code("e680 90 0f01d9");
            runToPort(n);
            // INIT for APIC 0, as a message.
            assertThat(n.g.vm.interrupts().signalMsi(0xfee0_0000, 0, 0x4500, 0)).isEqualTo(1);
            NestedState state = new NestedState();
            if (wanted) {
                // It stays, and GIF is clear: a vCPU that halts so waits for ever.
                n.g.write(NestedGuest.DONE - 1, 0xe6, 0x81);
                assertThat(n.g.run()).isEqualTo(new Exit.PortOut(0x81, 1, 1));
                assertThat(n.exitCode()).isEqualTo(0x63);
                assertThat(n.get64(0x578)).isEqualTo(L2 + 2);
                n.g.vcpu.getNestedState(state);
                assertThat(state.flags).isZero();
            } else {
                // At the reset vector lies no memory.
                n.g.vcpu.run(false);
                assertThat(n.g.regs().rip).isEqualTo(0xfff0);
                n.g.vcpu.getNestedState(state);
                assertThat(state.flags).isEqualTo(NestedState.GIF_SET);
            }
        }
    }

    @Test
    void aClientThatTakesSvmAwayEndsTheGuestsGuest() {
        try (NestedGuest n = new NestedGuest("tdp=on")) {
            n.nestedPaging();
            n.put64(0x668, 0x0606_0606_0606_0606L);
            n.code("e680 0f01d9");
            runToPort(n);
            Sregs s = new Sregs();
            n.g.vcpu.getSregs(s);
            s.efer &= ~0x1000L;
            n.g.vcpu.setSregs(s);
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(state.flags).isEqualTo(NestedState.GIF_SET);
            long[] pat = new long[1];
            assertThat(n.g.vcpu.getMsr(Msr.PAT, pat)).isTrue();
            assertThat(pat[0]).as("the hypervisor's").isEqualTo(0x0007_0406_0007_0406L);
            // On without nested tables: memory is the machine's again, where there was none for L2.
            n.g.write(Guest64.CODE, 0xf4);
            n.g.start(n.g.vcpu, Guest64.CODE, Guest64.STACK);
            n.g.vcpu.run(false);
            assertThat(n.g.regs().rip).isEqualTo(Guest64.CODE + 1);
        }
    }

    @Test
    void anSmiThatIsWantedLeavesToTheHypervisor() {
        try (NestedGuest n = new NestedGuest("")) {
            n.intercept(0x62);
            n.code("e680 90 0f01d9");
            runToPort(n);
            n.g.vcpu.smi();
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x62);
        }
    }

    @Test
    void anInjectedEventIsDeliveredWithoutALookAtItsInterceptAndFaultsOnTheWayAreToldOfIt() {
        try (NestedGuest n = new NestedGuest("")) {
            n.g.gate(14, L2 + 0x100);
            HostMemory.put8(n.g.hva + L2 + 0x100, 0xf4);
            n.intercept(0x78);
            n.intercept(0x4e);
            n.put64(0xa8, 0x7_0000_0b0eL | 1L << 31);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x78);
            assertThat(HostMemory.get64(n.g.hva + n.get64(0x5d8)))
                    .as("error code")
                    .isEqualTo(7);
            assertThat(n.get64(0xa8)).as("EVENTINJ").isZero();

            n.start();
            n.intercept(0x4d);
            n.put32(0x484, 0);
            n.put64(0xa8, 0x7_0000_0b0eL | 1L << 31);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x4d);
            // To AMD a fault in the delivery of an exception has no EXT.
            assertThat(n.get64(0x78)).isEqualTo(14 * 8 + 2);
            assertThat(n.get64(0x88)).isEqualTo(0x7_0000_0b0eL | 1L << 31);

            n.start();
            n.intercept(0x4d);
            n.put32(0x484, 0);
            n.put64(0xa8, 0x40 | 1L << 31);
            runToL1(n);
            assertThat(n.get64(0x78)).as("an interrupt's has").isEqualTo(0x40 * 8 + 3);
            assertThat(n.get64(0x88)).isEqualTo(0x40 | 1L << 31);
        }
    }

    @Test
    void aFaultInTheDeliveryOfAnIntNIsToldOfIt() {
        try (NestedGuest n = new NestedGuest("")) {
            n.intercept(0x4d);
            n.put32(0x484, 0);
            n.code("cd40 0f01d9");
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x4d);
            assertThat(n.get64(0x578)).isEqualTo(L2);
            assertThat(n.get64(0x88)).isEqualTo(0x440 | 1L << 31);
        }
    }

    @Test
    void theTimeStampCounterOfTheGuestIsOffset() {
        try (NestedGuest n = new NestedGuest("")) {
            n.put64(0x50, 1L << 60);
            n.code("0f31 0f01d9");
            runToL1(n);
            assertThat(n.g.regs().rdx >>> 28).isEqualTo(1);
            n.start();
            n.put64(0x50, 1L << 60);
            n.code("b910000000 0f32 0f01d9");
            runToL1(n);
            assertThat(n.g.regs().rdx >>> 28).isEqualTo(1);
        }
    }

    @Test
    void aShutdownThatNobodyWantsIsTheMachines() {
        try (NestedGuest n = new NestedGuest("")) {
            n.put32(0x484, 0);
            n.code("0f0b");
            assertThat(n.g.run()).isEqualTo(new Exit.Shutdown());
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(state.flags).isEqualTo(NestedState.GIF_SET);
        }
    }

    /** Rows: what of the hypervisor's state makes which of its instructions raise what. */
    @ParameterizedTest
    @ValueSource(strings = {"d8", "da", "db", "dd"})
    void theInstructionsAskForSvmAndPrivilegeAndAnAddress(String last) {
        int op = Integer.parseInt(last, 16);
        assertThat(raised(op, 0, 0)).as("without EFER.SVME").isEqualTo(6);
        if (op == 0xdd) {
            return;
        }
        assertThat(raised(op, 0x1000, NestedGuest.VMCB + 8)).as("no page").isEqualTo(13);
        assertThat(raised(op, 0x1000, 1L << 52))
                .as("beyond the physical addresses")
                .isEqualTo(13);
        assertThat(raised(op, 0x1000, 0x1000_0000)).as("where no memory is").isEqualTo(13);
    }

    private static int raised(int op, long efer, long rax) {
        try (NestedGuest n = new NestedGuest("")) {
            for (int vector : new int[] {6, 13}) {
                n.g.gate(vector, 0x7_0000 + vector * 16);
                HostMemory.put8(n.g.hva + 0x7_0000 + vector * 16L, 0xf4);
            }
            Sregs s = new Sregs();
            n.g.vcpu.getSregs(s);
            s.efer = s.efer & ~0x1000 | efer;
            n.g.vcpu.setSregs(s);
            n.g.write(Guest64.CODE, 0x0f, 1, op, 0xf4);
            Regs r = n.g.regs();
            r.rax = rax;
            n.g.vcpu.setRegs(r);
            assertThat(n.g.run()).isEqualTo(new Exit.Halt());
            return (int) (n.g.regs().rip - 0x7_0000) / 16;
        }
    }

    @Test
    void vmrunWithoutAHostSaveAreaIsRefused() {
        try (NestedGuest n = new NestedGuest("")) {
            assertThat(n.g.vcpu.setMsr(Msr.VM_HSAVE_PA, 0)).isTrue();
            n.g.gate(13, 0x7_0000);
            HostMemory.put8(n.g.hva + 0x7_0000, 0xf4);
            assertThat(n.g.run()).isEqualTo(new Exit.Halt());
            assertThat(n.g.regs().rip).isEqualTo(0x7_0001);
        }
    }

    @Test
    void aStateOutlivesBeingTakenOutAndPutBack() {
        try (NestedGuest n = new NestedGuest("")) {
            n.code("e680 bb21000000 0f01d9");
            runToPort(n);
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(state.flags).isEqualTo(NestedState.GUEST_MODE | NestedState.GIF_SET);
            assertThat(state.size).isEqualTo(4224);
            assertThat(state.vmcbGpa).isEqualTo(NestedGuest.VMCB);
            n.g.vcpu.setNestedState(NestedGuest.idle());
            n.g.vcpu.setNestedState(state);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(n.g.regs().rbx).isEqualTo(0x21);

            List<Consumer<NestedState>> bad = List.of(
                    s -> s.format = 0,
                    s -> s.flags |= 4,
                    s -> s.flags = NestedState.RUN_PENDING | NestedState.GIF_SET,
                    s -> s.size = 4223,
                    s -> s.vmcbGpa += 8,
                    s -> s.vmcb[0x10] = 0,
                    s -> s.vmcb[0x58] = 0,
                    s -> s.vmcb[0x55b] = 0,
                    s -> s.vmcb[0x4d1] = 0);
            for (int i = 0; i < bad.size(); i++) {
                NestedState changed = new NestedState();
                changed.flags = state.flags;
                changed.size = state.size;
                changed.vmcbGpa = state.vmcbGpa;
                System.arraycopy(state.vmcb, 0, changed.vmcb, 0, 4096);
                bad.get(i).accept(changed);
                assertThatThrownBy(() -> n.g.vcpu.setNestedState(changed))
                        .as("bad %d", i)
                        .isInstanceOf(KvmException.class);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"cpu.vendor=amd", "nested=on\ncpu.vendor=intel", "nested=on\ncpu.vendor=amd"})
    void svmIsOfferedWhereItIsAskedForAndTheProcessorIsAmds(String knobs) {
        boolean there = knobs.equals("nested=on\ncpu.vendor=amd");
        try (Guest64 g = new Guest64(Knobs.parse(knobs), false, 0xf4)) {
            CpuidTable table = new CpuidTable();
            List<CpuidEntry> entries = g.kvm.supportedCpuid();
            table.set(entries);
            assertThat(table.has(Feature.SVM)).isEqualTo(there);
            assertThat(table.has(Feature.NRIPS)).isEqualTo(there);
            assertThat(table.eax(0x8000_0000, 0)).isEqualTo(there ? 0x8000_000a : 0x8000_0008);
            assertThat(Cap.NESTED_STATE.value(g.kvm)).isEqualTo(there ? 4224 : 0);
            assertThat(g.vcpu.setMsr(Msr.EFER, 0x1d00)).isEqualTo(there);
        }
    }
}
