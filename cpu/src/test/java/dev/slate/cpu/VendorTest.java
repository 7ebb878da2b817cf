package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.decode.Feature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Where the manuals of AMD and Intel differ, and where one might think that they do: one table, each row on a processor of either. The rows'
 * names are those of docs/vendors.md.
 */
final class VendorTest {
    private static final int RAX = CpuState.RAX;
    private static final int RCX = CpuState.RCX;
    private static final int RDX = CpuState.RDX;
    private static final int RSP = CpuState.RSP;
    private static final int GS = CpuState.GS;
    private static final int FS = CpuState.FS;
    private static final int SS = CpuState.SS;
    private static final int CODE = Long64.CODE;
    private static final int DATA = Long64.DATA;
    private static final int BASE = 0x5000;

    record Row(String name, Function<Vendor, String> run, String amd, String intel) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static final List<Row> ROWS = new ArrayList<>();

    /** 64-bit mode; {@code see} looks at it when it has stopped. */
    private static void row(
            String name, Consumer<Long64> begin, Function<Long64, String> see, String amd, String intel) {
        Function<Vendor, String> run = vendor -> {
            try (Long64 p = new Long64(vendor)) {
                begin.accept(p);
                int exit = p.run();
                return exit == CpuExit.HLT ? see.apply(p) : CpuExit.name(exit);
            }
        };
        ROWS.add(new Row(name, run, amd, intel));
    }

    /** 32-bit protected mode. */
    private static void row32(
            String name, Consumer<Protected32> begin, Function<Protected32, String> see, String amd, String intel) {
        Function<Vendor, String> run = vendor -> {
            try (Protected32 p = new Protected32(vendor)) {
                begin.accept(p);
                int exit = p.run();
                return exit == CpuExit.HLT ? see.apply(p) : CpuExit.name(exit);
            }
        };
        ROWS.add(new Row(name, run, amd, intel));
    }

    private static String hex(long v) {
        return Long.toHexString(v);
    }

    /** The vector with the frame's rip and CS; or where it halted. */
    private static String where(Long64 p) {
        int v = p.vector();
        if (v < 0) {
            return hex(p.s.rip) + " cpl " + p.s.cpl;
        }
        int skip = GuestFault.hasErrorCode(v) ? 1 : 0;
        return "#" + v + " at " + hex(p.top(skip)) + " cs " + hex(p.top(skip + 1));
    }

    private static String stopped(Long64 p) {
        return where(p) + " rsp " + (p.s.gpr[RSP] - Long64.STACK);
    }

    private static String segment(Long64 p, int seg) {
        return hex(p.s.segSelector[seg]) + " base " + hex(p.s.segBase[seg])
                + ((p.s.segAttr[seg] & CpuState.ATTR_UNUSABLE) != 0 ? " null" : "");
    }

    /** HLT where a branch may land: behind the code, and at what 16 bits leave of that. */
    private static void landings(Long64 p, int... offsets) {
        for (int offset : offsets) {
            p.code(CODE + offset, "f4");
            p.code(CODE + offset & 0xffff, "f4");
        }
    }

    private static void near(String name, String code, String amd, String intel, Consumer<Long64> more) {
        row(
                name,
                p -> {
                    landings(p, 0x100, 5, 6, 7, 8, 9, 0x10);
                    more.accept(p);
                    p.start(code);
                },
                VendorTest::stopped,
                amd,
                intel);
    }

    private static void nearBranches() {
        String there = hex(CODE + 0x100) + " cpl 0 rsp ";
        near("JMP rel, 66", "66e90200 0000 9090 f4", "6 cpl 0 rsp 0", hex(CODE + 8) + " cpl 0 rsp 0", p -> {});
        near("JMP rel8, 66", "66eb0d", "10 cpl 0 rsp 0", hex(CODE + 0x10) + " cpl 0 rsp 0", p -> {});
        near("Jcc rel8, 66", "66740d", "10 cpl 0 rsp 0", hex(CODE + 0x10) + " cpl 0 rsp 0", p -> p.s.flagZero = 0);
        near("LOOP, 66", "66e20d", "10 cpl 0 rsp 0", hex(CODE + 0x10) + " cpl 0 rsp 0", p -> p.s.gpr[RCX] = 9);
        near("JRCXZ, 66", "66e30d", "10 cpl 0 rsp 0", hex(CODE + 0x10) + " cpl 0 rsp 0", p -> p.s.gpr[RCX] = 0);
        near("CALL rel, 66", "66e80300 0000", "7 cpl 0 rsp -2", hex(CODE + 9) + " cpl 0 rsp -8", p -> {});
        near("CALL r/m, 66", "66ffd0", "100 cpl 0 rsp -2", there + -8, p -> p.s.gpr[RAX] = CODE + 0x100);
        near("JMP r/m, 66", "66ffe0", "100 cpl 0 rsp 0", there + 0, p -> p.s.gpr[RAX] = CODE + 0x100);
        near("RET, 66", "66c3", "100 cpl 0 rsp 2", there + 8, p -> p.put64(Long64.STACK, CODE + 0x100));
        near("RET imm, 66", "66c21000", "100 cpl 0 rsp 18", there + 24, p -> p.put64(Long64.STACK, CODE + 0x100));
    }

    private static void farPointers() {
        // Four bytes of offset, then what is the selector of m16:32, and the selector of m16:64 at 8.
        row(
                "JMP m16:64",
                p -> {
                    p.put64(DATA, CODE + 0x100);
                    p.put64(DATA + 8, Long64.CODE0);
                    p.code(CODE + 0x100, "f4");
                    p.start("48ff2c25 00003000");
                },
                VendorTest::where,
                "#13 at " + hex(CODE) + " cs 8",
                hex(CODE + 0x100) + " cpl 0");
        row(
                "CALL m16:64",
                p -> {
                    p.put64(DATA, CODE + 0x100 | (long) Long64.CODE0 << 32);
                    p.put64(DATA + 8, 0);
                    p.code(CODE + 0x100, "f4");
                    p.start("48ff1c25 00003000");
                },
                VendorTest::where,
                hex(CODE + 0x100) + " cpl 0",
                "#13 at " + hex(CODE) + " cs 8");
        String[] names = {"LSS", "LFS", "LGS"};
        int[] segments = {SS, FS, GS};
        for (int i = 0; i < 3; i++) {
            int seg = segments[i];
            String opcode = new String[] {"b2", "b4", "b5"}[i];
            row(
                    names[i] + " m16:64",
                    p -> {
                        // A selector that is good for SS, too, in either place: told apart by another one.
                        p.put64(Long64.GDT + 0x38, 0x00cf_9300_0000_ffffL);
                        p.put64(DATA, 0x5566_0000_1122_3344L | (long) Long64.DATA0 << 32);
                        p.put64(DATA + 8, 0x38);
                        p.s.gpr[RAX] = -1;
                        p.start("480f" + opcode + "0425 00003000 f4");
                    },
                    p -> hex(p.s.gpr[RAX]) + " " + hex(p.s.segSelector[seg]),
                    "11223344 10",
                    "5566001011223344 38");
        }
    }

    private static void nullSelectors() {
        for (String load : new String[] {"MOV", "POP", "LGS"}) {
            row(
                    load + " GS, null",
                    p -> {
                        p.s.segBase[GS] = BASE;
                        p.put64(DATA, 0x12);
                        p.put64(Long64.STACK, 0);
                        p.start(
                                load.equals("MOV")
                                        ? "8ee8 f4"
                                        : load.equals("POP") ? "0fa9 f4" : "0fb50425 00003000 f4");
                    },
                    p -> segment(p, GS),
                    "0 base 5000 null",
                    "0 base 0 null");
        }
        row(
                "MOV DS, null",
                p -> {
                    p.s.segBase[CpuState.DS] = BASE;
                    p.start("8ed8 f4");
                },
                p -> segment(p, CpuState.DS),
                "0 base 5000 null",
                "0 base 0 null");
        row(
                "NullSelectorClearsBase",
                p -> {
                    p.cpu.controls.nullKeepsBase = false;
                    p.s.segBase[GS] = BASE;
                    p.start("8ee8 f4");
                },
                p -> segment(p, GS),
                "0 base 0 null",
                "0 base 0 null");
        row(
                "IRET outwards, GS of level 0",
                p -> outwards(p, true),
                p -> segment(p, GS),
                "0 base 5000 null",
                "0 base 5000 null");
        row(
                "RETF outwards, GS of level 0",
                p -> outwards(p, false),
                p -> segment(p, GS),
                "0 base 5000 null",
                "0 base 5000 null");
        row(
                "IRET outwards, GS of level 3",
                p -> {
                    outwards(p, true);
                    p.s.segSelector[GS] = Long64.DATA3;
                    p.s.segAttr[GS] = 0xc0f3;
                },
                p -> segment(p, GS),
                "23 base 5000",
                "23 base 5000");
    }

    /** Returns to privilege 3, whose HLT comes back as #GP. */
    private static void outwards(Long64 p, boolean interrupt) {
        p.s.segBase[GS] = BASE;
        int at = 0;
        p.put64(Long64.STACK, CODE + 2);
        p.put64(Long64.STACK + 8, Long64.CODE3);
        if (interrupt) {
            p.put64(Long64.STACK + 16, 2);
            at = 8;
        }
        p.put64(Long64.STACK + at + 16, Long64.STACK - 0x100);
        p.put64(Long64.STACK + at + 24, Long64.DATA3);
        p.start((interrupt ? "48cf" : "48cb") + "f4");
    }

    private static void systemCalls() {
        row(
                "SYSCALL, 64-bit mode",
                p -> {
                    p.user();
                    p.s.lstar = CODE + 0x100;
                    p.code(CODE + 0x100, "f4");
                    p.start("0f05");
                },
                p -> where(p) + " rcx " + hex(p.s.gpr[RCX]) + " ss " + hex(p.s.segSelector[SS]),
                "200100 cpl 0 rcx 200002 ss 10",
                "200100 cpl 0 rcx 200002 ss 10");
        row(
                "SYSCALL, compatibility mode",
                p -> {
                    p.compatibility(3);
                    p.s.cstar = CODE + 0x100;
                    p.code(CODE + 0x100, "f4");
                    p.start("0f05");
                },
                VendorTest::where,
                "200100 cpl 0",
                "#6 at 200000 cs 1b");
        row32(
                "SYSCALL, legacy mode",
                p -> {
                    p.user();
                    p.s.efer = CpuState.EFER_SCE;
                    p.s.star = (long) Protected32.CODE0 << 32 | CODE + 0x100;
                    p.code(CODE + 0x100, "f4");
                    p.start("0f05");
                },
                p -> p.vector() + " " + hex(p.s.rip),
                "-1 200100",
                "6 " + hex(Protected32.handler(6)));
        row(
                "SYSRET, compatibility mode",
                p -> {
                    p.compatibility(0);
                    p.s.gpr[RCX] = CODE + 0x100;
                    p.code(CODE + 0x100, "f4");
                    p.start("0f07");
                },
                VendorTest::where,
                "#13 at 200100 cs 1b",
                "#6 at 200000 cs 30");
        row(
                "SYSRET to a non-canonical RCX",
                p -> {
                    p.s.gpr[RCX] = 0x8000_0000_0000_0000L;
                    p.s.gpr[11] = 2;
                    p.start("480f07");
                },
                VendorTest::where,
                "#13 at 8000000000000000 cs 2b",
                "#13 at 200000 cs 8");
        ROWS.add(new Row(
                "SYSRET, SS",
                vendor -> {
                    // 64-bit code needs no SS: what SYSRET left there shows before anything is pushed.
                    try (Long64 p = new Long64(vendor)) {
                        p.s.star = 0x18L << 48;
                        p.s.segAttr[SS] = CpuState.ATTR_UNUSABLE;
                        p.s.segBase[SS] = BASE;
                        p.s.gpr[RCX] = CODE + 0x100;
                        p.s.gpr[11] = 2;
                        p.start("480f07");
                        p.cpu.runOne();
                        return segment(p, SS) + " cpl " + p.s.cpl;
                    }
                },
                "20 base 5000 null cpl 3",
                "23 base 0 cpl 3"));
        row(
                "SYSENTER, 64-bit mode",
                p -> {
                    p.user();
                    enter(p);
                },
                VendorTest::where,
                "#6 at 200000 cs 2b",
                "200100 cpl 0");
        row(
                "SYSENTER, compatibility mode",
                p -> {
                    p.compatibility(3);
                    enter(p);
                },
                VendorTest::where,
                "#6 at 200000 cs 1b",
                "200100 cpl 0");
        row(
                "SYSEXIT, 64-bit mode",
                p -> {
                    p.s.gpr[RDX] = CODE + 0x100;
                    p.s.gpr[RCX] = Long64.STACK;
                    p.code(CODE + 0x100, "f4");
                    p.start("480f35");
                },
                VendorTest::where,
                "#6 at 200000 cs 8",
                "#13 at 200100 cs 2b");
        row32(
                "SYSENTER, legacy mode",
                p -> {
                    p.user();
                    p.s.sysenterCs = Protected32.CODE0;
                    p.s.sysenterEip = CODE + 0x100;
                    p.code(CODE + 0x100, "f4");
                    p.start("0f34");
                },
                p -> hex(p.s.rip) + " cpl " + p.s.cpl,
                "200100 cpl 0",
                "200100 cpl 0");
    }

    private static void enter(Long64 p) {
        p.s.sysenterEip = CODE + 0x100;
        p.s.sysenterEsp = Long64.STACK;
        p.code(CODE + 0x100, "f4");
        p.start("0f34");
    }

    /** FXSAVE64 over an area of ones, with opcode and pointers to save. */
    private static void fxsave(Long64 p) {
        for (int i = 0; i < 512; i += 8) {
            p.put64(DATA + i, -1);
        }
        p.s.fcw = 0x37e;
        p.s.fpOpcode = 0x123;
        p.s.fpIp = 0x4567;
        p.s.fpDp = 0x89ab;
        p.s.gpr[RCX] = DATA;
        p.start("480fae01 f4");
    }

    private static String saved(Long64 p) {
        return hex(p.get64(DATA) >>> 48) + " " + hex(p.get64(DATA + 8)) + " " + hex(p.get64(DATA + 16));
    }

    /** FXRSTOR64 of pointers that are no canonical addresses. */
    private static void fxrstor(Long64 p) {
        p.put64(DATA, 0x037f);
        p.put64(DATA + 8, 0x1122_3344_5566_7788L);
        p.put64(DATA + 16, 0x8877_6655_4433_2211L);
        p.put64(DATA + 24, 0x1f80);
        p.s.gpr[RCX] = DATA;
        p.start("480fae09 f4");
    }

    private static void others() {
        row(
                "LOCK MOV CR0",
                p -> {
                    p.s.cr8 = 5;
                    p.start("f00f20c0 f4");
                },
                p -> where(p) + " rax " + p.s.gpr[RAX],
                "200004 cpl 0 rax 5",
                "#6 at 200000 cs 8 rax 0");
        row32(
                "PUSH segment, 32-bit",
                p -> {
                    p.put32(Protected32.STACK - 4, -1);
                    p.start("1e f4");
                },
                p -> hex(p.get32(Protected32.STACK - 4) & 0xffff_ffffL),
                "10",
                "ffff0010");
        row(
                "PUSH segment, 64-bit",
                p -> {
                    p.put64(Long64.STACK - 8, -1);
                    p.start("0fa0 f4");
                },
                p -> hex(p.top(0)),
                "10",
                "10");
        row("FXSAVE, no exception pending", VendorTest::fxsave, VendorTest::saved, "0 0 0", "123 4567 89ab");
        row(
                "FXSAVE, an exception pending",
                p -> {
                    fxsave(p);
                    p.s.fsw = 0x8081;
                },
                VendorTest::saved,
                "123 4567 89ab",
                "123 4567 89ab");
        ROWS.add(new Row(
                "FXSAVE without XSAVEERPTR",
                vendor -> {
                    try (Long64 p = new Long64(vendor.features() & ~Feature.bit(Feature.XSAVEERPTR))) {
                        fxsave(p);
                        p.run();
                        return saved(p);
                    }
                },
                "ffff ffffffffffffffff ffffffffffffffff",
                "123 4567 89ab"));
        row(
                "FXRSTOR, pointers of 64 bits",
                VendorTest::fxrstor,
                p -> hex(p.s.fpIp) + " " + hex(p.s.fpDp),
                "ff22334455667788 77665544332211",
                "ff22334455667788 8877665544332211");
        row(
                "FXRSTOR without LA57",
                p -> {
                    p.cpu.controls.cr4Allowed &= ~CpuState.CR4_LA57;
                    fxrstor(p);
                },
                p -> hex(p.s.fpIp) + " " + hex(p.s.fpDp),
                "ff22334455667788 77665544332211",
                "334455667788 8877665544332211");
        row32(
                "FADD without an exception",
                p -> {
                    p.s.fpDp = 0x1122_3344_5566_7788L;
                    p.s.gpr[RCX] = Protected32.STACK;
                    p.start("d801 f4");
                },
                p -> hex(p.s.fpDp),
                hex(Protected32.STACK),
                "1122334455667788");
        row(
                "SHA1NEXTE, memory not aligned",
                p -> {
                    p.s.cr4 |= CpuState.CR4_OSFXSR;
                    p.s.gpr[RCX] = DATA + 8;
                    p.start("0f38c801 f4");
                },
                VendorTest::where,
                hex(CODE + 4) + " cpl 0",
                "#13 at 200000 cs 8");
        row(
                "SHA1NEXTE, memory aligned",
                p -> {
                    p.s.cr4 |= CpuState.CR4_OSFXSR;
                    p.s.gpr[RCX] = DATA;
                    p.start("0f38c801 f4");
                },
                VendorTest::where,
                hex(CODE + 4) + " cpl 0",
                hex(CODE + 4) + " cpl 0");
        row(
                "BSF and BSR of zero",
                p -> {
                    p.s.gpr[RAX] = 0x1122_3344_5566_7788L;
                    p.s.gpr[RDX] = 0x1122_3344_5566_7788L;
                    p.start("0fbcc1 0fbdd1 f4");
                },
                p -> hex(p.s.gpr[RAX]) + " " + hex(p.s.gpr[RDX]),
                "1122334455667788 1122334455667788",
                "1122334455667788 1122334455667788");
        row(
                "INVLPG of a non-canonical address",
                p -> {
                    p.s.gpr[RAX] = 0x8000_0000_0000_0000L;
                    p.start("0f0138 f4");
                },
                VendorTest::where,
                "200003 cpl 0",
                "200003 cpl 0");
        row(
                "A fault in the delivery of an exception",
                p -> {
                    p.put64(p.s.idtBase + 6 * 16, 0);
                    p.start("0f0b");
                },
                p -> "#" + p.vector() + " " + hex(p.top(0)),
                "#13 32",
                "#13 33");
        row(
                "A fault in the delivery of an interrupt",
                p -> {
                    p.put64(p.s.idtBase + 0x20 * 16, 0);
                    p.start("f4");
                    p.cpu.inject(SvmExit.EVENT_INTR, 0x20, false, 0, 0);
                },
                p -> "#" + p.vector() + " " + hex(p.top(0)),
                "#13 103",
                "#13 103");
        row(
                "IRET that faults, NMIs blocked",
                p -> {
                    p.s.nmiBlocked = true;
                    p.start("48cf");
                },
                p -> where(p) + (p.s.nmiBlocked ? " blocked" : " open"),
                "#13 at 200000 cs 8 blocked",
                "#13 at 200000 cs 8 open");
        row(
                "IRET, NMIs blocked",
                p -> {
                    p.s.nmiBlocked = true;
                    outwards(p, true);
                },
                p -> where(p) + (p.s.nmiBlocked ? " blocked" : " open"),
                "#13 at 200002 cs 2b open",
                "#13 at 200002 cs 2b open");
        row(
                "Code breakpoint behind MOV SS",
                p -> {
                    p.s.dr[0] = CODE + 2;
                    p.s.dr7 = 0x402;
                    p.s.gpr[RAX] = Long64.DATA0;
                    p.start("8ed0 31c9 f4");
                },
                VendorTest::where,
                "#1 at 200002 cs 8",
                "200004 cpl 0");
        row(
                "Code breakpoint behind STI",
                p -> {
                    p.s.dr[0] = CODE + 1;
                    p.s.dr7 = 0x402;
                    p.start("fb 31c9 f4");
                },
                VendorTest::where,
                "#1 at 200001 cs 8",
                "#1 at 200001 cs 8");
    }

    static {
        nearBranches();
        farPointers();
        nullSelectors();
        systemCalls();
        others();
    }

    static Stream<Row> rows() {
        return ROWS.stream();
    }

    @ParameterizedTest
    @MethodSource("rows")
    void eachVendorsProcessorDoesWhatItsManualSays(Row row) {
        assertThat(row.run.apply(Vendor.AMD)).as(row.name + ", AMD").isEqualTo(row.amd);
        assertThat(row.run.apply(Vendor.INTEL)).as(row.name + ", Intel").isEqualTo(row.intel);
    }

    /** Every row stands in the document, and the document promises no row that is not here. */
    @Test
    void theTableOfTheDocumentIsThisOne() throws IOException {
        Path root = Path.of("").toAbsolutePath();
        while (!Files.exists(root.resolve("docs/vendors.md"))) {
            root = root.getParent();
        }
        TreeSet<String> told = new TreeSet<>();
        for (String line : Files.readAllLines(root.resolve("docs/vendors.md"))) {
            if (line.startsWith("| ") && !line.startsWith("| instruction") && !line.startsWith("| what")) {
                String[] cells = line.split(" *\\| *");
                for (String name : cells[cells.length - 1].split("; ")) {
                    if (!name.isBlank() && !name.contains("`")) {
                        told.add(name.strip());
                    }
                }
            }
        }
        TreeSet<String> tested = new TreeSet<>();
        ROWS.forEach(r -> tested.add(r.name));
        assertThat(told).isEqualTo(tested);
        System.out.println("vendors: " + ROWS.size() + " rows, each on both");
    }
}
