package dev.slate.cpu.translate.x64;

import dev.slate.cpu.CpuState;
import java.util.SplittableRandom;

/** Machine code as it is put together at random, with what compilers put in rows: PUSHes and POPs, and accesses by one register. */
abstract class RandomCode {
    /** rax, rdx, rbx, rbp, rsi, rdi, r8, r9, r11, r12, r13. */
    private static final int[] REGISTERS = {0, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13};

    /** Of {@link #REGISTERS} those that an address needs no SIB byte for. */
    private static final int[] BASES = {3, 5, 6, 7, 8, 9, 11, 13};

    private static final int PAGE = 4096;

    final byte[] code;
    int at;

    RandomCode(int bytes) {
        code = new byte[bytes];
    }

    /** A linear address whose surroundings are there to be written. */
    abstract int data(SplittableRandom r);

    final void bytes(int... v) {
        for (int b : v) {
            code[at++] = (byte) b;
        }
    }

    final void int32(int v) {
        bytes(v, v >> 8, v >> 16, v >> 24);
    }

    static int register(SplittableRandom r) {
        return REGISTERS[r.nextInt(REGISTERS.length)];
    }

    /** mov $v,%r32 */
    final void constant(int register, int v) {
        if (register > 7) {
            bytes(0x41);
        }
        bytes(0xb8 | register & 7);
        int32(v);
    }

    /** An instruction whose only byte, but for REX, names a register. */
    private void oneByte(int opcode, int register) {
        if (register > 7) {
            bytes(0x41);
        }
        bytes(opcode | register & 7);
    }

    /** Registers and constants pushed in a row, registers popped. */
    final void pushes(SplittableRandom r) {
        int n = 2 + r.nextInt(13);
        for (int i = 0; i < n; i++) {
            if (r.nextInt(6) == 0) {
                bytes(0x6a, r.nextInt());
            } else {
                oneByte(0x50, r.nextInt(24) == 0 ? CpuState.RSP : register(r));
            }
        }
        for (int i = 0; i < n; i++) {
            oneByte(0x58, register(r));
        }
    }

    // ------------------------------------------------------------------ accesses by one register

    private int base;
    /** -1: there is none. */
    private int index;

    private int scale;
    /** What base and index come to. */
    private int place;

    /** Instructions, most of which access memory near one place, by the same registers; the last one may load one of these. */
    final void accesses(SplittableRandom r) {
        base = BASES[r.nextInt(BASES.length)];
        index = r.nextInt(4) == 0 ? register(r) : -1;
        index = index == base ? -1 : index;
        scale = r.nextInt(4);
        place = data(r);
        if (r.nextInt(3) == 0) {
            // Some of it on the page before.
            place = (place & -PAGE) + r.nextInt(200) - 100;
        }
        place &= -8;
        place += r.nextInt(8) == 0 ? r.nextInt(8) : 0;
        int many = index < 0 ? 0 : r.nextInt(16);
        constant(base, place - (many << scale));
        if (index >= 0) {
            constant(index, many);
        }
        int n = 2 + r.nextInt(7);
        for (int i = 0; i < n; i++) {
            access(r);
        }
        if (r.nextBoolean()) {
            loadBase(r);
        }
    }

    /** A register that is not needed for the address. */
    private int other(SplittableRandom r) {
        int register = register(r);
        return register == base || register == index ? CpuState.RAX == index ? 2 : CpuState.RAX : register;
    }

    private static int distance(SplittableRandom r) {
        return r.nextInt(180) - 40;
    }

    /** A distance at which 16 bytes are aligned, most often: else it is #GP, and the end of the program. */
    private int aligned(SplittableRandom r) {
        int distance = distance(r);
        return r.nextInt(60) == 0 ? distance : (place + distance & -16) - place;
    }

    /** Instruction with prefix (0: none), REX of the registers and a memory operand. */
    private void memory(int prefix, boolean wide, int[] opcode, int reg, int distance) {
        if (prefix != 0) {
            bytes(prefix);
        }
        bytes(0x40 | (wide ? 8 : 0) | reg >> 3 << 2 | (index < 0 ? 0 : index >> 3 << 1) | base >> 3);
        bytes(opcode);
        operand(reg, distance);
    }

    private void operand(int reg, int distance) {
        bytes(0x80 | (reg & 7) << 3 | (index < 0 ? base & 7 : 4));
        if (index >= 0) {
            bytes(scale << 6 | (index & 7) << 3 | base & 7);
        }
        int32(distance);
    }

    /** vmovdqu or vpaddq of 32 bytes. */
    private void vector(SplittableRandom r) {
        int reg = r.nextInt(16);
        int kind = r.nextInt(3);
        bytes(0xc4, (reg < 8 ? 0x80 : 0) | (index < 8 ? 0x40 : 0) | (base < 8 ? 0x20 : 0) | 1);
        bytes(kind == 2 ? (~r.nextInt(16) & 15) << 3 | 4 | 1 : 0x78 | 4 | 2, new int[] {0x6f, 0x7f, 0xd4}[kind]);
        operand(reg, distance(r));
    }

    private void access(SplittableRandom r) {
        int a = other(r);
        int b = register(r);
        int xmm = r.nextInt(16);
        boolean wide = r.nextBoolean();
        switch (r.nextInt(18)) {
            case 15 -> {
                // movl $mxcsr,disp(base); ldmxcsr of it or of what may be none
                int where = distance(r);
                memory(0, false, new int[] {0xc7}, 0, where);
                int32(r.nextInt() & 0xe07f | (r.nextInt(8) == 0 ? r.nextInt() & 0x1f80 : 0x1f80));
                memory(0, false, new int[] {0x0f, 0xae}, 2, r.nextInt(30) == 0 ? distance(r) : where);
            }
            case 0, 1 -> memory(0, wide, new int[] {0x8b}, a, distance(r));
            case 2, 3 -> memory(r.nextInt(4) == 0 ? 0x66 : 0, wide, new int[] {0x89}, b, distance(r));
            // add, or, adc, sbb, and, sub, xor, cmp, each way
            case 4 -> memory(0, wide, new int[] {r.nextInt(8) << 3 | 3}, a, distance(r));
            case 5 -> memory(r.nextInt(8) == 0 ? 0xf0 : 0, wide, new int[] {r.nextInt(7) << 3 | 1}, b, distance(r));
            case 6 -> {
                // addb and its like, $imm
                memory(0, false, new int[] {0x80}, r.nextInt(8), distance(r));
                bytes(r.nextInt());
            }
            // movzx, movsx
            case 7 ->
                memory(0, wide, new int[] {0x0f, new int[] {0xb6, 0xb7, 0xbe, 0xbf}[r.nextInt(4)]}, a, distance(r));
            // cmov, set
            case 8 -> memory(0, wide, new int[] {0x0f, 0x40 | r.nextInt(16)}, a, distance(r));
            case 9 -> memory(0, false, new int[] {0x0f, 0x90 | r.nextInt(16)}, 0, distance(r));
            case 10 -> memory(0xf3, false, new int[] {0x0f, r.nextBoolean() ? 0x6f : 0x7f}, xmm, distance(r));
            case 11 ->
                memory(0x66, false, new int[] {0x0f, new int[] {0x6f, 0x7f, 0xd4}[r.nextInt(3)]}, xmm, aligned(r));
            case 12 -> vector(r);
            // between them: prefetchw and the like, which the interpreter may have to itself; mov, add, lea, shl
            case 16 -> {
                if (r.nextBoolean()) {
                    memory(0, false, new int[] {0x0f, 0x0d}, r.nextInt(8), distance(r));
                } else {
                    bytes(0x0f, 0x0d, 0xc0 | r.nextInt(64));
                }
            }
            case 13 -> bytes(0x48 | b >> 3 << 2 | a >> 3, r.nextBoolean() ? 0x89 : 0x01, 0xc0 | (b & 7) << 3 | a & 7);
            case 14 -> {
                memory(0, wide, new int[] {0x8d}, a, distance(r));
                bytes(0x48 | a >> 3, 0xc1, 0xe0 | a & 7, 1);
                // Its AF is undefined: add.
                bytes(0x48 | a >> 3 << 2 | a >> 3, 0x01, 0xc0 | (a & 7) << 3 | a & 7);
            }
            // mov %dh,disp(base) and back, where no REX is needed
            default -> {
                if (base < 8 && index < 8) {
                    bytes(r.nextBoolean() ? 0x88 : 0x8a);
                    operand(base == CpuState.RDX || index == CpuState.RDX ? 0 : 6, distance(r));
                } else {
                    memory(0, false, new int[] {0x88}, b, distance(r));
                }
            }
        }
    }

    private void loadBase(SplittableRandom r) {
        memory(0, r.nextBoolean(), new int[] {0x8b}, base, distance(r));
    }
}
