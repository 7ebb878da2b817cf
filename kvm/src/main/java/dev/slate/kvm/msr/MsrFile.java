package dev.slate.kvm.msr;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.EntryState;
import dev.slate.kvm.clock.VcpuTsc;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.hyperv.HvMsr;
import dev.slate.kvm.pmu.PmuMsr;

/**
 * The model-specific registers of one vCPU: which exist, who may read and write them, what a write checks. The rules are KVM's on an
 * AMD processor.
 *
 * <p>Guarded by the vCPU's mutex.
 */
public final class MsrFile {
    /** Done; a read leaves its answer in {@link #value}. */
    public static final int OK = 0;
    /** The MSR exists, the access or the value is not allowed: #GP for a guest. */
    public static final int REFUSED = 1;
    /** There is no such MSR: #GP for a guest. */
    public static final int UNKNOWN = 2;
    /** Memory of the client's is not there: EFAULT for the client, whose KVM_RUN ends. */
    public static final int FAULT = 3;

    // KVM_FEATURE_*
    public static final int PV_CLOCKSOURCE = 1;
    /** Port I/O needs no delay after it. */
    public static final int PV_NOP_IO_DELAY = 1 << 1;

    public static final int PV_CLOCKSOURCE2 = 1 << 3;
    public static final int PV_ASYNC_PF = 1 << 4;
    public static final int PV_STEAL_TIME = 1 << 5;
    public static final int PV_EOI = 1 << 6;
    public static final int PV_UNHALT = 1 << 7;
    public static final int PV_TLB_FLUSH = 1 << 9;
    public static final int PV_ASYNC_PF_VMEXIT = 1 << 10;
    public static final int PV_SEND_IPI = 1 << 11;
    public static final int PV_POLL_CONTROL = 1 << 12;
    public static final int PV_SCHED_YIELD = 1 << 13;
    public static final int PV_ASYNC_PF_INT = 1 << 14;

    public static final int PV_CLOCKSOURCE_STABLE = 1 << 24;

    /** KVM_FEATURE_* that something stands behind. */
    public static final int PV_FEATURES = PV_CLOCKSOURCE
            | PV_NOP_IO_DELAY
            | PV_CLOCKSOURCE2
            | PV_CLOCKSOURCE_STABLE
            | PV_ASYNC_PF
            | PV_STEAL_TIME
            | PV_EOI
            | PV_UNHALT
            | PV_TLB_FLUSH
            | PV_ASYNC_PF_VMEXIT
            | PV_SEND_IPI
            | PV_POLL_CONTROL
            | PV_SCHED_YIELD
            | PV_ASYNC_PF_INT;

    private static final long MISC_ENABLE_MWAIT = 1 << 18;
    private static final long MISC_ENABLE_EMON = 1 << 7;
    /** BTS and PEBS are unavailable. */
    private static final long MISC_ENABLE_PMU_READ_ONLY = 1 << 11 | 1 << 12;

    private static final long MISC_ENABLE_RESET = 1 << 11 | 1 << 12;
    private static final long VM_CR_VALID = 0x1f;
    private static final long VM_CR_LOCK = 1 << 3;
    private static final long VM_CR_SVM_DISABLE = 1 << 4;
    private static final long SPEC_CTRL_SSBD = 1 << 2;
    /** One to one, as 8.32 fixed-point number. */
    private static final long TSC_RATIO_ONE = 1L << 32;

    private static final long HWCR_MC_STATUS_WRITABLE = 1 << 18;

    private static final long EFER_VALID = CpuState.EFER_SCE | CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_NX;

    private final CpuState s;
    private final CpuidTable cpuid;
    private final VcpuTsc tsc;
    private final MsrProcessor processor;
    private final MtrrFile mtrr = new MtrrFile();
    private final MceFile mce = new MceFile();

    /** The answer of a read. */
    public long value;

    private long miscEnable = MISC_ENABLE_RESET;
    private long platformInfo = Msr.PLATFORM_INFO_CPUID_FAULT;
    private long miscFeatures;
    private long microcode = MsrLists.featureValue(Msr.UCODE_REV);
    private long archCapabilities = MsrLists.featureValue(Msr.ARCH_CAPABILITIES);
    private long perfCapabilities;
    private long powerCtl;
    private long hwcr;
    private long deCfg;
    private long pollControl = 1;
    private long specCtrl;
    private long virtSpecCtrl;
    private long vmCr;
    private long hsave;
    private long osvwLength = 4;
    private long osvwStatus;

    public MsrFile(CpuState s, CpuidTable cpuid, VcpuTsc tsc, MsrProcessor processor) {
        this.s = s;
        this.cpuid = cpuid;
        this.tsc = tsc;
        this.processor = processor;
    }

    /** Whether MISC_ENABLE lets MWAIT show. */
    public boolean mwaitEnabled() {
        return (miscEnable & MISC_ENABLE_MWAIT) != 0;
    }

    /** Whether the guest lets its host poll for the end of HLT (MSR_KVM_POLL_CONTROL). */
    public boolean guestLetsPoll() {
        return (pollControl & 1) != 0;
    }

    /** Whether CPUID faults outside privilege 0. */
    public boolean cpuidFaults() {
        return (miscFeatures & 1) != 0;
    }

    /** VM_HSAVE_PA: where a hypervisor on this vCPU lets its state be kept; 0: nowhere yet. */
    public long hostSaveArea() {
        return hsave;
    }

    /** Whether guests can have guests at all. */
    public boolean nestedOffered() {
        return processor.nested();
    }

    public MceFile mce() {
        return mce;
    }

    /** Reads an MSR into {@link #value}. */
    public int read(int index, boolean host) {
        if (!MsrGate.open(index, cpuid, host)) {
            return REFUSED;
        }
        switch (index) {
            case Msr.STAR -> value = s.star;
            case Msr.LSTAR -> value = s.lstar;
            case Msr.CSTAR -> value = s.cstar;
            case Msr.SYSCALL_MASK -> value = s.sfmask;
            case Msr.FS_BASE -> value = s.segBase[CpuState.FS];
            case Msr.GS_BASE -> value = s.segBase[CpuState.GS];
            case Msr.KERNEL_GS_BASE -> value = s.kernelGsBase;
            case Msr.SYSENTER_CS -> value = s.sysenterCs;
            case Msr.SYSENTER_ESP -> value = s.sysenterEsp;
            case Msr.SYSENTER_EIP -> value = s.sysenterEip;
            case Msr.EFER -> value = s.efer;
            case Msr.PAT -> value = s.pat;
            case Msr.TSC -> value = host ? tsc.read() : tsc.readInGuest();
            case Msr.TSC_ADJUST -> value = tsc.adjust;
            case Msr.TSC_AUX -> value = s.tscAux;
            case Msr.APIC_BASE -> value = processor.apicBase();
            case Msr.TSC_DEADLINE -> value = processor.tscDeadline();
            case Msr.MISC_ENABLE -> value = miscEnable;
            case Msr.PLATFORM_INFO -> {
                if (!host && !processor.platformInfoReadable()) {
                    return REFUSED;
                }
                value = platformInfo;
            }
            case Msr.MISC_FEATURES_ENABLES -> value = miscFeatures;
            case Msr.UCODE_REV -> value = microcode;
            case Msr.ARCH_CAPABILITIES -> value = archCapabilities;
            case Msr.PERF_CAPABILITIES -> value = perfCapabilities;
            case Msr.SMBASE -> {
                if (!host) {
                    return REFUSED;
                }
                value = processor.smbase();
            }
            case Msr.SMI_COUNT -> value = processor.smiCount();
            case Msr.POWER_CTL -> value = powerCtl;
            case Msr.HWCR -> value = hwcr;
            case Msr.DE_CFG -> value = deCfg;
            case Msr.SPEC_CTRL -> value = specCtrl;
            case Msr.VIRT_SPEC_CTRL -> value = virtSpecCtrl;
            case Msr.TSC_RATIO -> value = TSC_RATIO_ONE;
            case Msr.VM_CR -> value = vmCr;
            case Msr.VM_HSAVE_PA -> value = hsave;
            case Msr.OSVW_ID_LENGTH -> value = osvwLength;
            case Msr.OSVW_STATUS -> value = osvwStatus;
            case Msr.IC_CFG -> {
                return readInstructionCache();
            }
            case Msr.FSB_FREQ -> value = 3;
            case Msr.EBC_FREQUENCY_ID -> value = 1 << 24;
            case Msr.PERF_STATUS -> value = 1000L | 4L << 40;
            case Msr.K7_CLK_CTL -> value = 0x2000_0000;
            case Msr.BBL_CR_CTL3 -> value = 0xbe70_2111L;
            case Msr.KVM_WALL_CLOCK, Msr.KVM_SYSTEM_TIME -> {
                if (!processor.pvFeature(PV_CLOCKSOURCE)) {
                    return UNKNOWN;
                }
                value = processor.readClock(index);
            }
            case Msr.KVM_WALL_CLOCK_NEW, Msr.KVM_SYSTEM_TIME_NEW -> {
                if (!processor.pvFeature(PV_CLOCKSOURCE2)) {
                    return UNKNOWN;
                }
                value = processor.readClock(index);
            }
            case Msr.KVM_ASYNC_PF_EN,
                    Msr.KVM_ASYNC_PF_INT,
                    Msr.KVM_ASYNC_PF_ACK,
                    Msr.KVM_STEAL_TIME,
                    Msr.KVM_PV_EOI_EN -> {
                if (!processor.pvFeature(pvFeatureOf(index))) {
                    return UNKNOWN;
                }
                value = processor.readPv(index);
            }
            case Msr.KVM_POLL_CONTROL -> {
                if (!processor.pvFeature(PV_POLL_CONTROL)) {
                    return UNKNOWN;
                }
                value = pollControl;
            }
            case Msr.PLATFORM_ID,
                    Msr.EBL_CR_POWERON,
                    Msr.DEBUGCTL,
                    Msr.LAST_BRANCH_FROM,
                    Msr.LAST_BRANCH_TO,
                    Msr.LAST_INT_FROM,
                    Msr.LAST_INT_TO,
                    Msr.K8_SYSCFG,
                    Msr.TSEG_ADDR,
                    Msr.TSEG_MASK,
                    Msr.INT_PENDING_MSG,
                    Msr.NB_CFG,
                    Msr.MMIO_CONF_BASE,
                    Msr.BU_CFG2,
                    Msr.PERF_CTL,
                    Msr.DC_CFG,
                    Msr.TW_CFG,
                    Msr.EX_CFG,
                    Msr.RAPL_POWER_UNIT,
                    Msr.PKG_ENERGY_STATUS,
                    Msr.DRAM_ENERGY_STATUS,
                    Msr.PP0_ENERGY_STATUS,
                    Msr.PP1_ENERGY_STATUS,
                    // No supervisor state component, none that can be switched off.
                    Msr.XSS,
                    Msr.XFD,
                    Msr.XFD_ERR -> value = 0;
            default -> {
                return readRange(index, host);
            }
        }
        return OK;
    }

    private int readRange(int index, boolean host) {
        if (HvMsr.holds(index)) {
            return processor.readHyperV(index, host, this) ? OK : REFUSED;
        }
        if (index >= Msr.X2APIC_FIRST && index <= Msr.X2APIC_LAST) {
            return processor.readX2apic(index, this) ? OK : REFUSED;
        }
        if (mce.holds(index)) {
            boolean done = mce.canRead(index, host);
            if (done) {
                value = mce.read(index);
            }
            return done ? OK : REFUSED;
        }
        if (index == Msr.MTRR_CAP || index >= Msr.MTRR_FIRST && index <= Msr.MTRR_LAST) {
            if (!mtrr.holds(index)) {
                return REFUSED;
            }
            value = mtrr.read(index);
            return OK;
        }
        if (processor.isCounter(index)) {
            value = processor.readCounter(index);
            return OK;
        }
        if (oldCounter(index) || host && MsrLists.isToSave(index)) {
            value = 0;
            return OK;
        }
        return UNKNOWN;
    }

    /** Counters and their event selects from before there was a way to say that there are none: read 0, what is written is dropped. */
    private static boolean oldCounter(int index) {
        return index >= PmuMsr.K7_EVNTSEL0 && index <= PmuMsr.K7_PERFCTR3
                || index == Msr.P6_PERFCTR0
                || index == Msr.P6_PERFCTR1
                || index == Msr.P6_EVNTSEL0
                || index == Msr.P6_EVNTSEL1;
    }

    /** MSRC001_1021, by the processor that the guest is told. */
    private int readInstructionCache() {
        int signature = cpuid.eax(1, -1);
        if (signature == -1) {
            return UNKNOWN;
        }
        int family = signature >>> 8 & 15;
        int model = signature >>> 4 & 15;
        if (family == 15) {
            family += signature >>> 20 & 0xff;
        }
        if (family >= 6) {
            model += (signature >>> 16 & 15) << 4;
        }
        // Family 15h: three errata worked around.
        value = family == 0x15 && model >= 2 && model < 0x20 ? 0x1e : 0;
        return OK;
    }

    /** Writes an MSR. */
    public int write(int index, long v, boolean host) {
        if (index != 0 && index == processor.hypercallPageMsr()) {
            return processor.writeHypercallPage(v);
        }
        if (!MsrGate.open(index, cpuid, host)) {
            return REFUSED;
        }
        switch (index) {
            case Msr.STAR -> s.star = v;
            case Msr.SYSCALL_MASK -> s.sfmask = v;
            case Msr.SYSENTER_CS -> s.sysenterCs = v;
            // AMD keeps 32 bits of these (APM 2 6.1.1).
            case Msr.SYSENTER_ESP -> s.sysenterEsp = cpuid.intel() ? canonicalized(v) : v & 0xffff_ffffL;
            case Msr.SYSENTER_EIP -> s.sysenterEip = cpuid.intel() ? canonicalized(v) : v & 0xffff_ffffL;
            case Msr.LSTAR, Msr.CSTAR, Msr.FS_BASE, Msr.GS_BASE, Msr.KERNEL_GS_BASE -> {
                if (canonicalized(v) != v) {
                    return REFUSED;
                }
                writeAddress(index, v);
            }
            case Msr.TSC_AUX -> {
                if (cpuid.intel() && v >>> 32 != 0) {
                    return REFUSED;
                }
                s.tscAux = v & 0xffff_ffffL;
            }
            case Msr.EFER -> {
                return writeEfer(v, host);
            }
            case Msr.PAT -> {
                if (!EntryState.validPat(v)) {
                    return REFUSED;
                }
                s.pat = v;
            }
            case Msr.TSC -> {
                if (host) {
                    processor.synchronizeTsc(v);
                } else {
                    tsc.write(v);
                }
            }
            case Msr.TSC_ADJUST -> {
                if (cpuid.has(Feature.TSC_ADJUST)) {
                    if (host) {
                        tsc.adjust = v;
                    } else {
                        tsc.writeAdjust(v);
                    }
                }
            }
            case Msr.APIC_BASE -> {
                return processor.setApicBase(v, host) ? OK : REFUSED;
            }
            case Msr.TSC_DEADLINE -> processor.setTscDeadline(v);
            case Msr.MISC_ENABLE -> {
                return writeMiscEnable(v, host);
            }
            case Msr.PLATFORM_INFO -> {
                if (!host || (v & Msr.PLATFORM_INFO_CPUID_FAULT) == 0 && cpuidFaults()) {
                    return REFUSED;
                }
                platformInfo = v;
            }
            case Msr.MISC_FEATURES_ENABLES -> {
                if ((v & ~1) != 0 || v != 0 && (platformInfo & Msr.PLATFORM_INFO_CPUID_FAULT) == 0) {
                    return REFUSED;
                }
                miscFeatures = v;
            }
            case Msr.SMBASE -> {
                if (!host) {
                    return REFUSED;
                }
                processor.setSmbase(v);
            }
            case Msr.SMI_COUNT -> {
                if (!host) {
                    return REFUSED;
                }
                processor.setSmiCount(v);
            }
            case Msr.POWER_CTL -> powerCtl = v;
            case Msr.XSS, Msr.XFD, Msr.XFD_ERR, Msr.MMIO_CONF_BASE -> {
                if (v != 0) {
                    return REFUSED;
                }
            }
            // Kept; there is no speculation that it could stop.
            case Msr.SPEC_CTRL -> specCtrl = v;
            // IBPB, which no processor here has.
            case Msr.PRED_CMD -> {
                return REFUSED;
            }
            case Msr.VIRT_SPEC_CTRL -> {
                if ((v & ~SPEC_CTRL_SSBD) != 0) {
                    return REFUSED;
                }
                virtSpecCtrl = v;
            }
            case Msr.TSC_RATIO -> {
                // For guests with guests; old clients write 0 there.
                if (v != 0 && v != TSC_RATIO_ONE) {
                    return REFUSED;
                }
            }
            case Msr.VM_CR -> {
                return writeVmCr(v);
            }
            case Msr.VM_HSAVE_PA -> {
                if (!host && ((v & 0xfff) != 0 || v >>> cpuid.maxPhysicalAddress() != 0)) {
                    return REFUSED;
                }
                hsave = v & ~0xfffL;
            }
            case Msr.OSVW_ID_LENGTH -> osvwLength = v;
            case Msr.OSVW_STATUS -> osvwStatus = v;
            case Msr.UCODE_REV -> {
                if (host) {
                    microcode = v;
                }
            }
            case Msr.ARCH_CAPABILITIES -> {
                if (!host) {
                    return REFUSED;
                }
                archCapabilities = v;
            }
            case Msr.PERF_CAPABILITIES -> {
                if (!host || (v & ~MsrLists.featureValue(index)) != 0) {
                    return REFUSED;
                }
                perfCapabilities = v;
            }
            case Msr.HWCR -> {
                // Flush filter, IGNNE emulation and TLB cache switches have no meaning here; McStatusWrEn has.
                long bits = v & ~(0x40L | 0x100L | 0x8L);
                if (bits != 0 && bits != HWCR_MC_STATUS_WRITABLE) {
                    return REFUSED;
                }
                if (bits != 0) {
                    hwcr = bits;
                }
            }
            case Msr.DE_CFG -> {
                if ((v & ~Msr.DE_CFG_LFENCE_SERIALIZE) != 0 || !host && v != Msr.DE_CFG_LFENCE_SERIALIZE) {
                    return REFUSED;
                }
                deCfg = v;
            }
            case Msr.KVM_WALL_CLOCK, Msr.KVM_SYSTEM_TIME -> {
                if (!processor.pvFeature(PV_CLOCKSOURCE)) {
                    return UNKNOWN;
                }
                processor.writeClock(index, v);
            }
            case Msr.KVM_WALL_CLOCK_NEW, Msr.KVM_SYSTEM_TIME_NEW -> {
                if (!processor.pvFeature(PV_CLOCKSOURCE2)) {
                    return UNKNOWN;
                }
                processor.writeClock(index, v);
            }
            case Msr.KVM_ASYNC_PF_EN,
                    Msr.KVM_ASYNC_PF_INT,
                    Msr.KVM_ASYNC_PF_ACK,
                    Msr.KVM_STEAL_TIME,
                    Msr.KVM_PV_EOI_EN -> {
                if (!processor.pvFeature(pvFeatureOf(index))) {
                    return UNKNOWN;
                }
                return processor.writePv(index, v) ? OK : REFUSED;
            }
            case Msr.KVM_POLL_CONTROL -> {
                if (!processor.pvFeature(PV_POLL_CONTROL)) {
                    return UNKNOWN;
                }
                if ((v & ~1L) != 0) {
                    return REFUSED;
                }
                pollControl = v;
            }
            // Errata switches and the like, which KVM takes and drops.
            case Msr.NB_CFG,
                    Msr.UCODE_WRITE,
                    Msr.PATCH_LOADER,
                    Msr.VM_IGNNE,
                    // Without last-branch records KVM drops what is written.
                    Msr.DEBUGCTL,
                    Msr.BU_CFG2,
                    Msr.DC_CFG,
                    Msr.TW_CFG,
                    Msr.EX_CFG,
                    Msr.K7_CLK_CTL,
                    Msr.BBL_CR_CTL3 -> {}
            default -> {
                return writeRange(index, v, host);
            }
        }
        return OK;
    }

    private static int pvFeatureOf(int index) {
        return switch (index) {
            case Msr.KVM_ASYNC_PF_EN -> PV_ASYNC_PF;
            case Msr.KVM_STEAL_TIME -> PV_STEAL_TIME;
            case Msr.KVM_PV_EOI_EN -> PV_EOI;
            default -> PV_ASYNC_PF_INT;
        };
    }

    private void writeAddress(int index, long v) {
        switch (index) {
            case Msr.LSTAR -> s.lstar = v;
            case Msr.CSTAR -> s.cstar = v;
            case Msr.FS_BASE -> s.segBase[CpuState.FS] = v;
            case Msr.GS_BASE -> s.segBase[CpuState.GS] = v;
            default -> s.kernelGsBase = v;
        }
    }

    /** SVM can be locked off, and then stays so (APM 2 15.30.1). */
    private int writeVmCr(long v) {
        if ((v & ~VM_CR_VALID) != 0) {
            return REFUSED;
        }
        long changeable =
                (vmCr & VM_CR_SVM_DISABLE) != 0 ? VM_CR_VALID & ~(VM_CR_LOCK | VM_CR_SVM_DISABLE) : VM_CR_VALID;
        long disables = vmCr & ~changeable | v & changeable;
        if ((disables & VM_CR_SVM_DISABLE) != 0 && (s.efer & CpuState.EFER_SVME) != 0) {
            return REFUSED;
        }
        vmCr = vmCr & ~changeable | v & changeable;
        return OK;
    }

    private int writeEfer(long v, boolean host) {
        long valid = processor.nested() ? EFER_VALID | CpuState.EFER_SVME : EFER_VALID;
        if ((v & ~valid) != 0) {
            return REFUSED;
        }
        if (!host) {
            if ((v & cpuid.eferLacking()) != 0
                    || (s.cr0 & CpuState.CR0_PG) != 0 && ((s.efer ^ v) & CpuState.EFER_LME) != 0) {
                return REFUSED;
            }
        }
        s.efer = v & ~CpuState.EFER_LMA | s.efer & CpuState.EFER_LMA;
        processor.modeChanged(host);
        return OK;
    }

    private int writeMiscEnable(long v, boolean host) {
        if (!host) {
            if (((miscEnable ^ v) & MISC_ENABLE_PMU_READ_ONLY) != 0) {
                return REFUSED;
            }
            v = v & ~MISC_ENABLE_EMON | miscEnable & MISC_ENABLE_EMON;
        }
        if (processor.mwaitFollowsMiscEnable()
                && ((miscEnable ^ v) & MISC_ENABLE_MWAIT) != 0
                && !cpuid.has(Feature.SSE3)) {
            return REFUSED;
        }
        miscEnable = v;
        return OK;
    }

    private int writeRange(int index, long v, boolean host) {
        if (HvMsr.holds(index)) {
            return processor.writeHyperV(index, v, host) ? OK : REFUSED;
        }
        if (index >= Msr.X2APIC_FIRST && index <= Msr.X2APIC_LAST) {
            return processor.writeX2apic(index, v) ? OK : REFUSED;
        }
        if (mce.holds(index)) {
            return mce.write(index, v, host, hwcr == HWCR_MC_STATUS_WRITABLE) ? OK : REFUSED;
        }
        if (index >= Msr.MTRR_FIRST && index <= Msr.MTRR_LAST) {
            return mtrr.write(index, v, cpuid.maxPhysicalAddress()) ? OK : REFUSED;
        }
        if (processor.isCounter(index)) {
            processor.writeCounter(index, v);
            return OK;
        }
        return oldCounter(index) || host && v == 0 && MsrLists.isToSave(index) ? OK : UNKNOWN;
    }

    /** The address with its upper bits made copies of the highest implemented one. */
    private long canonicalized(long v) {
        int unused = (s.cr4 & CpuState.CR4_LA57) != 0 ? 7 : 16;
        return v << unused >> unused;
    }

    /** RESET (not INIT): what returns to its power-on value. */
    public void reset() {
        miscEnable = MISC_ENABLE_RESET;
        miscFeatures = 0;
    }
}
