package dev.slate.cpu.exec;

import dev.slate.cpu.CpuState;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * The local descriptor table in which the helper runs 16- and 32-bit code: code segments of both sizes, stacks of both, data with limits,
 * expanding down, read-only and running over the end of 64 KiB into its beginning. The helper makes it by modify_ldt.
 */
final class SiliconSegments {
    /** Where the data page is mapped a second time, so that what wraps at 64 KiB stays within it. */
    static final long ALIAS = SiliconCase.DATA - 0x1_0000;

    static final int GDT_DATA = 0x2b;

    private static final int DATA = 0;
    private static final int DOWN = 1;
    private static final int CODE = 2;

    // Entries.
    private static final int FLAT_CODE = 0;
    private static final int CODE16 = 1;
    private static final int CODE32 = 5;
    private static final int FIRST_STACK = 6;
    private static final int CODES_END = 22;

    private record Entry(long base, int limit, int contents, boolean big, boolean readOnly, boolean pages) {
        private int lastByte() {
            return pages ? limit << 12 | 0xfff : limit;
        }
    }

    private static final Entry[] ENTRIES = {
        new Entry(0, 0xfffff, CODE, true, false, true),
        new Entry(SiliconCase.CODE, 0xffff, CODE, false, false, false),
        new Entry(SiliconCase.CODE + 0x1_0000, 0xffff, CODE, false, false, false),
        new Entry(SiliconCase.CODE + 0x2_0000, 0xffff, CODE, false, false, false),
        new Entry(SiliconCase.CODE + 0x3_0000, 0xffff, CODE, false, false, false),
        new Entry(SiliconCase.CODE, 0x3_ffff, CODE, true, false, false),
        // Stacks: of 16 and of 32 bits, growing up and down.
        new Entry(ALIAS + 0x680, 0xffff, DATA, false, false, false),
        new Entry(ALIAS + 0x680, 0xffff, DATA, true, false, false),
        new Entry(ALIAS + 0x680, 0x7fff, DOWN, false, false, false),
        new Entry(ALIAS + 0x680, 0x7fff, DOWN, true, false, false),
        // Data: the rest may be on the stack's selector, too.
        new Entry(0, 0xfffff, DATA, true, false, true),
        new Entry(ALIAS + 0x680, 0xffff, DATA, false, false, false),
        new Entry(ALIAS + 0x640, 0xffff, DATA, true, false, false),
        new Entry(SiliconCase.DATA + 0x600, 0x7f, DATA, true, false, false),
        new Entry(SiliconCase.DATA, 0xfff, DATA, true, true, false),
        new Entry(SiliconCase.DATA + 0x640 - 0x1_0000, 0xfff7, DOWN, false, false, false),
        new Entry(SiliconCase.DATA + 0x640 - 0x1_0000, 0xfff7, DOWN, true, false, false),
        new Entry(SiliconCase.DATA - 0x8000, 0xffff, DATA, true, false, false),
        new Entry(SiliconCase.DATA + 0x600, 0xffff, DATA, true, false, true),
        // Code that may be read, and code that may only be executed.
        new Entry(SiliconCase.DATA, 0xffff, CODE, false, false, false),
        new Entry(SiliconCase.DATA, 0xffff, CODE, true, true, false),
        new Entry(SiliconCase.DATA + 0x600, 0x3f, DATA, false, false, false),
    };

    private SiliconSegments() {}

    /** What the helper is told of each entry: base, limit and modify_ldt's bits. */
    static List<String> arguments() {
        List<String> all = new ArrayList<>();
        for (Entry e : ENTRIES) {
            int bits = (e.big ? 1 : 0) | e.contents << 1 | (e.readOnly ? 8 : 0) | (e.pages ? 16 : 0);
            all.add(e.base + "," + e.limit + "," + bits);
        }
        return all;
    }

    static int count() {
        return ENTRIES.length;
    }

    /** The descriptor of entry {@code i}, as the kernel makes it: accessed, of privilege 3. */
    static long descriptor(int i) {
        Entry e = ENTRIES[i];
        int type =
                e.contents == CODE ? 9 | (e.readOnly ? 0 : 2) : 1 | (e.readOnly ? 0 : 2) | (e.contents == DOWN ? 4 : 0);
        long access = type | 0xf0 | (e.big ? 0x4000 : 0) | (e.pages ? 0x8000 : 0) | 0x1000;
        return e.limit & 0xffffL
                | (e.base & 0xff_ffff) << 16
                | (access & 0xff) << 40
                | (long) (e.limit >> 16 & 15) << 48
                | (access & 0xf000) << 40
                | (e.base >>> 24 & 0xff) << 56;
    }

    private static int selector(int entry) {
        return entry << 3 | 7;
    }

    /** Linear address of the segment's first byte; selectors that are no entry's are flat. */
    static long base(int selector) {
        return (selector & 4) != 0 ? ENTRIES[selector >> 3].base : 0;
    }

    /** Gives a case its segments, and its offset of code that lies at a linear address. */
    static void choose(SiliconCase c, boolean bits16, long address, SplittableRandom random) {
        if (bits16) {
            int k = (int) (address - SiliconCase.CODE >> 16);
            c.selector(CpuState.CS, selector(CODE16 + k));
            c.rip(address - SiliconCase.CODE & 0xffff);
        } else if (random.nextBoolean()) {
            c.selector(CpuState.CS, selector(CODE32));
            c.rip(address - SiliconCase.CODE);
        } else {
            c.selector(CpuState.CS, selector(FLAT_CODE));
            c.rip(address);
        }
        c.selector(CpuState.SS, random.nextInt(8) == 0 ? GDT_DATA : selector(FIRST_STACK + random.nextInt(4)));
        for (int seg : new int[] {CpuState.ES, CpuState.DS, CpuState.FS, CpuState.GS}) {
            c.selector(seg, data(random));
        }
    }

    /** A selector that a data segment register may hold. */
    private static int data(SplittableRandom random) {
        int kind = random.nextInt(32);
        if (kind == 0) {
            return 0;
        }
        if (kind < 6) {
            return GDT_DATA;
        }
        int entry = FIRST_STACK + random.nextInt(CODES_END - FIRST_STACK);
        // Execute-only code cannot be loaded.
        return ENTRIES[entry].contents == CODE && ENTRIES[entry].readOnly ? GDT_DATA : selector(entry);
    }

    /** Any selector: for what loads one. */
    static int any(SplittableRandom random) {
        return switch (random.nextInt(16)) {
            case 0 -> random.nextInt(4);
            case 1 -> selector(random.nextInt(ENTRIES.length + 4)) & ~3 | random.nextInt(4);
            case 2 -> GDT_DATA;
            case 3 -> 0x23;
            case 4, 5, 6, 7 -> selector(random.nextInt(FIRST_STACK));
            default -> selector(FIRST_STACK + random.nextInt(CODES_END - FIRST_STACK));
        };
    }

    /** An offset that matters in a segment: of data at {@code linear}, at its limit, or at the end of 64 KiB. */
    static long offset(int selector, long linear, int addressSize, SplittableRandom random) {
        long base = base(selector);
        long offset = linear - base;
        int kind = random.nextInt(16);
        if (kind == 0 && (selector & 4) != 0) {
            offset = ENTRIES[selector >> 3].lastByte() - 12 + random.nextInt(24);
        } else if (kind == 1) {
            offset = 0xffff - random.nextInt(12);
        } else if (kind == 2) {
            offset = random.nextInt(12);
        }
        return addressSize == 1 ? offset & 0xffff | (long) random.nextInt(0x1_0000) << 16 : offset & 0xffff_ffffL;
    }
}
