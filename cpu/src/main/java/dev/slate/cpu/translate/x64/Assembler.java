package dev.slate.cpu.translate.x64;

import java.util.Arrays;

/**
 * Writes x86-64 instructions into a buffer that will run at a known address, from {@link #apart} on at another. Register numbers are the
 * encoding's.
 */
final class Assembler {
    // Operations of the ADD group: the opcode's bits 3-5.
    static final int ADD = 0;
    static final int OR = 1;
    static final int AND = 4;
    static final int SUB = 5;
    static final int XOR = 6;
    static final int CMP = 7;

    // Conditions.
    static final int AE = 3;
    static final int E = 4;
    static final int NE = 5;
    static final int BE = 6;
    static final int A = 7;
    static final int S = 8;

    byte[] buffer = new byte[4096];
    int at;
    /** Where the buffer's first byte will run. */
    private long origin;
    /** Where that part begins in the buffer, and where it will run. */
    private int split;

    private long apartOrigin;

    void start(long origin) {
        this.origin = origin;
        at = 0;
        split = Integer.MAX_VALUE;
    }

    /** What follows will run at {@code origin}. */
    void apart(long origin) {
        split = at;
        apartOrigin = origin;
    }

    boolean isApart() {
        return at >= split;
    }

    /** Number of bytes before {@link #apart}. */
    int split() {
        return Math.min(split, at);
    }

    /** The address at which the next byte will run. */
    long here() {
        return address(at);
    }

    /** The address at which the byte at {@code place} of the buffer will run. */
    long address(int place) {
        return place < split ? origin + place : apartOrigin + place - split;
    }

    void byte1(int v) {
        if (at + 16 > buffer.length) {
            buffer = Arrays.copyOf(buffer, buffer.length * 2);
        }
        buffer[at++] = (byte) v;
    }

    void int32(int v) {
        byte1(v);
        byte1(v >> 8);
        byte1(v >> 16);
        byte1(v >> 24);
    }

    void int64(long v) {
        int32((int) v);
        int32((int) (v >>> 32));
    }

    void immediate(long v, int bytes) {
        for (int i = 0; i < bytes; i++) {
            byte1((int) (v >>> 8 * i));
        }
    }

    // ------------------------------------------------------------------ addresses

    /** modrm, SIB and displacement for [base + disp]. */
    void memory(int reg, int base, int disp) {
        int mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (byte) disp ? 1 : 2;
        byte1(mod << 6 | (reg & 7) << 3 | base & 7);
        if ((base & 7) == 4) {
            byte1(0x24);
        }
        displacement(mod, disp);
    }

    /** modrm, SIB and displacement for [base + index * (1 << scale) + disp]. */
    void memory(int reg, int base, int index, int scale, int disp) {
        int mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (byte) disp ? 1 : 2;
        byte1(mod << 6 | (reg & 7) << 3 | 4);
        byte1(scale << 6 | (index & 7) << 3 | base & 7);
        displacement(mod, disp);
    }

    /** modrm, SIB and displacement for [index * (1 << scale) + disp]. */
    void memoryWithoutBase(int reg, int index, int scale, int disp) {
        byte1((reg & 7) << 3 | 4);
        byte1(scale << 6 | (index & 7) << 3 | 5);
        int32(disp);
    }

    private void displacement(int mod, int disp) {
        if (mod == 1) {
            byte1(disp);
        } else if (mod == 2) {
            int32(disp);
        }
    }

    private void rex(boolean wide, int reg, int index, int base) {
        int rex = 0x40 | (wide ? 8 : 0) | reg >> 3 << 2 | index >> 3 << 1 | base >> 3;
        if (rex != 0x40) {
            byte1(rex);
        }
    }

    // ------------------------------------------------------------------ moves

    void mov(int to, int from) {
        rex(true, from, 0, to);
        byte1(0x89);
        byte1(0xc0 | (from & 7) << 3 | to & 7);
    }

    void mov32(int to, int from) {
        rex(false, from, 0, to);
        byte1(0x89);
        byte1(0xc0 | (from & 7) << 3 | to & 7);
    }

    /** The shortest move of a constant. */
    void movConstant(int to, long v) {
        if (v >>> 32 == 0) {
            rex(false, 0, 0, to);
            byte1(0xb8 | to & 7);
            int32((int) v);
        } else if (v == (int) v) {
            rex(true, 0, 0, to);
            byte1(0xc7);
            byte1(0xc0 | to & 7);
            int32((int) v);
        } else {
            rex(true, 0, 0, to);
            byte1(0xb8 | to & 7);
            int64(v);
        }
    }

    void load(int to, int base, int disp) {
        rex(true, to, 0, base);
        byte1(0x8b);
        memory(to, base, disp);
    }

    /** [base + index + disp] = from. */
    void storeIndexed(int base, int index, int disp, int from) {
        rex(true, from, index, base);
        byte1(0x89);
        memory(from, base, index, 0, disp);
    }

    void load32(int to, int base, int disp) {
        rex(false, to, 0, base);
        byte1(0x8b);
        memory(to, base, disp);
    }

    void loadIndexed(int to, int base, int index, int disp) {
        rex(true, to, index, base);
        byte1(0x8b);
        memory(to, base, index, 0, disp);
    }

    void store(int base, int disp, int from) {
        rex(true, from, 0, base);
        byte1(0x89);
        memory(from, base, disp);
    }

    void store32(int base, int disp, int from) {
        rex(false, from, 0, base);
        byte1(0x89);
        memory(from, base, disp);
    }

    void store32Constant(int base, int disp, int v) {
        rex(false, 0, 0, base);
        byte1(0xc7);
        memory(0, base, disp);
        int32(v);
    }

    void store64Constant(int base, int disp, int v) {
        rex(true, 0, 0, base);
        byte1(0xc7);
        memory(0, base, disp);
        int32(v);
    }

    /** A move of eight bytes of constant, however small. Returns the place of the constant. */
    int movConstant64(int to, long v) {
        rex(true, 0, 0, to);
        byte1(0xb8 | to & 7);
        int64(v);
        return at - 8;
    }

    /** The address of a place further on, for {@link #bind}. */
    int leaForward(int to) {
        rex(true, to, 0, 0);
        byte1(0x8d);
        byte1(5 | (to & 7) << 3);
        int32(0);
        return at - 4;
    }

    /** lea to, [base + index * (1 << scale)] */
    void lea(int to, int base, int index, int scale) {
        rex(true, to, index, base);
        byte1(0x8d);
        memory(to, base, index, scale, 0);
    }

    void lea(int to, int base, int disp) {
        rex(true, to, 0, base);
        byte1(0x8d);
        memory(to, base, disp);
    }

    /** The lower half of base + disp, zero-extended. */
    void lea32(int to, int base, int disp) {
        rex(false, to, 0, base);
        byte1(0x8d);
        memory(to, base, disp);
    }

    /** RORX of the lower half; changes no flag. */
    void rotateRight32(int to, int from, int count) {
        byte1(0xc4);
        byte1((to < 8 ? 0x80 : 0) | 0x40 | (from < 8 ? 0x20 : 0) | 3);
        byte1(0x7b);
        byte1(0xf0);
        byte1(0xc0 | (to & 7) << 3 | from & 7);
        byte1(count);
    }

    // ------------------------------------------------------------------ arithmetic

    void arithmetic(int operation, int to, int from) {
        rex(true, from, 0, to);
        byte1(operation << 3 | 1);
        byte1(0xc0 | (from & 7) << 3 | to & 7);
    }

    void arithmetic32(int operation, int to, int from) {
        rex(false, from, 0, to);
        byte1(operation << 3 | 1);
        byte1(0xc0 | (from & 7) << 3 | to & 7);
    }

    void arithmeticConstant(int operation, int to, int v) {
        rex(true, 0, 0, to);
        constant(operation, to, v);
    }

    void arithmeticConstant32(int operation, int to, int v) {
        rex(false, 0, 0, to);
        constant(operation, to, v);
    }

    private void constant(int operation, int to, int v) {
        boolean small = v == (byte) v;
        byte1(small ? 0x83 : 0x81);
        byte1(0xc0 | operation << 3 | to & 7);
        immediate(v, small ? 1 : 4);
    }

    /** {@code to} op= [base + index + disp]. */
    void arithmeticIndexed(int operation, int to, int base, int index, int disp) {
        rex(true, to, index, base);
        byte1(operation << 3 | 3);
        memory(to, base, index, 0, disp);
    }

    void arithmeticMemory(int operation, int to, int base, int disp) {
        rex(true, to, 0, base);
        byte1(operation << 3 | 3);
        memory(to, base, disp);
    }

    /** Compares a 32-bit word of memory with a constant. */
    void compare32Constant(int base, int disp, int v) {
        boolean small = v == (byte) v;
        rex(false, 0, 0, base);
        byte1(small ? 0x83 : 0x81);
        memory(CMP, base, disp);
        immediate(v, small ? 1 : 4);
    }

    /** A bit of a 32-bit word of memory to CF. */
    void bitTest32(int base, int disp, int bit) {
        rex(false, 0, 0, base);
        byte1(0x0f);
        byte1(0xba);
        memory(4, base, disp);
        byte1(bit);
    }

    /** Combines a 32-bit word of memory with a constant: ADD's group. */
    void arithmetic32MemoryConstant(int operation, int base, int disp, int v) {
        rex(false, 0, 0, base);
        byte1(0x81);
        memory(operation, base, disp);
        int32(v);
    }

    /** Adds a constant to a word of memory. */
    void addMemoryConstant(int base, int disp, int v) {
        rex(true, 0, 0, base);
        byte1(0x81);
        memory(ADD, base, disp);
        int32(v);
    }

    void test32Memory(int base, int disp, int v) {
        rex(false, 0, 0, base);
        byte1(0xf7);
        memory(0, base, disp);
        int32(v);
    }

    void shiftRight32(int r, int count) {
        rex(false, 0, 0, r);
        byte1(0xc1);
        byte1(0xe8 | r & 7);
        byte1(count);
    }

    void shiftLeft32(int r, int count) {
        rex(false, 0, 0, r);
        byte1(0xc1);
        byte1(0xe0 | r & 7);
        byte1(count);
    }

    void shiftArithmetic(int r, int count) {
        rex(true, 0, 0, r);
        byte1(0xc1);
        byte1(0xf8 | r & 7);
        byte1(count);
    }

    void testConstant32(int r, int v) {
        rex(false, 0, 0, r);
        byte1(0xf7);
        byte1(0xc0 | r & 7);
        int32(v);
    }

    // ------------------------------------------------------------------ flags

    /** EFLAGS' status flags to EAX in {@link StateBlock#FLAGS}'s form; changes no flag. */
    void flagsToRax() {
        byte1(0x9f); // lahf
        byte1(0x0f); // seto al
        byte1(0x90);
        byte1(0xc0);
    }

    /** RAX in that form to EFLAGS; clobbers RAX. */
    void flagsFromRax() {
        byte1(0x04); // add al, 7fh: overflows when OF was set
        byte1(0x7f);
        byte1(0x9e); // sahf
    }

    // ------------------------------------------------------------------ jumps

    /** A jump to a known address. */
    void jump(long target) {
        byte1(0xe9);
        relative(target);
    }

    void jumpIf(int condition, long target) {
        byte1(0x0f);
        byte1(0x80 | condition);
        relative(target);
    }

    private void relative(long target) {
        long distance = target - (here() + 4);
        if (distance != (int) distance) {
            throw new IllegalStateException("a jump over " + distance + " bytes");
        }
        int32((int) distance);
    }

    /** A jump whose target is set by {@link #bind}. Returns the place of its displacement. */
    int jumpForward() {
        byte1(0xe9);
        int32(0);
        return at - 4;
    }

    int jumpForwardIf(int condition) {
        byte1(0x0f);
        byte1(0x80 | condition);
        int32(0);
        return at - 4;
    }

    /** A short jump over what follows when ECX is zero; needs no flag and changes none. */
    int jumpForwardIfEcxZero() {
        byte1(0x67);
        byte1(0xe3);
        byte1(0);
        return at - 1;
    }

    /** Lets the jump with its displacement at {@code place} come here. */
    void bind(int place) {
        int distance = (int) (here() - address(place) - 4);
        buffer[place] = (byte) distance;
        buffer[place + 1] = (byte) (distance >> 8);
        buffer[place + 2] = (byte) (distance >> 16);
        buffer[place + 3] = (byte) (distance >> 24);
    }

    void bindShort(int place) {
        int distance = at - (place + 1);
        if (distance > 127) {
            throw new IllegalStateException("a short jump over " + distance + " bytes");
        }
        buffer[place] = (byte) distance;
    }

    void call(long target) {
        byte1(0xe8);
        relative(target);
    }

    /** As {@link #jumpForward}. */
    int callForward() {
        byte1(0xe8);
        int32(0);
        return at - 4;
    }

    void callIndexed(int base, int index, int disp) {
        rex(false, 2, index, base);
        byte1(0xff);
        memory(2, base, index, 0, disp);
    }

    /** A return that takes so many bytes more from the stack. */
    void returnPast(int bytes) {
        byte1(0xc2);
        byte1(bytes);
        byte1(bytes >> 8);
    }

    /** One of the first eight registers. */
    void push(int r) {
        byte1(0x50 | r);
    }

    void pushConstant(int v) {
        byte1(0x68);
        int32(v);
    }

    void jumpMemory(int base, int disp) {
        rex(false, 4, 0, base);
        byte1(0xff);
        memory(4, base, disp);
    }

    void jumpIndexed(int base, int index, int disp) {
        rex(false, 4, index, base);
        byte1(0xff);
        memory(4, base, index, 0, disp);
    }
}
