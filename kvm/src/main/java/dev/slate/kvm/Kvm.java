package dev.slate.kvm;

import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.ProcessorFeatures;
import dev.slate.kvm.cpuid.SupportedCpuid;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.host.ModuleParameters;
import dev.slate.kvm.host.Worker;
import dev.slate.kvm.hyperv.HvCpuid;
import dev.slate.kvm.irqchip.TimerThread;
import dev.slate.kvm.msr.MceFile;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.msr.MsrLists;
import dev.slate.kvm.run.MissingInstructions;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The system object: what {@code /dev/kvm} itself answers, and where VMs come from.
 *
 * <p>Thread-safe.
 */
public final class Kvm {
    /** {@code KVM_GET_API_VERSION}. */
    public static final int API_VERSION = 12;

    public static final int MAX_VCPUS = 1024;
    /** Exclusive upper bound of vCPU ids. */
    public static final int MAX_VCPU_IDS = 4096;
    /** Pages of a vCPU's run area: {@code kvm_run}, PIO data, coalesced ring. */
    public static final int RUN_AREA_PAGES = 3;
    /** The page of a run area in which the ring of coalesced writes shows. */
    public static final int COALESCED_MMIO_PAGE = 2;

    static final long RUN_AREA_BYTES = RUN_AREA_PAGES * 4096L;
    /** Most entries that {@link Vcpu#setCpuid} takes. */
    public static final int MAX_CPUID_ENTRIES = 256;
    /** {@code KVM_SYNC_X86_VALID_FIELDS}: regs, sregs, events. */
    public static final int SYNC_REGS_VALID = 7;

    /** Hypercalls that a client may have for itself: KVM_HC_MAP_GPA_RANGE. */
    static final long HYPERCALL_EXITS = 1 << 12;
    /** KVM_X86_DISABLE_EXITS_*. */
    static final int DISABLE_EXITS_MWAIT = 1;

    static final int DISABLE_EXITS_HLT = 1 << 1;
    /** All of them: MWAIT, HLT, PAUSE, CSTATE. */
    static final int DISABLE_EXITS = 0xf;

    private final HostServices host;
    private final Knobs knobs;
    private final long features;
    private final SupportedCpuid supported;
    private final TimerThread timers = new TimerThread();
    private final Worker worker = new Worker();
    private final ModuleParameters parameters;
    private final MissingInstructions missing = new MissingInstructions();
    private volatile @Nullable RunObserverFactory observers;

    /** A KVM with every knob at its default. */
    public Kvm(HostServices host) {
        this(host, Knobs.standard());
    }

    /** A KVM with these knobs. */
    public Kvm(HostServices host, Knobs knobs) {
        this.host = host;
        this.knobs = knobs;
        this.parameters = new ModuleParameters(knobs);
        this.features = ProcessorFeatures.ofModel(knobs.value(Knobs.CPU_MODEL), knobs.on(Knobs.NESTED), host);
        this.supported = new SupportedCpuid(
                host,
                knobs.value(Knobs.CPU_VENDOR),
                ProcessorFeatures.offered(features, knobs.on(Knobs.PMU), knobs.on(Knobs.TDP)),
                MsrFile.PV_FEATURES,
                ProcessorFeatures.xcr0(features));
    }

    /** Whoever watches the runs of vCPUs made from here on; before the first VM. */
    public void observeWith(RunObserverFactory factory) {
        observers = factory;
    }

    @Nullable
    RunObserver observe(Vcpu vcpu) {
        RunObserverFactory factory = observers;
        return factory == null ? null : factory.observe(vcpu);
    }

    /** What it runs on. */
    public HostServices host() {
        return host;
    }

    /** Its knobs. */
    public Knobs knobs() {
        return knobs;
    }

    /** Whether the interpreter does again what machine code has done. */
    boolean isInLockstep() {
        return knobs.value(Knobs.TRANSLATOR).equals("lockstep");
    }

    /** How many vCPUs a VM can have: in lockstep one, since nobody holds off what another stores while a stretch is done again. */
    int maxVcpus() {
        return isInLockstep() ? 1 : MAX_VCPUS;
    }

    /** What processors offer, as {@link dev.slate.cpu.decode.Feature} bits. */
    long processorFeatures() {
        return features;
    }

    SupportedCpuid supported() {
        return supported;
    }

    TimerThread timers() {
        return timers;
    }

    /** What can be set while VMs run. */
    public ModuleParameters parameters() {
        return parameters;
    }

    /** What is done in the background. */
    public Worker worker() {
        return worker;
    }

    MissingInstructions missing() {
        return missing;
    }

    /** {@code KVM_CHECK_EXTENSION}: 0 when the capability is not there. The same on VMs. Never throws. */
    public int checkExtension(int cap) {
        Cap row = Cap.of(cap);
        return row == null ? 0 : row.value(this);
    }

    /**
     * {@code KVM_CREATE_VM}.
     *
     * @param type 0, the only one
     * @throws KvmException EINVAL for another type; ENOMEM
     */
    public Vm createVm(int type) {
        if (type != 0) {
            throw Errno.EINVAL.raise();
        }
        long ring = host.allocate(4096, 4096);
        if (ring == 0) {
            throw Errno.ENOMEM.raise();
        }
        return new Vm(this, ring, true);
    }

    /**
     * {@code KVM_CREATE_VM} with the page of the coalesced writes' ring, which the client sees in every vCPU's run area.
     *
     * @param coalescedRingHva a zeroed page that the caller keeps until the VM is closed
     */
    public Vm createVm(int type, long coalescedRingHva) {
        if (type != 0) {
            throw Errno.EINVAL.raise();
        }
        return new Vm(this, coalescedRingHva, false);
    }

    /** {@code KVM_GET_SUPPORTED_CPUID}. */
    public List<CpuidEntry> supportedCpuid() {
        return supported.entries();
    }

    /** {@code KVM_GET_SUPPORTED_HV_CPUID}. */
    public List<CpuidEntry> supportedHypervCpuid() {
        return supportedHypervCpuid(true);
    }

    List<CpuidEntry> supportedHypervCpuid(boolean apics) {
        return HvCpuid.supported(apics, host.smtPossible(), MAX_VCPUS);
    }

    /** {@code KVM_X86_XCOMP_GUEST_SUPP}: XSAVE's components that a guest can have, as in XCR0. */
    public long supportedXcr0() {
        return supported.xcr0();
    }

    /** {@code KVM_GET_EMULATED_CPUID}: nothing works that is not offered outright. */
    public List<CpuidEntry> emulatedCpuid() {
        return List.of(
                new CpuidEntry(0, 0, 0, 7, 0, 0, 0),
                new CpuidEntry(1, 0, 0, 0, 0, 0, 0),
                new CpuidEntry(7, 0, CpuidEntry.SIGNIFICANT_INDEX, 0, 0, 0, 0));
    }

    /** {@code KVM_GET_MSR_INDEX_LIST}; the caller may keep the array. */
    public int[] msrIndexList() {
        return MsrLists.toSave();
    }

    /** {@code KVM_GET_MSR_FEATURE_INDEX_LIST}; the caller may keep the array. */
    public int[] msrFeatureIndexList() {
        return MsrLists.features();
    }

    /**
     * {@code KVM_GET_MSRS} on {@code /dev/kvm}, one MSR.
     *
     * @param value receives the value at [0]
     * @return false when there is no such feature MSR: the ioctl stops there
     */
    public boolean getFeatureMsr(int index, long[] value) {
        if (!MsrLists.isFeature(index)) {
            return false;
        }
        value[0] = MsrLists.featureValue(index);
        return true;
    }

    /** {@code KVM_X86_GET_MCE_CAP_SUPPORTED}. */
    public long mceCapSupported() {
        return MceFile.supportedCap(supported.intel());
    }
}
