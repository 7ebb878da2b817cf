package dev.slate.kvm.hyperv;

import java.util.Arrays;

/** A set of virtual processors by their indices (TLFS, "sparse virtual processor set"). Reused; of one vCPU's thread. */
final class VpSet {
    /** Banks of 64 that can hold an index at all. */
    static final int BANKS = Partition.MAX_VPS / 64;

    private final long[] banks = new long[BANKS];
    private boolean all;

    /** Everybody. */
    void setAll() {
        all = true;
    }

    /** Nobody, until {@link #setBank}. */
    void clear() {
        all = false;
        Arrays.fill(banks, 0);
    }

    void setBank(int bank, long bits) {
        banks[bank] = bits;
    }

    boolean holds(int index) {
        return all || (banks[index >>> 6] >>> index & 1) != 0;
    }
}
