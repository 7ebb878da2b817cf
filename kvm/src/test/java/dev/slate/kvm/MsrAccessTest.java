package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.GuestFault;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.msr.MsrGate;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** MSRs from inside the guest and from its client: which are there, and what a write leaves. */
class MsrAccessTest {
    private static final int MISC_ENABLE = 0x1a0;
    private static final int VM_CR = 0xc001_0114;
    private static final int HSAVE = 0xc001_0117;
    private static final long NONE = -1;
    private static final long HANDLERS = 0x8000;

    /** mov ecx, msr; mov eax, low; mov edx, high; wrmsr; rdmsr; hlt. @return the vector that it ended with, or {@link #NONE} */
    private static long writeAndRead(Guest64 g, int msr, long value) {
        return run(g, msr, value, 0x0f, 0x30, 0x0f, 0x32, 0xf4);
    }

    private static long read(Guest64 g, int msr) {
        return run(g, msr, 0, 0x0f, 0x32, 0xf4);
    }

    private static long run(Guest64 g, int msr, long value, int... code) {
        for (int v = 0; v < 32; v++) {
            g.gate(v, HANDLERS + v * 16L);
            g.write(HANDLERS + v * 16L, 0xf4);
        }
        g.write(Guest64.CODE, code);
        Regs r = new Regs();
        r.rip = Guest64.CODE;
        r.rsp = Guest64.STACK;
        r.rcx = msr & 0xffff_ffffL;
        r.rax = value & 0xffff_ffffL;
        r.rdx = value >>> 32;
        r.rflags = 2;
        g.vcpu.setRegs(r);
        assertThat(g.run()).isEqualTo(new Exit.Halt());
        long at = g.regs().rip - 1 - HANDLERS;
        return at >= 0 && at < 32 * 16 ? at / 16 : NONE;
    }

    private static long result(Guest64 g) {
        return g.regs.rdx << 32 | g.regs.rax & 0xffff_ffffL;
    }

    /** The supported CPUID with nothing of {@code lacking}, and {@code and} set. */
    private static List<CpuidEntry> cpuid(Guest64 g, int[] lacking, int and) {
        List<CpuidEntry> all = new ArrayList<>();
        boolean there = false;
        for (CpuidEntry e : g.kvm.supportedCpuid()) {
            int[] r = {e.eax(), e.ebx(), e.ecx(), e.edx()};
            for (int f : lacking) {
                if (Feature.leaf(f) == e.function() && Feature.subleaf(f) == e.index()) {
                    r[Feature.register(f)] &= ~Feature.mask(f);
                }
            }
            if (and != 0 && Feature.leaf(and) == e.function() && Feature.subleaf(and) == e.index()) {
                r[Feature.register(and)] |= Feature.mask(and);
                there = true;
            }
            all.add(new CpuidEntry(e.function(), e.index(), e.flags(), r[0], r[1], r[2], r[3]));
        }
        if (and != 0 && !there) {
            int[] r = new int[4];
            r[Feature.register(and)] = Feature.mask(and);
            all.add(new CpuidEntry(Feature.leaf(and), Feature.subleaf(and), 0, r[0], r[1], r[2], r[3]));
        }
        return all;
    }

    @Test
    void aGatedMsrIsThereWithAnyOneOfItsFeatures() {
        for (MsrGate gate : MsrGate.values()) {
            int[] features = gate.features();
            for (int i = -1; i < features.length; i++) {
                try (Guest64 g = new Guest64(0xf4)) {
                    g.vcpu.setCpuid(cpuid(g, features, i < 0 ? 0 : features[i]));
                    boolean there = i >= 0 && gate != MsrGate.PRED_CMD;
                    assertThat(read(g, gate.index())).as(gate.name()).isEqualTo(there ? NONE : GuestFault.GP);
                    boolean client = i >= 0 || !gate.clientToo();
                    assertThat(g.vcpu.getMsr(gate.index(), new long[1]))
                            .as("client, " + gate)
                            .isEqualTo(client && gate != MsrGate.PRED_CMD);
                }
            }
        }
    }

    @Test
    void everyListedMsrTakesBackWhatAClientReadOfIt() {
        try (Guest64 g = new Guest64(true, 0xf4)) {
            for (int index : g.kvm.msrIndexList()) {
                long[] value = new long[1];
                assertThat(g.vcpu.getMsr(index, value))
                        .as(Integer.toHexString(index))
                        .isTrue();
                assertThat(g.vcpu.setMsr(index, value[0]))
                        .as(Integer.toHexString(index))
                        .isTrue();
            }
        }
    }

    @Test
    void countersOfOldReadZeroAndDropWhatIsWritten() {
        int[] old = IntStream.concat(
                        IntStream.rangeClosed(0xc001_0000, 0xc001_0007), IntStream.of(0xc1, 0xc2, 0x186, 0x187))
                .toArray();
        try (Guest64 g = new Guest64(Knobs.parse("pmu=off"), false, 0xf4)) {
            for (int msr : old) {
                assertThat(writeAndRead(g, msr, -1))
                        .as(Integer.toHexString(msr))
                        .isEqualTo(NONE);
                assertThat(result(g)).isZero();
                assertThat(g.vcpu.setMsr(msr, -1)).isTrue();
            }
            for (int msr : new int[] {0xc000_ffff, 0xc001_0008, 0xc0, 0xc3, 0x185, 0x188, 0xc001_0200}) {
                assertThat(read(g, msr)).as(Integer.toHexString(msr)).isEqualTo(GuestFault.GP);
            }
        }
    }

    @Test
    void ofMiscEnableTwoBitsAreReadOnlyOneIsIgnoredAndTheOthersAreKept() {
        int emon = 7;
        long unavailable = 1 << 11 | 1 << 12;
        for (int bit = 0; bit < 64; bit++) {
            try (Guest64 g = new Guest64(0xf4)) {
                long[] before = new long[1];
                assertThat(g.vcpu.getMsr(MISC_ENABLE, before)).isTrue();
                assertThat(before[0]).isEqualTo(unavailable);
                long value = before[0] ^ 1L << bit;
                long vector = writeAndRead(g, MISC_ENABLE, value);
                if ((unavailable >>> bit & 1) != 0) {
                    assertThat(vector).as("bit " + bit).isEqualTo(GuestFault.GP);
                } else {
                    assertThat(vector).as("bit " + bit).isEqualTo(NONE);
                    assertThat(result(g)).as("bit " + bit).isEqualTo(bit == emon ? before[0] : value);
                }
                assertThat(g.vcpu.setMsr(MISC_ENABLE, value))
                        .as("client, bit " + bit)
                        .isTrue();
                assertThat(read(g, MISC_ENABLE)).isEqualTo(NONE);
                assertThat(result(g)).as("client, bit " + bit).isEqualTo(value);
            }
        }
    }

    @Test
    void svmThatIsSwitchedOffStaysOff() {
        try (Guest64 g = new Guest64(0xf4)) {
            assertThat(writeAndRead(g, VM_CR, 0x20)).isEqualTo(GuestFault.GP);
            assertThat(writeAndRead(g, VM_CR, 7)).isEqualTo(NONE);
            assertThat(result(g)).isEqualTo(7);
            assertThat(writeAndRead(g, VM_CR, 0x18)).isEqualTo(NONE);
            assertThat(result(g)).isEqualTo(0x18);
            assertThat(writeAndRead(g, VM_CR, 1)).isEqualTo(NONE);
            assertThat(result(g)).as("the lock and SVMDIS stay").isEqualTo(0x19);
        }
    }

    @Test
    void theHostSaveAreaIsAPageOfPhysicalMemoryToAGuestAndAnythingToAClient() {
        try (Guest64 g = new Guest64(0xf4)) {
            assertThat(writeAndRead(g, HSAVE, 0x1000)).isEqualTo(NONE);
            assertThat(result(g)).isEqualTo(0x1000);
            assertThat(writeAndRead(g, HSAVE, 0x1001)).isEqualTo(GuestFault.GP);
            assertThat(writeAndRead(g, HSAVE, 1L << 60)).isEqualTo(GuestFault.GP);
            assertThat(g.vcpu.setMsr(HSAVE, -1)).isTrue();
            assertThat(read(g, HSAVE)).isEqualTo(NONE);
            assertThat(result(g)).isEqualTo(-4096);
        }
    }

    @Test
    void debugControlDropsWhatIsWrittenBecauseThereAreNoBranchRecords() {
        try (Guest64 g = new Guest64(0xf4)) {
            assertThat(writeAndRead(g, 0x1d9, -1)).isEqualTo(NONE);
            assertThat(result(g)).isZero();
        }
    }
}
