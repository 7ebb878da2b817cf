package dev.slate.kvm;

/**
 * Events that a vCPU has pending or is delivering (KVM document 4.31, {@code struct kvm_vcpu_events}). Numbers are unsigned bytes
 * unless they say otherwise.
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class VcpuEvents {
    public static final int VALID_NMI_PENDING = 1;
    public static final int VALID_SIPI_VECTOR = 2;
    public static final int VALID_SHADOW = 4;
    public static final int VALID_SMM = 8;
    /** Only with {@code KVM_CAP_EXCEPTION_PAYLOAD}. */
    public static final int VALID_PAYLOAD = 16;
    /** Only with {@code KVM_CAP_X86_TRIPLE_FAULT_EVENT}. */
    public static final int VALID_TRIPLE_FAULT = 32;

    public int exceptionInjected;
    public int exceptionNr;
    public int exceptionHasErrorCode;
    public int exceptionPending;
    public int exceptionErrorCode;

    public int interruptInjected;
    public int interruptNr;
    public int interruptSoft;
    /** Interrupt shadow: 1 STI, 2 MOV SS. */
    public int interruptShadow;

    public int nmiInjected;
    public int nmiPending;
    public int nmiMasked;

    /** 32 bits. */
    public int sipiVector;
    /** {@code VALID_*}. */
    public int flags;

    public int smm;
    public int smiPending;
    public int smmInsideNmi;
    public int smiLatchedInit;

    public int tripleFaultPending;

    public int exceptionHasPayload;
    public long exceptionPayload;

    /** All zero. */
    public VcpuEvents() {}
}
