package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.cpuid.CpuidEntry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Whose processor a guest has: what its CPUID says (docs/vendors.md). */
class VendorRunTest {
    private static final int AMD = 0x68747541;
    private static final int INTEL = 0x756e6547;

    // xor %eax,%eax; cpuid; then a near jump with an operand-size prefix: to Intel over the next two bytes.
    private static final int[] GUEST = {0x31, 0xc0, 0x0f, 0xa2, 0x66, 0xe9, 0x02, 0, 0, 0, 0xf4, 0xf4, 0xe6, 0x40};

    private static Guest64 guest(String vendor) {
        Guest64 g = new Guest64(Knobs.parse("cpu.vendor=" + vendor), false, GUEST);
        // What 16 bits leave of the jump's target to AMD: out %al,$0x41.
        g.write(Guest64.CODE + 10 & 0xffff, 0xe6, 0x41);
        return g;
    }

    private static int[] words(int ebx) {
        return ebx == AMD ? new int[] {AMD, 0x444d4163, 0x69746e65} : new int[] {INTEL, 0x6c65746e, 0x49656e69};
    }

    @ParameterizedTest
    @CsvSource({"amd, 41", "intel, 40"})
    void theKnobChoosesWhatTheGuestIsToldAndWhatItGets(String vendor, String port) {
        try (Guest64 g = guest(vendor)) {
            assertThat(g.run()).isEqualTo(new Exit.PortOut(Integer.parseInt(port, 16), 1, 1));
            assertThat((int) g.regs().rbx).isEqualTo(vendor.equals("amd") ? AMD : INTEL);
        }
    }

    @ParameterizedTest
    @CsvSource({"amd, intel, 40", "intel, amd, 41"})
    void whatTheClientTellsTheGuestCounts(String supported, String told, String port) {
        try (Guest64 g = guest(supported)) {
            int[] w = words(told.equals("amd") ? AMD : INTEL);
            List<CpuidEntry> leaves = new ArrayList<>();
            for (CpuidEntry e : g.kvm.supportedCpuid()) {
                leaves.add(e.function() == 0 ? new CpuidEntry(0, 0, 0, e.eax(), w[0], w[1], w[2]) : e);
            }
            g.vcpu.setCpuid(leaves);
            assertThat(g.run()).isEqualTo(new Exit.PortOut(Integer.parseInt(port, 16), 1, 1));
        }
    }

    @ParameterizedTest
    @CsvSource({"amd, 41", "intel, 40"})
    void aGuestThatIsToldNothingHasWhatIsOffered(String vendor, String port) {
        try (Guest64 g = guest(vendor)) {
            g.vcpu.setCpuid(List.of());
            assertThat(g.run()).isEqualTo(new Exit.PortOut(Integer.parseInt(port, 16), 1, 1));
        }
    }

    /** IA32_SYSENTER_ESP and IA32_SYSENTER_EIP are as wide as the processor's linear addresses are to SYSENTER. */
    @ParameterizedTest
    @CsvSource({"amd, 175, 89abcdef", "amd, 176, 89abcdef", "intel, 175, 456789abcdef", "intel, 176, 456789abcdef"})
    void theSysenterRegistersAreAsWideAsTheVendorMakesThem(String vendor, String msr, String kept) {
        // mov $MSR,%ecx; mov $0x89abcdef,%eax; mov $0x4567,%edx; wrmsr; hlt
        int index = Integer.parseInt(msr, 16);
        try (Guest64 g = new Guest64(
                Knobs.parse("cpu.vendor=" + vendor),
                false,
                0xb9,
                index & 0xff,
                index >> 8,
                0,
                0,
                0xb8,
                0xef,
                0xcd,
                0xab,
                0x89,
                0xba,
                0x67,
                0x45,
                0,
                0,
                0x0f,
                0x30,
                0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            long[] value = new long[1];
            assertThat(g.vcpu.getMsr(index, value)).isTrue();
            assertThat(value[0]).isEqualTo(Long.parseLong(kept, 16));
        }
    }

    /** What docs/vendors.md says holds a line is a test that there is. */
    @Test
    void everyTestThatTheTableNamesIsThere() throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (!Files.exists(root.resolve("docs/vendors.md"))) root = root.getParent();
        Matcher names = Pattern.compile("`(\\w+Test)`").matcher(Files.readString(root.resolve("docs/vendors.md")));
        int found = 0;
        while (names.find()) {
            String file = names.group(1) + ".java";
            try (Stream<Path> kvm = Files.walk(root.resolve("kvm/src/test"));
                    Stream<Path> cpu = Files.walk(root.resolve("cpu/src/test"))) {
                assertThat(Stream.concat(kvm, cpu).anyMatch(f -> f.endsWith(file)))
                        .as(file)
                        .isTrue();
            }
            found++;
        }
        assertThat(found).isGreaterThan(2);
    }

    /** NullSelectorClearsBase, CPUID 8000_0021h EAX[6]. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aNullSelectorClearsTheBaseOnAnAmdThatSaysSo(boolean clears) {
        // mov %eax,%gs; hlt
        try (Guest64 g = new Guest64(Knobs.parse("cpu.vendor=amd"), false, 0x8e, 0xe8, 0xf4)) {
            List<CpuidEntry> leaves = new ArrayList<>(g.kvm.supportedCpuid());
            if (clears) {
                leaves.add(new CpuidEntry(0x8000_0021, 0, 0, 1 << 6, 0, 0, 0));
            }
            g.vcpu.setCpuid(leaves);
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.gs.base = 0x5000;
            g.vcpu.setSregs(s);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            g.vcpu.getSregs(s);
            assertThat(s.gs.selector).isZero();
            assertThat(s.gs.base).isEqualTo(clears ? 0 : 0x5000);
        }
    }
}
