package dev.slate.kvm.mmu;

/**
 * What a vCPU's translations come from, for those who change it from outside the processor. Under the vCPU's mutex, outside guest
 * mode.
 */
public interface Translations {
    /** CR3, CR4, EFER, a segment or the address space was changed. */
    void changed();

    /** CR0, CR3 and CR4 were set: PAE paging's directory pointers are to be loaded from the new CR3, too. */
    void pageTablesReplaced();

    /**
     * VMRUN or #VMEXIT: the guest's guest goes on, or the guest, whose state is there now. What the processor holds of the other stays.
     *
     * @param keep whether what it holds of a guest's guest still holds, if one goes on: ASID and page tables are those that it left with, and its
     *     hypervisor wants nothing flushed
     * @param pointers whether PAE paging's directory pointers are to be loaded from CR3, too
     */
    void worldChanged(boolean keep, boolean pointers);

    /**
     * From here on a guest's guest runs below nested tables of its hypervisor's. {@link #changed} or {@link #worldChanged} follows.
     *
     * @param cr3 nCR3
     * @param cr4 the hypervisor's own, which with {@code efer} says what format the tables have
     */
    void nestedTables(long cr3, long cr4, long efer);

    /** No more. */
    void noNestedTables();

    /**
     * What the processor does besides has stored to guest memory: if code lay there, it is proved again.
     *
     * @param hva of the first byte
     * @param bytes all on one page
     */
    void stored(long hva, int bytes);
}
