package dev.slate.kvm.msr;

import org.jspecify.annotations.Nullable;

/** Machine-check registers (SDM 3B 15.3). Storage is made at the first write. */
public final class MceFile {
    /** Banks of a vCPU that no client has configured; also the most there can be. */
    public static final int MAX_BANKS = 32;

    private static final long CTL_P = 1 << 8;
    private static final long CMCI_P = 1 << 10;
    private static final long SER_P = 1 << 24;

    private static final long STATUS_VALID = 1L << 63;
    private static final long STATUS_OVERFLOW = 1L << 62;
    private static final long STATUS_UNCORRECTED = 1L << 61;
    private static final long STATUS_CONTEXT_CORRUPT = 1L << 57;
    private static final long STATUS_SIGNALED = 1L << 56;
    private static final long STATUS_ACTION_REQUIRED = 1L << 55;
    private static final long IN_PROGRESS = 4;

    /** {@link #inject}: recorded, and the guest is told by a corrected machine-check interrupt. */
    public static final int SIGNALLED = 4;

    /** {@link #inject}: recorded, the guest is not interrupted. */
    public static final int RECORDED = 0;
    /** {@link #inject}: no such bank, or nothing valid. */
    public static final int REFUSED = 1;
    /** {@link #inject}: #MC. */
    public static final int MACHINE_CHECK = 2;
    /** {@link #inject}: a machine check on top of one, or without a handler: shutdown. */
    public static final int SHUTDOWN = 3;

    private static final int P5_MC_ADDR = 0;
    private static final int P5_MC_TYPE = 1;
    /** CTL2: errors that were corrected, or ask for no action, raise the local APIC's CMCI vector. */
    private static final long CTL2_CMCI_ENABLED = 1 << 30;

    private static final long CTL2_VALID = CTL2_CMCI_ENABLED | 0x7fff;

    private long cap = MAX_BANKS;
    private long status;
    private long ctl;
    // Per bank: CTL, STATUS, ADDR, MISC; then CTL2 of every bank.
    private long @Nullable [] banks;

    MceFile() {}

    /** MCG_CAP bits that a client may ask for; Intel's processors have the interrupt for corrected errors, too (SDM 3B 15.5). */
    public static long supportedCap(boolean intel) {
        return CTL_P | SER_P | (intel ? CMCI_P : 0);
    }

    /** Whether there is a corrected machine-check interrupt. */
    public boolean hasCmci() {
        return (cap & CMCI_P) != 0;
    }

    /**
     * KVM_X86_SETUP_MCE.
     *
     * @param supported {@link #supportedCap}
     * @return false: no bank, too many, or bits that are not supported
     */
    public boolean setup(long mcgCap, long supported) {
        int count = (int) mcgCap & 0xff;
        if (count == 0 || count > MAX_BANKS || (mcgCap & ~(supported | 0xff | 0xff0000)) != 0) {
            return false;
        }
        cap = mcgCap;
        if ((mcgCap & CTL_P) != 0) {
            ctl = -1;
        }
        long[] b = storage();
        for (int i = 0; i < count; i++) {
            b[i * 4] = -1;
        }
        return true;
    }

    /**
     * KVM_X86_SET_MCE: an error happens in a bank (SDM 3B 15.3.2).
     *
     * @param enabled CR4.MCE
     */
    public int inject(int bank, long newStatus, long address, long misc, long globalStatus, boolean enabled) {
        if (bank >= (cap & 0xff) || (newStatus & STATUS_VALID) == 0) {
            return REFUSED;
        }
        long[] b = storage();
        int at = bank * 4;
        boolean uncorrected = (newStatus & STATUS_UNCORRECTED) != 0;
        boolean noAction = (newStatus & (STATUS_CONTEXT_CORRUPT | STATUS_SIGNALED | STATUS_ACTION_REQUIRED)) == 0
                && globalStatus == 0;
        if (uncorrected && noAction) {
            record(b, at, newStatus, address, misc);
            status = 0;
            boolean signals = hasCmci() && (b[MAX_BANKS * 4 + bank] & CTL2_CMCI_ENABLED) != 0;
            return signals ? SIGNALLED : RECORDED;
        }
        if (uncorrected && ((cap & CTL_P) != 0 && ctl != -1 || b[at] != -1)) {
            // Reporting is switched off.
            return RECORDED;
        }
        boolean full = (b[at + 1] & STATUS_VALID) != 0;
        if (uncorrected) {
            if ((status & IN_PROGRESS) != 0 || !enabled) {
                return SHUTDOWN;
            }
            record(b, at, newStatus | (full ? STATUS_OVERFLOW : 0), address, misc);
            status = globalStatus;
            return MACHINE_CHECK;
        }
        if (full && (b[at + 1] & STATUS_UNCORRECTED) != 0) {
            // A worse error is kept.
            b[at + 1] |= STATUS_OVERFLOW;
        } else {
            record(b, at, newStatus | (full ? STATUS_OVERFLOW : 0), address, misc);
        }
        return RECORDED;
    }

    private static void record(long[] banks, int at, long status, long address, long misc) {
        banks[at + 1] = status;
        banks[at + 2] = address;
        banks[at + 3] = misc;
    }

    private long[] storage() {
        long[] b = banks;
        if (b == null) {
            b = new long[MAX_BANKS * 5];
            banks = b;
        }
        return b;
    }

    boolean holds(int index) {
        return index == P5_MC_ADDR
                || index == P5_MC_TYPE
                || index >= Msr.MCG_CAP && index <= Msr.MCG_CTL
                || index >= Msr.MC0_CTL && index < Msr.MC0_CTL + 4 * MAX_BANKS
                || index >= Msr.MC0_CTL2 && index < Msr.MC0_CTL2 + MAX_BANKS;
    }

    private int slot(int index) {
        int count = (int) cap & 0xff;
        if (index >= Msr.MC0_CTL) {
            return index - Msr.MC0_CTL < 4 * count ? index - Msr.MC0_CTL : -1;
        }
        return index - Msr.MC0_CTL2 < count ? MAX_BANKS * 4 + index - Msr.MC0_CTL2 : -1;
    }

    private static boolean isCtl2(int index) {
        return index >= Msr.MC0_CTL2 && index < Msr.MC0_CTL2 + MAX_BANKS;
    }

    boolean canRead(int index, boolean host) {
        if (index == Msr.MCG_CTL) {
            return (cap & CTL_P) != 0 || host;
        }
        if (index < Msr.MC0_CTL2) {
            return true;
        }
        return slot(index) >= 0 && (!isCtl2(index) || (cap & CMCI_P) != 0 || host);
    }

    long read(int index) {
        switch (index) {
            case P5_MC_ADDR, P5_MC_TYPE -> {
                return 0;
            }
            case Msr.MCG_CAP -> {
                return cap;
            }
            case Msr.MCG_STATUS -> {
                return status;
            }
            case Msr.MCG_CTL -> {
                return ctl;
            }
            default -> {
                long[] b = banks;
                return b == null ? 0 : b[slot(index)];
            }
        }
    }

    boolean write(int index, long v, boolean host, boolean statusWritable) {
        switch (index) {
            case Msr.MCG_STATUS -> {
                status = v;
                return true;
            }
            case Msr.MCG_CTL -> {
                if ((cap & CTL_P) == 0 && (v != 0 || !host) || v != 0 && v != -1) {
                    return false;
                }
                ctl = v;
                return true;
            }
            case P5_MC_ADDR, P5_MC_TYPE, Msr.MCG_CAP -> {
                return false;
            }
            default -> {
                int slot = slot(index);
                if (slot < 0 || !bankValid(index, v, host, statusWritable)) {
                    return false;
                }
                if (v != 0 || banks != null) {
                    storage()[slot] = v;
                }
                return true;
            }
        }
    }

    private boolean bankValid(int index, long v, boolean host, boolean statusWritable) {
        if (isCtl2(index)) {
            return ((cap & CMCI_P) != 0 || v == 0 && host) && (v & ~CTL2_VALID) == 0;
        }
        return switch (index & 3) {
            // All ones, but for two bits that kernels clear around old errata.
            case 0 -> v == 0 || (v | 1 << 10 | 1) == -1;
            case 1 -> host || v == 0 || statusWritable;
            default -> true;
        };
    }
}
