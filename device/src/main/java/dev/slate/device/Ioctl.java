package dev.slate.device;

/**
 * Numbers of the ioctls that Slate answers ({@code linux/kvm.h}, without {@code KVM_}). Direction and size of the argument are part of a
 * number (ioctl(2)), so an ioctl with the wrong size is another, unknown one. A test compares each with what the C compiler says.
 */
final class Ioctl {
    // ---- On /dev/kvm ----
    static final int GET_API_VERSION = 0x0000ae00;
    static final int CREATE_VM = 0x0000ae01;
    static final int CHECK_EXTENSION = 0x0000ae03;
    static final int GET_VCPU_MMAP_SIZE = 0x0000ae04;
    static final int GET_MSR_INDEX_LIST = 0xc004ae02;
    static final int GET_MSR_FEATURE_INDEX_LIST = 0xc004ae0a;
    static final int GET_SUPPORTED_CPUID = 0xc008ae05;
    static final int GET_EMULATED_CPUID = 0xc008ae09;
    static final int X86_GET_MCE_CAP_SUPPORTED = 0x8008ae9d;

    // ---- On /dev/kvm or a vCPU ----
    static final int GET_MSRS = 0xc008ae88;
    static final int GET_SUPPORTED_HV_CPUID = 0xc008aec1;

    // ---- On a VM ----
    static final int CREATE_VCPU = 0x0000ae41;
    static final int SET_USER_MEMORY_REGION = 0x4020ae46;
    static final int GET_DIRTY_LOG = 0x4010ae42;
    static final int CLEAR_DIRTY_LOG = 0xc018aec0;
    static final int RESET_DIRTY_RINGS = 0x0000aec7;
    static final int SET_NR_MMU_PAGES = 0x0000ae44;
    static final int GET_NR_MMU_PAGES = 0x0000ae45;
    static final int SET_TSS_ADDR = 0x0000ae47;
    static final int SET_IDENTITY_MAP_ADDR = 0x4008ae48;
    static final int SET_BOOT_CPU_ID = 0x0000ae78;
    static final int CREATE_IRQCHIP = 0x0000ae60;
    static final int GET_IRQCHIP = 0xc208ae62;
    static final int SET_IRQCHIP = 0x8208ae63;
    static final int IRQ_LINE = 0x4008ae61;
    static final int IRQ_LINE_STATUS = 0xc008ae67;
    static final int SET_GSI_ROUTING = 0x4008ae6a;
    static final int SIGNAL_MSI = 0x4020aea5;
    static final int IRQFD = 0x4020ae76;
    static final int IOEVENTFD = 0x4040ae79;
    static final int REGISTER_COALESCED_MMIO = 0x4010ae67;
    static final int UNREGISTER_COALESCED_MMIO = 0x4010ae68;
    static final int CREATE_PIT = 0x0000ae64;
    static final int CREATE_PIT2 = 0x4040ae77;
    static final int GET_PIT = 0xc048ae65;
    static final int SET_PIT = 0x8048ae66;
    static final int GET_PIT2 = 0x8070ae9f;
    static final int SET_PIT2 = 0x4070aea0;
    static final int REINJECT_CONTROL = 0x0000ae71;
    static final int CREATE_DEVICE = 0xc00caee0;
    static final int SET_CLOCK = 0x4030ae7b;
    static final int GET_CLOCK = 0x8030ae7c;
    static final int HYPERV_EVENTFD = 0x4018aebd;
    static final int XEN_HVM_CONFIG = 0x4038ae7a;
    static final int XEN_HVM_GET_ATTR = 0xc048aec8;
    static final int XEN_HVM_SET_ATTR = 0x4048aec9;
    static final int XEN_HVM_EVTCHN_SEND = 0x400caed0;
    static final int SET_PMU_EVENT_FILTER = 0x4020aeb2;
    static final int X86_SET_MSR_FILTER = 0x4188aec6;

    // ---- On a VM or a vCPU ----
    static final int ENABLE_CAP = 0x4068aea3;
    static final int GET_STATS_FD = 0x0000aece;
    static final int SET_TSC_KHZ = 0x0000aea2;
    static final int GET_TSC_KHZ = 0x0000aea3;

    // ---- On /dev/kvm, a VM or a vCPU ----
    static final int GET_DEVICE_ATTR = 0x4018aee2;
    static final int SET_DEVICE_ATTR = 0x4018aee1;
    static final int HAS_DEVICE_ATTR = 0x4018aee3;

    // ---- On a vCPU ----
    static final int RUN = 0x0000ae80;
    static final int GET_REGS = 0x8090ae81;
    static final int SET_REGS = 0x4090ae82;
    static final int GET_SREGS = 0x8138ae83;
    static final int SET_SREGS = 0x4138ae84;
    static final int GET_SREGS2 = 0x8140aecc;
    static final int SET_SREGS2 = 0x4140aecd;
    static final int GET_FPU = 0x81a0ae8c;
    static final int SET_FPU = 0x41a0ae8d;
    static final int GET_XSAVE = 0x9000aea4;
    static final int SET_XSAVE = 0x5000aea5;
    static final int GET_XSAVE2 = 0x9000aecf;
    static final int GET_XCRS = 0x8188aea6;
    static final int SET_XCRS = 0x4188aea7;
    static final int GET_DEBUGREGS = 0x8080aea1;
    static final int SET_DEBUGREGS = 0x4080aea2;
    static final int GET_VCPU_EVENTS = 0x8040ae9f;
    static final int SET_VCPU_EVENTS = 0x4040aea0;
    static final int GET_MP_STATE = 0x8004ae98;
    static final int SET_MP_STATE = 0x4004ae99;
    static final int SET_CPUID = 0x4008ae8a;
    static final int SET_CPUID2 = 0x4008ae90;
    static final int GET_CPUID2 = 0xc008ae91;
    static final int SET_MSRS = 0x4008ae89;
    static final int GET_LAPIC = 0x8400ae8e;
    static final int SET_LAPIC = 0x4400ae8f;
    static final int INTERRUPT = 0x4004ae86;
    static final int NMI = 0x0000ae9a;
    static final int SMI = 0x0000aeb7;
    static final int TRANSLATE = 0xc018ae85;
    static final int SET_GUEST_DEBUG = 0x4048ae9b;
    static final int SET_SIGNAL_MASK = 0x4004ae8b;
    static final int TPR_ACCESS_REPORTING = 0xc028ae92;
    static final int SET_VAPIC_ADDR = 0x4008ae93;
    static final int X86_SETUP_MCE = 0x4008ae9c;
    static final int X86_SET_MCE = 0x4040ae9e;
    static final int XEN_VCPU_GET_ATTR = 0xc048aeca;
    static final int XEN_VCPU_SET_ATTR = 0x4048aecb;
    static final int KVMCLOCK_CTRL = 0x0000aead;
    static final int GET_NESTED_STATE = 0xc080aebe;
    static final int SET_NESTED_STATE = 0x4080aebf;

    /** Since Linux 6.11: {@code _IOWR(KVMIO, 0xd5, struct kvm_pre_fault_memory)}. */
    static final int PRE_FAULT_MEMORY = 0xc040aed5;

    private Ioctl() {}
}
