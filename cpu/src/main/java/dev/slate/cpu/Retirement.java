package dev.slate.cpu;

import dev.slate.cpu.decode.Op;
import org.jspecify.annotations.Nullable;

/**
 * Counts what a processor retires, exactly, by kind and by privilege, while somebody wants it: then every instruction is interpreted by
 * itself. On the processor's thread.
 */
public final class Retirement {
    /** Instructions done; REP and its repetitions are one. */
    public static final int INSTRUCTIONS = 0;

    /** Every change of control flow: branches, taken or not, far transfers, and the delivery of exceptions and interrupts. */
    public static final int BRANCHES = 1;

    /** Jcc, JCXZ and LOOP with its like, taken or not. */
    public static final int CONDITIONAL_BRANCHES = 2;

    /** RET within a segment. */
    public static final int NEAR_RETURNS = 3;

    /** Far calls, jumps and returns, IRET, INT n and its like, system calls and their returns; exceptions and interrupts. */
    public static final int FAR_TRANSFERS = 4;

    private static final int KINDS = 5;

    /** Of each {@link Op} a bit for each kind. */
    private static final byte[] OF_OP = ofOps();

    /** Who is to look at the counts. */
    @FunctionalInterface
    public interface Watch {
        /** {@link Retirement#left} has run out. On the processor's thread, in guest mode, between two instructions. */
        void spent();
    }

    /** Whether anything is counted. Changes take effect when the processor is next entered. */
    public boolean counting;

    /** No kind grows by more than this before {@link #watch} is told. */
    public long left = Long.MAX_VALUE;

    /** Told when {@link #left} runs out; sets it anew. */
    public @Nullable Watch watch;

    private final long[] kernel = new long[KINDS];
    private final long[] user = new long[KINDS];

    /** Nothing is counted yet. */
    public Retirement() {}

    private static byte[] ofOps() {
        byte[] kinds = new byte[Op.COUNT];
        java.util.Arrays.fill(kinds, (byte) (1 << INSTRUCTIONS));
        for (int op = Op.JO; op <= Op.JNLE; op++) {
            kinds[op] |= 1 << BRANCHES | 1 << CONDITIONAL_BRANCHES;
        }
        for (int op : new int[] {Op.JCXZ, Op.LOOP, Op.LOOPE, Op.LOOPNE}) {
            kinds[op] |= 1 << BRANCHES | 1 << CONDITIONAL_BRANCHES;
        }
        for (int op : new int[] {Op.CALL_REL, Op.CALL_RM, Op.JMP_REL, Op.JMP_RM}) {
            kinds[op] |= 1 << BRANCHES;
        }
        for (int op : new int[] {Op.RET, Op.RET_IMM}) {
            kinds[op] |= 1 << BRANCHES | 1 << NEAR_RETURNS;
        }
        for (int op : new int[] {
            Op.CALL_FAR_IMM,
            Op.CALL_FAR_RM,
            Op.JMP_FAR_IMM,
            Op.JMP_FAR_RM,
            Op.RETF,
            Op.RETF_IMM,
            Op.IRET,
            Op.INT,
            Op.INT3,
            Op.INT1,
            Op.INTO,
            Op.SYSCALL,
            Op.SYSENTER,
            Op.SYSRET,
            Op.SYSEXIT
        }) {
            kinds[op] |= 1 << BRANCHES | 1 << FAR_TRANSFERS;
        }
        return kinds;
    }

    /** What has been retired at privilege 0, at 1 to 3, or both, since {@link #counting}. */
    public long count(int kind, boolean atKernel, boolean atUser) {
        return (atKernel ? kernel[kind] : 0) + (atUser ? user[kind] : 0);
    }

    /** An instruction is done that the processor has left for its hypervisor. @param cpl the privilege that it ran with */
    public void emulated(int cpl) {
        if (counting) {
            (cpl == 0 ? kernel : user)[INSTRUCTIONS]++;
            spend();
        }
    }

    /** An instruction is done. */
    void instruction(int op, int cpl) {
        long[] counts = cpl == 0 ? kernel : user;
        int kinds = OF_OP[op];
        for (int kind = 0; kind < KINDS; kind++) {
            counts[kind] += kinds >>> kind & 1;
        }
        spend();
    }

    /** An exception or an interrupt has gone to its handler. @param cpl the privilege that it came at */
    void delivered(int cpl) {
        if (counting) {
            long[] counts = cpl == 0 ? kernel : user;
            counts[BRANCHES]++;
            counts[FAR_TRANSFERS]++;
            spend();
        }
    }

    private void spend() {
        Watch w = watch;
        if (--left <= 0 && w != null) {
            w.spent();
        }
    }
}
