package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Every string instruction, INS and OUTS included, with every prefix, operand and address size, direction and segment, in every mode, in
 * the middle of a segment, at its limit and where the offset wraps: against a model after SDM 2 that goes byte by byte.
 */
final class StringOpsTest {
    private static final int MOVS = 0xa4;
    private static final int CMPS = 0xa6;
    private static final int STOS = 0xaa;
    private static final int LODS = 0xac;
    private static final int SCAS = 0xae;
    private static final int INS = 0x6c;
    private static final int OUTS = 0x6e;
    private static final int[] OPCODES = {MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS};
    private static final int[] REPEATS = {0, 0xf3, 0xf2};
    private static final int[] OVERRIDES = {-1, CpuState.ES, CpuState.SS, CpuState.FS};
    private static final int[] OVERRIDE_BYTES = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

    private static final int BYTES = 1 << 20;
    private static final int CODE = 0x8_0000;
    /** Segments of 16- and 32-bit code begin here; each register's at a place of its own. */
    private static final int DATA = 0x1_0000;

    private final PhysicalMemory memory = new PhysicalMemory(BYTES);
    private final Cpu cpu = memory.cpu;
    private final CpuState s = cpu.s;
    private final Interpreter interpreter = new Interpreter(cpu, new Events(cpu));
    private final Decoder decoder = new Decoder(Cpu.FEATURES);
    private final byte[] before = new byte[BYTES];
    private final byte[] after = new byte[BYTES];

    @AfterEach
    void close() {
        memory.close();
    }

    // ------------------------------------------------------------------ the model

    private final long[] reg = new long[3]; // rCX, rSI, rDI
    private long accumulator;
    private int flags;
    private int trap;
    private boolean left;
    private int ioItem;

    private long limit(int seg) {
        return s.segLimit[seg] & 0xffff_ffffL;
    }

    /** Host index of an item, or -1 and {@link #trap}. */
    private int place(int seg, long offset, int bytes) {
        if (offset + bytes - 1 > limit(seg)) {
            trap = seg == CpuState.SS ? GuestFault.SS : GuestFault.GP;
            return -1;
        }
        return (int) (s.segBase[seg] + offset);
    }

    private long item(int at, int bytes) {
        long v = 0;
        for (int i = 0; i < bytes; i++) {
            v |= (before[at + i] & 0xffL) << 8 * i;
        }
        return v;
    }

    private long masked(int r, int addressSize) {
        return addressSize == 1 ? reg[r] & 0xffff : addressSize == 2 ? reg[r] & 0xffff_ffffL : reg[r];
    }

    private void set(int r, int addressSize, long v) {
        reg[r] = addressSize == 1 ? reg[r] & ~0xffffL | v & 0xffff : addressSize == 2 ? v & 0xffff_ffffL : v;
    }

    private void model(int opcode, int bytes, int addressSize, int repeat, int seg, boolean down) {
        long step = down ? -bytes : bytes;
        boolean source = opcode == MOVS || opcode == CMPS || opcode == LODS || opcode == OUTS;
        boolean destination = opcode != LODS && opcode != OUTS;
        while (repeat == 0 || masked(0, addressSize) != 0) {
            int to = destination ? place(CpuState.ES, masked(2, addressSize), bytes) : 0;
            // CMPS reads its destination first; the others meet their source first.
            if (opcode == MOVS) {
                trap = 0;
            }
            int from = source && trap == 0 ? place(seg, masked(1, addressSize), bytes) : 0;
            if (opcode == MOVS && trap == 0 && to < 0) {
                trap = GuestFault.GP;
            }
            if (trap != 0) {
                return;
            }
            long a = source ? item(from, bytes) : accumulator & (bytes == 8 ? -1 : (1L << 8 * bytes) - 1);
            switch (opcode) {
                case MOVS, STOS -> {
                    for (int i = 0; i < bytes; i++) {
                        before[to + i] = (byte) (a >>> 8 * i);
                    }
                }
                case LODS -> accumulator = bytes >= 4 ? a : accumulator & -(1L << 8 * bytes) | a;
                case INS, OUTS -> {
                    left = true;
                    ioItem = bytes;
                    return;
                }
                default -> flags = compare(a, item(to, bytes), bytes);
            }
            if (source) {
                set(1, addressSize, reg[1] + step);
            }
            if (destination) {
                set(2, addressSize, reg[2] + step);
            }
            if (repeat == 0) {
                return;
            }
            set(0, addressSize, reg[0] - 1);
            if ((opcode == CMPS || opcode == SCAS) && (flags & CpuState.ZF) != 0 != (repeat == 0xf3)) {
                return;
            }
        }
    }

    private static int compare(long a, long b, int bytes) {
        int shift = 64 - 8 * bytes;
        long x = a << shift;
        long y = b << shift;
        long r = x - y;
        int f = 2;
        f |= Long.compareUnsigned(x, y) < 0 ? CpuState.CF : 0;
        f |= r == 0 ? CpuState.ZF : 0;
        f |= r < 0 ? CpuState.SF : 0;
        f |= ((x ^ y) & (x ^ r)) < 0 ? CpuState.OF : 0;
        f |= (a & 15) < (b & 15) ? CpuState.AF : 0;
        f |= (Integer.bitCount((int) (r >>> shift) & 0xff) & 1) == 0 ? CpuState.PF : 0;
        return f;
    }

    // ------------------------------------------------------------------ the cases

    private void mode(int mode) {
        memory.mapAll();
        memory.longMode(0x1000);
        if (mode == Mode.BITS64) {
            for (int seg = 0; seg < 6; seg++) {
                s.segBase[seg] = 0;
            }
        } else {
            s.cr0 = CpuState.CR0_PE | CpuState.CR0_ET | CpuState.CR0_NE;
            s.cr4 = 0;
            s.efer = 0;
            for (int seg = 0; seg < 6; seg++) {
                boolean code = seg == CpuState.CS;
                s.segBase[seg] = code ? 0 : DATA + 0x2_0000L * (seg == CpuState.ES ? 0 : seg == CpuState.SS ? 1 : 2);
                s.segLimit[seg] = code ? -1 : 0x1_7fff;
                s.segAttr[seg] = (code ? 0xb : 3)
                        | CpuState.ATTR_S
                        | CpuState.ATTR_P
                        | (mode == Mode.BITS32 ? CpuState.ATTR_DB : 0);
            }
        }
        cpu.flushTlb();
        cpu.modeChanged();
    }

    /** Offsets: in the middle, round the wrap of 64 KiB, round the limit. */
    private static final long[] PLACES = {0x200, 0xfffe, 0xffff, 0, 1, 0x1_7ffd, 0x1_7fff};

    @Test
    void everyStringInstructionDoesWhatTheModelDoes() {
        int cases = 0;
        List<String> wrong = new ArrayList<>();
        for (int mode = Mode.BITS16; mode <= Mode.BITS64; mode++) {
            mode(mode);
            for (int prefixes = 0; prefixes < 16; prefixes++) {
                boolean wide = (prefixes & 8) != 0;
                if (wide && mode != Mode.BITS64) {
                    continue;
                }
                for (int opcode : OPCODES) {
                    for (int repeat : REPEATS) {
                        for (int override : OVERRIDES) {
                            for (int places = 0; places < PLACES.length * PLACES.length; places++) {
                                for (int df = 0; df < 2; df++) {
                                    one(mode, prefixes, wide, opcode, repeat, override, places, df != 0, wrong);
                                    cases++;
                                }
                            }
                        }
                    }
                }
            }
        }
        System.out.println("string instructions: " + cases + " cases");
        assertThat(wrong).isEmpty();
    }

    private void one(
            int mode,
            int prefixes,
            boolean wide,
            int opcode,
            int repeat,
            int override,
            int places,
            boolean down,
            List<String> wrong) {
        int n = 0;
        byte[] code = new byte[32];
        boolean operand = (prefixes & 2) != 0;
        boolean address = (prefixes & 4) != 0;
        if (operand) {
            code[n++] = 0x66;
        }
        if (address) {
            code[n++] = 0x67;
        }
        if (repeat != 0) {
            code[n++] = (byte) repeat;
        }
        if (override >= 0) {
            code[n++] = (byte) OVERRIDE_BYTES[override];
        }
        if (wide) {
            code[n++] = 0x48;
        }
        code[n++] = (byte) (opcode | prefixes & 1);
        int size = (prefixes & 1) == 0
                ? 0
                : mode == Mode.BITS64 ? wide ? 3 : operand ? 1 : 2 : operand == (mode == Mode.BITS32) ? 1 : 2;
        if (opcode == INS || opcode == OUTS) {
            size = Math.min(size, 2);
        }
        int addressSize = mode == Mode.BITS64 ? address ? 2 : 3 : address == (mode == Mode.BITS32) ? 1 : 2;
        // ES, CS, SS and DS prefixes mean nothing in 64-bit mode.
        int seg = override < 0 || mode == Mode.BITS64 && override < CpuState.FS ? CpuState.DS : override;
        HostMemory.copyIn(code, 0, memory.hva(CODE), 32);
        Block b = decoder.decode(memory.hva(CODE), n, mode);
        long high = addressSize == 1 ? 0x5555_0000L : mode == Mode.BITS64 && addressSize == 2 ? 0x7777_0000_0000L : 0;
        // In 64-bit mode there are no limits: the same offsets lie in plain memory.
        long base = mode == Mode.BITS64 ? DATA : 0;
        reg[0] = high | 3;
        reg[1] = high & ~0x1_ffffL | base + PLACES[places % PLACES.length];
        reg[2] = high & ~0x1_ffffL | base + PLACES[places / PLACES.length];
        if (addressSize == 1) {
            reg[1] = high | reg[1] & 0xffff;
            reg[2] = high | reg[2] & 0xffff;
        }
        accumulator = 0x1122_3344_5566_7788L;
        flags = 2 | CpuState.CF;
        trap = 0;
        left = false;
        for (int i = 0; i < 3; i++) {
            s.gpr[i == 0 ? CpuState.RCX : i == 1 ? CpuState.RSI : CpuState.RDI] = reg[i];
        }
        s.gpr[CpuState.RAX] = accumulator;
        s.gpr[CpuState.RDX] = 0x1234;
        s.setRflags(flags | (down ? CpuState.DF : 0));
        s.rip = CODE;
        cpu.stop = false;
        fillMemory();
        model(opcode, 1 << size, addressSize, repeat, seg, down);
        int got = 0;
        int exit = CpuExit.NONE;
        try {
            exit = interpreter.run(b, 1);
        } catch (GuestFault f) {
            got = f.vector;
        }
        String what = null;
        if (got != trap) {
            what = "trap " + got + " for " + trap;
        } else if (left != (exit == CpuExit.IOIO)) {
            what = "exit " + CpuExit.name(exit);
        } else if (left && cpu.io.size != ioItem) {
            what = "item of " + cpu.io.size + " for " + ioItem;
        } else if (s.gpr[CpuState.RCX] != reg[0] || s.gpr[CpuState.RSI] != reg[1] || s.gpr[CpuState.RDI] != reg[2]) {
            what = "rcx %x/%x rsi %x/%x rdi %x/%x"
                    .formatted(s.gpr[CpuState.RCX], reg[0], s.gpr[CpuState.RSI], reg[1], s.gpr[CpuState.RDI], reg[2]);
        } else if (s.gpr[CpuState.RAX] != accumulator) {
            what = "rax %x/%x".formatted(s.gpr[CpuState.RAX], accumulator);
        } else if (((s.rflags() ^ flags) & CpuState.STATUS_FLAGS) != 0) {
            what = "flags %x/%x".formatted(s.rflags(), flags);
        } else if (opcode == MOVS || opcode == STOS) {
            what = compareMemory();
        }
        if (what != null && wrong.size() < 20) {
            wrong.add("mode %d %s df %b rsi %x rdi %x: %s"
                    .formatted(
                            mode,
                            java.util.HexFormat.of().formatHex(code, 0, n),
                            down,
                            PLACES[places % PLACES.length],
                            PLACES[places / PLACES.length],
                            what));
        }
    }

    // Only the neighbourhood of the places is filled and looked at.
    private static final int[] SPOTS = {0x1c0, 0xffc0, 0, 0x1_7fc0};

    private void fillMemory() {
        for (int region = 0; region < 3; region++) {
            for (int spot : SPOTS) {
                int at = DATA + 0x2_0000 * region + spot;
                for (int i = -64; i < 128; i += 8) {
                    long v = (at + i) * 0x9e37_79b9_7f4a_7c15L;
                    // Runs of equal items, so that repeated comparisons go on.
                    v = (i & 16) != 0 ? 0x7788_7788_7788_7788L : v;
                    HostMemory.put64(memory.hva(at + i), v);
                    for (int k = 0; k < 8; k++) {
                        before[at + i + k] = (byte) (v >>> 8 * k);
                    }
                }
            }
        }
    }

    private String compareMemory() {
        for (int region = 0; region < 3; region++) {
            for (int spot : SPOTS) {
                int at = DATA + 0x2_0000 * region + spot;
                HostMemory.copyOut(memory.hva(at - 64), after, 0, 192);
                for (int i = 0; i < 192; i++) {
                    if (after[i] != before[at - 64 + i]) {
                        return "memory %x".formatted(at - 64 + i);
                    }
                }
            }
        }
        return null;
    }
}
