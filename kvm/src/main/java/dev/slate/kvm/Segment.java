package dev.slate.kvm;

/**
 * A segment register with its hidden part ({@code struct kvm_segment}). Flags are 0 or 1.
 *
 * <p>A plain carrier. Not thread-safe.
 */
public final class Segment {
    public long base;
    /** In bytes, inclusive, granularity applied. */
    public int limit;
    /** 16 bits. */
    public int selector;
    /** 0..15. */
    public int type;

    public int present;
    /** 0..3. */
    public int dpl;

    public int db;
    /** Code or data (1), or system (0). */
    public int s;

    public int l;
    public int g;
    public int avl;
    /** 1 when a null selector was loaded; KVM gives the complement of {@link #present} on AMD. */
    public int unusable;

    /** All zero. */
    public Segment() {}
}
