package dev.slate.kvm.hyperv;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * Hyper-V's hypercalls (TLFS, "hypercall interface"): the input value says which, whether its parameters are in registers (fast), and
 * how many repetitions there are.
 *
 * <p>Of the vCPU's thread, outside guest mode.
 */
public final class HvHypercalls {
    static final int FLUSH_SPACE = 0x2;
    static final int FLUSH_LIST = 0x3;
    static final int NOTIFY_LONG_SPIN_WAIT = 0x8;
    static final int SEND_IPI = 0xb;
    static final int FLUSH_SPACE_EX = 0x13;
    static final int FLUSH_LIST_EX = 0x14;
    static final int SEND_IPI_EX = 0x15;
    static final int POST_MESSAGE = 0x5c;
    static final int SIGNAL_EVENT = 0x5d;
    static final int POST_DEBUG_DATA = 0x69;
    static final int RETRIEVE_DEBUG_DATA = 0x6a;
    static final int RESET_DEBUG_SESSION = 0x6b;

    /** Instead of a result: the client answers, who finds {@link #input} and its parameters in its exit. */
    public static final long TO_CLIENT = -1;
    /** Instead of a result: #UD. */
    public static final long UNDEFINED = -2;
    /** Instead of a result: success, and others should run first. */
    public static final long YIELD = -3;

    private static final long SUCCESS = 0;
    private static final long INVALID_CODE = 2;
    private static final long INVALID_INPUT = 3;
    private static final long INVALID_ALIGNMENT = 4;
    private static final long INVALID_PARAMETER = 5;
    private static final long ACCESS_DENIED = 6;
    private static final long OPERATION_DENIED = 8;

    private static final long FAST = 1 << 16;
    private static final int VARIABLE_HEADER = 17;
    private static final int REPS = 32;
    private static final int REP_START = 48;
    /** Bits 27-31, 44-47 and 60-63. */
    private static final long RESERVED = 0xf000_f000_f800_0000L;

    private static final int MAX_XMM = 6;
    private static final long FLUSH_ALL_PROCESSORS = 1;
    private static final long FORMAT_SPARSE = 0;
    private static final long FORMAT_ALL = 1;
    private static final int LOWEST_VECTOR = 0x10;
    private static final int HIGHEST_VECTOR = 0xff;
    private static final long CONNECTION = 0xff_ffff;
    private static final long EVENT_FLAG_NUMBER = 0xffff_0000_0000L;

    private final Partition partition;
    private final VirtualProcessor vp;
    private final VpSet set = new VpSet();
    private final byte[] buffer = new byte[VpSet.BANKS * 8];
    private final long[] xmm = new long[2 * MAX_XMM];

    /** The input value of the last call. */
    public long input;
    /** Its parameters: addresses of input and output, or with a fast call the input itself. */
    public long first;

    public long second;

    private boolean fast;
    private int headerWords;

    HvHypercalls(Partition partition, VirtualProcessor vp) {
        this.partition = partition;
        this.vp = vp;
    }

    /** Makes the call that stands in the registers, of privilege 0 and protected mode. @return the result value, or a constant of here */
    public long call(CpuState s) {
        if (s.mode64()) {
            input = s.gpr[CpuState.RCX];
            first = s.gpr[CpuState.RDX];
            second = s.gpr[8];
        } else {
            input = pair(s, CpuState.RDX, CpuState.RAX);
            first = pair(s, CpuState.RBX, CpuState.RCX);
            second = pair(s, CpuState.RDI, CpuState.RSI);
        }
        int code = (int) input & 0xffff;
        fast = (input & FAST) != 0;
        headerWords = (int) (input >>> VARIABLE_HEADER) & 0x3ff;
        int reps = (int) (input >>> REPS) & 0xfff;
        int start = (int) (input >>> REP_START) & 0xfff;
        if (Tracepoints.ON) {
            HyperVTracepoints.hypercall(code, fast, headerWords, reps, start, first, second);
        }
        if (!vp.cpuid().opensCall(code)) {
            return ACCESS_DENIED;
        }
        if ((input & RESERVED) != 0) {
            return INVALID_INPUT;
        }
        if (fast && takesXmm(code)) {
            if (!vp.cpuid().takesXmmInput()) {
                return UNDEFINED;
            }
            for (int i = 0; i < xmm.length; i++) {
                xmm[i] = s.xmm[i / 2 * 4 + i % 2];
            }
        }
        boolean plain = reps == 0 && start == 0;
        boolean list = reps != 0 && start == 0;
        boolean noHeader = headerWords == 0;
        return switch (code) {
            case NOTIFY_LONG_SPIN_WAIT -> plain && noHeader ? YIELD : INVALID_INPUT;
            case SIGNAL_EVENT -> plain && noHeader ? signalEvent() : INVALID_INPUT;
            case POST_MESSAGE -> plain && noHeader ? toClient() : INVALID_INPUT;
            case FLUSH_LIST -> list && noHeader ? flush(false, reps) : INVALID_INPUT;
            case FLUSH_LIST_EX -> list ? flush(true, reps) : INVALID_INPUT;
            case FLUSH_SPACE -> plain && noHeader ? flush(false, 0) : INVALID_INPUT;
            case FLUSH_SPACE_EX -> plain ? flush(true, 0) : INVALID_INPUT;
            case SEND_IPI -> plain && noHeader ? sendIpi() : INVALID_INPUT;
            case SEND_IPI_EX -> plain ? sendIpiToSet() : INVALID_INPUT;
            case POST_DEBUG_DATA, RETRIEVE_DEBUG_DATA -> fast ? INVALID_PARAMETER : toDebugger();
            case RESET_DEBUG_SESSION -> toDebugger();
            default -> INVALID_CODE;
        };
    }

    private static long pair(CpuState s, int high, int low) {
        return s.gpr[high] << 32 | s.gpr[low] & 0xffff_ffffL;
    }

    private static boolean takesXmm(int code) {
        return switch (code) {
            case FLUSH_LIST, FLUSH_SPACE, FLUSH_LIST_EX, FLUSH_SPACE_EX, SEND_IPI_EX -> true;
            default -> false;
        };
    }

    /** A client that has no SynIC for the guest has no use for it. */
    private long toClient() {
        return vp.synIc().active() ? TO_CLIENT : INVALID_INPUT;
    }

    private long toDebugger() {
        if (!vp.cpuid().syntheticDebugger()) {
            return INVALID_CODE;
        }
        return partition.debuggerUsesHypercalls() ? TO_CLIENT : OPERATION_DENIED;
    }

    /** The bytes at the input's address; false: no memory. */
    private boolean read(long offset, int bytes) {
        return vp.mmu().read(first + offset, buffer, 0, bytes);
    }

    private long word(int at) {
        return LittleEndian.getLong(buffer, at);
    }

    private long signalEvent() {
        long parameter = first;
        if (!fast) {
            if ((parameter & 7) != 0 || !read(0, 8)) {
                return INVALID_ALIGNMENT;
            }
            // The client, who may know the connection, finds the parameter itself.
            parameter = word(0);
            first = parameter;
        }
        if ((parameter & EVENT_FLAG_NUMBER) == 0) {
            if ((parameter & ~CONNECTION) != 0) {
                return INVALID_INPUT;
            }
            if (partition.connections().signal((int) parameter)) {
                return SUCCESS;
            }
        }
        return toClient();
    }

    // ------------------------------------------------------------------ sets of virtual processors

    /**
     * The banks of a sparse set.
     *
     * @param offset where they begin in the input
     * @param taken halves of XMM registers that hold other parameters
     * @return SUCCESS or what is wrong
     */
    private boolean readSet(long valid, int offset, int taken) {
        int words = Math.min(headerWords, VpSet.BANKS);
        if (headerWords > 64 || fast && headerWords > xmm.length - taken || !fast && !read(offset, 8 * words)) {
            return false;
        }
        set.clear();
        int n = 0;
        for (int bank = 0; bank < VpSet.BANKS; bank++) {
            if ((valid >>> bank & 1) != 0) {
                set.setBank(bank, fast ? xmm[taken + n] : word(8 * n));
                n++;
            }
        }
        return true;
    }

    /** @param ex the set is a sparse one; else a mask of the first 64 */
    private long flush(boolean ex, int reps) {
        long done = SUCCESS | (long) reps << REPS;
        if (!fast && !read(0, ex ? 32 : 24)) {
            return INVALID_INPUT;
        }
        if (!ex) {
            long flags = fast ? second : word(8);
            long mask = fast ? xmm[0] : word(16);
            if (Tracepoints.ON) {
                HyperVTracepoints.flushTlb(mask, fast ? first : word(0), flags);
            }
            set.clear();
            set.setBank(0, mask);
            // Windows Server 2012 asks for nobody and means all.
            if ((flags & FLUSH_ALL_PROCESSORS) != 0 || mask == 0) {
                set.setAll();
            }
        } else {
            long format = fast ? xmm[0] : word(16);
            long valid = fast ? xmm[1] : word(24);
            if (Tracepoints.ON) {
                HyperVTracepoints.flushTlbEx(valid, format, fast ? first : word(0), fast ? second : word(8));
            }
            if (headerWords != Long.bitCount(valid)) {
                return INVALID_INPUT;
            }
            if (format != FORMAT_SPARSE) {
                set.setAll();
            } else if (headerWords == 0) {
                return done;
            } else if (!readSet(valid, 32, 2)) {
                return INVALID_INPUT;
            }
        }
        // Of all addresses, whichever are named: a flush may take more.
        partition.flush(set);
        return done;
    }

    private long sendIpi() {
        if (vp.apic() == null || !fast && !read(0, 16) || fast && first >>> 32 != 0) {
            return INVALID_INPUT;
        }
        int vector = fast ? (int) first : LittleEndian.getInt(buffer, 0);
        set.clear();
        long mask = fast ? second : word(8);
        if (Tracepoints.ON) {
            HyperVTracepoints.sendIpi(vector, mask);
        }
        set.setBank(0, mask);
        return send(vector);
    }

    private long sendIpiToSet() {
        if (vp.apic() == null || !fast && !read(0, 24)) {
            return INVALID_INPUT;
        }
        int vector = fast ? (int) first : LittleEndian.getInt(buffer, 0);
        long format = fast ? second : word(8);
        long valid = fast ? xmm[0] : word(16);
        if (Tracepoints.ON) {
            HyperVTracepoints.sendIpiEx(vector, format, valid);
        }
        if (headerWords != Long.bitCount(valid)) {
            return INVALID_INPUT;
        }
        if (format == FORMAT_ALL) {
            set.setAll();
        } else if (headerWords == 0) {
            return SUCCESS;
        } else if (!readSet(valid, 24, 1)) {
            return INVALID_INPUT;
        }
        return send(vector);
    }

    private long send(int vector) {
        if (vector < LOWEST_VECTOR || vector > HIGHEST_VECTOR) {
            return INVALID_INPUT;
        }
        partition.sendIpi(vector, set);
        return SUCCESS;
    }
}
