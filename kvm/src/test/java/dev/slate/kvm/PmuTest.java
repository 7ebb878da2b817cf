package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.pmu.PmuMsr;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Performance counters of AMD's guests: exact, filtered, and theirs only where the client lets them be. */
class PmuTest {
    private static final long ENABLE = 1 << 22;
    private static final long INTERRUPT = 1 << 20;
    private static final long KERNEL = 1 << 17;
    private static final long USER = 1 << 16;
    private static final long INSTRUCTIONS = 0xc0;
    private static final long BRANCHES = 0xc2;
    private static final long FAR = 0xc6;
    private static final long RETURNS = 0xc8;
    private static final long CONDITIONAL = 0xd1;
    private static final long CYCLES = 0x76;
    private static final int HANDLER_VECTOR = 0x30;

    // mov ecx,1000; loop: call f; dec ecx; jnz loop; mov ecx,0; cpuid; mov ecx,7; mov edi,DATA; rep stosb; int 30h;
    // out; f: ret
    private static final int[] PROGRAM = {
        0xb9,
        0xe8,
        0x03,
        0,
        0,
        0xe8,
        30,
        0,
        0,
        0,
        0xff,
        0xc9,
        0x75,
        0xf7,
        0xb9,
        0,
        0,
        0,
        0,
        0x0f,
        0xa2,
        0xb9,
        7,
        0,
        0,
        0,
        0xbf,
        0,
        0,
        4,
        0,
        0xf3,
        0xaa,
        0xcd,
        HANDLER_VECTOR,
        0xe6,
        1,
        0x90,
        0x90,
        0x90,
        0xc3
    };

    private final List<Guest64> open = new ArrayList<>();

    @AfterEach
    void close() {
        open.forEach(Guest64::close);
    }

    private Guest64 guest(String knobs, int... code) {
        Guest64 g = new Guest64(Knobs.parse("cpu.vendor=amd\n" + knobs), Vm::createIrqchip, code);
        open.add(g);
        // iretq
        g.gate(HANDLER_VECTOR, Guest64.DATA + 0x100);
        g.write(Guest64.DATA + 0x100, 0x48, 0xcf);
        return g;
    }

    private static void select(Guest64 g, int counter, long bits) {
        assertThat(g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 2 * counter, bits)).isTrue();
    }

    private static Regs registers(Guest64 g) {
        Regs r = new Regs();
        g.vcpu.getRegs(r);
        return r;
    }

    private static long count(Guest64 g, int counter) {
        long[] v = new long[1];
        assertThat(g.vcpu.getMsr(PmuMsr.F15H_PERF_CTL0 + 2 * counter + 1, v)).isTrue();
        return v[0];
    }

    @ParameterizedTest
    @ValueSource(strings = {"off", "on", "eager"})
    void instructionsAndBranchesAreCountedExactly(String translator) {
        Guest64 g = guest("cpu.translator=" + translator, PROGRAM);
        long[] events = {INSTRUCTIONS, BRANCHES, CONDITIONAL, RETURNS, FAR, 0xff};
        for (int i = 0; i < events.length; i++) {
            select(g, i, events[i] | ENABLE | KERNEL);
        }
        assertThat(g.vcpu.run(false)).isZero();
        assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.IO);
        // mov, a thousand times call, ret, dec, jnz; mov, cpuid, mov, mov, stosb, int, iretq. OUT is not over yet.
        assertThat(count(g, 0)).isEqualTo(1 + 4000 + 7);
        assertThat(count(g, 1)).isEqualTo(3000 + 2);
        assertThat(count(g, 2)).isEqualTo(1000);
        assertThat(count(g, 3)).isEqualTo(1000);
        assertThat(count(g, 4)).isEqualTo(2);
        assertThat(count(g, 5)).isZero();
        long[] v = new long[1];
        assertThat(g.vcpu.getMsr(PmuMsr.K7_EVNTSEL0 + 5, v)).isTrue();
        assertThat(v[0]).as("the old name of the second").isEqualTo(3002);
    }

    @Test
    void whatIsNotSelectedStaysAsItIs() {
        Guest64 g = guest("", PROGRAM);
        select(g, 0, INSTRUCTIONS | ENABLE | USER);
        select(g, 1, INSTRUCTIONS | KERNEL);
        select(g, 2, -1L);
        assertThat(g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 3, 12345)).isTrue();
        assertThat(g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 7, -2L)).isTrue();
        assertThat(g.vcpu.run(false)).isZero();
        assertThat(count(g, 0)).as("no code of a user's").isZero();
        assertThat(count(g, 1)).as("not enabled").isEqualTo(12345);
        long[] v = new long[1];
        g.vcpu.getMsr(PmuMsr.F15H_PERF_CTL0 + 4, v);
        assertThat(v[0]).as("reserved bits").isEqualTo(0xf_ffd7_ffffL);
        assertThat(count(g, 3)).as("48 bits").isEqualTo(0xffff_ffff_fffeL);
    }

    @Test
    void cyclesAreTicksOfTheTimeInTheGuest() {
        Guest64 g = guest("", PROGRAM);
        select(g, 0, CYCLES | ENABLE | KERNEL | USER);
        select(g, 1, CYCLES | ENABLE | USER);
        long[] before = new long[1];
        long[] after = new long[1];
        g.vcpu.getMsr(0x10, before);
        assertThat(g.vcpu.run(false)).isZero();
        g.vcpu.getMsr(0x10, after);
        assertThat(count(g, 0)).isBetween(1L, after[0] - before[0]);
        assertThat(count(g, 1)).isZero();
    }

    @Test
    void aFilterSaysWhatIsCountedFromTheNextSelectionOn() {
        Guest64 g = guest("", PROGRAM);
        long select = BRANCHES | ENABLE | KERNEL;
        for (boolean listed : new boolean[] {true, false}) {
            for (int action : new int[] {0, 1}) {
                g.vm.setPmuEventFilter(action, new long[] {0x1c2, listed ? BRANCHES : INSTRUCTIONS, 3});
                g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
                select(g, 0, 0);
                select(g, 0, select);
                g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 1, 0);
                assertThat(g.vcpu.run(false)).isZero();
                assertThat(count(g, 0))
                        .as("listed %b, action %d", listed, action)
                        .isEqualTo(listed == (action == 0) ? 3002 : 0);
            }
        }
        assertThatThrownBy(() -> Vm.checkPmuEventFilter(2, 0, 1))
                .extracting("errno")
                .isEqualTo(Errno.EINVAL);
        assertThatThrownBy(() -> Vm.checkPmuEventFilter(0, 1, 1))
                .extracting("errno")
                .isEqualTo(Errno.EINVAL);
        assertThatThrownBy(() -> Vm.checkPmuEventFilter(1, 0, 301))
                .extracting("errno")
                .isEqualTo(Errno.E2BIG);
        assertThatThrownBy(() -> Vm.checkPmuEventFilter(1, 0, -1))
                .extracting("errno")
                .isEqualTo(Errno.E2BIG);
    }

    @ParameterizedTest
    @ValueSource(longs = {INSTRUCTIONS, BRANCHES})
    void aCounterThatRunsOverInterruptsBehindTheVeryInstruction(long event) {
        // sti; nop to be behind its shadow; 20 times inc edx and jmp $+2; out
        int[] code = new int[2 + 20 * 4 + 2];
        code[0] = 0xfb;
        code[1] = 0x90;
        for (int i = 0; i < 20; i++) {
            System.arraycopy(new int[] {0xff, 0xc2, 0xeb, 0}, 0, code, 2 + 4 * i, 4);
        }
        code[code.length - 2] = 0xe6;
        code[code.length - 1] = 1;
        Guest64 g = guest("", code);
        g.apic(true);
        byte[] apic = new byte[1024];
        g.vcpu.getLapic(apic);
        // LVTPC: a fixed interrupt
        apic[0x340] = 0x40;
        apic[0x342] = 0;
        g.vcpu.setLapic(apic);
        // The handler leaves.
        g.gate(0x40, Guest64.DATA + 0x200);
        g.write(Guest64.DATA + 0x200, 0xe6, 2);
        select(g, 0, event | ENABLE | KERNEL | INTERRUPT);
        g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 1, event == INSTRUCTIONS ? -(2 + 7) : -4);
        assertThat(g.vcpu.run(false)).isZero();
        assertThat(g.vcpu.exit().ioPort).as("the handler's exit").isEqualTo(2);
        Regs r = registers(g);
        // The 7th instruction behind the first two is the 4th INC; the 4th branch stands behind it.
        assertThat(r.rdx).isEqualTo(4);
        assertThat(g.word(r.rsp))
                .as("the interrupted rip")
                .isEqualTo(Guest64.CODE + 2 + 3 * 4 + (event == INSTRUCTIONS ? 2 : 4));
        // The delivery is itself a change of control flow.
        assertThat(count(g, 0)).isEqualTo(event == INSTRUCTIONS ? 0 : 1);
    }

    @Test
    void rdpmcReadsWhatThereIs() {
        // rdpmc; out
        Guest64 g = guest("", 0x0f, 0x33, 0xe6, 1);
        g.gate(13, Guest64.DATA + 0x200);
        g.write(Guest64.DATA + 0x200, 0xe6, 13);
        g.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0 + 11, 0x1234_5678_9abcL);
        for (int ecx : new int[] {5, 0x8000_0005, 0x4000_0005, 6, -1}) {
            g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
            Regs r = registers(g);
            r.rcx = ecx;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            boolean there = (ecx & 0x3fff_ffff) == 5;
            assertThat(g.vcpu.exit().ioPort).as("%x", ecx).isEqualTo(there ? 1 : 13);
            if (there) {
                r = registers(g);
                assertThat(r.rax).isEqualTo(0x5678_9abcL);
                assertThat(r.rdx).isEqualTo(ecx < 0 ? 0 : 0x1234);
            }
        }
    }

    @Test
    void countersAreThereByKnobVendorCapabilityAndCpuid() {
        assertThat(new Kvm(new TestHost(), Knobs.parse("cpu.vendor=amd\npmu=off"))
                        .checkExtension(Cap.PMU_CAPABILITY.number()))
                .isZero();
        assertThat(new Kvm(new TestHost(), Knobs.parse("cpu.vendor=intel")).checkExtension(Cap.PMU_CAPABILITY.number()))
                .isZero();
        assertThat(new Kvm(new TestHost(), Knobs.parse("cpu.vendor=amd")).checkExtension(Cap.PMU_CAPABILITY.number()))
                .isEqualTo(1);
        Guest64 off = new Guest64(
                Knobs.parse("cpu.vendor=amd"),
                vm -> vm.enableCap(Cap.PMU_CAPABILITY.number(), 0, new long[] {1, 0, 0, 0}),
                PROGRAM);
        open.add(off);
        // As where there never were any: what is written is dropped.
        assertThat(off.vcpu.setMsr(PmuMsr.K7_EVNTSEL0, ENABLE | KERNEL | INSTRUCTIONS))
                .isTrue();
        long[] v = {1};
        assertThat(off.vcpu.getMsr(PmuMsr.K7_EVNTSEL0, v)).isTrue();
        assertThat(v[0]).isZero();
        assertThat(off.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0, 1)).isFalse();
        assertThatThrownBy(() -> off.vm.enableCap(Cap.PMU_CAPABILITY.number(), 0, new long[4]))
                .as("there are vCPUs")
                .extracting("errno")
                .isEqualTo(Errno.EINVAL);
        Guest64 four = guest("", PROGRAM);
        List<CpuidEntry> less = new ArrayList<>();
        for (CpuidEntry e : four.kvm.supportedCpuid()) {
            less.add(
                    e.function() == 0x8000_0001
                            ? new CpuidEntry(
                                    e.function(),
                                    e.index(),
                                    e.flags(),
                                    e.eax(),
                                    e.ebx(),
                                    e.ecx() & ~Feature.mask(Feature.PERFCTR_CORE),
                                    e.edx())
                            : e);
        }
        four.vcpu.setCpuid(less);
        assertThat(four.vcpu.setMsr(PmuMsr.F15H_PERF_CTL0, 1)).isFalse();
        assertThat(four.vcpu.setMsr(PmuMsr.K7_EVNTSEL0 + 3, INSTRUCTIONS)).isTrue();
        four.vcpu.getMsr(PmuMsr.K7_EVNTSEL0 + 3, v);
        assertThat(v[0]).isEqualTo(INSTRUCTIONS);
    }
}
