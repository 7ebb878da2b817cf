package dev.slate.kvm.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mmu.Tlb;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every guest paging mode x bits of the entry that maps the page x bits of the entry above x control bits x privilege x access, against a
 * small model, in both MMUs. The guest edits its tables by its own stores, so the shadow MMU must follow them.
 */
final class PagingModesTest {
    private static final long P = 1;
    private static final long W = 2;
    private static final long U = 4;
    private static final long A = 1 << 5;
    private static final long D = 1 << 6;
    private static final long PS = 1 << 7;
    private static final long NX = 1L << 63;
    /** Above the guest's MAXPHYADDR of 48. */
    private static final long RESERVED = 1L << 50;

    private static final long RAM = 16 << 20;
    private static final long TABLES = 0x10_0000;
    private static final long SMALL_DATA = 0x20_0000;
    private static final long LARGE_DATA = 0x40_0000;
    private static final long GIANT_DATA = 1L << 30;
    private static final long NO_MEMORY = 3L << 30;

    private static final int ABOVES = 16;
    private static final long[] ABOVE_BITS = {P, W, U, NX};

    enum Format {
        TWO_LEVEL(4, 0),
        PAE(8, CpuState.CR4_PAE),
        FOUR_LEVEL(8, CpuState.CR4_PAE),
        FIVE_LEVEL(8, CpuState.CR4_PAE | CpuState.CR4_LA57);

        final int entryBytes;
        final long cr4;

        Format(int entryBytes, long cr4) {
            this.entryBytes = entryBytes;
            this.cr4 = cr4;
        }

        boolean longMode() {
            return this == FOUR_LEVEL || this == FIVE_LEVEL;
        }
    }

    /** What the page is. */
    enum Memory {
        SMALL_PAGES,
        /** The host's pages are large ones, and must not be executed from as such. */
        NX_HUGE_PAGES,
        MMIO
    }

    static Stream<Arguments> everything() {
        List<Arguments> all = new ArrayList<>();
        for (boolean tdp : new boolean[] {true, false}) {
            for (Memory m : Memory.values()) {
                for (Format f : Format.values()) {
                    for (int level = 1; level <= (f.longMode() ? 3 : 2); level++) {
                        all.add(Arguments.of(tdp ? "tdp" : "shadow", m, f, level));
                    }
                }
            }
        }
        return all.stream();
    }

    private Memory memory;

    private PagedVm vm;
    private PagedVcpu v;
    private CpuState s;
    private Format format;
    private int leafLevel;
    private long nextTable;
    private long ramHva;
    private long giantHva;

    // One a case: where it is, what stands there, and where its entry is.
    private long[] la;
    private long[] leaf;
    private long[] above;
    private long[] entryGpa;
    private int cases;

    @ParameterizedTest(name = "{0} {1} {2} level {3}")
    @MethodSource("everything")
    void everyMixOfModeEntryBitsControlBitsAndAccessGivesTheModelsFaultOrAddress(
            String mmu, Memory m, Format f, int level) {
        memory = m;
        format = f;
        leafLevel = level;
        vm = new PagedVm(mmu.equals("tdp"), "");
        try {
            ramHva = vm.ram(RAM);
            giantHva = vm.ram(2 << 20);
            vm.host.huge = m == Memory.NX_HUGE_PAGES;
            vm.nxHugePages = m == Memory.NX_HUGE_PAGES;
            vm.memory.setUserMemoryRegion(0, 0, 0, RAM, ramHva);
            vm.memory.setUserMemoryRegion(1, 0, GIANT_DATA, 2 << 20, giantHva);
            v = vm.vcpu();
            s = v.s;
            build();
            int done = 0;
            for (int control = 0; control < (f.longMode() ? 64 : 32); control++) {
                done += underControl(control);
            }
            assertThat(done).isGreaterThan(2 * 3 * 32 * cases - 1);
        } finally {
            vm.close();
        }
    }

    // ------------------------------------------------------------------ the guest's tables

    private long table() {
        long at = nextTable;
        nextTable += 4096;
        return at;
    }

    private void put(long gpa, long v) {
        if (format.entryBytes == 8) {
            HostMemory.put64(ramHva + gpa, v);
        } else {
            HostMemory.put32(ramHva + gpa, (int) v);
        }
    }

    private long get(long gpa) {
        return format.entryBytes == 8 ? HostMemory.get64(ramHva + gpa) : HostMemory.get32(ramHva + gpa) & 0xffff_ffffL;
    }

    private long data() {
        return leafLevel == 1 ? SMALL_DATA : leafLevel == 2 ? LARGE_DATA : GIANT_DATA;
    }

    /** The values of the entry that maps the page. */
    private List<Long> leaves() {
        long[] bits = format.entryBytes == 8 ? new long[] {P, W, U, NX, RESERVED, D} : new long[] {P, W, U, D};
        long base = (leafLevel == 1 ? 0 : PS) | (memory == Memory.MMIO ? NO_MEMORY : data());
        List<Long> all = new ArrayList<>();
        for (int i = 0; i < 1 << bits.length; i++) {
            long e = base;
            for (int b = 0; b < bits.length; b++) {
                e |= (i >> b & 1) != 0 ? bits[b] : 0;
            }
            all.add(e);
        }
        if (format.longMode()) {
            for (int i = 0; i < 16; i++) {
                all.add(base | P | (i & 1) * W | (i >> 1 & 1) * U | (long) (i >> 2) << 59);
            }
        }
        if (format == Format.PAE) {
            // Ignored in long mode, reserved here.
            all.add(base | P | W | U | 1L << 52);
        }
        if (format == Format.TWO_LEVEL && leafLevel == 2) {
            all.add(base | P | W | U | 1 << 21);
        }
        return all;
    }

    /** Identity mapping of the first 16 MiB for the supervisor, and the cases. */
    private void build() {
        nextTable = TABLES;
        List<Long> leaves = leaves();
        int aboves = format == Format.TWO_LEVEL
                ? leafLevel == 1 ? 8 : 1
                : format == Format.PAE && leafLevel == 2 ? 1 : ABOVES;
        cases = leaves.size() * aboves;
        la = new long[cases];
        leaf = new long[cases];
        above = new long[cases];
        entryGpa = new long[cases];
        long top = table();
        int shift = format.entryBytes == 8 ? 9 : 10;
        int levels = switch (format) {
            case TWO_LEVEL -> 2;
            case PAE -> 3;
            case FOUR_LEVEL -> 4;
            default -> 5;
        };
        s.cr3 = top;
        for (long at = 0; at < RAM; at += 4096) {
            map(top, levels, shift, at, at | P | W | D, 1);
        }
        for (int a = 0; a < aboves; a++) {
            long upper = aboves == 1 ? P | W | U : 0;
            for (int b = 0; aboves != 1 && b < 4; b++) {
                upper |= (a >> b & 1) != 0 ? ABOVE_BITS[b] : 0;
            }
            if (format == Format.TWO_LEVEL) {
                upper &= ~NX;
            }
            for (int l = 0; l < leaves.size(); l++) {
                int i = a * leaves.size() + l;
                int low = 12 + shift * (leafLevel - 1);
                // Well away from the identity mapping: the second quarter, or the second entry of the top table.
                long far = format.longMode() ? 1L << 12 + shift * Math.max(leafLevel, 3) : 1L << 30;
                la[i] = far + ((long) a << low + shift) + ((long) l << low);
                leaf[i] = leaves.get(l);
                above[i] = upper;
                entryGpa[i] = map(top, levels, shift, la[i], leaf[i], leafLevel);
                if (aboves != 1) {
                    long at = entry(top, levels, shift, la[i], leafLevel + 1);
                    put(at, get(at) & ~(P | W | U | NX) | upper);
                }
            }
        }
        if (format == Format.PAE) {
            for (int i = 0; i < 4; i++) {
                long e = get(top + 8L * i);
                put(top + 8L * i, e & ~(W | U));
            }
        }
    }

    /** Enters {@code e} at a level for {@code la}; tables on the way have all rights. @return the entry's gpa */
    private long map(long top, int levels, int shift, long la, long e, int level) {
        long t = top;
        for (int l = levels; l > level; l--) {
            long at = t + (la >>> 12 + shift * (l - 1) & (1 << shift) - 1) * format.entryBytes;
            if (get(at) == 0) {
                put(at, table() | P | W | U);
            }
            t = get(at) & 0xf_ffff_f000L;
        }
        long at = t + (la >>> 12 + shift * (level - 1) & (1 << shift) - 1) * format.entryBytes;
        put(at, e);
        return at;
    }

    private long entry(long top, int levels, int shift, long la, int level) {
        long t = top;
        for (int l = levels; ; l--) {
            long at = t + (la >>> 12 + shift * (l - 1) & (1 << shift) - 1) * format.entryBytes;
            if (l == level) {
                return at;
            }
            t = get(at) & 0xf_ffff_f000L;
        }
    }

    // ------------------------------------------------------------------ the run

    private int underControl(int control) {
        boolean wp = (control & 1) != 0;
        boolean smep = (control & 2) != 0;
        boolean smap = (control & 4) != 0;
        boolean ac = (control & 8) != 0;
        boolean nxe = (control & 16) != 0;
        boolean pke = (control & 32) != 0;
        s.cr0 = CpuState.CR0_PE | CpuState.CR0_PG | CpuState.CR0_ET | (wp ? CpuState.CR0_WP : 0);
        s.cr4 = format.cr4
                | CpuState.CR4_PSE
                | (smep ? CpuState.CR4_SMEP : 0)
                | (smap ? CpuState.CR4_SMAP : 0)
                | (pke ? CpuState.CR4_PKE : 0);
        s.efer = (format.longMode() ? CpuState.EFER_LME | CpuState.EFER_LMA : 0) | (nxe ? CpuState.EFER_NX : 0);
        s.segAttr[CpuState.CS] =
                0xb | CpuState.ATTR_S | CpuState.ATTR_P | (format.longMode() ? CpuState.ATTR_L : CpuState.ATTR_DB);
        s.flagsSystem = ac ? CpuState.AC : 0;
        // Keys 1 to 3: no access, no write, neither.
        s.pkru = 0b11_10_01_00;
        s.cpl = 0;
        if (format == Format.PAE) {
            for (int i = 0; i < 4; i++) {
                s.pdptr[i] = get(s.cr3 + 8L * i);
            }
        }
        v.changed();
        restore();
        int done = 0;
        // The supervisor again, when what user mode's accesses have left in the tables is there.
        for (int cpl : new int[] {0, 3, 0}) {
            s.cpl = cpl;
            for (int i = 0; i < cases; i++) {
                for (int access = 0; access < 3; access++) {
                    check(i, access, control);
                    done++;
                }
            }
        }
        s.cpl = 0;
        return done;
    }

    /** The guest puts its entries back to what they were, accessed and dirty bits included, and flushes. */
    private void restore() {
        for (int i = 0; i < cases; i++) {
            if (get(entryGpa[i]) != leaf[i]) {
                if (format.entryBytes == 8) {
                    v.store64(entryGpa[i], leaf[i]);
                } else {
                    v.store32(entryGpa[i], (int) leaf[i]);
                }
            }
        }
        v.changed();
    }

    private void check(int i, int access, int control) {
        long before = get(entryGpa[i]);
        int expected = model(above[i], leaf[i], access, control);
        s.cr2 = 0;
        int got = v.access(la[i], access);
        if (got != expected) {
            throw failed(i, access, control, "expected " + expected + ", got " + got);
        }
        long after = get(entryGpa[i]);
        if (expected != PagedVcpu.OK) {
            if (s.cr2 != la[i] || after != before) {
                throw failed(i, access, control, "CR2 or the entry changed: " + Long.toHexString(after));
            }
            return;
        }
        long want = memory == Memory.MMIO ? ~NO_MEMORY : leafLevel == 3 ? giantHva : ramHva + data();
        if (v.hva != want) {
            throw failed(i, access, control, "translated to " + Long.toHexString(v.hva - want));
        }
        if (after != (before | A | (access == Tlb.WRITE ? D : 0))) {
            throw failed(i, access, control, "accessed and dirty bits: " + Long.toHexString(after));
        }
    }

    private AssertionError failed(int i, int access, int control, String what) {
        return new AssertionError("%s level %d leaf %x above %x control %x cpl %d access %d la %x: %s"
                .formatted(format, leafLevel, leaf[i], above[i], control, s.cpl, access, la[i], what));
    }

    /** SDM 3A 4.6, 4.7: the error code of the fault, or {@link PagedVcpu#OK}. */
    private int model(long upper, long e, int access, int control) {
        boolean wp = (control & 1) != 0;
        boolean smep = (control & 2) != 0;
        boolean smap = (control & 4) != 0 && (control & 8) == 0;
        boolean nxe = (control & 16) != 0 && format.entryBytes == 8;
        boolean user = s.cpl == 3;
        int code = (access == Tlb.WRITE ? 2 : 0) | (user ? 4 : 0) | (access == Tlb.FETCH && (nxe || smep) ? 16 : 0);
        for (long x : new long[] {upper, e}) {
            if ((x & P) == 0) {
                return code;
            }
            boolean bad = format.entryBytes == 8 && ((x & RESERVED) != 0 || (x & NX) != 0 && !nxe)
                    || format == Format.PAE && (x & 1L << 52) != 0
                    || format == Format.TWO_LEVEL && leafLevel == 2 && x == e && (x & 1 << 21) != 0;
            if (bad) {
                return code | 1 | 8;
            }
        }
        boolean writable = (e & upper & W) != 0;
        boolean userPage = (e & upper & U) != 0;
        boolean executable = ((e | upper) & NX) == 0 || format.entryBytes == 4;
        boolean allowed = switch (access) {
            case Tlb.FETCH -> executable && (user ? userPage : !(userPage && smep));
            case Tlb.WRITE -> (user ? userPage : !(userPage && smap)) && (writable || !user && !wp);
            default -> user ? userPage : !(userPage && smap);
        };
        if (!allowed) {
            return code | 1;
        }
        if ((control & 32) != 0 && format.longMode() && userPage && access != Tlb.FETCH) {
            int rights = s.pkru >> 2 * (int) (e >>> 59 & 15) & 3;
            if ((rights & 1) != 0 || access == Tlb.WRITE && (rights & 2) != 0 && (user || wp)) {
                return code | 1 | 32;
            }
        }
        return PagedVcpu.OK;
    }
}
