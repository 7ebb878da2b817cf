package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Nested tables of a guest's own (APM 2 15.25): every combination of an entry's bits, of those of the entry above, of access and page size, against a
 * walk in this file. The hypervisor writes the entries itself, so that what the MMU shadows must be noticed.
 */
final class NestedPagingTest {
    private static final long ROOT = 0x10_0000;
    private static final long POINTERS = 0x10_1000;
    private static final long DIRECTORY = 0x10_2000;
    private static final long TABLE = 0x10_3000;
    /** Of the first 2 MiB, where everything else lies. */
    private static final long LOW_DIRECTORY = 0x10_4000;

    private static final long LOW_POINTERS = 0x10_5000;

    /** The page under test, as the hypervisor sees it. */
    private static final long PAGE = 0x18_0000;
    /** As its guest does. */
    private static final long TESTED = 0x8000_0000L + PAGE;

    /** Where the hypervisor writes instead of an entry, so that this stays as it is. */
    private static final long ELSEWHERE = 0x4_8000;

    private static final long NX = 1L << 63;
    private static final long FILLED = 0x67;

    /** The mode of the hypervisor, which is that of its nested tables. */
    enum Format {
        LONG(4, 8, 3),
        LONG_5(5, 8, 3),
        PAE(3, 8, 2),
        LEGACY(2, 4, 2);

        final int levels;
        final int bytes;
        final int highestLeaf;

        Format(int levels, int bytes, int highestLeaf) {
            this.levels = levels;
            this.bytes = bytes;
            this.highestLeaf = highestLeaf;
        }

        boolean wide() {
            return levels > 3;
        }
    }

    /** What L2 does with the page. R8 holds its address. */
    enum Kind {
        READ("498b18 0f01d9", 0),
        WRITE("498918 0f01d9", 2),
        READ_THEN_WRITE("498b18 498918 0f01d9", 2),
        FETCH("41ffe0", 0x10),
        /** The page holds a page table of L2's: on silicon its walk writes. */
        WALK("498b18 0f01d9", 2);

        final String code;
        final int error;

        Kind(String code, int error) {
            this.code = code;
            this.error = error;
        }
    }

    private NestedGuest n;
    private Format format;
    private boolean nxe;

    private long physicalReserved;

    private void put(long gpa, long entry) {
        if (format.bytes == 8) {
            HostMemory.put64(n.g.hva + gpa, entry);
        } else {
            HostMemory.put32(n.g.hva + gpa, (int) entry);
        }
    }

    private long get(long gpa) {
        return format.bytes == 8 ? HostMemory.get64(n.g.hva + gpa) : HostMemory.get32(n.g.hva + gpa) & 0xffff_ffffL;
    }

    /** Where the entry of the tested page lies at a level, 1 to 3. */
    private long entryAt(int level) {
        if (format == Format.LEGACY) {
            return level == 1 ? TABLE + (TESTED >>> 12 & 1023) * 4 : ROOT + (TESTED >>> 22) * 4;
        }
        return switch (level) {
            case 1 -> TABLE + (TESTED >>> 12 & 511) * 8;
            case 2 -> DIRECTORY + (TESTED >>> 21 & 511) * 8;
            default -> (format.wide() ? LOW_POINTERS : ROOT) + (TESTED >>> 30) * 8;
        };
    }

    /** What stands in the entry that leads down to a leaf's level, rights aside. */
    private long below(int level) {
        return level == 2 ? TABLE : DIRECTORY;
    }

    private void tables() {
        HostMemory.fill(n.g.hva + ROOT, 0x6000, 0);
        switch (format) {
            case LONG, LONG_5 -> {
                long pml4 = format == Format.LONG ? ROOT : POINTERS;
                if (format == Format.LONG_5) {
                    put(ROOT, POINTERS | FILLED);
                }
                put(pml4, LOW_POINTERS | FILLED);
                put(LOW_POINTERS, LOW_DIRECTORY | FILLED);
                put(LOW_DIRECTORY, 0xe7);
            }
            case PAE -> {
                put(ROOT, LOW_DIRECTORY | 1);
                put(ROOT + 16, DIRECTORY | 1);
                put(LOW_DIRECTORY, 0xe7);
            }
            default -> put(ROOT, 0xe7);
        }
    }

    /** Puts the hypervisor into its mode, at its first instruction. */
    private void hypervisor() {
        n.start();
        n.put64(0x90, 1);
        n.put64(0xb0, ROOT);
        n.put64(0x668, 0x0007_0406_0007_0406L);
        Sregs s = new Sregs();
        n.g.vcpu.getSregs(s);
        s.efer = s.efer & ~0x800 | (nxe ? 0x800 : 0);
        // L2 reaches the tested page by a page of 1 GiB, and through a table in it.
        HostMemory.put64(n.g.hva + 0x2010, 0x8000_00e3L);
        HostMemory.put64(n.g.hva + 0x1008, TESTED | 0x23);
        if (format == Format.LONG_5) {
            HostMemory.put64(n.g.hva + 0x4000, 0x1003);
            s.cr3 = 0x4000;
            s.cr4 |= 1 << 12;
        } else if (!format.wide()) {
            HostMemory.put64(n.g.hva + 0x4000, format == Format.PAE ? 0x3001 : 0x83);
            s.cr3 = 0x4000;
            s.cr4 = format == Format.PAE ? 0x30 : 0x10;
            s.efer &= ~0x500L;
            s.cs.selector = 0x30;
            s.cs.l = 0;
            s.cs.db = 1;
            s.gdtLimit = 0x37;
        }
        n.g.vcpu.setSregs(s);
        int[] store = format.wide()
                ? new int[] {0x48, 0x89, 0x16, 0x48, 0x89, 0x0f, 0x48, 0xc7, 0xc0}
                : format == Format.PAE
                        ? new int[] {0x89, 0x16, 0x89, 0x6e, 4, 0x89, 0x0f, 0x89, 0x5f, 4, 0xb8}
                        : new int[] {0x89, 0x16, 0x89, 0x0f, 0xb8};
        n.g.write(Guest64.CODE, store);
        n.g.write(Guest64.CODE + store.length, 0, 0, 5, 0, 0x0f, 1, 0xda, 0x0f, 1, 0xd8, 0xf4);
    }

    /** One case: the hypervisor writes both entries and runs its guest. */
    private void run(Kind kind, long upperAt, long upper, long leafAt, long leaf) {
        n.flushAtEntry();
        n.put64(0x578, NestedGuest.L2);
        n.put64(0x570, 2);
        n.put64(0x4d0, 0x1d00);
        n.put32(0x70, 0xdead);
        Regs r = n.g.regs();
        r.rip = Guest64.CODE;
        r.rsi = leafAt;
        r.rdx = leaf;
        r.rbp = leaf >>> 32;
        r.rdi = upperAt;
        r.rcx = upper;
        r.rbx = upper >>> 32;
        r.r8 = kind == Kind.WALK ? 1L << 39 | 0x4_0000 : TESTED;
        n.g.vcpu.setRegs(r);
        n.g.vcpu.setMpState(MpState.RUNNABLE);
        Exit exit = n.g.run();
        if (!exit.equals(new Exit.Halt())) {
            throw new AssertionError(exit.toString());
        }
    }

    /** The error code of the walk, or -1: the access is allowed. {@code entries} from the top. */
    private int model(Kind kind, boolean write, int leafLevel, long upper, long leaf) {
        int access = (write ? 2 : 0) | (kind == Kind.FETCH && nxe && format.bytes == 8 ? 0x10 : 0) | 4;
        boolean w = true;
        boolean u = true;
        boolean x = true;
        for (long e : new long[] {upper, leaf}) {
            if ((e & 1) == 0) {
                return access;
            }
            boolean isLeaf = e == leaf;
            long reserved = 0;
            if (format.bytes == 8) {
                reserved = physicalReserved | (nxe ? 0 : NX) | (format == Format.PAE ? 0x7ffL << 52 : 0);
                if (isLeaf && leafLevel > 1) {
                    reserved |= (1L << 12 + 9 * (leafLevel - 1)) - 1 & ~0x1fffL;
                }
            } else if (isLeaf && leafLevel == 2) {
                reserved = 1 << 21;
            }
            if ((e & reserved) != 0) {
                return access | 9;
            }
            w &= (e & 2) != 0;
            u &= (e & 4) != 0;
            x &= format.bytes == 4 || (e & NX) == 0;
        }
        return !u || write && !w || kind == Kind.FETCH && !x ? access | 1 : -1;
    }

    private static final long[] BITS = {1, 2, 4, NX, 1L << 51};

    private static long bits(int n, int count) {
        long all = 0;
        for (int i = 0; i < count; i++) {
            all |= (n >>> i & 1) != 0 ? BITS[i] : 0;
        }
        return all;
    }

    @ParameterizedTest
    @EnumSource(Format.class)
    void everyAccessOfAGuestsGuestEndsAsAWalkOfTheHypervisorsTablesSays(Format f) {
        format = f;
        int[] ends = new int[2];
        for (int leafLevel = 1; leafLevel <= f.highestLeaf; leafLevel++) {
            for (boolean nx : f.bytes == 8 ? new boolean[] {true, false} : new boolean[] {false}) {
                nxe = nx;
                try (NestedGuest guest = new NestedGuest("tdp=on")) {
                    n = guest;
                    physicalReserved = 0x000f_ffff_ffff_f000L & -1L << guest.g.physicalBits();
                    tables();
                    hypervisor();
                    for (Kind kind : Kind.values()) {
                        kind(kind, leafLevel, ends);
                    }
                    assertThat(guest.rmapsStat()).as("rmaps are in use").contains("4K");
                }
            }
        }
        System.out.println("NestedPagingTest " + f + ": " + ends[0] + " faults, " + ends[1] + " accesses");
        assertThat(ends[0]).as("faults").isPositive();
        assertThat(ends[1]).as("accesses").isPositive();
    }

    private void kind(Kind kind, int leafLevel, int[] ends) {
        n.code(kind.code);
        long upperAt = entryAt(leafLevel + 1);
        // What leads to the leaf, filled, where it is not what is varied.
        for (int level = leafLevel + 1; level <= (format.wide() ? 3 : 2); level++) {
            put(entryAt(level), below(level) | FILLED);
        }
        boolean uppers = leafLevel < (format.wide() ? 3 : 2);
        if (!uppers) {
            // Nothing above is of this page alone: the same again.
            upperAt = format == Format.PAE ? ROOT + 16 : ROOT;
        }
        int bits = format.bytes == 8 ? 5 : 3;
        for (int up = 0; up < (uppers ? 1 << Math.min(bits, 4) : 1); up++) {
            for (int low = 0; low < 1 << bits; low++) {
                for (long ad : new long[] {0, 0x60}) {
                    long upper = uppers ? below(leafLevel + 1) | bits(up, 4) : get(upperAt);
                    long leaf = (leafLevel == 1 ? PAGE : 0) | bits(low, bits) | ad | (leafLevel > 1 ? 0x80 : 0);
                    long rights = uppers ? upper : FILLED;
                    if (!one(kind, leafLevel, upperAt, upper, rights, leaf, ends)) {
                        continue;
                    }
                    // What is mapped now loses a right, and gets it back, while it counts as used.
                    for (int i = 1; i < Math.min(bits, 4); i++) {
                        one(kind, leafLevel, ELSEWHERE, rights | 0x20, rights | 0x20, leaf ^ BITS[i] | 0x60, ends);
                        one(kind, leafLevel, ELSEWHERE, rights | 0x20, rights | 0x20, leaf | 0x60, ends);
                    }
                }
            }
        }
        if (leafLevel > 1) {
            // A bit of the frame that a large page must not have.
            long leaf = FILLED | 0x80 | (format == Format.LEGACY ? 1 << 21 : 1 << 13);
            one(kind, leafLevel, upperAt, uppers ? below(leafLevel + 1) | FILLED : get(upperAt), FILLED, leaf, ends);
        }
    }

    /** @return whether it was allowed */
    private boolean one(Kind kind, int leafLevel, long upperAt, long upper, long upperRights, long leaf, int[] ends) {
        HostMemory.put64(n.g.hva + PAGE, kind == Kind.FETCH ? 0xd9010f : kind == Kind.WALK ? 0xe3 : 0x55);
        long leafAt = entryAt(leafLevel);
        run(kind, upperAt, upper, leafAt, leaf);
        String what = "%s, %s, level %d, NX %b, upper %x, leaf %x".formatted(format, kind, leafLevel, nxe, upper, leaf);
        boolean first = kind == Kind.WRITE || kind == Kind.WALK;
        int error = model(kind, first, leafLevel, upperRights, leaf);
        boolean second = error < 0 && kind == Kind.READ_THEN_WRITE;
        if (second) {
            error = model(kind, true, leafLevel, upperRights, leaf);
        }
        if (error >= 0) {
            ends[0]++;
            long where = kind == Kind.WALK ? 1L << 33 : 1L << 32;
            if (n.exitCode() != 0x400 || n.get64(0x78) != (error | where) || n.get64(0x80) != TESTED) {
                throw new AssertionError("%s: exit %x, info %x, %x, and should be %x"
                        .formatted(what, n.exitCode(), n.get64(0x78), n.get64(0x80), error | where));
            }
        } else {
            ends[1]++;
            if (n.exitCode() != 0x81) {
                throw new AssertionError(
                        "%s: exit %x, info %x, %x".formatted(what, n.exitCode(), n.get64(0x78), n.get64(0x80)));
            }
        }
        boolean read = error < 0 || second;
        long want = leaf | (read ? 0x20 : 0) | (error < 0 && kind.error == 2 ? 0x40 : 0);
        if (get(leafAt) != want) {
            throw new AssertionError("%s: the entry is %x, and should be %x".formatted(what, get(leafAt), want));
        }
        if (upperRights == upper && get(upperAt) != (upper | (read ? 0x20 : 0))) {
            throw new AssertionError("%s: the entry above is %x".formatted(what, get(upperAt)));
        }
        return error < 0;
    }

    @Test
    void anAddressThatTheTablesCannotReachIsNotThere() {
        List<String> done = new ArrayList<>();
        for (Format f : Format.values()) {
            format = f;
            nxe = false;
            try (NestedGuest guest = new NestedGuest("tdp=on")) {
                n = guest;
                tables();
                hypervisor();
                n.code(Kind.READ.code);
                long beyond = f == Format.LONG_5 ? 1L << 57 : f == Format.LONG ? 1L << 48 : 1L << 32;
                if (beyond >>> guest.g.physicalBits() != 0) {
                    // L2 cannot name it.
                    continue;
                }
                // L2's gigabyte of the tested page lies there.
                HostMemory.put64(n.g.hva + 0x2010, beyond | 0xe3);
                run(Kind.READ, ROOT + 8, 0, ROOT + 8, 0);
                assertThat(n.exitCode()).as("%s", f).isEqualTo(0x400);
                assertThat(n.get64(0x78)).as("%s", f).isEqualTo(4 | 1L << 32);
                assertThat(n.get64(0x80)).as("%s", f).isEqualTo(beyond | TESTED & 0x3fff_ffff);
                done.add(f.name());
            }
        }
        assertThat(done).contains("PAE", "LEGACY");
    }
}
