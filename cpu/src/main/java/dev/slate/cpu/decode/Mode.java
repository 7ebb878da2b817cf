package dev.slate.cpu.decode;

/** What of the processor's mode changes the meaning of instruction bytes. A small int, part of a block's key. */
public final class Mode {
    /** Default operand and address size 16 (real mode, virtual-8086, 16-bit code segment). */
    public static final int BITS16 = 0;
    /** 32-bit code segment, protected or compatibility mode. */
    public static final int BITS32 = 1;
    /** 64-bit mode (CS.L = 1 under EFER.LMA). */
    public static final int BITS64 = 2;

    private Mode() {}
}
