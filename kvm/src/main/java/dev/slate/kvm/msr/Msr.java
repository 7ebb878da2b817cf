package dev.slate.kvm.msr;

/** Numbers of the model-specific registers that the hypervisor knows (SDM 4, APM 2 appendix A, KVM document "msr"). */
public final class Msr {
    public static final int TSC = 0x10;
    public static final int PLATFORM_ID = 0x17;
    public static final int APIC_BASE = 0x1b;
    public static final int EBL_CR_POWERON = 0x2a;
    public static final int EBC_FREQUENCY_ID = 0x2c;
    public static final int SMI_COUNT = 0x34;
    public static final int TSC_ADJUST = 0x3b;
    public static final int SPEC_CTRL = 0x48;
    public static final int PRED_CMD = 0x49;
    public static final int UCODE_WRITE = 0x79;
    public static final int UCODE_REV = 0x8b;
    public static final int SMBASE = 0x9e;
    public static final int P6_PERFCTR0 = 0xc1;
    public static final int P6_PERFCTR1 = 0xc2;
    public static final int FSB_FREQ = 0xcd;
    public static final int PLATFORM_INFO = 0xce;
    public static final int MTRR_CAP = 0xfe;
    public static final int ARCH_CAPABILITIES = 0x10a;
    public static final int BBL_CR_CTL3 = 0x11e;
    public static final int MISC_FEATURES_ENABLES = 0x140;
    public static final int SYSENTER_CS = 0x174;
    public static final int SYSENTER_ESP = 0x175;
    public static final int SYSENTER_EIP = 0x176;
    public static final int MCG_CAP = 0x179;
    public static final int MCG_STATUS = 0x17a;
    public static final int MCG_CTL = 0x17b;
    public static final int P6_EVNTSEL0 = 0x186;
    public static final int P6_EVNTSEL1 = 0x187;
    public static final int PERF_STATUS = 0x198;
    public static final int PERF_CTL = 0x199;
    public static final int MISC_ENABLE = 0x1a0;
    public static final int DEBUGCTL = 0x1d9;
    public static final int LAST_BRANCH_FROM = 0x1db;
    public static final int LAST_BRANCH_TO = 0x1dc;
    public static final int LAST_INT_FROM = 0x1dd;
    public static final int LAST_INT_TO = 0x1de;
    public static final int XFD = 0x1c4;
    public static final int XFD_ERR = 0x1c5;
    public static final int POWER_CTL = 0x1fc;
    public static final int MTRR_FIRST = 0x200;
    public static final int PAT = 0x277;
    public static final int MC0_CTL2 = 0x280;
    public static final int MTRR_LAST = 0x2ff;
    public static final int PERF_CAPABILITIES = 0x345;
    public static final int MC0_CTL = 0x400;
    public static final int RAPL_POWER_UNIT = 0x606;
    public static final int PKG_ENERGY_STATUS = 0x611;
    public static final int DRAM_ENERGY_STATUS = 0x619;
    public static final int PP0_ENERGY_STATUS = 0x639;
    public static final int PP1_ENERGY_STATUS = 0x641;
    public static final int TSC_DEADLINE = 0x6e0;
    public static final int X2APIC_FIRST = 0x800;
    public static final int X2APIC_LAST = 0x8ff;
    public static final int XSS = 0xda0;

    public static final int KVM_WALL_CLOCK = 0x11;
    public static final int KVM_SYSTEM_TIME = 0x12;
    public static final int KVM_WALL_CLOCK_NEW = 0x4b564d00;
    public static final int KVM_SYSTEM_TIME_NEW = 0x4b564d01;
    public static final int KVM_ASYNC_PF_EN = 0x4b564d02;
    public static final int KVM_STEAL_TIME = 0x4b564d03;
    public static final int KVM_PV_EOI_EN = 0x4b564d04;
    public static final int KVM_POLL_CONTROL = 0x4b564d05;
    public static final int KVM_ASYNC_PF_INT = 0x4b564d06;
    public static final int KVM_ASYNC_PF_ACK = 0x4b564d07;

    public static final int EFER = 0xc0000080;
    public static final int STAR = 0xc0000081;
    public static final int LSTAR = 0xc0000082;
    public static final int CSTAR = 0xc0000083;
    public static final int SYSCALL_MASK = 0xc0000084;
    public static final int FS_BASE = 0xc0000100;
    public static final int GS_BASE = 0xc0000101;
    public static final int KERNEL_GS_BASE = 0xc0000102;
    public static final int TSC_AUX = 0xc0000103;
    public static final int TSC_RATIO = 0xc0000104;

    public static final int K8_SYSCFG = 0xc0010010;
    public static final int HWCR = 0xc0010015;
    public static final int K7_CLK_CTL = 0xc001001b;
    public static final int NB_CFG = 0xc001001f;
    public static final int PATCH_LOADER = 0xc0010020;
    public static final int INT_PENDING_MSG = 0xc0010055;
    public static final int MMIO_CONF_BASE = 0xc0010058;
    public static final int TSEG_ADDR = 0xc0010112;
    public static final int TSEG_MASK = 0xc0010113;
    public static final int VM_CR = 0xc0010114;
    public static final int VM_IGNNE = 0xc0010115;
    public static final int VM_HSAVE_PA = 0xc0010117;
    public static final int VIRT_SPEC_CTRL = 0xc001011f;
    public static final int OSVW_ID_LENGTH = 0xc0010140;
    public static final int OSVW_STATUS = 0xc0010141;

    public static final int IC_CFG = 0xc0011021;
    public static final int DC_CFG = 0xc0011022;
    public static final int BU_CFG2 = 0xc001102a;
    public static final int DE_CFG = 0xc0011029;
    public static final int TW_CFG = 0xc0011023;
    public static final int EX_CFG = 0xc001102c;

    /** DE_CFG: LFENCE is serializing (APM 2 7.4.2, "LFENCE"). */
    public static final long DE_CFG_LFENCE_SERIALIZE = 2;

    /** PLATFORM_INFO: CPUID faulting is there. */
    public static final long PLATFORM_INFO_CPUID_FAULT = 1L << 31;

    private Msr() {}
}
