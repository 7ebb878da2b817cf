package dev.slate.kvm;

import dev.slate.cpu.mem.LittleEndian;

/**
 * Why {@link Vcpu#run} came back and what it needs: the Java face of {@code struct kvm_run} (KVM document 5). One object per vCPU,
 * reused; valid until the next {@code run()}. Only the thread that runs the vCPU may touch it.
 *
 * <p>The group of fields that belongs to {@link #reason} is valid, the others hold what they held.
 */
public final class VcpuExit {
    // KVM_EXIT_*
    public static final int UNKNOWN = 0;
    public static final int EXCEPTION = 1;
    public static final int IO = 2;
    public static final int HYPERCALL = 3;
    public static final int DEBUG = 4;
    public static final int HLT = 5;
    public static final int MMIO = 6;
    public static final int IRQ_WINDOW_OPEN = 7;
    public static final int SHUTDOWN = 8;
    public static final int FAIL_ENTRY = 9;
    public static final int INTR = 10;
    public static final int SET_TPR = 11;
    public static final int TPR_ACCESS = 12;
    public static final int NMI = 16;
    public static final int INTERNAL_ERROR = 17;
    public static final int SYSTEM_EVENT = 24;
    public static final int IOAPIC_EOI = 26;
    public static final int HYPERV = 27;
    public static final int X86_RDMSR = 29;
    public static final int X86_WRMSR = 30;
    public static final int DIRTY_RING_FULL = 31;
    public static final int X86_BUS_LOCK = 33;
    public static final int XEN = 34;
    public static final int NOTIFY = 37;

    public static final int IO_IN = 0;
    public static final int IO_OUT = 1;

    // KVM_INTERNAL_ERROR_*
    public static final int INTERNAL_ERROR_EMULATION = 1;
    public static final int INTERNAL_ERROR_SIMUL_EX = 2;
    public static final int INTERNAL_ERROR_DELIVERY_EV = 3;
    public static final int INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;

    /** {@code data[0]} of an emulation failure: the instruction's bytes follow. */
    public static final long INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES = 1;

    // KVM_SYSTEM_EVENT_*
    public static final int SYSTEM_EVENT_RESET = 2;
    public static final int SYSTEM_EVENT_CRASH = 3;

    // KVM_EXIT_HYPERV_*
    public static final int HYPERV_SYNIC = 1;
    public static final int HYPERV_HCALL = 2;
    public static final int HYPERV_SYNDBG = 3;

    /** Words of {@link #hypervData}. */
    public static final int HYPERV_WORDS = 6;

    // KVM_MSR_EXIT_REASON_*
    public static final int MSR_EXIT_REASON_INVAL = 1;
    public static final int MSR_EXIT_REASON_UNKNOWN = 2;
    public static final int MSR_EXIT_REASON_FILTER = 4;

    /** {@link #flags}: the vCPU is in system management mode. */
    public static final int RUN_X86_SMM = 1;

    /** What {@link #ioDataOffset} starts from: the PIO data page follows the {@code kvm_run} page. */
    public static final int PIO_PAGE_OFFSET = 4096;

    // ---- What the client says before run() ----
    /** Come back with {@link #IRQ_WINDOW_OPEN} as soon as the guest can take an interrupt (no in-kernel interrupt controller). */
    public boolean requestInterruptWindow;

    // ---- On every exit ----
    /** One of the constants above. */
    public int reason;

    public boolean readyForInterruptInjection;
    public boolean ifFlag;
    /** {@code RUN_X86_*}. */
    public int flags;
    /** Both ways without an in-kernel interrupt controller: the client's value is loaded at the next run(). */
    public long cr8;

    public long apicBase;

    // ---- UNKNOWN, FAIL_ENTRY ----
    public long hardwareReason;
    public int failEntryCpu;

    // ---- IO ----
    /** {@link #IO_IN} or {@link #IO_OUT}. */
    public int ioDirection;
    /** Bytes per item: 1, 2, 4. */
    public int ioSize;
    /** 0..65535. */
    public int ioPort;
    /** Items, at least 1. */
    public int ioCount;
    /** Where the data lies, from the start of the run area. IN: the client writes there before the next run(). */
    public long ioDataOffset;

    // ---- MMIO ----
    public long mmioPhysAddr;
    /** 1..8 bytes are used. Reads: the client writes here before the next run(). */
    public final byte[] mmioData = new byte[8];
    /** Bytes, 1..8. */
    public int mmioLen;

    public boolean mmioIsWrite;

    // ---- INTERNAL_ERROR ----
    public int internalSuberror;
    /** 0..16. */
    public int internalNdata;

    public final long[] internalData = new long[16];

    // ---- HYPERCALL ----
    public long hypercallNr;
    public final long[] hypercallArgs = new long[6];
    /** The client's answer. */
    public long hypercallRet;

    public boolean hypercallLongmode;

    // ---- X86_RDMSR, X86_WRMSR ----
    /** The client's answer: not 0 injects #GP. */
    public int msrError;
    /** {@code MSR_EXIT_REASON_*}. */
    public int msrReason;

    public int msrIndex;
    /** RDMSR: the client's answer. */
    public long msrData;

    // ---- DEBUG ----
    public int debugException;
    public long debugPc;
    public long debugDr6;
    public long debugDr7;

    // ---- SYSTEM_EVENT ----
    public int systemEventType;

    // ---- HYPERV ----
    /** {@code HYPERV_*}. */
    public int hypervType;
    /**
     * As in {@code struct kvm_hyperv_exit}: SYNIC and SYNDBG an MSR's number and the registers, HCALL the input value, the result (the
     * client's answer) and two parameters. SYNDBG: the client writes the status, [2], before the next run().
     */
    public final long[] hypervData = new long[HYPERV_WORDS];

    // ---- XEN ----
    /** Whether the guest was in 64-bit mode: then its registers are the 64-bit ones. */
    public boolean xenLongmode;

    public int xenCpl;
    public long xenInput;
    public final long[] xenParams = new long[6];
    /** The client's answer. */
    public long xenResult;

    // ---- TPR_ACCESS ----
    public long tprRip;
    public boolean tprIsWrite;

    // ---- IOAPIC_EOI ----
    public int eoiVector;

    VcpuExit() {}

    /** The exit as a value. Allocates. */
    public Exit value() {
        return switch (reason) {
            case IO ->
                ioDirection == IO_IN
                        ? new Exit.PortIn(ioPort, ioSize, ioCount)
                        : new Exit.PortOut(ioPort, ioSize, ioCount);
            case MMIO ->
                mmioIsWrite
                        ? new Exit.MmioWrite(mmioPhysAddr, mmioLen, LittleEndian.getLong(mmioData, 0))
                        : new Exit.MmioRead(mmioPhysAddr, mmioLen);
            case HLT -> new Exit.Halt();
            case SHUTDOWN -> new Exit.Shutdown();
            case DEBUG -> new Exit.Debug(debugException, debugPc, debugDr6);
            case IRQ_WINDOW_OPEN -> new Exit.InterruptWindow();
            case X86_RDMSR -> new Exit.ReadMsr(msrIndex, msrReason);
            case X86_WRMSR -> new Exit.WriteMsr(msrIndex, msrData, msrReason);
            case INTERNAL_ERROR -> new Exit.InternalError(internalSuberror);
            default -> new Exit.Other(reason);
        };
    }
}
