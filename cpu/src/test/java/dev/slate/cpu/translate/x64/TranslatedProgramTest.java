package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.mem.HostMemory;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Random kernels against the interpreter: functions on several pages that call each other, strings over page ends, flags pushed and
 * popped, vector registers used, address spaces loaded, pages invalidated and missing, returns from interrupts, serializing instructions and
 * code that is written while it runs. They can be executed wherever they are, and at high addresses go on elsewhere now and then.
 */
final class TranslatedProgramTest extends RandomCode {
    private static final int TABLES = 0x1000;
    private static final int CODE = 0x20_0000;
    private static final int CODE_BYTES = 0x6000;
    private static final int DATA = 0x40_0000;
    private static final int DATA_BYTES = 0x8000;
    private static final int STACK = 0x18_0000;
    /** The table of the data's other place. */
    private static final int SMALL_PAGES = 0x6000;

    /** Segments, from the second eight on: code and data of the kernel, two that no one loads, data and code of the user. */
    private static final int GDT = 0x1_0000;

    private static final int IDT = 0x9000;
    private static final int TASK = 0xa000;
    /** The handler of page faults, and where it puts their addresses. */
    private static final int FAULT_HANDLER = 0x15_0000;

    /** The handler of #GP: that is the program's end. */
    private static final int HALT = 0x15_1000;

    private static final int FAULT_ADDRESS = DATA + 0x7000;
    private static final int FAULT_STACK = 0x17_0000;
    private static final int KERNEL_CODE = 0x80;

    private static final int FUNCTIONS = 24;
    /** Of the handler of system calls, at the code's end. */
    private static final int HANDLER_BYTES = 16;

    private static final int VECTOR_WORDS = 64;

    /** Tables of all addresses above 512 GiB: each 4 MiB are code and data, as they lie at {@link #CODE}. */
    private static final int HIGH_TABLES = 0x2_0000;

    /** Bits of such addresses that tell one place from another. */
    private static final long ELSEWHERE = (1L << 39) - (1L << 22);

    private final PhysicalMemory interpreted = machine();
    private PhysicalMemory translated = machine();

    /** Where the program begins. */
    private long home = CODE;

    /** What SYSCALL loads, and SYSRET less 16. */
    private int kernelSegments;

    private int userSegments;

    TranslatedProgramTest() {
        super(CODE_BYTES);
    }

    private static PhysicalMemory machine() {
        PhysicalMemory m = new PhysicalMemory(8 << 20);
        m.mapAll();
        m.longMode(TABLES);
        // The data also stands elsewhere, in small pages: invalidated one by one.
        HostMemory.put64(m.hva(TABLES + 8192 + 8 * 100), SMALL_PAGES | 7);
        mapSmallPages(m);
        for (int i = 0; i < 512; i++) {
            HostMemory.put64(m.hva(HIGH_TABLES + 8 * i), HIGH_TABLES + 4096 | 7);
            HostMemory.put64(m.hva(HIGH_TABLES + 4096 + 8 * i), ((i & 1) == 0 ? CODE : DATA) | 0x87);
            if (i > 0 && i < 256) {
                HostMemory.put64(m.hva(TABLES + 8 * i), HIGH_TABLES | 7);
            }
        }
        m.cpu.s.cr4 |= CpuState.CR4_PGE | CpuState.CR4_OSFXSR | CpuState.CR4_OSXSAVE;
        m.cpu.s.xcr0 = 7;
        segments(m);
        m.cpu.flushTlb();
        return m;
    }

    private static void segments(PhysicalMemory m) {
        for (int i = 0; i < 1 << 13; i += 8) {
            long at = m.hva(GDT + 8 * i);
            HostMemory.put64(at, 0x00af_9b00_0000_ffffL);
            HostMemory.put64(at + 8, 0x00cf_9300_0000_ffffL);
            HostMemory.put64(at + 24, 0x00cf_f300_0000_ffffL);
            HostMemory.put64(at + 32, 0x00af_fb00_0000_ffffL);
        }
        CpuState s = m.cpu.s;
        s.gdtBase = GDT;
        s.gdtLimit = 0xffff;
        s.idtBase = IDT;
        s.idtLimit = 15 * 16 - 1;
        gate(m, 13, HALT);
        gate(m, 14, FAULT_HANDLER);
        put(m, HALT, 0xf4);
        s.segBase[CpuState.TR] = TASK;
        s.segLimit[CpuState.TR] = 0x67;
        HostMemory.put64(m.hva(TASK + 4), FAULT_STACK);
        int handler = FAULT_HANDLER;
        // push %rax; mov %cr2,%rax; mov %rax,FAULT_ADDRESS
        handler = put(m, handler, 0x50, 0x0f, 0x20, 0xd0, 0x48, 0x89, 0x04, 0x25);
        HostMemory.put32(m.hva(handler), FAULT_ADDRESS);
        handler += 4;
        for (int page = 3; page < 5; page++) {
            handler = put(m, handler, 0x80, 0x0c, 0x25); // orb $1,entry
            HostMemory.put32(m.hva(handler), SMALL_PAGES + 8 * page);
            handler = put(m, handler + 4, 1);
        }
        put(m, handler, 0x58, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf); // pop %rax; add $8,%rsp; iretq
    }

    private static void gate(PhysicalMemory m, int vector, int handler) {
        HostMemory.put64(
                m.hva(IDT + 16 * vector),
                handler & 0xffffL | KERNEL_CODE << 16 | 0x8e00L << 32 | (long) (handler >>> 16) << 48);
    }

    private static int put(PhysicalMemory m, int at, int... bytes) {
        for (int i = 0; i < bytes.length; i++) {
            HostMemory.put8(m.hva(at + i), bytes[i]);
        }
        return at + bytes.length;
    }

    private static void mapSmallPages(PhysicalMemory m) {
        for (int i = 0; i < 512; i++) {
            HostMemory.put64(
                    m.hva(SMALL_PAGES + 8 * i), DATA + (long) (i % (DATA_BYTES / 4096)) * 4096 | 7 | (i & 1) << 8);
        }
    }

    @AfterEach
    void close() {
        translated.cpu.close();
        interpreted.close();
        translated.close();
    }

    private void string(SplittableRandom r) {
        boolean down = r.nextInt(8) == 0;
        constant(7, data(r));
        constant(6, r.nextBoolean() ? data(r) : code[at - 4] & 0xff | DATA);
        constant(1, r.nextInt(4) == 0 ? r.nextInt(1500) : r.nextInt(40));
        if (down) {
            bytes(0xfd);
        }
        bytes(r.nextInt(8) == 0 ? 0xf2 : 0xf3);
        int size = r.nextInt(4);
        if (size == 1) {
            bytes(0x66);
        } else if (size == 3) {
            bytes(0x48);
        }
        bytes((r.nextBoolean() ? 0xa4 : 0xaa) | (size == 0 ? 0 : 1));
        if (down) {
            bytes(0xfc);
        }
    }

    /** Flags that POPF, SYSRET and IRET are given. */
    private static int flags(SplittableRandom r) {
        return r.nextInt() & 0x6d5 | 2 | (r.nextInt(6) == 0 ? r.nextInt() & 0x24_7000 : 0);
    }

    /** Goes by IRETQ to what follows. */
    private void interruptReturn(SplittableRandom r, boolean user) {
        bytes(0x6a, 2, 0x9d, 0x48, 0x89, 0xe0); // push $2; popf; mov %rsp,%rax
        bytes(0x68);
        int32(user ? userSegments + 8 | 3 : kernelSegments + 8);
        bytes(0x50, 0x68); // push %rax
        int32(flags(r));
        bytes(0x68);
        int32(user ? userSegments + 16 | 3 : kernelSegments);
        bytes(0x48, 0x8d, 0x05, 3, 0, 0, 0, 0x50, 0x48, 0xcf); // lea behind(%rip),%rax; push %rax; iretq
    }

    /** The distance of what lies {@code where} behind the program's beginning, for an instruction with {@code more} bytes behind it. */
    private void relative(int where, int more) {
        int32(where - (at + 4 + more));
    }

    /** A place of the code and data above 512 GiB, the last 4 GiB of the lower half now and then, which are like none of the others. */
    private static long high(SplittableRandom r) {
        if (r.nextInt(8) == 0) {
            return (1L << 47) - (1L + r.nextInt(512) << 22);
        }
        return 1L + r.nextInt(255) << 39 | r.nextLong() & ELSEWHERE;
    }

    /** Goes on with what follows at another place, where the program is above 512 GiB. */
    private void elsewhere(SplittableRandom r) {
        // lea behind(%rip),%rax; mov $bits,%rdx; xor %rdx,%rax; jmp *%rax or push %rax; ret
        bytes(0x48, 0x8d, 0x05, 15, 0, 0, 0, 0x48, 0xba);
        long bits = home == CODE ? 0 : r.nextLong() & ELSEWHERE & (r.nextBoolean() ? 0x7L << 30 : -1);
        int32((int) bits);
        int32((int) (bits >>> 32));
        bytes(0x48, 0x31, 0xd0);
        if (r.nextBoolean()) {
            bytes(0xff, 0xe0);
        } else {
            bytes(0x50, 0xc3);
        }
    }

    /** An address in the first part of the data, or of its other place. */
    @Override
    int data(SplittableRandom r) {
        return (r.nextInt(3) == 0 ? 100 << 21 : DATA) + 0x3000 + r.nextInt(0x1400);
    }

    private void instruction(SplittableRandom r, int[] starts, int function) {
        int a = register(r);
        int b = register(r);
        int rex = 0x48 | a >> 3 << 2 | b >> 3;
        switch (r.nextInt(39)) {
            // add, or, adc, sbb, and, sub, xor, cmp
            case 0, 1, 2 -> bytes(rex, r.nextInt(8) << 3 | 1, 0xc0 | (a & 7) << 3 | b & 7);
            case 37 -> elsewhere(r);
            case 38 -> {
                // mov data or code(%rip),%r, lea of it, or mov %r,data(%rip)
                int opcode = new int[] {0x8b, 0x8d, 0x89}[r.nextInt(3)];
                boolean ofCode = opcode != 0x89 && r.nextBoolean();
                bytes(0x48 | a >> 3 << 2, opcode, (a & 7) << 3 | 5);
                relative(ofCode ? r.nextInt(CODE_BYTES - 8) : DATA - CODE + 0x3000 + r.nextInt(0x1400), 0);
            }
            case 3 -> {
                // mov disp(,),%r and back
                bytes(0x48 | a >> 3 << 2, r.nextBoolean() ? 0x8b : 0x89, (a & 7) << 3 | 4, 0x25);
                int32(data(r));
            }
            case 4 -> bytes(0x9c, 0x58); // pushf; pop %rax
            case 5 -> {
                constant(0, flags(r));
                bytes(0x50, 0x9d, 0xfc); // push %rax; popf; cld
            }
            case 6 -> bytes(0xfa); // cli
            case 7 -> {
                bytes(0xfb); // sti, before anything
                if (r.nextBoolean()) {
                    instruction(r, starts, function);
                }
            }
            case 8 -> {
                if (r.nextBoolean()) {
                    bytes(0x0f, 0x01, 0xe8); // serialize
                } else {
                    bytes(0x0f, 0xae, 0xf0); // mfence, which is AMD's here
                }
            }
            case 9, 10 -> string(r);
            case 11 -> bytes(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8); // mov %cr3,%rax; mov %rax,%cr3
            case 12 -> {
                if (r.nextInt(4) == 0) {
                    bytes(0x0f, 0x01, 0x3d); // invlpg code
                    relative(r.nextInt(CODE_BYTES), 0);
                } else {
                    bytes(0x0f, 0x01, 0x3c, 0x25); // invlpg
                    int32(data(r));
                }
            }
            case 13 -> {
                if (function + 1 < FUNCTIONS) {
                    int callee = function + 1 + r.nextInt(FUNCTIONS - function - 1);
                    if (r.nextBoolean()) {
                        bytes(0xe8);
                        int32(starts[callee] - (at + 4));
                    } else {
                        bytes(0x48, 0x8d, 0x05); // lea callee(%rip),%rax; call *%rax
                        relative(starts[callee], 0);
                        bytes(0xff, 0xd0);
                    }
                }
            }
            case 14 -> {
                // Writes the constant of the next instruction's successor, somewhere in the code.
                int victim = r.nextInt(FUNCTIONS);
                if (r.nextBoolean()) {
                    bytes(0xc7, 0x04, 0x25);
                    int32(CODE + starts[victim] + 1);
                } else {
                    bytes(0xc7, 0x05);
                    relative(starts[victim] + 1, 4);
                }
                int32(r.nextInt(4));
            }
            case 15 -> {
                // bts %rax,mem
                bytes(0x83, 0xe0, 0x7f); // and $0x7f,%eax
                bytes(0x0f, r.nextBoolean() ? 0xab : 0xa3, 0x04, 0x25);
                int32(data(r));
            }
            case 17 -> {
                // cmpxchg16b mem, most often of what is there
                if (r.nextBoolean()) {
                    bytes(0xf0);
                }
                bytes(0x48, 0x0f, 0xc7, 0x0c, 0x25);
                int32(data(r) & -16);
            }
            case 16 -> {
                // push disp32; pop %r
                bytes(0xff, 0x34, 0x25);
                int32(data(r));
                bytes(0x41, 0x5b);
            }
            case 18 -> bytes(0xf3, 0x90); // pause
            case 25 -> {
                // swapgs; mov %gs:disp,%rax
                bytes(0x0f, 0x01, 0xf8, 0x65, 0x48, 0x8b, 0x04, 0x25);
                int32(data(r));
            }
            case 26, 27 -> {
                // mov $flags,%r11d; lea behind(%rip),%rcx; sysretq, or an iretq; a little as a user; syscall, whose
                // handler
                // is
                // jmp *%rcx; cld
                if (r.nextBoolean()) {
                    interruptReturn(r, true);
                } else {
                    constant(11, flags(r));
                    bytes(0x48, 0x8d, 0x0d, 3, 0, 0, 0, 0x48, 0x0f, 0x07);
                }
                bytes(rex, r.nextInt(8) << 3 | 1, 0xc0 | (a & 7) << 3 | b & 7);
                bytes(0x48 | a >> 3 << 2, r.nextBoolean() ? 0x8b : 0x89, (a & 7) << 3 | 4, 0x25);
                int32(data(r));
                bytes(0x0f, 0x05, 0xfc);
            }
            case 24 -> {
                // The data's other place gets another page: xorl $0x1000,entry; invlpg page.
                int page = 3 + r.nextInt(2);
                bytes(0x81, 0x34, 0x25);
                int32(SMALL_PAGES + 8 * page);
                int32(0x1000);
                bytes(0x0f, 0x01, 0x3c, 0x25);
                int32((100 << 21) + page * 4096);
            }
            case 28, 29 -> {
                // A page of the data's other place goes: andb $~1,entry; invlpg page.
                int page = 3 + r.nextInt(2);
                bytes(0x80, 0x24, 0x25);
                int32(SMALL_PAGES + 8 * page);
                bytes(0xfe, 0x0f, 0x01, 0x3c, 0x25);
                int32((100 << 21) + page * 4096);
            }
            case 30 -> {
                interruptReturn(r, false);
                bytes(0xfc); // cld
                if (r.nextBoolean()) {
                    bytes(0x0f, 0x20, 0xd0); // mov %cr2,%rax
                }
            }
            case 31 -> {
                // fnstcw mem or stmxcsr mem
                if (r.nextBoolean()) {
                    bytes(0xd9, 0x3c, 0x25);
                } else {
                    bytes(0x0f, 0xae, 0x1c, 0x25);
                }
                int32(data(r));
            }
            case 32 -> {
                // movl $mxcsr,mem; ldmxcsr mem; now and then of one that lets exceptions through
                int where = data(r) & -4;
                bytes(0xc7, 0x04, 0x25);
                int32(where);
                int32(r.nextInt() & 0xe07f | (r.nextInt(8) == 0 ? r.nextInt() & 0x1f80 : 0x1f80));
                bytes(0x0f, 0xae, 0x14, 0x25);
                int32(where);
            }
            case 33 -> {
                // shld or shrd %cl,%r,%r or mem
                int shift = r.nextBoolean() ? 0xa5 : 0xad;
                if (r.nextBoolean()) {
                    bytes(rex, 0x0f, shift, 0xc0 | (a & 7) << 3 | b & 7);
                } else {
                    bytes(0x48 | a >> 3 << 2, 0x0f, shift, (a & 7) << 3 | 4, 0x25);
                    int32(data(r));
                }
                // Its AF is undefined: add.
                bytes(rex, 1, 0xc0 | (a & 7) << 3 | b & 7);
            }
            case 19 -> pushes(r);
            case 34, 35, 36 -> accesses(r);
            // Vector instructions, which change no flag: paddq, movq %r,%xmm and back.
            case 20, 21 -> bytes(0x66, 0x0f, 0xd4, 0xc0 | (a & 7) << 3 | b & 7);
            case 22 -> bytes(0x66, rex, 0x0f, 0x6e, 0xc0 | (a & 7) << 3 | b & 7);
            case 23 -> bytes(0x66, rex, 0x0f, 0x7e, 0xc0 | (a & 7) << 3 | b & 7);
            default -> bytes(rex, 0x89, 0xc0 | (a & 7) << 3 | b & 7);
        }
    }

    private static int place(int function) {
        return (function + 3) % FUNCTIONS;
    }

    /** Whether a function begins at a page's end and goes on in the next one: the first does, and others do. */
    private static boolean straddles(int function) {
        return place(function) % 4 == 3 && place(function) + 1 < FUNCTIONS;
    }

    /** Has the jump before {@code behind} come here, if it can: it goes on behind itself else. */
    private void lead(int behind) {
        if (at - behind < 128) {
            code[behind - 1] = (byte) (at - behind);
        }
    }

    private void program(SplittableRandom r) {
        java.util.Arrays.fill(code, (byte) 0xf4);
        kernelSegments = 4 + r.nextInt(1000) << 6;
        userSegments = 4 + r.nextInt(1000) << 6 | 0x10;
        int[] starts = new int[FUNCTIONS];
        int room = CODE_BYTES / FUNCTIONS;
        for (int f = 0; f < FUNCTIONS; f++) {
            starts[f] = place(f) * room + (straddles(f) ? room - 1 - r.nextInt(50) : 0x200 + r.nextInt(16));
        }
        for (int f = 0; f < FUNCTIONS; f++) {
            at = starts[f];
            // mov $n,%eax is what stores into code change.
            constant(0, r.nextInt(4));
            int n = 4 + r.nextInt(10);
            int end = straddles(f) ? starts[f] + 350 : (place(f) + 1) * room - 80;
            int skip = -1;
            for (int i = 0; i < n && at < end; i++) {
                if (skip < 0 && r.nextInt(3) == 0) {
                    bytes(0x70 | r.nextInt(16), 0);
                    skip = at;
                }
                instruction(r, starts, f);
                if (skip >= 0 && r.nextBoolean()) {
                    lead(skip);
                    skip = -1;
                }
            }
            if (skip >= 0) {
                lead(skip);
            }
            if (f == 0) {
                // dec %r15d; jne the start; hlt
                bytes(0x41, 0xff, 0xcf, 0x0f, 0x85);
                int32(starts[0] - (at + 4));
                bytes(0xf4);
            } else if (r.nextInt(4) == 0) {
                bytes(0xfb, 0xc3); // sti; ret
            } else {
                bytes(0xc3);
            }
        }
        at = CODE_BYTES - HANDLER_BYTES;
        bytes(0xff, 0xe1); // jmp *%rcx
        at = starts[0];
    }

    private void load(PhysicalMemory m, SplittableRandom r) {
        CpuState s = m.cpu.s;
        HostMemory.copyIn(code, 0, m.hva(CODE), CODE_BYTES);
        for (int i = 0; i < DATA_BYTES; i += 8) {
            HostMemory.put64(m.hva(DATA + i), r.nextLong());
        }
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = r.nextLong();
        }
        for (int i = 0; i < VECTOR_WORDS; i++) {
            s.xmm[i] = r.nextLong();
        }
        s.fcw = r.nextInt() & 0x1f3f | 0x40;
        s.mxcsr = 0x1f80;
        // Rows go over the end of a page, and some words do.
        s.gpr[CpuState.RSP] = STACK + 8 * r.nextInt(24) + (r.nextInt(4) == 0 ? r.nextInt(8) : 0);
        s.gpr[15] = 1 + r.nextInt(12);
        s.efer |= CpuState.EFER_SCE;
        // AMD's SYSRET takes SS's RPL as it stands there.
        s.star = (long) kernelSegments << 32 | (long) (userSegments | 3) << 48;
        s.cr2 = 0;
        s.lstar = home + CODE_BYTES - HANDLER_BYTES;
        s.sfmask = r.nextInt() & ~CpuState.RFLAGS_FIXED;
        for (int seg : new int[] {CpuState.DS, CpuState.ES, CpuState.FS, CpuState.GS}) {
            s.flat(seg, KERNEL_CODE + 8, CpuState.DATA_TYPE);
        }
        s.segBase[CpuState.GS] = r.nextInt(0x800);
        s.kernelGsBase = r.nextInt(0x800);
        // Others than those that SYSCALL loads.
        s.flat(CpuState.CS, KERNEL_CODE, CpuState.CODE_TYPE | CpuState.ATTR_L);
        s.flat(CpuState.SS, KERNEL_CODE + 8, CpuState.DATA_TYPE);
        s.cpl = 0;
        s.setRflags(2);
        s.interruptShadow = 0;
        s.rip = home + at;
        mapSmallPages(m);
        m.cpu.flushTlb();
        m.cpu.serialize();
    }

    private void translate() {
        translate(translated, new TranslationBudget(1 << 20));
    }

    private static X64Translator translate(PhysicalMemory m, TranslationBudget budget) {
        X64Translator translator = NoFaults.translator(m.cpu, 2, budget);
        assumeTrue(translator != null, "this host allows no executable memory");
        m.cpu.translator(translator);
        return translator;
    }

    /** Puts one random kernel with the same data into both machines. */
    private String loadBoth(long seed) {
        SplittableRandom r = new SplittableRandom(seed);
        home = r.nextInt(3) == 0 ? CODE : high(r);
        program(r);
        return loadBoth(seed, r.nextLong());
    }

    /** The same program once more. */
    private String loadBoth(long seed, long data) {
        load(interpreted, new SplittableRandom(data));
        load(translated, new SplittableRandom(data));
        return "program of seed " + seed + " at " + Long.toHexString(home) + " with data " + data;
    }

    private void same(String name) {
        CpuState a = interpreted.cpu.s;
        CpuState b = translated.cpu.s;
        assertThat(b.rip).as(name).isEqualTo(a.rip);
        assertThat(b.rflags()).as(name).isEqualTo(a.rflags());
        assertThat(b.interruptShadow).as(name).isEqualTo(a.interruptShadow);
        for (int i = 0; i < 16; i++) {
            assertThat(b.gpr[i]).as(name + ", register " + i).isEqualTo(a.gpr[i]);
        }
        assertThat(b.mxcsr).as(name).isEqualTo(a.mxcsr);
        assertThat(segments(b)).as(name).isEqualTo(segments(a));
        assertThat(translated.cpu.tlbMode).as(name).isEqualTo(interpreted.cpu.tlbMode);
        assertThat(translated.cpu.segmentBase).as(name).isEqualTo(interpreted.cpu.segmentBase);
        for (int i = 0; i < VECTOR_WORDS; i++) {
            assertThat(b.xmm[i])
                    .as(name + ", word %d of the vector registers", i)
                    .isEqualTo(a.xmm[i]);
        }
        for (int i = 0; i < DATA_BYTES; i += 8) {
            assertThat(HostMemory.get64(translated.hva(DATA + i)))
                    .as(name + ", data at " + i)
                    .isEqualTo(HostMemory.get64(interpreted.hva(DATA + i)));
        }
    }

    /** Privilege and all that is loaded with it. */
    private static String segments(CpuState s) {
        return "CPL " + s.cpl + ", bases of GS " + s.segBase[CpuState.GS] + " and " + s.kernelGsBase + ", segments "
                + java.util.Arrays.toString(s.segSelector) + java.util.Arrays.toString(s.segBase)
                + java.util.Arrays.toString(s.segLimit) + java.util.Arrays.toString(s.segAttr);
    }

    @Test
    void random_kernels_do_what_they_do_interpreted() {
        randomKernels(-1);
    }

    @Test
    void random_kernels_do_so_on_a_host_without_bmi_avx_and_prefetchw() {
        randomKernels(~(Feature.bit(Feature.BMI1)
                | Feature.bit(Feature.BMI2)
                | Feature.bit(Feature.AVX)
                | Feature.bit(Feature.AVX2)
                | Feature.bit(Feature.PREFETCHW)));
    }

    private void randomKernels(long offered) {
        long seed = Long.getLong("translated.seed", 11);
        long programs = Long.getLong("translated.programs", 150);
        X64Translator translator = null;
        for (long n = 0; n < programs; n++) {
            if (n % (programs / 3) == 0) {
                // All blocks at once, those that were entered, and those that were so twice.
                int threshold = n == 0 ? 1 : n == programs / 3 ? 2 : 8;
                translated.cpu.close();
                translated.close();
                translated = machine();
                translator =
                        NoFaults.translator(translated.cpu, threshold, new TranslationBudget(4 << 20), false, offered);
                assumeTrue(translator != null, "this host allows no executable memory");
                translated.cpu.translator(translator);
            }
            String name = loadBoth(seed + n);
            if (n % 2 == 0) {
                // The data and its other place take each other's entries in the first TLB, and have their own here.
                translator.takeSecond();
            }
            bothRun(name);
            // What is machine code already goes on at other places.
            SplittableRandom r = new SplittableRandom(-seed - n);
            for (int again = home == CODE ? 0 : r.nextInt(4); again > 0; again--) {
                home = high(r);
                bothRun(loadBoth(seed + n, r.nextLong()));
            }
        }
        System.out.println("translated: " + programs + " programs, seed " + seed + ", regions "
                + translated.cpu.translation.regions + ", exits "
                + java.util.Arrays.toString(translated.cpu.translation.exits) + ", invalidations "
                + translated.cpu.translation.invalidations
                + ", resets "
                + translated.cpu.translation.resets);
    }

    private void bothRun(String name) {
        int exit = interpreted.cpu.run();
        int other = translated.cpu.run();
        assertThat(other).as(name).isEqualTo(exit).isEqualTo(CpuExit.HLT);
        same(name);
    }

    /** Wherever code leaves, the interpreter comes to the same state from where it was entered. */
    @Test
    void random_kernels_are_the_interpreters_at_every_place_where_code_leaves() {
        long seed = Long.getLong("translated.seed", 815);
        long programs = Long.getLong("translated.lockstep.programs", 150);
        X64Translator translator = NoFaults.translator(translated.cpu, 1, new TranslationBudget(1 << 20), true);
        assumeTrue(translator != null, "this host allows no executable memory");
        translated.cpu.translator(translator);
        for (long n = 0; n < programs; n++) {
            String name = loadBoth(seed + n);
            bothRun(name);
        }
        assertThat(translated.cpu.translation.compared).isGreaterThan(programs * 100);
        System.out.println("lockstep: " + programs + " programs, seed " + seed + ", instructions "
                + translated.cpu.translation.compared + ", exits "
                + java.util.Arrays.toString(translated.cpu.translation.exits));
    }

    /** Of two processors on one budget each finds it empty now and then: what they do stays the same, and it is never overdrawn. */
    @Test
    void processors_share_what_translations_may_take_and_go_on_when_nothing_is_left() {
        long seed = Long.getLong("translated.seed", 99);
        TranslationBudget budget = new TranslationBudget(2 * X64Translator.LEAST + (192 << 10));
        X64Translator one = translate(translated, budget);
        long given;
        try (PhysicalMemory memory = machine()) {
            X64Translator two = translate(memory, budget);
            for (int n = 0; n < 800; n++) {
                // One takes what it gets, then the other, which asks for its part.
                boolean first = n / 25 % 2 == 0;
                PhysicalMemory of = translated;
                if (!first) {
                    translated = memory;
                }
                String name = loadBoth(seed + n);
                bothRun(name);
                translated = of;
                assertThat(budget.held()).isBetween(2 * X64Translator.LEAST, budget.limit());
                assertThat(translated.cpu.translation.memory + memory.cpu.translation.memory)
                        .isEqualTo(budget.held());
            }
            assertThat(translated.cpu.translation.resets).isPositive();
            assertThat(memory.cpu.translation.resets).isPositive();
            assertThat(memory.cpu.translation.regions).isPositive();
            given = memory.cpu.translation.memory;
            memory.cpu.translator(null);
            two.close();
        }
        assertThat(given).isPositive();
        assertThat(budget.held()).isEqualTo(translated.cpu.translation.memory);
        translated.cpu.translator(null);
        one.close();
        assertThat(budget.held()).isZero();
    }

    /** A guest's hypervisor intercepts some of what becomes code: both leave before the same instruction, and go on with it. */
    @Test
    void what_a_guests_hypervisor_intercepts_leaves_before_the_same_instruction() {
        long seed = Long.getLong("translated.seed", 815);
        long programs = Long.getLong("translated.programs", 150);
        int[] codes = {SvmExit.PUSHF, SvmExit.POPF, SvmExit.PAUSE};
        int[] left = new int[SvmExit.INTERCEPTS];
        translate();
        for (long n = 0; n < programs; n++) {
            String name = loadBoth(seed + n);
            int[] vectors = new int[SvmExit.WORDS];
            for (int k = 0; k < codes.length; k++) {
                vectors[codes[k] >>> 5] |= (int) (n >>> k & 1) << codes[k];
            }
            int exit;
            do {
                interpreted.cpu.intercepts.begin(vectors);
                translated.cpu.intercepts.begin(vectors);
                exit = interpreted.cpu.run();
                assertThat(translated.cpu.run()).as(name).isEqualTo(exit).isIn(CpuExit.HLT, CpuExit.INTERCEPT);
                same(name);
                if (exit == CpuExit.INTERCEPT) {
                    int code = interpreted.cpu.exit.code;
                    assertThat(translated.cpu.exit.code).as(name).isEqualTo(code);
                    assertThat(translated.cpu.exit.nextRip).as(name).isEqualTo(interpreted.cpu.exit.nextRip);
                    left[code]++;
                    goOn(interpreted);
                    goOn(translated);
                }
            } while (exit == CpuExit.INTERCEPT);
            interpreted.cpu.intercepts.end();
            translated.cpu.intercepts.end();
        }
        for (int code : codes) {
            assertThat(left[code]).as("exits of code %d", code).isPositive();
        }
        assertThat(translated.cpu.translation.entries).isGreaterThan(programs);
    }

    /** Executes what was intercepted. */
    private static void goOn(PhysicalMemory m) {
        m.cpu.intercepts.end();
        assertThat(m.cpu.runOne()).isEqualTo(CpuExit.NONE);
    }

    /** An interrupt waits all the time: whenever a kernel lets it in both leave, before the same instruction, and go on without it. */
    @Test
    void a_waiting_interrupt_finds_the_same_windows_and_code_that_lets_none_in_is_translated() {
        long seed = Long.getLong("translated.seed", 4711);
        long programs = Long.getLong("translated.programs", 150);
        translate();
        long windows = 0;
        for (long n = 0; n < programs; n++) {
            String name = loadBoth(seed + n);
            int exit;
            do {
                interpreted.cpu.controls.irqWindow = true;
                translated.cpu.controls.irqWindow = true;
                do {
                    exit = interpreted.cpu.runOne();
                } while (exit == CpuExit.NONE);
                assertThat(translated.cpu.run()).as(name).isEqualTo(exit).isIn(CpuExit.HLT, CpuExit.IRQ_WINDOW);
                same(name);
                interpreted.cpu.s.flagsSystem &= ~CpuState.IF;
                translated.cpu.s.flagsSystem &= ~CpuState.IF;
                windows++;
            } while (exit == CpuExit.IRQ_WINDOW);
        }
        assertThat(windows).isGreaterThan(programs);
        assertThat(translated.cpu.translation.entries).isGreaterThan(programs);
        System.out.println("translated: " + programs + " programs, seed " + seed + ", windows " + windows + ", entries "
                + translated.cpu.translation.entries);
    }
}
