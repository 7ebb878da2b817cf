package dev.slate.kvm.msr;

import org.jspecify.annotations.Nullable;

/** Machine-check registers (SDM 3B 15.3). Storage is made at the first write. */
public final class MceFile {
    /** Banks of a vCPU that no client has configured; also the most there can be. */
    public static final int MAX_BANKS = 32;

    /** MCG_CAP bits that a client may ask for: MCG_CTL_P, MCG_SER_P. */
    public static final long SUPPORTED_CAP = 1 << 8 | 1 << 24;

    private static final long CTL_P = 1 << 8;
    private static final long CMCI_P = 1 << 10;
    private static final int P5_MC_ADDR = 0;
    private static final int P5_MC_TYPE = 1;
    private static final long CTL2_VALID = 1 << 30 | 0x7fff;

    private long cap = MAX_BANKS;
    private long status;
    private long ctl;
    // Per bank: CTL, STATUS, ADDR, MISC; then CTL2 of every bank.
    private long @Nullable [] banks;

    MceFile() {}

    /**
     * KVM_X86_SETUP_MCE.
     *
     * @return false: no bank, too many, or bits that are not supported
     */
    public boolean setup(long mcgCap) {
        int count = (int) mcgCap & 0xff;
        if (count == 0 || count > MAX_BANKS || (mcgCap & ~(SUPPORTED_CAP | 0xff | 0xff0000)) != 0) {
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
