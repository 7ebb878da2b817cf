package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.cpuid.FeatureRule;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** The table of features, walked whole: each feature taken from a guest's CPUID, its instructions and control bits tried. */
class FeatureRuleTest {
    private static final int TRIES = 400_000;
    private static final int MOST_OF_ONE = 3;

    /** What random bytes seldom are: CMPXCHG16B, XSAVEC, XSAVES, RDSEED, RDPID, CLWB, PREFETCHW, LOCK MOV CR0. */
    private static final byte[][] RARE = {
        {0x48, 0x0f, (byte) 0xc7, 0x0e},
        {0x0f, (byte) 0xc7, 0x26},
        {0x0f, (byte) 0xc7, 0x2e},
        {0x0f, (byte) 0xc7, (byte) 0xf8},
        {(byte) 0xf3, 0x0f, (byte) 0xc7, (byte) 0xf8},
        {0x66, 0x0f, (byte) 0xae, 0x36},
        {0x0f, 0x0d, 0x0e},
        {(byte) 0xf0, 0x0f, 0x20, (byte) 0xc0},
    };

    private static final Knobs NESTED = Knobs.parse("nested=on\ncpu.vendor=amd");
    private static final long HANDLERS = 0x8000;
    private static final long NO_VECTOR = -1;

    private static final int MSR_EFER = 0xc000_0080;
    private static final int MSR_LSTAR = 0xc000_0082;
    private static final int MSR_SYSENTER_EIP = 0x176;

    /** CR4 of a guest that uses all it may; LA57 can't be set with four-level tables. */
    private static final long ALL_CR4 = CpuState.CR4_OSFXSR
            | CpuState.CR4_OSXMMEXCPT
            | CpuState.CR4_FSGSBASE
            | CpuState.CR4_OSXSAVE
            | CpuState.CR4_PAE
            | CpuState.CR4_PCIDE;

    private static CpuidTable table(List<CpuidEntry> entries) {
        CpuidTable t = new CpuidTable();
        t.set(entries);
        return t;
    }

    /** The guest's CPUID: what is supported, of a vendor, without some features. */
    private static List<CpuidEntry> cpuid(Kvm kvm, boolean intel, int... without) {
        List<CpuidEntry> all = new ArrayList<>();
        for (CpuidEntry e : kvm.supportedCpuid()) {
            int[] r = {e.eax(), e.ebx(), e.ecx(), e.edx()};
            if (e.function() == 0) {
                int[] vendor = intel
                        ? new int[] {0x756e6547, 0x6c65746e, 0x49656e69}
                        : new int[] {0x68747541, 0x444d4163, 0x69746e65};
                System.arraycopy(vendor, 0, r, 1, 3);
            }
            for (int f : without) {
                if (Feature.leaf(f) == e.function() && Feature.subleaf(f) == e.index()) {
                    r[Feature.register(f)] &= ~Feature.mask(f);
                }
            }
            all.add(new CpuidEntry(e.function(), e.index(), e.flags(), r[0], r[1], r[2], r[3]));
        }
        return all;
    }

    /** Of each feature with instructions, some encodings that mean something else without it. */
    private static Map<FeatureRule, List<byte[]>> encodings() {
        Map<FeatureRule, List<byte[]>> found = new EnumMap<>(FeatureRule.class);
        Decoder full = new Decoder(Cpu.FEATURES);
        Map<FeatureRule, Decoder> lacking = new EnumMap<>(FeatureRule.class);
        for (FeatureRule rule : FeatureRule.values()) {
            // SVM's need a bit of EFER more: NestedSvmTest.
            if (rule != FeatureRule.XSAVEERPTR
                    && rule != FeatureRule.SVM
                    && (rule.instructionSet() & Cpu.FEATURES) != 0) {
                found.put(rule, new ArrayList<>());
                lacking.put(rule, new Decoder(Cpu.FEATURES & ~rule.instructionSet()));
            }
        }
        Scratch scratch = new Scratch(64);
        Map<FeatureRule, Map<Integer, Integer>> ofOperation = new EnumMap<>(FeatureRule.class);
        SplittableRandom random = new SplittableRandom(11);
        byte[] bytes = new byte[Decoder.MAX_LENGTH];
        for (int i = 0; i < TRIES; i++) {
            EncodingPool.shape(bytes, Mode.BITS64, random);
            if (i % 3 == 0) {
                // VEX of three bytes; without one of the extension bits, so that memory operands stay where memory is.
                bytes[0] = (byte) 0xc4;
                bytes[1] = (byte) (0xe0 | 1 + random.nextInt(3));
            }
            if (i % 16 == 1) {
                bytes[0] = 0x0f;
                bytes[1] = 1;
                bytes[2] |= (byte) 0xc0;
            }
            if (i < RARE.length) {
                System.arraycopy(RARE[i], 0, bytes, 0, RARE[i].length);
            }
            HostMemory.copyIn(bytes, 0, scratch.hva(), bytes.length);
            long word = full.decodeOne(scratch.hva(), bytes.length, Mode.BITS64).code[0];
            int op = Insn.op(word);
            if (op == Op.INVALID) {
                continue;
            }
            for (Map.Entry<FeatureRule, Decoder> e : lacking.entrySet()) {
                Map<Integer, Integer> counts = ofOperation.computeIfAbsent(e.getKey(), k -> new java.util.HashMap<>());
                if (counts.getOrDefault(op, 0) == MOST_OF_ONE) {
                    continue;
                }
                long without = e.getValue().decodeOne(scratch.hva(), bytes.length, Mode.BITS64).code[0];
                if (Insn.op(without) != op) {
                    counts.merge(op, 1, Integer::sum);
                    found.get(e.getKey()).add(Arrays.copyOf(bytes, Insn.length(word)));
                }
            }
        }
        return found;
    }

    /** A guest that takes every exception into a HLT of its own. */
    private static final class Probe implements AutoCloseable {
        private final Guest64 g;
        private final Sregs start = new Sregs();
        private final long cr4;

        Probe(Knobs knobs, List<CpuidEntry> guest, long cr4) {
            g = new Guest64(knobs, false);
            for (int v = 0; v < 32; v++) {
                g.gate(v, HANDLERS + v * 16L);
                g.write(HANDLERS + v * 16L, 0xf4);
            }
            g.vcpu.setCpuid(guest);
            g.vcpu.getSregs(start);
            CpuidTable t = table(guest);
            this.cr4 = (start.cr4 | cr4) & ~t.cr4Lacking();
            g.vcpu.setMsr(MSR_LSTAR, Guest64.CODE + 0x800);
            g.vcpu.setMsr(MSR_SYSENTER_EIP, Guest64.CODE + 0x800);
            g.write(Guest64.CODE + 0x800, 0xf4);
            start.efer |= CpuState.EFER_SCE;
        }

        /** Runs one instruction and a HLT. @return the vector of the exception, or {@link #NO_VECTOR} */
        long run(int[] code, long rax, long rcx, long rdx) {
            start.cr4 = cr4;
            g.vcpu.setSregs(start);
            if ((cr4 & CpuState.CR4_OSXSAVE) != 0) {
                g.vcpu.setXcr0(7);
            }
            g.write(Guest64.CODE, code);
            g.write(Guest64.CODE + code.length, 0xf4);
            Regs r = new Regs();
            r.rip = Guest64.CODE;
            r.rsp = Guest64.STACK;
            r.rbp = Guest64.DATA;
            r.rsi = Guest64.DATA;
            r.rdi = Guest64.DATA;
            r.rax = rax;
            r.rbx = Guest64.DATA;
            r.rcx = rcx;
            r.rdx = rdx;
            r.rflags = 2;
            g.vcpu.setRegs(r);
            for (int i = 0; i < 8; i++) {
                Exit exit = g.run();
                if (exit instanceof Exit.MmioRead || exit instanceof Exit.MmioWrite) {
                    continue;
                }
                if (!(exit instanceof Exit.Halt)) {
                    return NO_VECTOR;
                }
                long at = g.regs().rip - 1 - HANDLERS;
                return at >= 0 && at < 32 * 16 ? at / 16 : NO_VECTOR;
            }
            return NO_VECTOR;
        }

        long run(byte[] code) {
            int[] ints = new int[code.length];
            for (int i = 0; i < ints.length; i++) {
                ints[i] = code[i] & 0xff;
            }
            return run(ints, 0, 0, 0);
        }

        @Override
        public void close() {
            g.close();
        }
    }

    @Test
    void everyInstructionOfTheProcessorHasItsFeatureInTheTable() {
        long covered = 0;
        Set<Integer> places = new HashSet<>();
        for (FeatureRule rule : FeatureRule.values()) {
            assertThat(covered & rule.instructionSet()).as(rule + " twice").isZero();
            covered |= rule.instructionSet();
            assertThat(places.add(rule.feature())).as(rule + " twice").isTrue();
        }
        assertThat(Long.toHexString(Cpu.FEATURES & ~covered)).isEqualTo("0");
    }

    @Test
    void whatIsExecutedIsOffered() {
        Kvm kvm = new Kvm(new TestHost());
        CpuidTable supported = table(kvm.supportedCpuid());
        CpuidTable nested = table(new Kvm(new TestHost(), NESTED).supportedCpuid());
        for (FeatureRule rule : FeatureRule.values()) {
            boolean never = rule == FeatureRule.MONITOR || rule == FeatureRule.PKU;
            boolean asked = rule == FeatureRule.SVM || Feature.leaf(rule.feature()) == 0x8000_000a;
            assertThat(supported.has(rule.feature())).as(rule.name()).isNotEqualTo(never || asked);
            assertThat(nested.has(rule.feature())).as(rule.name()).isNotEqualTo(never);
        }
    }

    @Test
    void anInstructionIsUndefinedWithoutItsFeatureExactlyWhereKvmCanMakeItSo() {
        Map<FeatureRule, List<byte[]>> encodings = encodings();
        Set<FeatureRule> seen = EnumSet.noneOf(FeatureRule.class);
        int tried = 0;
        for (Map.Entry<FeatureRule, List<byte[]>> e : encodings.entrySet()) {
            FeatureRule rule = e.getKey();
            for (boolean intel : new boolean[] {false, true}) {
                Kvm kvm = new Kvm(new TestHost());
                List<CpuidEntry> without = cpuid(kvm, intel, rule.feature());
                CpuidTable guest = table(without);
                boolean undefined = rule.hides(guest, intel) || rule.instructionsNeedCr4();
                try (Probe all = new Probe(Knobs.standard(), cpuid(kvm, intel), ALL_CR4);
                        Probe less = new Probe(Knobs.standard(), without, ALL_CR4)) {
                    for (byte[] code : e.getValue()) {
                        long with = all.run(code);
                        String what = rule
                                + (intel ? " Intel " : " AMD ")
                                + java.util.HexFormat.of().formatHex(code);
                        if (rule != FeatureRule.PKU && with == GuestFault.UD) {
                            continue;
                        }
                        tried++;
                        assertThat(less.run(code)).as(what).isEqualTo(undefined ? GuestFault.UD : with);
                        seen.add(rule);
                    }
                }
            }
        }
        Set<FeatureRule> missed = new HashSet<>(encodings.keySet());
        missed.removeAll(seen);
        assertThat(missed).as("features of which no encoding ran").isEmpty();
        assertThat(tried).isGreaterThan(5000);
    }

    @Test
    void whatTheOneOfTwoOpensStaysOpenOnIntel() {
        Kvm kvm = new Kvm(new TestHost());
        int[][] instructions = {{0x0f, 0x01, 0xf9}, {0xf3, 0x0f, 0xc7, 0xf8}};
        for (boolean intel : new boolean[] {false, true}) {
            for (int lacking = 0; lacking < 4; lacking++) {
                List<Integer> without = new ArrayList<>();
                if ((lacking & 1) != 0) {
                    without.add(Feature.RDTSCP);
                }
                if ((lacking & 2) != 0) {
                    without.add(Feature.RDPID);
                }
                int[] features = without.stream().mapToInt(i -> i).toArray();
                try (Probe p = new Probe(Knobs.standard(), cpuid(kvm, intel, features), ALL_CR4)) {
                    boolean tscp = intel ? lacking == 3 : (lacking & 1) != 0;
                    boolean pid = intel && lacking == 3;
                    assertThat(p.run(instructions[0], 0, 0, 0)).isEqualTo(tscp ? GuestFault.UD : NO_VECTOR);
                    assertThat(p.run(instructions[1], 0, 0, 0)).isEqualTo(pid ? GuestFault.UD : NO_VECTOR);
                }
            }
        }
    }

    @Test
    void avxIsAsXcr0AllowsWhateverItsBitSays() {
        Kvm kvm = new Kvm(new TestHost());
        int component = 2;
        List<CpuidEntry> noYmm = new ArrayList<>();
        for (CpuidEntry e : cpuid(kvm, false)) {
            int eax = e.function() == 0xd && e.index() == 0 ? e.eax() & ~(1 << component) : e.eax();
            noYmm.add(new CpuidEntry(e.function(), e.index(), e.flags(), eax, e.ebx(), e.ecx(), e.edx()));
        }
        try (Guest64 g = new Guest64()) {
            g.vcpu.setCpuid(noYmm);
            assertThatExceptionOfType(KvmException.class).isThrownBy(() -> g.vcpu.setXcr0(7));
            g.vcpu.setXcr0(3);
        }
        try (Probe p = new Probe(Knobs.standard(), cpuid(kvm, false, Feature.AVX), ALL_CR4)) {
            assertThat(p.run(new int[] {0xc5, 0xfc, 0x28, 0xc1}, 0, 0, 0)).isEqualTo(NO_VECTOR);
        }
    }

    @Test
    void aControlBitCanBeSetOnlyWithItsFeature() {
        Kvm kvm = new Kvm(new TestHost());
        int[] movCr4 = {0x0f, 0x22, 0xe0};
        int walked = 0;
        for (FeatureRule rule : FeatureRule.values()) {
            if (rule.cr4() == 0) {
                continue;
            }
            walked++;
            boolean offered = rule != FeatureRule.PKU;
            for (boolean has : new boolean[] {true, false}) {
                List<CpuidEntry> guest = has ? cpuid(kvm, false) : cpuid(kvm, false, rule.feature());
                try (Probe p = new Probe(Knobs.standard(), guest, 0)) {
                    if (rule != FeatureRule.LA57) {
                        long vector = p.run(movCr4, p.start.cr4 | rule.cr4(), 0, 0);
                        assertThat(vector).as("MOV CR4, " + rule).isEqualTo(has && offered ? NO_VECTOR : GuestFault.GP);
                    }
                    Sregs sregs = new Sregs();
                    p.g.vcpu.getSregs(sregs);
                    sregs.cr4 |= rule.cr4();
                    if (has && offered) {
                        assertThatCode(() -> p.g.vcpu.setSregs(sregs))
                                .as("KVM_SET_SREGS, " + rule)
                                .doesNotThrowAnyException();
                    } else {
                        assertThatExceptionOfType(KvmException.class)
                                .as("KVM_SET_SREGS, " + rule)
                                .isThrownBy(() -> p.g.vcpu.setSregs(sregs));
                    }
                }
            }
        }
        assertThat(walked).isEqualTo(8);
    }

    @Test
    void anEferBitCanBeSetOnlyWithItsFeature() {
        Kvm kvm = new Kvm(new TestHost(), NESTED);
        int[] wrmsr = {0x0f, 0x30};
        int walked = 0;
        for (FeatureRule rule : FeatureRule.values()) {
            for (long bits = rule.efer(); bits != 0; bits &= bits - 1) {
                long bit = Long.lowestOneBit(bits);
                walked++;
                // Long mode can't be left by it; of EFER.LMA only the check is looked at.
                long value = CpuState.EFER_LME | bit;
                List<CpuidEntry> without = cpuid(kvm, false, rule.feature());
                try (Probe all = new Probe(NESTED, cpuid(kvm, false), 0);
                        Probe less = new Probe(NESTED, without, 0)) {
                    assertThat(all.run(wrmsr, value, MSR_EFER, 0))
                            .as("EFER, " + rule)
                            .isEqualTo(NO_VECTOR);
                    assertThat(less.run(wrmsr, value, MSR_EFER, 0))
                            .as("EFER, " + rule)
                            .isEqualTo(GuestFault.GP);
                }
            }
        }
        assertThat(walked).isEqualTo(4);
    }

    @Test
    void aVcpuWithoutCpuidLacksEveryFeatureThatAnInterceptCanTake() {
        CpuidTable none = new CpuidTable();
        for (FeatureRule rule : FeatureRule.values()) {
            boolean amd = rule == FeatureRule.RDTSCP || rule == FeatureRule.INVPCID;
            boolean intel = amd
                    || rule == FeatureRule.RDPID
                    || rule == FeatureRule.RDRAND
                    || rule == FeatureRule.RDSEED
                    || rule == FeatureRule.XSAVES;
            assertThat(rule.hides(none, false)).as(rule.name()).isEqualTo(amd);
            assertThat(rule.hides(none, true)).as(rule.name()).isEqualTo(intel);
        }
    }
}
