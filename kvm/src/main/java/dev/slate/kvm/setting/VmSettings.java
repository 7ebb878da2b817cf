package dev.slate.kvm.setting;

/**
 * What KVM_ENABLE_CAP and its like have chosen for a VM: plain values that its vCPUs read whenever they matter.
 *
 * <p>Any thread; who sets something that vCPUs must not see change checks that there are none.
 */
public final class VmSettings {
    /** {@code KVM_CAP_DISABLE_QUIRKS}: {@link dev.slate.kvm.Quirk} bits. */
    public volatile int disabledQuirks;

    /** {@code KVM_CAP_MSR_PLATFORM_INFO}: whether guests may read PLATFORM_INFO. */
    public volatile boolean platformInfoReadable = true;

    /** {@code KVM_CAP_PMU_CAPABILITY}: the VM has no performance counters. */
    public volatile boolean pmuDisabled;

    /** {@code KVM_SET_PMU_EVENT_FILTER}: what its counters may count. */
    public volatile PmuEventFilter pmuEvents = PmuEventFilter.NONE;

    /** {@code KVM_CAP_EXCEPTION_PAYLOAD}. */
    public volatile boolean exceptionPayloads;

    /** {@code KVM_CAP_X86_TRIPLE_FAULT_EVENT}. */
    public volatile boolean tripleFaultEvents;

    /** {@code KVM_CAP_EXIT_ON_EMULATION_FAILURE}. */
    public volatile boolean exitOnEmulationFailure;

    /** {@code KVM_CAP_X86_DISABLE_EXITS}: HLT does not end guest mode, and is no exit. */
    public volatile boolean hltInGuest;

    /** {@code KVM_CAP_EXIT_HYPERCALL}: 1 << number of each hypercall that the client wants. */
    public volatile long hypercallExits;

    /** {@code KVM_CAP_HALT_POLL}: longest time that a vCPU polls for the end of HLT. */
    public volatile long haltPollNanos;

    /** Shadow pages that the VM may have, for all its vCPUs; 0 until a slot or {@code KVM_SET_NR_MMU_PAGES} says so: no vCPU can run. */
    public volatile long mmuPages;

    /** {@code KVM_CREATE_IRQCHIP} was called. */
    public volatile boolean irqchip;

    /** {@code KVM_XEN_HVM_CONFIG}: the MSR by which a guest asks for its page of hypercalls; 0: none. */
    public volatile int xenHypercallMsr;

    /** {@code KVM_XEN_HVM_CONFIG}: the guest may make Xen's hypercalls. */
    public volatile boolean xenHypercalls;

    /** {@code KVM_SET_BOOT_CPU_ID}. */
    public volatile int bootCpuId;

    /** {@code KVM_SET_TSC_KHZ} on the VM: what vCPUs start with. */
    public volatile int tscKhz;

    /** KVM's defaults. */
    public VmSettings() {}

    /** Whether a {@link dev.slate.kvm.Quirk} is on, as all are at first. */
    public boolean hasQuirk(int quirk) {
        return (disabledQuirks & quirk) == 0;
    }
}
