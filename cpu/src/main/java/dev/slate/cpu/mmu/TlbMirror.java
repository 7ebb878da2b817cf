package dev.slate.cpu.mmu;

/** Keeps copies of a {@link Tlb}'s entries elsewhere and must lose what the TLB loses. On the processor's thread. */
public interface TlbMirror {
    /** Everything was dropped, or another space is in use. @param globalToo global translations, too */
    void flushed(boolean globalToo);

    /** The page of {@code la} was dropped in every mode. */
    void pageFlushed(long la);

    /** Stores to the host page {@code hvaPage} must take the slow path from now on. */
    void codeProtected(long hvaPage);
}
