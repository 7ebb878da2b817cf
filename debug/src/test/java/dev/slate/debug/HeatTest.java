package dev.slate.debug;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.Exit;
import dev.slate.kvm.Regs;
import java.io.IOException;
import java.io.StringWriter;
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
        HeatPlan plan = HeatPlan.parse("type=t\nsize=" + size + "\nat=" + Long.toHexString(TestGuest.CODE)
                + " rdi main\nfield=0 8 a\nfield=8 64 b\nfield=8 4 b.c\noutput=x\n");
        try (TestGuest g = new TestGuest(knob, kvm -> heat = Heat.start(kvm, plan), code)) {
            g.gate(6, TestGuest.CODE + 0x900);
            g.write(TestGuest.CODE + 0x900, "f4");
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rdi = rdi;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
        }
        StringWriter out = new StringWriter();
        heat.write(out);
        return out.toString().lines().filter(l -> !l.startsWith("#")).collect(Collectors.joining("\n"));
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
                1 40-47  # 1 0, 0 0, b""");
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
                1 24-31  # 0 1, 0 0, b""");
    }

    @Test
    void whatAFaultUndoesCountsOnce() throws IOException {
        // movsq reads the object and stores where nothing is; the handler's move of rdi lets it happen.
        String code = "4889fe" // mov rsi,rdi
                + "ff37" // push [rdi]
                + "4889df" // mov rdi,rbx
                + "48a5" // movsq
                + "f4";
        HeatPlan plan = HeatPlan.parse("type=t\nsize=72\nat=10000 rdi main\nfield=0 8 a\noutput=x\n");
        try (TestGuest g = new TestGuest(kvm -> heat = Heat.start(kvm, plan), code)) {
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
                1 32-39  # 0 0, 0 1, b""");
        // The table that maps all of memory: walks read it, and set bits in it; the program reads one entry.
        assertThat(run(64, "", "8b0425003000000f20d80f22d8" + "8b042500300400" + "f4", 0x3000))
                .isEqualTo("1 0-3  # 1 0, 0 0, a");
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
        HeatPlan plan = HeatPlan.parse("type=t\nsize=8\nat=10002 rdi 0x10002\nfield=0 8 a\noutput=x\n");
        try (TestGuest g = new TestGuest(kvm -> heat = Heat.start(kvm, plan), "8b078b07f4")) {
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rdi = OBJECT;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(heat.summary())
                .contains("0x10002 (0x10002) was never reached", "nokaslr", "only where a block of code begins");
    }
}
