package dev.slate.cpu.mmu;

/**
 * Keeps copies of a {@link Tlb}'s entries elsewhere, of one space of each world, and must lose what the TLB loses. On the processor's thread.
 */
public interface TlbMirror {
    /** Everything of a world was dropped, or another of its spaces is in use. @param globalToo global translations, too */
    void flushed(int world, boolean globalToo);

    /** A world goes on in the space that it left. */
    void entered(int world);

    /** Whether code may have been found on the page of {@code la}, in whatever space: whoever keeps it must learn that the page is dropped. */
    boolean holdsCode(long la);

    /** The page of {@code la} was dropped from a world, in every mode. */
    void pageFlushed(int world, long la);

    /** Stores to the host page {@code hvaPage} must take the slow path from now on. */
    void codeProtected(long hvaPage);
}
