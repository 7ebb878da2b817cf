package dev.slate.device.abi;

/**
 * {@code struct kvm_pre_fault_memory} (KVM document, KVM_PRE_FAULT_MEMORY). It came with Linux 6.11, so the headers here need not have it, and
 * no test compares it with them: the 64-bit words {@code gpa}, {@code size} and {@code flags}, and five of padding.
 */
public final class PreFaultMemory {
    public static final long GPA = 0;
    public static final long SIZE = 8;
    public static final long FLAGS = 16;
    public static final int BYTES = 64;

    private PreFaultMemory() {}
}
