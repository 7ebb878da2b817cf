package dev.slate.debug;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Regs;
import java.io.IOException;
import java.io.StringWriter;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Guest programs whose accesses are known from their text: the counts are exactly those. */
class HeatTest {
    /** An object that begins 16 bytes before the end of a page. */
    private static final long OBJECT = TestGuest.DATA + 0xff0;

    private Heat heat;

    private String run(long size, String knob, String code, long rdi) throws IOException {
        String plan = "type=" + size + " t\nfield=0 8 a\nfield=8 64 b\nfield=8 4 b.c\nat=0 rdi 0 "
                + Long.toHexString(TestGuest.CODE) + " - main";
        return lines(plan, knob, code, rdi, g -> {
                    g.gate(6, TestGuest.CODE + 0x900);
                    g.write(TestGuest.CODE + 0x900, "f4");
                })
                .lines()
                .filter(l -> Character.isDigit(l.charAt(0)))
                .collect(Collectors.joining("\n"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"tdp=on", "tdp=off"})
    void everyAccessOfAProgramIsCountedOnceByPlaceAndWidth(String knob) throws IOException {
        String code = "488b07" // mov rax,[rdi]
                + "8807" // mov [rdi],al
                + "48ff4708" // inc qword [rdi+8]
                + "f0480fc14708" // lock xadd [rdi+8],rax
                + "668b470f" // mov ax,[rdi+15]: over the page's end
                + "8b5f0d" // mov ebx,[rdi+13]: over the page's end, unaligned
                + "0fc74f10" // cmpxchg8b [rdi+16]: finds the 0 in edx:eax, and stores
                + "0f104720" // movups xmm0,[rdi+32]
                + "8b47f8" // mov eax,[rdi-8]: before the object
                + "8b4748" // mov eax,[rdi+72]: behind it
                + "8b47fe" // mov eax,[rdi-2]: its upper half is inside
                + "f4";
        assertThat(run(72, knob, code, OBJECT)).isEqualTo("""
            1 0-0  # 0 1, 0 0, a
            1 0-1  # 1 0, 0 0, a
            1 0-7  # 1 0, 0 0, a
            4 8-15  # 2 2, 0 0, b.c
            1 13-16  # 1 0, 0 0, b
            1 15-16  # 1 0, 0 0, b
            2 16-23  # 1 1, 0 0, b
            1 32-39  # 1 0, 0 0, b
            1 40-47  # 1 0, 0 0, b\
            """);
    }

    @Test
    void everyItemOfAStringCounts() throws IOException {
        String code = "4889fe" // mov rsi,rdi
                + "b906000000 f3a4".replace(" ", "") // mov ecx,6; rep movsb: onto itself
                + "f4";
        StringBuilder want = new StringBuilder();
        for (int i = 0; i < 6; i++) {
            want.append("2 ").append(i).append('-').append(i).append("  # 1 1, 0 0, a\n");
        }
        assertThat(run(72, "", code, OBJECT)).isEqualTo(want.toString().strip());
        code = "31c0 b904000000 f348ab f4".replace(" ", ""); // rep stosq, over the page's end
        assertThat(run(72, "", code, OBJECT)).isEqualTo("""
            1 0-7  # 0 1, 0 0, a
            1 8-15  # 0 1, 0 0, b.c
            1 16-23  # 0 1, 0 0, b
            1 24-31  # 0 1, 0 0, b\
            """);
    }

    @Test
    void whatAFaultUndoesCountsOnce() throws IOException {
        // movsq reads the object and stores where nothing is; the handler's move of rdi lets it happen.
        String code = "4889fe" // mov rsi,rdi
                + "ff37" // push [rdi]
                + "4889df" // mov rdi,rbx
                + "48a5" // movsq
                + "f4";
        HeatPlan plan = HeatPlan.parse("type=72 t\nfield=0 8 a\nat=0 rdi 0 10000 - main\noutput=x\n");
        try (TestGuest g = new TestGuest(kvm -> heat = Heat.start(kvm, plan, ClientMemory.PLAIN), code)) {
            g.gate(14, TestGuest.CODE + 0x800);
            g.write(TestGuest.CODE + 0x800, "4883c408 bf00100500 48cf");
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rdi = OBJECT;
            r.rbx = 0x4000_0000L;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
        }
        StringWriter out = new StringWriter();
        heat.write(out);
        assertThat(out.toString()).endsWith("\n2 0-7  # 2 0, 0 0, a\n");
    }

    @Test
    void theProcessorsOwnAccessesAreToldApartAndWalksAreNone() throws IOException {
        // #UD: the stack of its delivery, in the object at the stack's top.
        assertThat(run(0x28, "", "0f0b", TestGuest.STACK - 0x28)).isEqualTo("""
            1 0-7  # 0 0, 0 1, a
            1 8-15  # 0 0, 0 1, b.c
            1 16-23  # 0 0, 0 1, b
            1 24-31  # 0 0, 0 1, b
            1 32-39  # 0 0, 0 1, b\
            """);
        // The table that maps all of memory: walks read it, and set bits in it; the program reads one entry.
        assertThat(run(64, "", "8b0425003000000f20d80f22d8" + "8b042500300400" + "f4", 0x3000))
                .isEqualTo("1 0-3  # 1 0, 0 0, a");
    }

    /** KVM's clock lies in the object: the hypervisor writes it, the program reads its multiplier, and that it is there, its time stamp. */
    @Test
    void whatTheHypervisorWritesIsNotTheGuests() throws IOException {
        String code = "b9014d564b b801010400 31d2 0f30" // wrmsr of MSR_KVM_SYSTEM_TIME_NEW
                + "0fa2" // cpuid, an exit
                + "8b4718 85c0 7403 8b4708 f4";
        assertThat(lines("type=32 t\nat=0 rdi 0 10000 - main", "", code, TestGuest.DATA + 0x100, g -> {}))
                .isEqualTo("""
                    type 32 1 t
                    1 8-11  # 1 0, 0 0,
                    1 24-27  # 1 0, 0 0,\
                    """);
    }

    @Test
    void anObjectIsCountedFromWhereItIsLearntAndNothingElse() throws IOException {
        assertThat(run(8, "", "8b07f4", 0)).isEmpty();
        assertThat(heat.objects()).isZero();
        assertThat(heat.summary())
                .isEqualTo("heat: no t was seen: the register held 0 whenever main (0x10000) was reached");
    }

    @Test
    void anAddressWithinABlockIsNotMetAndTheSummarySaysWhereOneIs() throws IOException {
        HeatPlan plan = HeatPlan.parse("type=8 t\nfield=0 8 a\nat=0 rdi 0 10002 - 0x10002\noutput=x\n");
        try (TestGuest g = new TestGuest(kvm -> heat = Heat.start(kvm, plan, ClientMemory.PLAIN), "8b078b07f4")) {
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rdi = OBJECT;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(heat.summary())
                .contains("0x10002 (0x10002) was never reached", "nokaslr", "only where a block of code begins");
    }

    /** Runs to HLT with RDI as given; the file's lines but for comments and members. */
    private String lines(String plan, String knobs, String code, long rdi, Consumer<TestGuest> prepare)
            throws IOException {
        HeatPlan parsed = HeatPlan.parse(plan + "\noutput=x\n");
        try (TestGuest g = new TestGuest(knobs, kvm -> heat = Heat.start(kvm, parsed, ClientMemory.PLAIN), code)) {
            prepare.accept(g);
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rdi = rdi;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
        }
        StringWriter out = new StringWriter();
        heat.write(out);
        return out.toString()
                .lines()
                .filter(l -> !l.startsWith("#") && !l.startsWith("field"))
                .map(String::stripTrailing)
                .collect(Collectors.joining("\n"));
    }

    private static final long VMCB = 0x31000;
    private static final long L2 = 0x12000;

    /** A hypervisor that runs a guest of its own for three exits by CPUID; the guest reads the object too. */
    private static final String HYPERVISOR = "b9800000c0 0f32 0d00100000 0f30" // EFER.SVME
            + "b9170101c0 31d2 b800000300 0f30" // VM_HSAVE_PA
            + "be03000000 b800100300"
            + "0f01d8" // vmrun
            + "48ff4708" // inc qword [rdi+8]
            + "488b1f" // mov rbx,[rdi]
            + "488304257815030002" // over CPUID
            + "ffce 75e9 f4";

    private static void nested(TestGuest g) {
        long v = g.hva + VMCB;
        HostMemory.put32(v + 0x0c, 1 << 18); // CPUID
        HostMemory.put32(v + 0x10, 1); // VMRUN
        HostMemory.put32(v + 0x58, 1);
        for (int segment = 0; segment < 6; segment++) {
            boolean code = segment == 1;
            HostMemory.put64(v + 0x400 + 16 * segment, 0xffff_ffff_0000_0000L | (code ? 0xa9b_0008L : 0xc93_0010L));
        }
        HostMemory.put64(v + 0x4d0, 0x1500); // EFER: SVME, LMA, LME
        HostMemory.put64(v + 0x548, 0x20);
        HostMemory.put64(v + 0x550, 0x1000);
        HostMemory.put64(v + 0x558, 0x8000_0011L);
        HostMemory.put64(v + 0x560, 0x400);
        HostMemory.put64(v + 0x568, 0xffff_0ff0L);
        HostMemory.put64(v + 0x570, 2);
        HostMemory.put64(v + 0x578, L2);
        HostMemory.put64(v + 0x668, 0x0007_0406_0007_0406L);
        g.write(L2, "488b0f 0fa2 ebf9"); // mov rcx,[rdi]; cpuid; and again
    }

    @ParameterizedTest
    @ValueSource(strings = {"tdp=on", "tdp=off"})
    void anExitIsWhatTheHypervisorDoesFromVmexitToVmrunAndItsGuestIsNotCounted(String knob) throws IOException {
        String plan = "type=16 t\nat=0 rdi 0 10000 - main\n";
        String knobs = knob + "\nnested=on\ncpu.vendor=amd";
        assertThat(lines(plan, knobs, HYPERVISOR, OBJECT, HeatTest::nested)).isEqualTo("""
            type 16 1 t
            3 0-7  # 3 0, 0 0,
            6 8-15  # 3 3, 0 0,
            exits 2 CPUID
            set 2 0.0.0-7:1/0 0.0.8-15:1/1\
            """);
        // From behind the second exit on, whose own is the last and ends in no VMRUN.
        assertThat(lines(plan + "from-exit=2", knobs, HYPERVISOR, OBJECT, HeatTest::nested))
                .isEqualTo("""
                    type 16 1 t
                    1 0-7  # 1 0, 0 0,
                    2 8-15  # 1 1, 0 0,\
                    """);
        assertThat(lines(plan + "most-exits=1", knobs, HYPERVISOR, OBJECT, HeatTest::nested))
                .endsWith("exits 1 CPUID\nset 1 0.0.0-7:1/0 0.0.8-15:1/1");
    }

    @Test
    void typesThatLieInOneAnotherAreCountedEachAndTheirObjectsToldApart() throws IOException {
        String plan = """
            type=16 outer
            at=0 rdi 0 10000 - main
            type=8 inner
            at=1 rdi 8 10000 - main
            at=0 rdi 32 10000 - main
            """;
        String code = HYPERVISOR.replace("488b1f", "488b5f20").replace("75e9", "75e8"); // mov rbx,[rdi+32]
        assertThat(lines(plan, "nested=on\ncpu.vendor=amd", code, OBJECT, HeatTest::nested))
                .isEqualTo("""
                    type 16 2 outer
                    3 0-7  # 3 0, 0 0,
                    6 8-15  # 3 3, 0 0,
                    type 8 1 inner
                    6 0-7  # 3 3, 0 0,
                    exits 2 CPUID
                    set 2 0.0.8-15:1/1 0.1.0-7:1/0 1.0.0-7:1/1\
                    """);
    }

    @Test
    void anObjectEndsWhereThePlanSaysSo() throws IOException {
        // mov eax,[rdi]; jmp to the next instruction, which is where it ends; mov eax,[rdi]
        String plan = "type=8 t\nat=0 rdi 0 10000 - main\nat=-1 rdi 0 10004 - free\n";
        assertThat(lines(plan, "", "8b07 eb00 8b07 f4", OBJECT, g -> {})).isEqualTo("type 8 1 t\n1 0-3  # 1 0, 0 0,");
    }

    /** WRMSR of LSTAR, a jump, and the place, at 0x10010. */
    private static String systemCallsAt(int lstar) {
        return "b9820000c0 31d2 b8" + String.format("%08x", Integer.reverseBytes(lstar)) + "0f30 eb00 8b07 f4";
    }

    @Test
    void aKernelThatMovedIsFoundByItsSystemCalls() throws IOException {
        String plan = "type=8 t\nat=0 rdi 0 410010+ - main\nsystem-call=400100\n";
        assertThat(lines(plan, "", systemCallsAt(0x100), OBJECT, g -> {})).endsWith("\n1 0-3  # 1 0, 0 0,");
        assertThat(lines(plan, "", systemCallsAt(0x180), OBJECT, g -> {})).isEqualTo("type 8 0 t");
        assertThat(heat.summary()).contains("the guest's kernel is not the one whose symbols were given");
        assertThat(lines(plan, "", "8b07f4", OBJECT, g -> {})).isEqualTo("type 8 0 t");
        assertThat(heat.summary()).contains("no 64-bit Linux that was seen to start");
    }

    private static final String MODULE = "module-begins=10030\nmodule-ends=10038\noffsets=0 64 0 8 16\n";
    /** Loads the module at 0x50000, calls 0x10040 with the object, and unloads the module. */
    private static final String LOADS =
            "4889fb bf00000500 e823000000 4889df e82b000000 bf00000500 e819000000 4889df e819000000 f4";

    private static void module(TestGuest g) {
        g.write(0x10030, "c3");
        g.write(0x10038, "c3");
        g.write(0x10040, "8b07 c3");
        g.write(0x50000, "6d6f64");
        HostMemory.put64(g.hva + 0x50040, 0x50100);
        HostMemory.put64(g.hva + 0x50100, 0x50200);
        HostMemory.put64(g.hva + 0x50108, 3);
        HostMemory.put64(g.hva + 0x50110, 0x50400);
        g.write(0x50400, "00 74616b6500 74616b652e3000"); // "", "take", "take.0"
        symbol(g, 1, 1, 2, 0x10040);
        symbol(g, 2, 6, 2, 0x20000);
    }

    private static void symbol(TestGuest g, int at, int name, int type, long value) {
        HostMemory.put64(g.hva + 0x50200 + 24 * at, name | (long) type << 32);
        HostMemory.put64(g.hva + 0x50208 + 24 * at, value);
    }

    @Test
    void functionsOfAModuleAreFoundWhenItIsLoaded() throws IOException {
        String plan = "type=8 t\nat=0 rdi 0 0 mod take\n" + MODULE;
        assertThat(lines(plan, "", LOADS, OBJECT, HeatTest::module)).isEqualTo("type 8 1 t\n2 0-3  # 2 0, 0 0,");
        assertThat(heat.summary())
                .contains("1 object of t", "module mod was unloaded during the run", "end them with --until");
        lines("type=8 t\nat=0 rdi 0 0 mod tak\n" + MODULE, "", LOADS, OBJECT, HeatTest::module);
        assertThat(heat.summary()).contains("no t was seen", "module mod has no function tak:");
        String twice = "bf00000500 e826000000 bf00000500 e81c000000 f4";
        lines("type=8 t\nat=0 rdi 0 0 mod tak\n" + MODULE, "", twice, OBJECT, HeatTest::module);
        assertThat(heat.summary()).containsOnlyOnce("module mod has no function tak:");
        lines("type=8 t\nat=0 rdi 0 0 mod take\n" + MODULE, "", LOADS, OBJECT, g -> {
            module(g);
            symbol(g, 1, 6, 2, 0x10040);
        });
        assertThat(heat.summary()).contains("module mod has no function take, but take.0");
        lines("type=8 t\nat=0 rdi 0 0 other take\n" + MODULE, "", LOADS, OBJECT, HeatTest::module);
        assertThat(heat.summary()).contains("module other was not loaded during the run: have the guest load it");
    }

    @ParameterizedTest
    @ValueSource(strings = {"no base 64", "aGVhdA=="})
    void whatTheCommandDidNotMakeIsNoPlan(String value) {
        assertThatThrownBy(() -> HeatPlan.unpack(value))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("heat: SLATE_HEAT is made by `slate heat`, and this is none");
    }

    @Test
    void objectsOfAnExitThatAreTooManyToBeToldApartStayInTheirType() throws IOException {
        HeatExit exit = new HeatExit();
        for (int i = 0; i < 0x1_0002; i++) {
            exit.add(0, 8L * i, 0, 8, HeatCounts.READ);
        }
        HeatExits exits = new HeatExits(1);
        exit.end("CPUID", exits);
        StringWriter out = new StringWriter();
        exits.write(out);
        assertThat(out.toString())
                .startsWith("exits 1 CPUID\nset 1 0.0.0-7:1/0 ")
                .endsWith(" 0.65535.0-7:3/0\n");
    }
}
