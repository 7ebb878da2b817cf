package dev.slate.kvm.io;

import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;

/**
 * Memory-mapped I/O of one instruction: the pieces it reads and writes, each at most 8 bytes, each one exit to the client.
 *
 * <p>Reads: the processor starts the instruction again after every answer and asks for the pieces in the same order; answers already
 * given are replayed, and the first one missing becomes the next exit. Writes are collected while the instruction runs to its end
 * and then go out one by one.
 */
public final class Mmio {
    // Room for what instructions but XSAVE and FXSAVE do; the arrays grow at the first that needs more.
    private static final int PIECES = 8;

    private final VcpuExit exit;
    private long[] readGpa = new long[PIECES];
    private int[] readLen = new int[PIECES];
    private long[] readData = new long[PIECES];
    private int known;
    private int replayed;

    private long[] writeGpa = new long[PIECES];
    private int[] writeLen = new int[PIECES];
    private long[] writeData = new long[PIECES];
    private int writes;
    private int sent;

    /** Where the instruction that reads stands. */
    private long rip;

    public Mmio(VcpuExit exit) {
        this.exit = exit;
    }

    /** The answer of {@link #read}. */
    public long data;

    /** Asks for a piece: true with the answer in {@link #data}; false: it becomes the exit to the client. */
    public boolean read(long gpa, int bytes) {
        // A repeated string instruction starts again behind the iterations that it has finished: their
        // answers are skipped.
        for (int i = replayed; i < known; i++) {
            if (readGpa[i] == gpa && readLen[i] == bytes) {
                forget(replayed, i);
                data = readData[replayed++];
                return true;
            }
        }
        if (replayed < known) {
            // Another access than last time: the guest's registers or code were changed in between. What was
            // read is void.
            known = replayed;
        }
        if (known == readGpa.length) {
            readGpa = Arrays.copyOf(readGpa, known * 2);
            readLen = Arrays.copyOf(readLen, known * 2);
            readData = Arrays.copyOf(readData, known * 2);
        }
        readGpa[known] = gpa;
        readLen[known] = bytes;
        return false;
    }

    /** Whether an instruction that runs again has an answer for its next access, if that is in this page. */
    public boolean continues(long gpa) {
        return replayed < known && (readGpa[replayed] ^ gpa) >>> 12 == 0;
    }

    /** Whether the instruction under way has already read or written a piece. */
    public boolean begun() {
        return known != 0 || hasWrites();
    }

    /** Drops the answers {@code [from, to)}. */
    private void forget(int from, int to) {
        if (from != to) {
            System.arraycopy(readGpa, to, readGpa, from, known - to);
            System.arraycopy(readLen, to, readLen, from, known - to);
            System.arraycopy(readData, to, readData, from, known - to);
            known -= to - from;
        }
    }

    /** The exit for the piece that {@link #read} had no answer for. */
    public void exitForRead(long rip) {
        this.rip = rip;
        exit.reason = VcpuExit.MMIO;
        exit.mmioPhysAddr = readGpa[known];
        exit.mmioLen = readLen[known];
        exit.mmioIsWrite = false;
        if (Tracepoints.ON) {
            Tracepoints.mmio(Tracepoints.MMIO_READ_UNSATISFIED, readLen[known], readGpa[known], 0);
        }
    }

    /** Takes the client's answer; the instruction is to be run again if this says true (it still is where it was). */
    public boolean answer(long currentRip) {
        long v = 0;
        for (int i = readLen[known] - 1; i >= 0; i--) {
            v = v << 8 | exit.mmioData[i] & 0xff;
        }
        if (Tracepoints.ON) {
            Tracepoints.mmio(Tracepoints.MMIO_READ, readLen[known], readGpa[known], v);
        }
        readData[known++] = v;
        replayed = 0;
        if (currentRip != rip) {
            known = 0;
            return false;
        }
        return true;
    }

    /** What has been read is asked for once more, from the first piece on: OUTS reads its item where it leaves, and again to send it. */
    public void replay() {
        replayed = 0;
    }

    /** The instruction is done, or was abandoned: its answers are no longer good. */
    public void forgetReads() {
        known = 0;
        replayed = 0;
    }

    /** Collects a piece to write. */
    public void write(long gpa, int bytes, long value) {
        if (writes == writeGpa.length) {
            writeGpa = Arrays.copyOf(writeGpa, writes * 2);
            writeLen = Arrays.copyOf(writeLen, writes * 2);
            writeData = Arrays.copyOf(writeData, writes * 2);
        }
        writeGpa[writes] = gpa;
        writeLen[writes] = bytes;
        writeData[writes++] = value;
    }

    /** Whether a piece is still to go out. */
    public boolean hasWrites() {
        return sent < writes;
    }

    /** The exit for the next piece to write. */
    public void exitForWrite() {
        exit.reason = VcpuExit.MMIO;
        exit.mmioPhysAddr = writeGpa[sent];
        exit.mmioLen = writeLen[sent];
        exit.mmioIsWrite = true;
        long v = writeData[sent];
        if (Tracepoints.ON) {
            Tracepoints.mmio(Tracepoints.MMIO_WRITE, writeLen[sent], writeGpa[sent], v);
        }
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
