package dev.slate.cpu;

/** Where a {@link Hypervisor} leaves what it answers beside the result of a call. */
public final class FaultAnswer {
    /**
     * {@link Hypervisor#pageFault}: the guest physical address, where the answer has one. {@link Hypervisor#nestedPageFault}: the address of the
     * fault; the hypervisor puts another one there if it answers for that.
     */
    public long gpa;

    /** {@link Hypervisor#pageFault}: the error code to inject. */
    public int errorCode;

    /** {@link Hypervisor#WATCHED}: where the write is done, for this once. */
    public long watchedHva;

    /** {@link Hypervisor#mmioRead}: the value, zero-extended. */
    public long mmioData;

    FaultAnswer() {}
}
