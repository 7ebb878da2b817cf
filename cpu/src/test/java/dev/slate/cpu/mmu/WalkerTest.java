package dev.slate.cpu.mmu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WalkerTest {
    private static final long P = 1;
    private static final long W = 2;
    private static final long U = 4;
    private static final long A = 1 << 5;
    private static final long D = 1 << 6;
    private static final long PS = 1 << 7;
    private static final long NX = 1L << 63;
    /** An address bit above the guest's MAXPHYADDR of 48. */
    private static final long RESERVED = 1L << 50;

    private static final long PML4 = 0x10000;
    private static final long PDPT = 0x11000;
    private static final long PD = 0x12000;
    private static final long PT = 0x13000;
    private static final long LA = 0x0000_1234_5678_9000L;

    private final PhysicalMemory memory = new PhysicalMemory(1 << 20);
    private final Cpu cpu = memory.cpu;
    private final CpuState s = cpu.s;

    @BeforeEach
    void longMode() {
        memory.longMode(0x1000);
        memory.mapAll();
        s.cr3 = PML4;
    }

    @AfterEach
    void close() {
        memory.close();
    }

    private static long index(int shift) {
        return (LA >>> shift & 511) * 8;
    }

    private long entryAddress(int level) {
        return switch (level) {
            case 1 -> PT + index(12);
            case 2 -> PD + index(21);
            case 3 -> PDPT + index(30);
            default -> PML4 + index(39);
        };
    }

    /** Full rights everywhere, the given leaf at the given level. */
    private void tables(int leafLevel, long leaf, long above) {
        memoryPut(PML4 + index(39), PDPT | P | W | U);
        memoryPut(PDPT + index(30), PD | P | W | U);
        memoryPut(PD + index(21), PT | P | W | U);
        memoryPut(entryAddress(leafLevel), leaf);
        long next = leafLevel == 1 ? PT : leafLevel == 2 ? PD : PDPT;
        memoryPut(entryAddress(leafLevel + 1), next | above);
    }

    private void memoryPut(long gpa, long v) {
        HostMemory.put64(memory.hva(gpa), v);
    }

    private long memoryGet(long gpa) {
        return HostMemory.get64(memory.hva(gpa));
    }

    /** The small model (SDM 3A 4.6, 4.7): the error code of the fault, or -1 when the access is allowed. */
    private static int model(
            long leaf,
            long above,
            int access,
            boolean user,
            boolean wp,
            boolean smep,
            boolean smapActive,
            boolean nxe) {
        int code = (access == Tlb.WRITE ? 2 : 0) | (user ? 4 : 0) | (access == Tlb.FETCH && (nxe || smep) ? 16 : 0);
        for (long e : new long[] {above, leaf}) {
            if ((e & P) == 0) {
                return code;
            }
            if ((e & RESERVED) != 0 || (e & NX) != 0 && !nxe) {
                return code | 1 | 8;
            }
        }
        boolean writable = (leaf & above & W) != 0;
        boolean userPage = (leaf & above & U) != 0;
        boolean executable = ((leaf | above) & NX) == 0;
        boolean allowed = switch (access) {
            case Tlb.FETCH -> executable && (user ? userPage : !(userPage && smep));
            case Tlb.WRITE -> (user ? userPage : !(userPage && smapActive)) && (writable || !user && !wp);
            default -> user ? userPage : !(userPage && smapActive);
        };
        return allowed ? -1 : code | 1;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void everyMixOfEntryBitsControlBitsAndAccessGivesTheModelsFaultOrAddress(int leafLevel) {
        long[] bits = {P, W, U, NX, RESERVED, D};
        long[] upper = {P, W, U, NX};
        int cases = 0;
        for (int l = 0; l < 64; l++) {
            long leaf = leafLevel == 1 ? 0x20000 : PS;
            for (int i = 0; i < bits.length; i++) {
                leaf |= (l >> i & 1) != 0 ? bits[i] : 0;
            }
            for (int a = 0; a < 16; a++) {
                long above = 0;
                for (int i = 0; i < upper.length; i++) {
                    above |= (a >> i & 1) != 0 ? upper[i] : 0;
                }
                tables(leafLevel, leaf, above);
                for (int control = 0; control < 32; control++) {
                    boolean wp = (control & 1) != 0;
                    boolean smep = (control & 2) != 0;
                    boolean smap = (control & 4) != 0;
                    boolean ac = (control & 8) != 0;
                    boolean nxe = (control & 16) != 0;
                    s.cr0 = s.cr0 & ~CpuState.CR0_WP | (wp ? CpuState.CR0_WP : 0);
                    s.cr4 = CpuState.CR4_PAE | (smep ? CpuState.CR4_SMEP : 0) | (smap ? CpuState.CR4_SMAP : 0);
                    s.efer = CpuState.EFER_LME | CpuState.EFER_LMA | (nxe ? CpuState.EFER_NX : 0);
                    s.flagsSystem = ac ? CpuState.AC : 0;
                    for (int user = 0; user < 2; user++) {
                        s.cpl = user * 3;
                        for (int access = 0; access < 3; access++) {
                            memoryPut(entryAddress(leafLevel), leaf);
                            cpu.flushTlb();
                            for (int other = 0; other < 3; other++) {
                                allowed[other] = model(leaf, above, other, user == 1, wp, smep, smap && !ac, nxe) == -1;
                            }
                            int expected = model(leaf, above, access, user == 1, wp, smep, smap && !ac, nxe);
                            check(
                                    leafLevel,
                                    leaf,
                                    access,
                                    expected,
                                    "leaf %x above %x control %x user %d access %d"
                                            .formatted(leaf, above, control, user, access));
                            cases++;
                        }
                    }
                }
            }
        }
        assertThat(cases).isEqualTo(64 * 16 * 32 * 6);
        assertThat(leafLevel == 1 ? entered : 1).isPositive();
    }

    /** What the model says of reads, writes and fetches in the case at hand. */
    private final boolean[] allowed = new boolean[3];

    /** Rights that were found in the TLB. */
    private int entered;

    private void check(int leafLevel, long leaf, int access, int expected, String what) {
        int got;
        long hva = 0;
        s.cr2 = 0;
        try {
            hva = cpu.walker.translate(LA, access, cpu.tlbMode, true);
            got = -1;
        } catch (GuestFault f) {
            if (f.vector != GuestFault.PF) {
                throw new AssertionError(what + ": vector " + f.vector);
            }
            got = f.errorCode;
        } catch (LeaveGuest e) {
            // A fetch from beyond the RAM: the tables allowed it, and the hypervisor leaves.
            assertThat(access).isEqualTo(Tlb.FETCH);
            got = -1;
            hva = ~(LA & (1L << 12 + 9 * (leafLevel - 1)) - 1);
        }
        if (got != expected) {
            throw new AssertionError(what + ": expected " + expected + ", got " + got);
        }
        long after = memoryGet(entryAddress(leafLevel));
        if (expected == -1) {
            long frame = leafLevel == 1 ? 0x20000 : LA & (1L << 12 + 9 * (leafLevel - 1)) - 1;
            long want = frame < memory.bytes ? memory.hva(frame) : ~frame;
            if (hva != want) {
                throw new AssertionError(what + ": translated to the wrong place");
            }
            if (after != (leaf | A | (access == Tlb.WRITE ? D : 0))) {
                throw new AssertionError(what + ": A/D bits " + Long.toHexString(after));
            }
            // What the TLB now allows must be what the tables allow, of writes while both D bits are set.
            if (hva >= 0) {
                boolean dirty = (after & D) != 0 && (HostMemory.get64(memory.nestedEntry(frame)) & D) != 0;
                for (int other = 0; other < 3; other++) {
                    boolean want2 = allowed[other] && (other != Tlb.WRITE || dirty);
                    if (cpu.tlb.hits(LA, 1, other, cpu.tlbMode) != want2) {
                        throw new AssertionError(what + ": access " + other + " in the TLB: " + !want2);
                    }
                    entered += want2 ? 1 : 0;
                }
            }
        } else if (s.cr2 != LA || after != leaf) {
            throw new AssertionError(what + ": CR2 or the entry changed");
        }
    }

    @Test
    void aPageReadFirstIsNotWritableInTheTlbUntilItsDirtyBitIsSet() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        assertThat(cpu.load64(CpuState.DS, LA)).isZero();
        assertThat(cpu.tlb.hits(LA, 1, Tlb.WRITE, 0)).isFalse();
        assertThat(memoryGet(entryAddress(1)) & D).isZero();
        cpu.store64(CpuState.DS, LA, 42);
        assertThat(memoryGet(entryAddress(1)) & D).isEqualTo(D);
        assertThat(memoryGet(0x20000)).isEqualTo(42);
    }

    @Test
    void aPageThatIsDirtyInBothTablesIsWritableInTheTlbAfterARead() {
        tables(1, 0x20000 | P | W | U | A | D, P | W | U | A);
        memory.mapNested(0x20000, P | W | U | A | D);
        cpu.load64(CpuState.DS, LA);
        assertThat(cpu.tlb.hits(LA, 1, Tlb.WRITE, 0)).isTrue();
        assertThat(cpu.tlb.hits(LA, 1, Tlb.FETCH, 0)).isTrue();
        // Either D bit missing: the first write is to be told of.
        for (boolean nested : new boolean[] {false, true}) {
            cpu.flushTlb();
            tables(1, 0x20000 | P | W | U | A | (nested ? D : 0), P | W | U | A);
            memory.mapNested(0x20000, P | W | U | A | (nested ? 0 : D));
            cpu.load64(CpuState.DS, LA);
            assertThat(cpu.tlb.hits(LA, 1, Tlb.WRITE, 0)).isFalse();
        }
    }

    @Test
    void aNestedPageThatIsReadOnlyIsReportedAsAWriteToAPresentPageAndRetriedOnceFixed() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        memory.mapNested(0x20000, P | U);
        assertThat(cpu.load64(CpuState.DS, LA)).isZero();
        assertThat(memory.nestedFaults).isZero();
        cpu.store64(CpuState.DS, LA, 7);
        assertThat(memory.nestedFaults).isEqualTo(1);
        assertThat(memory.lastFaultGpa).isEqualTo(0x20000);
        assertThat(memory.lastFaultError)
                .isEqualTo(Hypervisor.NPF_FINAL | Hypervisor.NPF_WRITE | Hypervisor.NPF_PRESENT | Hypervisor.NPF_USER);
        assertThat(memoryGet(0x20000)).isEqualTo(7);
    }

    @Test
    void aGuestTableInReadOnlyMemoryCanBeWalkedAslongAsNoBitMustBeSetInIt() {
        tables(1, 0x20000 | P | W | U | A, P | W | U | A);
        memoryPut(PML4 + index(39), PDPT | P | W | U | A);
        memoryPut(PDPT + index(30), PD | P | W | U | A);
        for (long table : new long[] {PML4, PDPT, PD, PT}) {
            memory.mapNested(table, P | U);
        }
        cpu.load64(CpuState.DS, LA);
        assertThat(memory.nestedFaults).isZero();
        cpu.store64(CpuState.DS, LA, 1);
        assertThat(memory.nestedFaults).isEqualTo(1);
        assertThat(memory.lastFaultGpa).isEqualTo(entryAddress(1));
        assertThat(memory.lastFaultError & Hypervisor.NPF_GUEST_TABLE).isNotZero();
    }

    @Test
    void aGuestTableThatLiesInNoMemoryLeavesTheGuestAndIsNeverAnMmioAccess() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        memoryPut(PDPT + index(30), memory.bytes | P | W | U);
        assertThatThrownBy(() -> cpu.load64(CpuState.DS, LA))
                .isInstanceOfSatisfying(
                        LeaveGuest.class, e -> assertThat(e.exit).isEqualTo(CpuExit.NPF));
    }

    @Test
    void nestedAccessedAndDirtyBitsAreSetByTheAccessThatNeedsThem() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        cpu.load64(CpuState.DS, LA);
        assertThat(HostMemory.get64(memory.nestedEntry(0x20000)) & (A | D)).isEqualTo(A);
        cpu.store64(CpuState.DS, LA, 1);
        assertThat(HostMemory.get64(memory.nestedEntry(0x20000)) & (A | D)).isEqualTo(A | D);
    }

    @Test
    void anAccessOverAPagesEndFaultsOnTheSecondPageBeforeAnyByteIsStored() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        long end = LA + 4096 - 3;
        assertThatThrownBy(() -> cpu.store64(CpuState.DS, end, -1)).isInstanceOf(GuestFault.class);
        assertThat(s.cr2).isEqualTo(LA + 4096);
        assertThat(memoryGet(0x20000 + 4088)).isZero();
        memoryPut(PT + index(12) + 8, 0x30000 | P | W | U);
        cpu.store64(CpuState.DS, end, 0x0807_0605_0403_0201L);
        assertThat(cpu.load64(CpuState.DS, end)).isEqualTo(0x0807_0605_0403_0201L);
        assertThat(memoryGet(0x30000)).isEqualTo(0x08_0706_0504L);
    }

    @Test
    void aNonCanonicalAddressIsGpOrSsBySegmentAndNeverAPageFault() {
        for (int seg : new int[] {CpuState.DS, CpuState.SS}) {
            assertThatThrownBy(() -> cpu.load64(seg, 0x0000_8000_0000_0000L))
                    .isInstanceOfSatisfying(
                            GuestFault.class,
                            f -> assertThat(f.vector).isEqualTo(seg == CpuState.SS ? GuestFault.SS : GuestFault.GP));
        }
    }

    @Test
    void anMmioReadLeavesUntilItsAnswerIsThereAndAnMmioWriteStopsTheProcessor() {
        tables(1, 0x4000_0000L | P | W | U, P | W | U);
        assertThatThrownBy(() -> cpu.load32(CpuState.DS, LA + 8))
                .isInstanceOfSatisfying(
                        LeaveGuest.class, e -> assertThat(e.exit).isEqualTo(CpuExit.MMIO));
        memory.mmio.put(0x4000_0008L, 0xfeed_beefL);
        assertThat(cpu.load32(CpuState.DS, LA + 8)).isEqualTo(0xfeed_beef);
        assertThat(cpu.stop).isFalse();
        cpu.store16(CpuState.DS, LA + 16, 0x1234);
        assertThat(memory.mmio).containsEntry(0x4000_0010L, 0x1234L);
        assertThat(cpu.stop).isTrue();
    }

    @Test
    void aLockedCompareAndSetIsAtomicAtEveryAlignmentAndPagesEnd() {
        tables(1, 0x20000 | P | W | U, P | W | U);
        memoryPut(PT + index(12) + 8, 0x30000 | P | W | U);
        for (int size = 0; size < 4; size++) {
            long mask = size == 3 ? -1 : (1L << (8 << size)) - 1;
            for (long at = LA + 4080; at < LA + 4096; at++) {
                long old = 0x1122_3344_5566_7788L & mask;
                cpu.store(CpuState.DS, at, size, old);
                assertThat(cpu.cas(CpuState.DS, at, size, old ^ 1, 5)).isFalse();
                assertThat(cpu.load(CpuState.DS, at, size)).isEqualTo(old);
                assertThat(cpu.cas(CpuState.DS, at, size, old, 0x99aa_bbcc_ddee_ff00L))
                        .isTrue();
                assertThat(cpu.load(CpuState.DS, at, size)).isEqualTo(0x99aa_bbcc_ddee_ff00L & mask);
            }
        }
    }

    @Test
    void thirtyTwoBitPagingKnowsFourMegabytePagesAndTheirReservedBit() {
        s.efer = 0;
        s.cr4 = CpuState.CR4_PSE;
        s.segAttr[CpuState.CS] = 0xb | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_DB;
        cpu.flushTlb();
        long la = 0x0060_2000;
        HostMemory.put32(memory.hva(PML4) + 4, (int) (P | W | PS));
        assertThat(cpu.walker.translate(la, Tlb.READ, 0, true)).isEqualTo(~0x20_2000L);
        HostMemory.put32(memory.hva(PML4) + 4, (int) (P | W | PS | 1 << 21));
        cpu.flushTlb();
        assertThatThrownBy(() -> cpu.walker.translate(la, Tlb.READ, 0, true))
                .isInstanceOfSatisfying(
                        GuestFault.class, f -> assertThat(f.errorCode).isEqualTo(9));
        HostMemory.put32(memory.hva(PML4) + 4, (int) (PDPT | P | W));
        HostMemory.put32(memory.hva(PDPT) + 0x202 * 4, (int) (0x20000 | P | W));
        cpu.flushTlb();
        assertThat(cpu.walker.translate(la + 5, Tlb.WRITE, 0, true)).isEqualTo(memory.hva(0x20005));
        assertThat(HostMemory.get32(memory.hva(PDPT) + 0x202 * 4) & (A | D)).isEqualTo((int) (A | D));
    }
}
