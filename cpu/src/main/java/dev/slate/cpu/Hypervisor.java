package dev.slate.cpu;

/**
 * What stands above a processor: the calls that the processor makes while it runs, on its own thread. Everything else it says by
 * coming back from {@link Cpu#run} with a {@link CpuExit}.
 *
 * <p>A nested page fault is a call and not a return, because most are fixed and the access then simply goes on: no unwinding, no
 * re-decode. After any of these calls every host address that the processor held is void: it looks up again through the TLB.
 */
public interface Hypervisor {
    /** Of {@link #tscOffset}. */
    long NO_TSC_OFFSET = Long.MIN_VALUE;

    /** {@link #nestedPageFault}: the nested tables were changed; walk again. */
    int RETRY = 0;
    /** {@link #nestedPageFault}: no memory there: the access goes to {@link #mmioRead} or {@link #mmioWrite}. */
    int MMIO = 1;
    /** {@link #pageFault}: the guest gets a page fault with {@code cpu.answer.errorCode}. */
    int INJECT = 3;
    /**
     * {@link #nestedPageFault} and {@link #pageFault} of a write: it may be done on {@code cpu.answer.watchedHva}, for this once. {@link #watchedWrite} is
     * called when it has been, with {@code cpu.answer.gpa}'s page.
     */
    int WATCHED = 4;
    /**
     * {@link #nestedPageFault} and {@link #pageFault} of a write: memory is there that can only be read. What an instruction stores goes to
     * {@link #mmioWrite}; accessed and dirty bits of a guest's table there are not kept.
     */
    int READ_ONLY = 5;
    /** {@link #nestedPageFault}: leave guest mode with {@link CpuExit#NPF}, nothing of the instruction done. */
    int LEAVE = 2;

    // Error code bits of a nested page fault (APM 2 15.25.6).
    int NPF_PRESENT = 1;
    int NPF_WRITE = 1 << 1;
    int NPF_USER = 1 << 2;
    int NPF_RESERVED = 1 << 3;
    int NPF_FETCH = 1 << 4;
    /** The access was of the guest's final physical address. */
    long NPF_FINAL = 1L << 32;
    /** The access was of a guest page table. */
    long NPF_GUEST_TABLE = 1L << 33;

    /**
     * The nested walk for guest physical address {@code gpa} (bytes) failed.
     *
     * @param errorCode {@code NPF_*} bits
     * @param gva the linear address that the instruction used, for traces
     * @return {@link #RETRY}, {@link #MMIO}, {@link #READ_ONLY}, {@link #WATCHED} or {@link #LEAVE}
     */
    int nestedPageFault(long gpa, long errorCode, long gva);

    /** Beside the bits of a page fault's error code: SMAP is in force for the access, EFLAGS.AC taken into account. */
    long PF_SMAP = 1L << 32;

    // ---- Without nested paging (APM 2 15.25.1) the hypervisor's tables are the only ones, and it is asked what
    // follows from the guest's. ----

    /**
     * The walk of the hypervisor's tables for linear address {@code la} failed: the intercepted #PF.
     *
     * @param errorCode as silicon gives it, with {@link #PF_SMAP}
     * @return {@link #RETRY}; {@link #MMIO} or {@link #READ_ONLY} with {@code cpu.answer.gpa}; {@link #INJECT}, {@link #WATCHED} or {@link #LEAVE}
     */
    default int pageFault(long la, long errorCode) {
        throw new IllegalStateException("a page fault was intercepted under nested paging");
    }

    /** A write under watch has been done: {@code bytes} bytes at {@code gpa}, all on one page. */
    default void watchedWrite(long gpa, int bytes) {
        throw new IllegalStateException("a write was watched that nobody watches");
    }

    /** CR0, CR3, CR4 or EFER was written, or translations were flushed: the guest's page tables count anew. */
    default void translationsChanged() {
        throw new IllegalStateException("translations are the hypervisor's under nested paging");
    }

    /** INVLPG. */
    default void invalidatePage(long la) {
        throw new IllegalStateException("INVLPG was intercepted under nested paging");
    }

    /** Reads quadwords of guest physical memory, all on one page; false: there is none. */
    default boolean readPhysical(long gpa, long[] into) {
        throw new IllegalStateException("a table was read under nested paging");
    }

    /**
     * An instruction reads {@code bytes} (1..8) at {@code gpa}, where {@link #nestedPageFault} had said MMIO. The same instruction is
     * started again after the answer has come, and asks again in the same order: the hypervisor keeps the answers it already has.
     *
     * @return true: the value is in {@code cpu.answer.mmioData}, zero-extended; false: leave with {@link CpuExit#MMIO}
     */
    boolean mmioRead(long gpa, int bytes);

    /** An instruction writes {@code bytes} (1..8) of {@code data} at {@code gpa}. May call {@link Cpu#stopAfterInstruction}. */
    void mmioWrite(long gpa, int bytes, long data);

    /**
     * VMLOAD, VMSAVE, STGI or CLGI of a guest that is a hypervisor, which nobody intercepts: does it there and then.
     *
     * @param code of {@link SvmExit}
     * @param address what rAX has
     * @return false: nothing is done; leave with {@link CpuExit#SVM}
     */
    default boolean virtualMachine(int code, long address) {
        return false;
    }

    /** The guest's time-stamp counter, offset and scaling applied. */
    long readTsc();

    /**
     * What {@link #readTsc} gives more than the host's RDTSC, by which code may read the counter until an instruction of the guest's, or its
     * hypervisor between two runs, changes it; {@link #NO_TSC_OFFSET}: it is no such sum.
     */
    default long tscOffset() {
        return NO_TSC_OFFSET;
    }
}
