package dev.slate.kvm;

/** {@code struct kvm_nested_state} of an AMD processor: what KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE carry. */
public final class NestedState {
    /** Bytes before the VMCB. */
    public static final int HEADER_BYTES = 128;
    /** Bytes of the VMCB. */
    public static final int VMCB_BYTES = 4096;

    /** {@code KVM_STATE_NESTED_FORMAT_SVM}. */
    public static final int FORMAT_SVM = 1;

    /** {@link #flags}: a guest's guest runs, and a VMCB follows the header. */
    public static final int GUEST_MODE = 1;
    /** {@link #flags}: VMRUN has happened, and its guest has not been entered yet. Never said here; taken. */
    public static final int RUN_PENDING = 2;
    /** {@link #flags}: the global interrupt flag. */
    public static final int GIF_SET = 0x100;

    /** Of the above. */
    public int flags;
    /** {@link #FORMAT_SVM}. */
    public int format = FORMAT_SVM;
    /** In bytes: {@link #HEADER_BYTES}, with {@link #GUEST_MODE} and {@link #VMCB_BYTES}. */
    public int size;
    /** gpa of the VMCB. */
    public long vmcbGpa;
    /** With {@link #GUEST_MODE}: the VMCB's control area, and the hypervisor's own state where a VMCB has its guest's. */
    public final byte[] vmcb = new byte[VMCB_BYTES];

    /** Empty. */
    public NestedState() {}
}
