package dev.slate.cpu;

/** The port access of a {@link CpuExit#IOIO}, as EXITINFO1 has it (APM 2 15.10.2), and OUT's value. */
public final class IoExit {
    /** 0..0xffff. */
    public int port;

    /** Bytes per item: 1, 2, 4. */
    public int size;

    /** IN or INS. */
    public boolean in;

    /** INS or OUTS. */
    public boolean string;

    /** REP INS or OUTS. */
    public boolean rep;

    /** Strings: log2 of the address size in bytes (1..3), which is that of the count, too. */
    public int addressSize;

    /** Strings: the segment register, as {@link CpuState#DS}. */
    public int segment;

    /** OUT: the value. */
    public int data;

    /** What the address size leaves of RSI and RDI in a string's exit: 0xffff, 0xffffffff or -1. */
    public long addressMask;

    IoExit() {}
}
