package dev.slate.cpu;

/**
 * An exception that the guest's own instruction raises: #UD, #GP, #PF … It aborts the instruction; {@link Cpu#run} is the one catch
 * point, and delivers it through the IDT. One stackless object per processor, reused; it never leaves the processor.
 */
public final class GuestFault extends RuntimeException {
    public static final int DE = 0;
    public static final int DB = 1;
    public static final int NMI = 2;
    public static final int BP = 3;
    public static final int OF = 4;
    public static final int BR = 5;
    public static final int UD = 6;
    public static final int NM = 7;
    public static final int DF = 8;
    public static final int TS = 10;
    public static final int NP = 11;
    public static final int SS = 12;
    public static final int GP = 13;
    public static final int PF = 14;
    public static final int MF = 16;
    public static final int AC = 17;
    public static final int MC = 18;
    public static final int XM = 19;

    private static final long serialVersionUID = 1L;

    /** 0..31. */
    public int vector;
    /** Pushed when the vector has one ({@link #hasErrorCode}). */
    public int errorCode;

    GuestFault() {
        super(null, null, false, false);
    }

    /** Whether the vector pushes an error code (SDM 3A table 7-1). */
    public static boolean hasErrorCode(int vector) {
        return vector == DF || vector >= TS && vector <= PF || vector == AC;
    }
}
