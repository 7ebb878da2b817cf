package dev.slate.kvm;

/**
 * Memory-mapped I/O of one instruction: the pieces it reads and writes, each at most 8 bytes, each one exit to the client.
 *
 * <p>Reads: the processor starts the instruction again after every answer and asks for the pieces in the same order; answers already
 * given are replayed, and the first one missing becomes the next exit. Writes are collected while the instruction runs to its end
 * and then go out one by one.
 */
final class Mmio {
    // One instruction touches at most two 32-byte operands, each perhaps across a page: 10 pieces of 8 bytes; PUSHA of
    // 8 words.
    private static final int MAX = 32;

    private final VcpuExit exit;
    private final long[] readGpa = new long[MAX];
    private final int[] readLen = new int[MAX];
    private final long[] readData = new long[MAX];
    private int known;
    private int replayed;

    private final long[] writeGpa = new long[MAX];
    private final int[] writeLen = new int[MAX];
    private final long[] writeData = new long[MAX];
    private int writes;
    private int sent;

    /** Where the instruction that reads stands. */
    private long rip;

    Mmio(VcpuExit exit) {
        this.exit = exit;
    }

    /** The answer of {@link #read}. */
    long data;

    /** Asks for a piece: true with the answer in {@link #data}; false: it becomes the exit to the client. */
    boolean read(long gpa, int bytes) {
        if (replayed < known) {
            if (readGpa[replayed] == gpa && readLen[replayed] == bytes) {
                data = readData[replayed++];
                return true;
            }
            // Another access than last time: the guest's registers or code were changed in between. What was read is
            // void.
            known = replayed;
        }
        if (known == MAX) {
            throw new IllegalStateException("an instruction reads more than " + MAX + " pieces of MMIO");
        }
        readGpa[known] = gpa;
        readLen[known] = bytes;
        return false;
    }

    /** The exit for the piece that {@link #read} had no answer for. */
    void exitForRead(long rip) {
        this.rip = rip;
        exit.reason = VcpuExit.MMIO;
        exit.mmioPhysAddr = readGpa[known];
        exit.mmioLen = readLen[known];
        exit.mmioIsWrite = false;
    }

    /** Takes the client's answer; the instruction is to be run again if this says true (it still is where it was). */
    boolean answer(long currentRip) {
        long v = 0;
        for (int i = readLen[known] - 1; i >= 0; i--) {
            v = v << 8 | exit.mmioData[i] & 0xff;
        }
        readData[known++] = v;
        replayed = 0;
        if (currentRip != rip) {
            known = 0;
            return false;
        }
        return true;
    }

    /** The instruction is done, or was abandoned: its answers are no longer good. */
    void forgetReads() {
        known = 0;
        replayed = 0;
    }

    /** Collects a piece to write. */
    void write(long gpa, int bytes, long value) {
        if (writes == MAX) {
            throw new IllegalStateException("an instruction writes more than " + MAX + " pieces of MMIO");
        }
        writeGpa[writes] = gpa;
        writeLen[writes] = bytes;
        writeData[writes++] = value;
    }

    boolean hasWrites() {
        return sent < writes;
    }

    /** The exit for the next piece to write. */
    void exitForWrite() {
        exit.reason = VcpuExit.MMIO;
        exit.mmioPhysAddr = writeGpa[sent];
        exit.mmioLen = writeLen[sent];
        exit.mmioIsWrite = true;
        long v = writeData[sent];
        for (int i = 0; i < 8; i++) {
            exit.mmioData[i] = i < writeLen[sent] ? (byte) (v >>> i * 8) : 0;
        }
        sent++;
        if (sent == writes) {
            sent = 0;
            writes = 0;
        }
    }
}
