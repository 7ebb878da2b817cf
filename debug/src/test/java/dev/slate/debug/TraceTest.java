package dev.slate.debug;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import java.io.IOException;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class TraceTest {
    private final StringWriter log = new StringWriter();
    private Trace trace;

    private TestGuest traced(String options, String code) {
        return new TestGuest(
                kvm -> trace = Trace.start(kvm, TraceOptions.parse(options), ClientMemory.PLAIN, log), code);
    }

    @Test
    void everyKindOfLineIsThere() {
        // Loads, stores, a handled exit, one that the client answers, a fault and its handler.
        String code = """
                48c7c300000400   48c703efbe0000   488703   31c0   0fa2   bae9030000   ec   0f0b""";
        try (TestGuest g = traced("memory=\nexits=\n", code)) {
            g.gate(6, TestGuest.CODE + 0x100);
            g.write(TestGuest.CODE + 0x100, "f3a4 f4");
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            r.rsi = TestGuest.DATA;
            r.rdi = TestGuest.DATA + 0x100;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.PortIn.class);
            HostMemory.put8(g.vcpu.portData(), 0x5a);
            g.vcpu.getRegs(r);
            r.rax = 0xd00;
            r.rcx = 2;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
        }
        // CPUID's answer is the host's.
        String text = log.toString().replaceAll("(exit  cpuid[^\n]*\n[^\n]*after)[^\n]*", "$1 ...");
        assertThat(text).isEqualTo("""
                         1 0.0  0000000000010000              mov    rbx,0x40000                 rbx=40000
                         2 0.0  0000000000010007              mov    QWORD PTR [rbx],0xbeef
                           0.0    store [0000000000040000] 000000000000beef
                         3 0.0  000000000001000e              xchg   QWORD PTR [rbx],rax         rax=beef
                           0.0    load  [0000000000040000] 000000000000beef
                           0.0    store [0000000000040000] 0000000000000000
                         4 0.0  0000000000010011              xor    eax,eax                     rax=0 flags=PF|ZF
                         5 0.0  0000000000010013              cpuid
                           0.0    exit  cpuid eax=0 ecx=0
                           0.0    after ...
                         6 0.0  0000000000010015              mov    edx,0x3e9                   rdx=3e9
                         7 0.0  000000000001001a              in     al,dx
                           0.0    exit  ioio in port=3e9 size=1 -> client: KVM_EXIT_IO in port=3e9 size=1 count=1
                           0.0    after rax=d5a rcx=2
                         8 0.0  000000000001001b              ud2                                rsp=1ffd8
                           0.0    load  [0000000000006060] 00018e0000080100
                           0.0    load  [0000000000006068] 0000000000000000
                           0.0    load  [0000000000005008] 00af9b000000ffff
                           0.0    store [000000000001fff8] 0000000000000010
                           0.0    store [000000000001fff0] 0000000000020000
                           0.0    store [000000000001ffe8] 0000000000010046
                           0.0    store [000000000001ffe0] 0000000000000008
                           0.0    store [000000000001ffd8] 000000000001001b
                           0.0    event #UD
                         9 0.0  0000000000010100              rep movs BYTE PTR es:[rdi],BYTE PTR ds:[rsi] rcx=0 rsi=40002 rdi=40102
                           0.0    load  [0000000000040000] 00
                           0.0    store [0000000000040100] 00
                           0.0    load  [0000000000040001] 00
                           0.0    store [0000000000040101] 00
                        10 0.0  0000000000010102              hlt
                           0.0    exit  hlt -> client: KVM_EXIT_HLT
                """);
    }

    @Test
    void aWindowIsARangeAndANumberOfInstructionsInIt() {
        // Four rounds of a loop; its first instruction is the range.
        String code = "90" + "b904000000" + "ffc0" + "e2fc" + "90" + "f4";
        try (TestGuest g = traced("from=0x10006\nto=10008\nskip=1\ncount=2\n", code)) {
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.Halt.class);
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            assertThat(r.rax).isEqualTo(4);
        }
        assertThat(log).hasToString("""
                         2 0.0  0000000000010006              inc    eax                         rax=2
                         3 0.0  0000000000010006              inc    eax                         rax=3 flags=PF
                """);
    }

    @Test
    void aRangeThatNothingRanInIsSaidAtTheEnd() {
        try (TestGuest g = traced("from=20000\nto=20010\nvcpu=0\n", "90f4")) {
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(log.toString()).isEmpty();
        assertThat(trace.nothing())
                .isEqualTo("trace: nothing was logged: no instruction from 0x20000 on and below 0x20010 ran on vCPU 0");
        try (TestGuest g = traced("skip=5\n", "90f4")) {
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(trace.nothing())
                .isEqualTo("trace: nothing was logged: 2 instructions ran, and --skip passes over 5");
        try (TestGuest g = traced("skip=1\n", "90f4")) {
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(trace.nothing()).isNull();
    }

    @Test
    void codeOfRealModeIsShownAtItsSegment() {
        try (TestGuest g = traced("", "b83412 f4")) {
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            Sregs reset = new Sregs();
            try (Vcpu fresh = g.vm.createVcpu(1)) {
                fresh.getSregs(reset);
            }
            reset.cs.selector = 0x1000;
            reset.cs.base = 0x10000;
            g.vcpu.setSregs(reset);
            Regs r = new Regs();
            r.rflags = 2;
            g.vcpu.setRegs(r);
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(log).hasToString("""
                         1 0.0  1000:00000000                 mov    ax,0x1234                   rax=1234
                         2 0.0  1000:00000003                 hlt
                """);
    }

    @Test
    void oneVcpuOfTwoIsWatched() {
        try (TestGuest g = traced("vcpu=1\n", "90f4");
                Vcpu second = g.vcpu(1)) {
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(log.toString()).isEmpty();
            assertThat(second.run(false)).isZero();
        }
        assertThat(log.toString().lines()).hasSize(2).allMatch(l -> l.contains(" 0.1  "));
    }

    @Test
    void aReadOfMmioIsLoggedOnceItIsAnswered() {
        // mov rbx, 0x200000; mov al, [rbx]; hlt
        try (TestGuest g = traced("memory=\nexits=\n", "bb00002000 8a03 f4")) {
            assertThat(g.vcpu.run(false)).isZero();
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.MmioRead.class);
            g.vcpu.exit().mmioData[0] = 0x77;
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(log).hasToString("""
                         1 0.0  0000000000010000              mov    ebx,0x200000                rbx=200000
                           0.0    exit  mmio -> client: KVM_EXIT_MMIO read phys_addr=200000 len=1
                         2 0.0  0000000000010005              mov    al,BYTE PTR [rbx]           rax=77
                           0.0    load  [0000000000200000] 77
                         3 0.0  0000000000010007              hlt
                           0.0    exit  hlt -> client: KVM_EXIT_HLT
                """);
    }

    @Test
    void whatStateChangesPrintsCoversEveryKindOfRegister() {
        CpuState s = new CpuState();
        StateChanges changes = new StateChanges();
        changes.capture(s);
        s.gpr[9] = 0x1f;
        s.setRflags(CpuState.CF | CpuState.IOPL | CpuState.VM);
        s.segSelector[CpuState.SS] = 0x18;
        s.segBase[CpuState.GS] = -1;
        s.cr3 = 0x1000;
        s.cpl = 3;
        s.xmm[5] = 1;
        s.fpMantissa[7] = Long.MIN_VALUE;
        s.fpExponent[7] = 0x3fff;
        s.fsw = 7 << 11;
        s.mxcsr = 0x1fa0;
        StringBuilder out = new StringBuilder();
        changes.append(s, out);
        assertThat(out)
                .hasToString(" r9=1f flags=CF|VM|IOPL3 ss=18 gs_base=ffffffffffffffff cr3=1000 cpl=3"
                        + " xmm1=0000000000000001_0000000000000000 st0=3fff_8000000000000000 mxcsr=1fa0 fsw=3800");
        changes.capture(s);
        out.setLength(0);
        changes.append(s, out);
        assertThat(out.toString()).isEmpty();
    }

    @Test
    void wrongOptionsSayWhatWouldBeRight() {
        assertThatThrownBy(() -> TraceOptions.parse("from=main")).hasMessageContaining("hexadecimal");
        assertThatThrownBy(() -> TraceOptions.parse("count=0")).hasMessageContaining("at least 1");
        assertThatThrownBy(() -> TraceOptions.parse("from=20\nto=10")).hasMessageContaining("above");
        assertThatThrownBy(() -> TraceOptions.parse("translation=10\nexits=\n"))
                .hasMessageContaining("leave --exits out");
        assertThatThrownBy(() -> TraceOptions.parse("color=red")).hasMessageContaining("no such option");
    }

    /** mov ecx,1000 ; nop ; add rax,rbx ; mov [rsi],rax ; dec ecx ; jnz ; out dx,al */
    private static final String LOOP = "b9e8030000 90 4801d8 488906 ffc9 75f5 ee";

    private TestGuest translated(String knobs, String options) {
        TestGuest g = new TestGuest(
                knobs, kvm -> trace = Trace.start(kvm, TraceOptions.parse(options), ClientMemory.PLAIN, log), LOOP);
        Regs r = new Regs();
        g.vcpu.getRegs(r);
        r.rbx = 3;
        r.rsi = TestGuest.DATA;
        g.vcpu.setRegs(r);
        return g;
    }

    @Test
    void aTranslationIsShownBesideItsGuestCode() throws IOException {
        // The second instruction of the loop's block, which begins behind the MOV.
        try (TestGuest g = translated("cpu.translator=on", "translation=10006")) {
            assumeTrue(g.vcpu.run(false) == 0 && g.vcpu.translation() != null, "this host allows no machine code");
            assertThat(g.vcpu.exit().value()).isInstanceOf(Exit.PortOut.class);
            Regs r = new Regs();
            g.vcpu.getRegs(r);
            assertThat(r.rax).isEqualTo(3000);
        }
        assertThat(trace.nothing()).isNull();
        List<String> lines = log.toString().lines().toList();
        assertThat(lines.getFirst())
                .matches(
                        "0\\.0 0000000000010005: 5 instructions in 11 bytes became \\d+ bytes at [0-9a-f]{16} and \\d+ at [0-9a-f]{16}");
        List<String> guest = lines.stream()
                .skip(1)
                .map(line -> line.substring(0, line.indexOf('|')).strip())
                .filter(left -> !left.isEmpty())
                .toList();
        assertThat(guest)
                .containsExactly(
                        "0000000000010005  nop",
                        "0000000000010006  add    rax,rbx",
                        "0000000000010009  mov    QWORD PTR [rsi],rax",
                        "000000000001000c  dec    ecx",
                        "000000000001000e  jne    0x10005",
                        "ways out");
        // Guest RAX lives in R8, RBX in RBX.
        assertThat(line("  0000000000010006")).endsWith("add    r8,rbx");
        assertThat(line("  0000000000010005")).endsWith("|");
        assertThat(log.toString()).doesNotContain("(bad)");
        long code = Long.parseUnsignedLong(
                lines.getFirst().substring(lines.getFirst().length() - 16), 16);
        assertThat(log.toString()).contains("| %016x  ".formatted(code));
        assertThat(wherever(log.toString()).lines()).containsSubsequence(sample());
    }

    /** The listing in docs/debugging.md, of which lines may be left out. */
    private static List<String> sample() throws IOException {
        Path page = Path.of(System.getProperty("slate.root", "..")).resolve("docs/debugging.md");
        Matcher sample =
                Pattern.compile("(?s)```\n(0\\.0 [0-9a-f]{16}: .*?)```").matcher(Files.readString(page));
        assertThat(sample.find()).isTrue();
        return wherever(sample.group(1)).lines().toList();
    }

    /** Without what differs from host to host: where the machine code lies, and how much there is of it. */
    private static String wherever(String text) {
        return text.replaceAll("\\b00007[0-9a-f]{11}\\b", "HOST")
                .replaceAll("became \\d+ bytes", "became N bytes")
                .replaceAll("and \\d+ at", "and N at");
    }

    private String line(String start) {
        return log.toString()
                .lines()
                .filter(line -> line.startsWith(start))
                .findFirst()
                .orElseThrow()
                .stripTrailing();
    }

    @Test
    void codeThatIsNotTranslatedIsSaidToBeMissing() {
        try (TestGuest g = translated("cpu.translator=off", "translation=10006")) {
            assertThat(g.vcpu.run(false)).isZero();
        }
        assertThat(log.toString()).isEmpty();
        assertThat(trace.nothing()).contains("no code at 0x10006 became machine code");
    }
}
