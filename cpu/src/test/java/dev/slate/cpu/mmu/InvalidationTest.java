package dev.slate.cpu.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What each instruction that invalidates takes from the TLB, and what it leaves (SDM 3A 4.10.4.1, 2A INVLPG and INVPCID): four pages, small
 * and large, global and not, read in PCID 1 and in PCID 2, then mapped elsewhere, then the instruction, then read in both again.
 */
final class InvalidationTest {
    private static final int TABLES = 0x1000;
    private static final int SECOND_DIRECTORY = 0x8000;
    private static final int TABLE = 0x9000;
    private static final int DESCRIPTOR = 0xa000;
    private static final int CODE = 0x20_0000;
    private static final long LA = 1L << 30;

    /** The pages' addresses; where the large ones' second pieces are read. */
    private static final long[] PAGES = {LA, LA + 4096, LA + (8 << 20) + 0x5000, LA + (16 << 20) + 0x6000};

    private static final int[] OLD = {0x30_0000, 0x30_1000, 0x40_5000, 0x60_6000};
    private static final int[] NEW = {0x30_2000, 0x30_3000, 0x80_5000, 0xa0_6000};
    private static final long KEEP = 1L << 63;

    /**
     * One instruction, run in PCID 1.
     *
     * @param control bits of CR4 beside PAE
     * @param code the instruction; RAX and RCX are its operands
     * @param expected what is read of small, small global, large, large global in PCID 1, then in PCID 2: O as it was, N as it is now mapped
     *     (which Slate must see, or sees where it may), '.' either; PCID 2 only where there is one
     */
    record Row(String name, long control, String code, long rax, long rcx, long address, String expected) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static Row row(String name, String code, long rax, String expected) {
        return new Row(name, CpuState.CR4_PGE | CpuState.CR4_PCIDE, code, rax, 0, 0, expected);
    }

    private static Row invpcid(int type, long pcid, int page, String expected) {
        return new Row(
                "INVPCID %d of PCID %d, page %d".formatted(type, pcid, page),
                CpuState.CR4_PGE | CpuState.CR4_PCIDE,
                // invpcid (%rcx),%rax
                "660f388201",
                type,
                pcid,
                PAGES[page],
                expected);
    }

    static List<Row> rows() {
        String toCr3 = "0f22d8";
        String toCr4 = "0f22e0";
        String toCr0 = "0f22c0";
        String invlpg = "0f0138";
        long one = TABLES | 1;
        long two = TABLES | 2;
        long cr4 = CpuState.CR4_PAE | CpuState.CR4_OSFXSR;
        long both = CpuState.CR4_PGE | CpuState.CR4_PCIDE;
        long cr0 = CpuState.CR0_PE | CpuState.CR0_PG | CpuState.CR0_NE | CpuState.CR0_ET;
        return List.of(
                row("NOP", "90", 0, "OOOO OOOO"),
                row("MOV CR3, the same PCID", toCr3, one, "NONO OOOO"),
                row("MOV CR3, the same PCID, kept", toCr3, one | KEEP, "OOOO OOOO"),
                row("MOV CR3, another PCID", toCr3, two, "OOOO NONO"),
                row("MOV CR3, another PCID, kept", toCr3, two | KEEP, "OOOO OOOO"),
                row("INVLPG of a small page", invlpg, PAGES[0] + 4095, "NOOO OOOO"),
                row("INVLPG of a small global page", invlpg, PAGES[1], "ONOO ONOO"),
                row("INVLPG of another piece of a large page", invlpg, PAGES[2] - 0x5000, "OONO OOOO"),
                row("INVLPG of another piece of a large global page", invlpg, PAGES[3] - 0x6000, "OOON OOON"),
                row("INVLPG of a page elsewhere", invlpg, LA + (100 << 20), "OOOO OOOO"),
                row("MOV CR4, PGE cleared", toCr4, cr4 | CpuState.CR4_PCIDE, "NNNN NNNN"),
                row("MOV CR4, PKE set", toCr4, cr4 | both | CpuState.CR4_PKE, ".... ...."),
                row("MOV CR4, PCIDE cleared", toCr4, cr4 | CpuState.CR4_PGE, "NNNN"),
                row("MOV CR4, DE set", toCr4, cr4 | both | CpuState.CR4_DE, "OOOO OOOO"),
                row("MOV CR0, WP cleared", toCr0, cr0, ".... ...."),
                invpcid(0, 1, 0, "NOOO OOOO"),
                invpcid(0, 2, 0, "OOOO NOOO"),
                invpcid(0, 1, 1, "O.OO O.OO"),
                invpcid(0, 1, 2, "OONO OOOO"),
                invpcid(0, 3, 0, "OOOO OOOO"),
                invpcid(1, 1, 0, "NONO OOOO"),
                invpcid(1, 2, 0, "OOOO NONO"),
                invpcid(2, 0, 0, "NNNN NNNN"),
                invpcid(3, 0, 0, "NONO NONO"),
                new Row("MOV CR3 without PCIDs", CpuState.CR4_PGE, toCr3, TABLES, 0, 0, "NONO"),
                new Row("MOV CR3 without PCIDs and global pages", 0, toCr3, TABLES, 0, 0, "NNNN"),
                new Row("INVLPG without PCIDs", 0, invlpg, PAGES[1], 0, 0, "ONOO"),
                new Row("MOV CR4, PGE set", 0, toCr4, cr4 | CpuState.CR4_PGE, 0, 0, "NNNN"),
                new Row("MOV CR4, PGE cleared without PCIDs", CpuState.CR4_PGE, toCr4, cr4, 0, 0, "NNNN"));
    }

    private final PhysicalMemory memory = new PhysicalMemory(12 << 20);
    private final CpuState s = memory.cpu.s;

    private void map(int[] frames) {
        for (int i = 0; i < 4; i++) {
            long global = (i & 1) << 8;
            long entry = i < 2 ? frames[i] | 7 | global : frames[i] & -(2 << 20) | 0x87 | global;
            HostMemory.put64(memory.hva(i < 2 ? TABLE + 8 * i : SECOND_DIRECTORY + 8 * 4 * (i - 1)), entry);
        }
    }

    private String read() {
        StringBuilder text = new StringBuilder();
        for (long page : PAGES) {
            text.append((char) memory.cpu.load8(CpuState.DS, page));
        }
        return text.toString();
    }

    private void execute(String hex) {
        byte[] code = HexFormat.of().parseHex(hex + "f4");
        HostMemory.copyIn(code, 0, memory.hva(CODE), code.length);
        s.rip = CODE;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
    }

    private void enter(long cr3) {
        s.gpr[CpuState.RAX] = cr3;
        execute("0f22d8");
    }

    @ParameterizedTest
    @MethodSource("rows")
    void takesWhatTheManualSaysAndLeavesTheRest(Row row) {
        try (memory) {
            memory.mapAll();
            memory.longMode(TABLES);
            HostMemory.put64(memory.hva(TABLES + 4096 + 8), SECOND_DIRECTORY | 7);
            HostMemory.put64(memory.hva(SECOND_DIRECTORY), TABLE | 7);
            for (int i = 0; i < 4; i++) {
                HostMemory.put8(memory.hva(OLD[i]), 'O');
                HostMemory.put8(memory.hva(NEW[i]), 'N');
            }
            map(OLD);
            s.cr4 |= row.control;
            memory.cpu.flushTlb();
            boolean pcids = (row.control & CpuState.CR4_PCIDE) != 0;
            if (pcids) {
                enter(TABLES | 2);
                assertThat(read()).isEqualTo("OOOO");
                enter(TABLES | 1);
            }
            assertThat(read()).isEqualTo("OOOO");
            map(NEW);

            HostMemory.put64(memory.hva(DESCRIPTOR), row.rcx);
            HostMemory.put64(memory.hva(DESCRIPTOR + 8), row.address);
            s.gpr[CpuState.RAX] = row.rax;
            s.gpr[CpuState.RCX] = DESCRIPTOR;
            execute(row.code);
            if (pcids && (s.cr4 & CpuState.CR4_PCIDE) != 0) {
                enter(TABLES | 1 | KEEP);
            }
            String found = read();
            if (row.expected.length() > 4) {
                enter(TABLES | 2 | KEEP);
                found += " " + read();
            }
            assertThat(found).matches(row.expected);
        }
    }

    /** Hypervisors set CR3 and CR4 behind the processor's back: the space that goes on is the one that they name. */
    @Test
    void aSpaceIsNamedByTheControlRegistersAfterAFlushFromOutside() {
        try (memory) {
            memory.mapAll();
            memory.longMode(TABLES);
            HostMemory.put64(memory.hva(TABLES + 4096 + 8), SECOND_DIRECTORY | 7);
            HostMemory.put64(memory.hva(SECOND_DIRECTORY), TABLE | 7);
            HostMemory.put8(memory.hva(OLD[0]), 'O');
            HostMemory.put8(memory.hva(NEW[0]), 'N');
            map(OLD);
            s.cr4 |= CpuState.CR4_PCIDE;
            s.cr3 = TABLES | 5;
            memory.cpu.flushTlb();
            assertThat(memory.cpu.load8(CpuState.DS, PAGES[0])).isEqualTo('O');
            enter(TABLES | 6);
            map(NEW);
            // The other space loses its own; had it another name, the old translation would be there again.
            HostMemory.put64(memory.hva(DESCRIPTOR), 5);
            s.gpr[CpuState.RAX] = 1;
            s.gpr[CpuState.RCX] = DESCRIPTOR;
            execute("660f388201");
            enter(TABLES | 5 | KEEP);
            assertThat(memory.cpu.load8(CpuState.DS, PAGES[0])).isEqualTo('N');
        }
    }
}
