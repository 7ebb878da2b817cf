package dev.slate.kvm;

import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.msr.MceFile;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.xen.XenDomain;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The capabilities ({@code KVM_CAP_*}), one a row: number, what KVM_CHECK_EXTENSION answers, and what KVM_ENABLE_CAP takes and needs.
 * A number without a row is a capability that is not there.
 *
 * <p>The answer on a VM is the one on {@code /dev/kvm}: nothing that a VM of KVM 6.1 can be made differ in changes one of these.
 *
 * <p>A row is one of
 *
 * <ul>
 *   <li>{@code NAME(number, value)}: a constant, or a function of the {@link Kvm} with its knobs, host and CPU model;
 *   <li>{@code NAME(number, value, onVm(argument bits, needs...))}, with -1 for any argument: KVM_ENABLE_CAP on a VM takes it; {@link Vm#enableCap} has a case
 *       with the name, and a test fails when it has none. {@code onVcpu(...)} is for vCPUs and {@link Vcpu#enableCap};
 *   <li>{@code NAME(number, missing("what"))}: KVM 6.1 has it and Slate does not yet: 0, and what is missing.
 * </ul>
 *
 * <p>To add a capability: turn its {@code missing} into its value, add {@code onVm} and the case where it can be enabled, and take the
 * row's line out of {@code conformance/answers/expected}; {@code ./slate conformance answers} says whether a real KVM answers so.
 */
public enum Cap {
    IRQCHIP(0, 1),
    HLT(1, 1),
    MMU_SHADOW_CACHE_CONTROL(2, 1),
    USER_MEMORY(3, 1),
    SET_TSS_ADDR(4, 1),
    VAPIC(6, 1),
    EXT_CPUID(7, 1),
    CLOCKSOURCE(8, 1),
    NR_VCPUS(9, kvm -> Math.min(Runtime.getRuntime().availableProcessors(), kvm.maxVcpus())),
    NR_MEMSLOTS(10, GuestMemory.USER_MEM_SLOTS),
    PIT(11, 1),
    NOP_IO_DELAY(12, 1),
    MP_STATE(14, 1),
    /** Where the ring shows in a run area. */
    COALESCED_MMIO(15, Kvm.COALESCED_MMIO_PAGE),
    SYNC_MMU(16, 1),
    DESTROY_MEMORY_REGION_WORKS(21, 1),
    USER_NMI(22, 1),
    SET_GUEST_DEBUG(23, 1),
    REINJECT_CONTROL(24, 1),
    IRQ_ROUTING(25, GsiRoute.MAX),
    IRQ_INJECT_STATUS(26, 1),
    JOIN_MEMORY_REGIONS_WORKS(30, 1),
    MCE(31, MceFile.MAX_BANKS),
    IRQFD(32, 1),
    PIT2(33, 1),
    SET_BOOT_CPU_ID(34, 1),
    PIT_STATE2(35, 1),
    IOEVENTFD(36, 1),
    SET_IDENTITY_MAP_ADDR(37, 1),
    XEN_HVM(38, XenDomain.FEATURES),
    ADJUST_CLOCK(39, ClockData.TSC_STABLE | ClockData.REALTIME | ClockData.HOST_TSC),
    INTERNAL_ERROR_DATA(40, 1),
    VCPU_EVENTS(41, 1),
    HYPERV(44, 1),
    HYPERV_VAPIC(45, 1),
    HYPERV_SPIN(46, 1),
    /** Of the days of assigned devices; KVM says it for ever, and nothing follows from it. */
    PCI_SEGMENT(47, 1),
    DEBUGREGS(50, 1),
    X86_ROBUST_SINGLESTEP(51, 1),
    ENABLE_CAP(54, 1),
    XSAVE(55, 1),
    XCRS(56, kvm -> kvm.supported().has(Feature.XSAVE) ? 1 : 0),
    ASYNC_PF(59, 1),
    TSC_CONTROL(60, 1),
    GET_TSC_KHZ(61, 1),
    MAX_VCPUS(66, Kvm::maxVcpus),
    TSC_DEADLINE_TIMER(72, 1),
    SYNC_REGS(74, Kvm.SYNC_REGS_VALID),
    KVMCLOCK_CTRL(76, 1),
    SIGNAL_MSI(77, 1),
    READONLY_MEM(81, 1),
    IRQFD_RESAMPLE(82, 1),
    EXT_EMUL_CPUID(95, 1),
    HYPERV_TIME(96, 1),
    IOAPIC_POLARITY_IGNORED(97, 1),
    ENABLE_CAP_VM(98, 1),
    IOEVENTFD_NO_LENGTH(100, 1),
    CHECK_EXTENSION_VM(105, 1),
    /** The older one of two takes anything. */
    DISABLE_QUIRKS(116, 1, onVm(-1)),
    X86_SMM(117, 1),
    MULTI_ADDRESS_SPACE(118, GuestMemory.ADDRESS_SPACES),
    SPLIT_IRQCHIP(121, 1, onVm(-1)),
    IOEVENTFD_ANY_LENGTH(122, 1),
    HYPERV_SYNIC(123, 1, onVcpu(-1)),
    VCPU_ATTRIBUTES(127, 1),
    MAX_VCPU_ID(128, Kvm.MAX_VCPU_IDS, onVm(-1)),
    X2APIC_API(
            129,
            Interrupts.X2APIC_USE_32BIT_IDS | Interrupts.X2APIC_DISABLE_BROADCAST_QUIRK,
            onVm(Interrupts.X2APIC_USE_32BIT_IDS | Interrupts.X2APIC_DISABLE_BROADCAST_QUIRK)),
    IMMEDIATE_EXIT(136, 1),
    /** HLT, PAUSE and the C-states' MSRs; MWAIT is taken and never left to the guest, as on a processor that can't: {@link Feature#MONITOR}. */
    X86_DISABLE_EXITS(143, Kvm.DISABLE_EXITS & ~Kvm.DISABLE_EXITS_MWAIT, onVm(Kvm.DISABLE_EXITS)),
    HYPERV_SYNIC2(148, 1, onVcpu(-1)),
    HYPERV_VP_INDEX(149, 1),
    GET_MSR_FEATURES(153, 1),
    HYPERV_EVENTFD(154, 1),
    HYPERV_TLBFLUSH(155, 1),
    /** The header and a VMCB, with {@link Knobs#NESTED}. Without it there is no state here; KVM has it always. */
    NESTED_STATE(
            157,
            kvm -> kvm.supported().has(Feature.SVM) ? NestedState.HEADER_BYTES + NestedState.VMCB_BYTES : 0,
            missing("nested virtualization")),
    MSR_PLATFORM_INFO(159, 1, onVm(-1)),
    HYPERV_SEND_IPI(161, 1),
    COALESCED_PIO(162, 1),
    /** For nested hypervisors of Intel's; the ioctl is another one's, ENOTTY. */
    HYPERV_ENLIGHTENED_VMCS(163, 0, onVcpu(-1)),
    EXCEPTION_PAYLOAD(164, 1, onVm(-1)),
    HYPERV_CPUID(167, 1),
    MANUAL_DIRTY_LOG_PROTECT2(
            168,
            GuestMemory.MANUAL_PROTECT_ENABLE | GuestMemory.INITIALLY_SET,
            onVm(GuestMemory.MANUAL_PROTECT_ENABLE | GuestMemory.INITIALLY_SET)),
    PMU_EVENT_FILTER(173, 1),
    /** As {@link #HYPERV_ENLIGHTENED_VMCS}. */
    HYPERV_DIRECT_TLBFLUSH(175, 0, onVcpu(-1)),
    HALT_POLL(182, 1, onVm(0xffff_ffffL)),
    ASYNC_PF_INT(183, 1),
    LAST_CPU(184, 1),
    STEAL_TIME(187, 1),
    X86_USER_SPACE_MSR(
            188,
            1,
            onVm(VcpuExit.MSR_EXIT_REASON_INVAL | VcpuExit.MSR_EXIT_REASON_UNKNOWN | VcpuExit.MSR_EXIT_REASON_FILTER)),
    X86_MSR_FILTER(189, 1),
    ENFORCE_PV_FEATURE_CPUID(190, 1, onVcpu(-1)),
    SYS_HYPERV_CPUID(191, 1),
    DIRTY_LOG_RING(192, DirtyRing.MAX_BYTES, onVm(-1, Need.NO_VCPUS)),
    /** No bus lock exits here; to ask for them, or not to, is taken as KVM takes it on such processors. */
    X86_BUS_LOCK_EXIT(193, 0, onVm(3)),
    SET_GUEST_DEBUG2(195, GuestDebug.VALID),
    SGX_ATTRIBUTE(196, missing("SGX")),
    VM_COPY_ENC_CONTEXT_FROM(197, missing("encrypted guests")),
    HYPERV_ENFORCE_CPUID(199, 1, onVcpu(-1)),
    SREGS2(200, 1),
    EXIT_HYPERCALL(201, (int) Kvm.HYPERCALL_EXITS, onVm(Kvm.HYPERCALL_EXITS)),
    BINARY_STATS_FD(203, 1),
    EXIT_ON_EMULATION_FAILURE(204, 1, onVm(1)),
    VM_MOVE_ENC_CONTEXT_FROM(206, missing("encrypted guests")),
    XSAVE2(208, kvm -> Math.max(4096, CpuidTable.xstateSize(kvm.supported().xcr0(), false))),
    SYS_ATTRIBUTES(209, 1),
    /** Where there are counters: with {@link Knobs#PMU}, on AMD's processors. */
    PMU_CAPABILITY(212, kvm -> kvm.supported().has(Feature.PERFCTR_CORE) ? 1 : 0, onVm(1, Need.NO_VCPUS), null),
    DISABLE_QUIRKS2(213, Quirk.VALID, onVm(Quirk.VALID)),
    VM_TSC_CONTROL(214, 1),
    SYSTEM_EVENT_DATA(215, 1),
    X86_TRIPLE_FAULT_EVENT(218, 1, onVm(-1)),
    VM_DISABLE_NX_HUGE_PAGES(220, 1, onVm(0, Need.REBOOT, Need.NO_VCPUS)),
    DIRTY_LOG_RING_ACQ_REL(223, DirtyRing.MAX_BYTES, onVm(-1, Need.NO_VCPUS)),
    /** Since Linux 6.11; with two-dimensional paging only. */
    PRE_FAULT_MEMORY(236, kvm -> kvm.knobs().on(Knobs.TDP) ? 1 : 0);

    /** What must hold when a capability is enabled. */
    public enum Need {
        /** No vCPU has been made yet: EINVAL. */
        NO_VCPUS,
        /** The client may reboot the machine, because what it asks for can bring the machine down: EPERM. */
        REBOOT
    }

    private record Enabling(boolean vm, long valid, Need[] needs) {}

    private record Missing(String what) {}

    private static final Cap[] BY_NUMBER = byNumber();

    private final int number;
    private final ToIntFunction<Kvm> value;
    private final @Nullable Enabling enabling;
    private final @Nullable String missing;

    Cap(int number, int value) {
        this(number, kvm -> value, null, null);
    }

    Cap(int number, ToIntFunction<Kvm> value) {
        this(number, value, null, null);
    }

    Cap(int number, int value, Enabling enabling) {
        this(number, kvm -> value, enabling, null);
    }

    Cap(int number, Missing missing) {
        this(number, kvm -> 0, null, missing.what);
    }

    Cap(int number, ToIntFunction<Kvm> value, Missing missing) {
        this(number, value, null, missing.what);
    }

    Cap(int number, ToIntFunction<Kvm> value, @Nullable Enabling enabling, @Nullable String missing) {
        this.number = number;
        this.value = value;
        this.enabling = enabling;
        this.missing = missing;
    }

    private static Enabling onVm(long valid, Need... needs) {
        return new Enabling(true, valid, needs);
    }

    private static Enabling onVcpu(long valid, Need... needs) {
        return new Enabling(false, valid, needs);
    }

    private static Missing missing(String what) {
        return new Missing(what);
    }

    private static Cap[] byNumber() {
        Cap[] all = values();
        Cap[] table = new Cap[all[all.length - 1].number + 1];
        for (Cap cap : all) {
            table[cap.number] = cap;
        }
        return table;
    }

    /** The capability with a number, or null. */
    public static @Nullable Cap of(int number) {
        return number >= 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : null;
    }

    /** {@code KVM_CAP_*}. */
    public int number() {
        return number;
    }

    /** What KVM_CHECK_EXTENSION answers, on {@code /dev/kvm} as on a VM; 0: not there. */
    int value(Kvm kvm) {
        return value.applyAsInt(kvm);
    }

    /** Of what KVM 6.1 has, the part that Slate lacks at its defaults; null: there. */
    public @Nullable String missing() {
        return missing;
    }

    /** Whether KVM_ENABLE_CAP takes it on a VM. */
    public boolean onVm() {
        Enabling e = enabling;
        return e != null && e.vm;
    }

    /** Whether KVM_ENABLE_CAP takes it on a vCPU. */
    public boolean onVcpu() {
        Enabling e = enabling;
        return e != null && !e.vm;
    }

    /** Whether enabling it has a need. */
    public boolean needs(Need need) {
        Enabling e = enabling;
        if (e != null) {
            for (Need n : e.needs) {
                if (n == need) {
                    return true;
                }
            }
        }
        return false;
    }

    /** What may stand in the first argument of KVM_ENABLE_CAP; 0: nothing, or the capability can't be enabled. */
    public long validArgument() {
        Enabling e = enabling;
        return e == null ? 0 : e.valid;
    }
}
