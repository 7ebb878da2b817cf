package dev.slate.cpu;

import dev.slate.cpu.decode.Feature;

/** Whose processor a test runs on. */
public enum Vendor {
    AMD,
    INTEL;

    /** All features there are, of this vendor's. */
    public long features() {
        return this == INTEL ? Cpu.FEATURES | Feature.bit(Feature.INTEL) : Cpu.FEATURES;
    }
}
