package dev.slate.kvm;

/** KVM_X86_QUIRK_*: behaviour of old that a client may switch off ({@link Cap#DISABLE_QUIRKS2}). Bits. */
public final class Quirk {
    public static final int LINT0_REENABLED = 1;
    public static final int CD_NW_CLEARED = 1 << 1;
    public static final int LAPIC_MMIO_HOLE = 1 << 2;
    public static final int OUT_7E_INC_RIP = 1 << 3;
    public static final int MISC_ENABLE_NO_MWAIT = 1 << 4;
    public static final int FIX_HYPERCALL_INSN = 1 << 5;
    public static final int MWAIT_NEVER_UD_FAULTS = 1 << 6;
    /** All of them: {@code KVM_X86_VALID_QUIRKS}. */
    public static final int VALID = 0x7f;

    private Quirk() {}
}
