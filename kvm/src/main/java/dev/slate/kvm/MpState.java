package dev.slate.kvm;

/** Multiprocessing states ({@code KVM_MP_STATE_*}). */
public final class MpState {
    public static final int RUNNABLE = 0;
    /** An application processor that waits for INIT and SIPI. */
    public static final int UNINITIALIZED = 1;
    /** INIT has arrived, SIPI has not. */
    public static final int INIT_RECEIVED = 2;

    public static final int HALTED = 3;
    /** Only set, never read: the next run goes to {@link #RUNNABLE} through the SIPI vector. */
    public static final int SIPI_RECEIVED = 4;

    public static final int AP_RESET_HOLD = 9;

    private MpState() {}
}
