package dev.slate.kvm;

import dev.slate.cpu.TranslationBudget;
import dev.slate.kvm.clock.TscSync;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.dirty.DirtyLogSink;
import dev.slate.kvm.dirty.DirtyLogSource;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.hyperv.Partition;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.memslot.SlotLookup;
import dev.slate.kvm.mmu.JoinedMmu;
import dev.slate.kvm.mmu.Mmu;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.NxHugePages;
import dev.slate.kvm.mmu.shadow.ShadowMmu;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.msr.MsrPolicy;
import dev.slate.kvm.run.VmParts;
import dev.slate.kvm.setting.PmuEventFilter;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.stats.DebugFiles;
import dev.slate.kvm.stats.ShadowFigures;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.xen.XenDomain;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine: its memory, its vCPUs, and what is common to them. Thread-safe as KVM's VM ioctls are.
 *
 * <p>Lock order: vCPU mutex, then the VM's lock, then the slots lock, then the MMU's.
 */
public final class Vm implements AutoCloseable {
    /** {@code KVM_MIN_ALLOC_MMU_PAGES}. */
    private static final int MIN_ALLOC_MMU_PAGES = 64;

    /** {@code KVM_MSR_FILTER_MAX_RANGES}. */
    public static final int MSR_FILTER_RANGES = MsrPolicy.MAX_RANGES;

    /** Bus lock detection off and on, at once. */
    private static final long BUS_LOCK_BOTH = 3;

    /** Pages of slots for each shadow page, where the client has not said how many there may be. */
    private static final long PAGES_TO_MMU_PAGES = 50;

    private static final long TOP_OF_32_BITS = 0xffff_ffffL;

    private final Kvm kvm;
    private final GuestMemory memory;
    private final GuestModes modes = new GuestModes();
    private final VmStats stats;
    private final NxHugePages nxHugePages;
    private final Mmu mmu;
    private final @Nullable ShadowMmu shadow;
    private final VmSettings settings = new VmSettings();
    private final MsrPolicy msrPolicy = new MsrPolicy();
    private final VmClock clock;
    private final Interrupts interrupts;
    private final Partition partition;
    private final XenDomain xen;
    private final VmParts parts;
    private final DebugFiles debugFiles = new DebugFiles(new Shown());
    private final ReentrantLock lock = new ReentrantLock();
    private final AtomicInteger references = new AtomicInteger(1);

    // Guarded by lock for writers; read by vCPUs without it.
    private volatile @Nullable Vcpu[] vcpus = new Vcpu[0];
    private int createdVcpus;
    private int maxVcpuId;
    private boolean mmuPagesRequested;

    Vm(Kvm kvm, long coalescedRingHva, boolean ownsRing) {
        HostServices host = kvm.host();
        this.kvm = kvm;
        this.interrupts = new Interrupts(host, kvm.timers(), coalescedRingHva, ownsRing);
        this.memory = new GuestMemory(host);
        this.stats = new VmStats(host);
        this.nxHugePages = new NxHugePages(kvm.parameters(), kvm.worker());
        MmuContext context = MmuContext.of(host, kvm.knobs(), memory, modes, stats, nxHugePages::on);
        TdpMmu tdp = kvm.knobs().on(Knobs.TDP) ? TdpMmu.create(context) : null;
        if (tdp == null) {
            this.shadow = ShadowMmu.create(context);
            this.mmu = shadow;
        } else if (kvm.supported().has(Feature.NPT)) {
            this.shadow = ShadowMmu.beside(context, tdp);
            tdp.watch(shadow);
            this.mmu = new JoinedMmu(context, tdp, shadow);
        } else {
            this.shadow = null;
            this.mmu = tdp;
        }
        this.clock = new VmClock(host);
        this.partition = new Partition(
                clock, modes, interrupts.irqchip(), settings, kvm.supported().intel());
        this.xen = new XenDomain(host, context, clock, settings);
        interrupts.irqchip().sendEventsTo(xen);
        settings.tscKhz = (int) host.tscKhz();
        settings.haltPollNanos = kvm.knobs().number(Knobs.HALT_POLL_NS);
        this.parts = new VmParts(
                host,
                kvm.knobs(),
                kvm.supported(),
                kvm.processorFeatures(),
                new TranslationBudget(kvm.knobs().number(Knobs.TRANSLATOR_CACHE) << 20),
                kvm.timers(),
                kvm.worker(),
                kvm.missing(),
                settings,
                msrPolicy,
                context,
                tdp,
                shadow,
                new TscSync(host),
                clock,
                partition,
                xen,
                interrupts.irqchip(),
                interrupts.ports(),
                interrupts.memory());
        nxHugePages.start(mmu);
    }

    /** What the files of {@link #debugFiles} are made from. */
    private final class Shown implements DebugFiles.Machine {
        @Override
        public VmStats stats() {
            return stats;
        }

        @Override
        public @Nullable ShadowFigures shadowFigures() {
            return Vm.this.shadowFigures();
        }

        @Override
        public boolean localApics() {
            return settings.irqchip;
        }

        @Override
        public int processors() {
            return vcpus.length;
        }

        @Override
        public DebugFiles.@Nullable Processor processor(int id) {
            Vcpu v = vcpu(id);
            return v == null
                    ? null
                    : new DebugFiles.Processor(
                            v.stats(), v.getTscOffset(), v.parts().tsc.ratio(), v.translation());
        }
    }

    /** The system object that it came from. */
    public Kvm kvm() {
        return kvm;
    }

    /** Its counters; readable from any thread. */
    public VmStats stats() {
        return stats;
    }

    /** Memslots and dirty logs. */
    public GuestMemory memory() {
        return memory;
    }

    /** What KVM shows of the VM in debugfs. */
    public DebugFiles debugFiles() {
        return debugFiles;
    }

    /** What its vCPUs share. */
    VmParts parts() {
        return parts;
    }

    // ------------------------------------------------------------------ vCPUs

    /**
     * {@code KVM_CREATE_VCPU}.
     *
     * @param id 0 to {@link Kvm#MAX_VCPU_IDS}, exclusive, or what {@link Cap#MAX_VCPU_ID} lowered that to; the APIC id
     * @param runAreaHva {@link #runAreaBytes} zeroed bytes that the caller owns and keeps until the vCPU is closed
     * @throws KvmException EINVAL: id out of range or too many vCPUs (in lockstep more than one); EEXIST: the id is taken; ENOMEM
     */
    public Vcpu createVcpu(int id, long runAreaHva) {
        return createVcpu(id, runAreaHva, false);
    }

    /** A vCPU with a run area of its own, for programs that have no {@code kvm_run} to share. @throws KvmException as the other */
    public Vcpu createVcpu(int id) {
        long bytes = runAreaBytes();
        long runArea = kvm.host().allocate(bytes, 4096);
        if (runArea == 0) {
            throw Errno.ENOMEM.raise();
        }
        try {
            return createVcpu(id, runArea, true);
        } catch (KvmException e) {
            kvm.host().free(runArea, bytes);
            throw e;
        }
    }

    private Vcpu createVcpu(int id, long runAreaHva, boolean ownsRunArea) {
        if (id < 0 || id >= Kvm.MAX_VCPU_IDS) {
            throw Errno.EINVAL.raise();
        }
        lock.lock();
        try {
            if (createdVcpus == kvm.maxVcpus()) {
                if (kvm.isInLockstep()) {
                    kvm.host()
                            .say(
                                    "slate: cpu.translator=lockstep is for machines with one vCPU, so that another is refused;"
                                            + " give the machine one, or set cpu.translator=on.");
                }
                throw Errno.EINVAL.raise();
            }
            if (maxVcpuId == 0) {
                maxVcpuId = Kvm.MAX_VCPU_IDS;
            }
            if (id >= maxVcpuId) {
                throw Errno.EINVAL.raise();
            }
            if (vcpu(id) != null) {
                throw Errno.EEXIST.raise();
            }
            Vcpu vcpu = new Vcpu(this, id, runAreaHva, ownsRunArea);
            @Nullable Vcpu[] table = vcpus;
            if (id >= table.length) {
                @Nullable Vcpu[] longer = new Vcpu[Math.min(Kvm.MAX_VCPU_IDS, Math.max(id + 1, table.length * 2))];
                System.arraycopy(table, 0, longer, 0, table.length);
                table = longer;
            }
            table[id] = vcpu;
            vcpus = table;
            createdVcpus++;
            partition.add(vcpu.parts().hyperV);
            xen.add(vcpu.parts().xen);
            modes.add(vcpu.mode());
            LocalApic lapic = vcpu.parts().apic.lapic();
            if (lapic != null) {
                interrupts.irqchip().bus().add(lapic);
            }
            retain();
            return vcpu;
        } finally {
            lock.unlock();
        }
    }

    /** The vCPU with an id, or null. */
    public @Nullable Vcpu vcpu(int id) {
        @Nullable Vcpu[] table = vcpus;
        return id >= 0 && id < table.length ? table[id] : null;
    }

    /** A client closed the vCPU: like KVM, the VM keeps it until the VM itself goes. */
    void remove(Vcpu vcpu) {
        close();
    }

    // ------------------------------------------------------------------ memory

    /** See {@link GuestMemory#setUserMemoryRegion}. */
    public void setUserMemoryRegion(int slot, int flags, long gpa, long bytes, long hva) {
        lock.lock();
        try {
            long before = memory.slotPages();
            memory.setUserMemoryRegion(slot, flags, gpa, bytes, hva);
            if (!mmuPagesRequested && memory.slotPages() != before) {
                settings.mmuPages = Math.max(memory.slotPages() / PAGES_TO_MMU_PAGES, MIN_ALLOC_MMU_PAGES);
            }
        } finally {
            lock.unlock();
        }
    }

    /** See {@link GuestMemory#getDirtyLog}. */
    public void getDirtyLog(int slot, DirtyLogSink sink) {
        memory.getDirtyLog(slot, sink);
    }

    /** See {@link GuestMemory#clearDirtyLog}. */
    public void clearDirtyLog(int slot, long firstPage, long numPages, DirtyLogSource source) {
        memory.clearDirtyLog(slot, firstPage, numPages, source);
    }

    /** {@code KVM_RESET_DIRTY_RINGS}. @return number of entries taken back @throws KvmException EINVAL without rings */
    public int resetDirtyRings() {
        if (memory.dirtyRingBytes() == 0) {
            throw Errno.EINVAL.raise();
        }
        List<DirtyRing> rings = new ArrayList<>();
        for (Vcpu v : vcpus) {
            DirtyRing ring = v == null ? null : v.parts().mmu.dirtyRing;
            if (ring != null) {
                rings.add(ring);
            }
        }
        return memory.resetDirtyRings(rings);
    }

    /** Bytes of the run area that {@link #createVcpu(int, long)} takes now: with the dirty ring, when the VM uses them. */
    public long runAreaBytes() {
        long ring = memory.dirtyRingBytes();
        return ring == 0 ? Kvm.RUN_AREA_BYTES : DirtyRing.PAGE_OFFSET * 4096L + ring;
    }

    /**
     * Whether the guest has used any page of the client's memory {@code [startHva, endHva)} since it was last cleared: what KVM tells a
     * kernel that ages pages. Any thread that is not inside a guest.
     *
     * @param clear the pages count as unused from now on
     */
    public boolean used(long startHva, long endHva, boolean clear) {
        return mmu.used(startHva, endHva, clear);
    }

    /** See {@link Mmu#hostInvalidateBegin}. */
    public void hostInvalidateBegin(long startHva, long endHva) {
        mmu.hostInvalidateBegin(startHva, endHva);
    }

    /** See {@link Mmu#hostInvalidateEnd}. */
    public void hostInvalidateEnd(long startHva, long endHva) {
        mmu.hostInvalidateEnd(startHva, endHva);
    }

    /** {@code KVM_SET_TSS_ADDR}: takes an address that leaves room for three pages below 4 GiB. @throws KvmException EINVAL */
    public void setTssAddr(long gpa) {
        if (Long.compareUnsigned(gpa, TOP_OF_32_BITS - 3 * 4096) > 0) {
            throw Errno.EINVAL.raise();
        }
    }

    /** {@code KVM_SET_IDENTITY_MAP_ADDR}: nothing here needs the page. @throws KvmException EINVAL once there are vCPUs */
    public void setIdentityMapAddr(long gpa) {
        requireNoVcpus(Errno.EINVAL);
    }

    /**
     * {@code KVM_SET_NR_MMU_PAGES}: how many shadow pages the VM may have. The pages of two-dimensional paging are not counted
     * against it, as in KVM's TDP MMU.
     *
     * @throws KvmException EINVAL: fewer than 64
     */
    public void setNrMmuPages(long pages) {
        if (Long.compareUnsigned(pages, MIN_ALLOC_MMU_PAGES) < 0) {
            throw Errno.EINVAL.raise();
        }
        lock.lock();
        try {
            if (shadow != null) {
                shadow.limit(pages);
            }
            mmuPagesRequested = true;
            settings.mmuPages = pages;
        } finally {
            lock.unlock();
        }
    }

    /** {@code KVM_GET_NR_MMU_PAGES}: what was set, or what the slots ask for; 0 before the first of them. */
    public long nrMmuPages() {
        return shadow != null && settings.mmuPages != 0 ? shadow.limit() : settings.mmuPages;
    }

    /**
     * What the shadow MMU's structures hold now; null under two-dimensional paging, as long as no guest has shown nested tables of its own. Takes
     * the MMU's lock.
     */
    public @Nullable ShadowFigures shadowFigures() {
        return shadow == null || parts.tdp() != null && !shadow.everUsed() ? null : shadow.figures();
    }

    /** {@link Mmu#metadataBytes} of this VM's MMU without what waits in vCPUs' caches. Any thread; exact while no vCPU runs. */
    public long mmuMetadataBytes() {
        long cached = 0;
        for (Vcpu v : vcpus) {
            if (v != null) {
                cached += v.parts().processor.mmuCacheBytes();
            }
        }
        return mmu.metadataBytes() - cached;
    }

    /** How the memslots of this VM's faults were found, all vCPUs together. Any thread. */
    public SlotLookup.Counts slotLookups() {
        SlotLookup.Counts sum = SlotLookup.Counts.ZERO;
        for (Vcpu v : vcpus) {
            if (v != null) {
                sum = sum.plus(v.slotLookups());
            }
        }
        return sum;
    }

    // ------------------------------------------------------------------ capabilities

    /** {@code KVM_CHECK_EXTENSION} on a VM. Never throws. */
    public int checkExtension(int cap) {
        return kvm.checkExtension(cap);
    }

    /**
     * {@code KVM_ENABLE_CAP} on a VM.
     *
     * @param number {@code KVM_CAP_*}; which there are, and what they take and need, stands in {@link Cap}
     * @param args four arguments
     * @throws KvmException EINVAL: no such capability, flags, or a bad argument; others where {@link Cap} says so
     */
    public void enableCap(int number, int flags, long[] args) {
        Cap cap = Cap.of(number);
        if (flags != 0 || cap == null || !cap.onVm()) {
            throw Errno.EINVAL.raise();
        }
        if (cap.needs(Cap.Need.REBOOT) && !kvm.host().mayReboot()) {
            throw Errno.EPERM.raise();
        }
        long arg = args[0];
        requireOnly(arg, cap.validArgument());
        lock.lock();
        try {
            enableCap(cap, arg);
        } finally {
            lock.unlock();
        }
    }

    private void enableCap(Cap cap, long arg) {
        if (cap == Cap.DIRTY_LOG_RING || cap == Cap.DIRTY_LOG_RING_ACQ_REL) {
            // KVM looks at the low half, and says what is wrong with it before it looks for vCPUs.
            arg &= TOP_OF_32_BITS;
            GuestMemory.checkDirtyRingBytes(arg);
        }
        if (cap.needs(Cap.Need.NO_VCPUS)) {
            requireNoVcpus(Errno.EINVAL);
        }
        switch (cap) {
            case MANUAL_DIRTY_LOG_PROTECT2 -> memory.manualDirtyLogProtect((int) arg);
            case DIRTY_LOG_RING, DIRTY_LOG_RING_ACQ_REL -> memory.enableDirtyRings(arg);
            case DISABLE_QUIRKS, DISABLE_QUIRKS2 -> settings.disabledQuirks = (int) arg;
            case MSR_PLATFORM_INFO -> settings.platformInfoReadable = arg != 0;
            case PMU_CAPABILITY -> {
                if (cap.value(kvm) == 0) {
                    throw Errno.EINVAL.raise();
                }
                settings.pmuDisabled = arg != 0;
            }
            case EXCEPTION_PAYLOAD -> settings.exceptionPayloads = arg != 0;
            case X86_TRIPLE_FAULT_EVENT -> settings.tripleFaultEvents = arg != 0;
            case X86_USER_SPACE_MSR -> msrPolicy.userSpaceMask = (int) arg;
            case EXIT_HYPERCALL -> settings.hypercallExits = arg;
            case X86_DISABLE_EXITS -> {
                // Enabled once, it stays. PAUSE and the C-states' MSRs are no exits anyway.
                if ((arg & Kvm.DISABLE_EXITS_HLT) != 0) {
                    settings.hltInGuest = true;
                }
            }
            case EXIT_ON_EMULATION_FAILURE -> settings.exitOnEmulationFailure = arg != 0;
            case X86_BUS_LOCK_EXIT -> {
                if (arg == BUS_LOCK_BOTH) {
                    throw Errno.EINVAL.raise();
                }
            }
            case MAX_VCPU_ID -> lowerMaxVcpuId(arg);
            case SPLIT_IRQCHIP -> createIrqchip(true, arg);
            case X2APIC_API -> interrupts.x2apicApi((int) arg);
            case VM_DISABLE_NX_HUGE_PAGES -> nxHugePages.disable();
            case HALT_POLL -> settings.haltPollNanos = arg;
            default -> throw new IllegalStateException(cap + " can be enabled and has no case here");
        }
    }

    private static void requireOnly(long arg, long valid) {
        if ((arg & ~valid) != 0) {
            throw Errno.EINVAL.raise();
        }
    }

    private void lowerMaxVcpuId(long limit) {
        if (Long.compareUnsigned(limit, Kvm.MAX_VCPU_IDS) > 0) {
            throw Errno.EINVAL.raise();
        }
        lock.lock();
        try {
            if (maxVcpuId != 0 && maxVcpuId != limit) {
                throw Errno.EINVAL.raise();
            }
            maxVcpuId = (int) limit;
        } finally {
            lock.unlock();
        }
    }

    /**
     * {@code KVM_X86_SET_MSR_FILTER}.
     *
     * @param flags {@code KVM_MSR_FILTER_DEFAULT_DENY} (1) or 0
     * @param ranges up to {@link #MSR_FILTER_RANGES}; a range of 0 MSRs is skipped
     * @throws KvmException EINVAL: unknown flags, a bitmap of more than 1,536 bytes, or deny-all without any range
     */
    public void setMsrFilter(int flags, MsrRange[] ranges) {
        if (!msrPolicy.setFilter(flags, ranges)) {
            throw Errno.EINVAL.raise();
        }
    }

    /** What is wrong with a {@code KVM_SET_PMU_EVENT_FILTER} before its events are read. @throws KvmException EINVAL, E2BIG */
    public static void checkPmuEventFilter(int action, int flags, int events) {
        if (action != PmuEventFilter.ALLOW && action != PmuEventFilter.DENY || flags != 0) {
            throw Errno.EINVAL.raise();
        }
        if (Integer.compareUnsigned(events, PmuEventFilter.MAX_EVENTS) > 0) {
            throw Errno.E2BIG.raise();
        }
    }

    /**
     * {@code KVM_SET_PMU_EVENT_FILTER}, checked: looked at when an event is next selected.
     *
     * @param action 0: no event but these is counted; 1: these are not
     * @param events as AMD's event selects have them: bits 0 to 7 and 32 to 35 the event, 8 to 15 the unit mask
     */
    public void setPmuEventFilter(int action, long[] events) {
        settings.pmuEvents = new PmuEventFilter(action, events);
    }

    // ------------------------------------------------------------------ interrupt controllers

    /** {@code KVM_CREATE_IRQCHIP}. @throws KvmException EEXIST: there is one; EINVAL: there are vCPUs */
    public void createIrqchip() {
        createIrqchip(false, 0);
    }

    /** @param split {@code KVM_CAP_SPLIT_IRQCHIP}: the controllers are the client's, with {@code pins} pins of its I/O APIC */
    private void createIrqchip(boolean split, long pins) {
        if (Long.compareUnsigned(pins, GsiRoute.MAX) > 0) {
            throw Errno.EINVAL.raise();
        }
        lock.lock();
        try {
            if (settings.irqchip) {
                throw Errno.EEXIST.raise();
            }
            requireNoVcpus(Errno.EINVAL);
            if (split) {
                interrupts.irqchip().createSplit((int) pins);
            } else {
                interrupts.irqchip().create();
            }
            settings.irqchip = true;
        } finally {
            lock.unlock();
        }
    }

    /** The interrupt hardware and what else of a machine's devices is not the client's. */
    public Interrupts interrupts() {
        return interrupts;
    }

    /** {@code KVM_SET_BOOT_CPU_ID}. @throws KvmException EBUSY once there are vCPUs */
    public void setBootCpuId(int id) {
        requireNoVcpus(Errno.EBUSY);
        settings.bootCpuId = id;
    }

    private void requireNoVcpus(Errno otherwise) {
        lock.lock();
        try {
            if (createdVcpus != 0) {
                throw otherwise.raise();
            }
        } finally {
            lock.unlock();
        }
    }

    // ------------------------------------------------------------------ Xen and Hyper-V

    /** Xen's interface to the guest. */
    public Xen xen() {
        return new Xen(xen);
    }

    /** {@code KVM_HYPERV_EVENTFD_DEASSIGN}. */
    public static final int HYPERV_EVENTFD_DEASSIGN = 1;

    private static final int HYPERV_CONNECTION = 0xff_ffff;

    /** What is wrong with a {@code KVM_HYPERV_EVENTFD} before its descriptor is looked at. @throws KvmException EINVAL */
    public static void checkHypervEventFd(int connection, int flags) {
        if ((flags & ~HYPERV_EVENTFD_DEASSIGN) != 0 || (connection & ~HYPERV_CONNECTION) != 0) {
            throw Errno.EINVAL.raise();
        }
    }

    /** {@code KVM_HYPERV_EVENTFD}: signals of a connection add to {@code counter}, which this keeps. @throws KvmException EEXIST */
    public void assignHypervEventFd(int connection, EventFd counter) {
        partition.connect(connection, counter);
    }

    /** Takes back what {@link #assignHypervEventFd} was given. @throws KvmException ENOENT */
    public void deassignHypervEventFd(int connection) {
        partition.disconnect(connection);
    }

    // ------------------------------------------------------------------ time

    /** {@code KVM_GET_TSC_KHZ} on a VM: what vCPUs start with. */
    public int tscKhz() {
        return settings.tscKhz;
    }

    /** {@code KVM_SET_TSC_KHZ} on a VM; 0 means the host's. @throws KvmException EINVAL: negative, or there are vCPUs */
    public void setTscKhz(int khz) {
        if (khz < 0) {
            throw Errno.EINVAL.raise();
        }
        requireNoVcpus(Errno.EINVAL);
        settings.tscKhz = khz == 0 ? (int) kvm.host().tscKhz() : khz;
    }

    /** {@code KVM_GET_CLOCK}: kvmclock with the host's TSC and wall-clock time at the same moment. */
    public void getClock(ClockData into) {
        long tsc = kvm.host().readTsc();
        Instant now = Instant.now();
        into.clock = clock.at(tsc);
        into.flags = ClockData.TSC_STABLE | ClockData.REALTIME | ClockData.HOST_TSC;
        into.realtime = nanos(now);
        into.hostTsc = tsc;
    }

    /**
     * {@code KVM_SET_CLOCK}: with {@link ClockData#REALTIME} the clock is moved on by the wall-clock time passed since.
     *
     * @throws KvmException EINVAL for unknown flags
     */
    public void setClock(ClockData from) {
        requireOnly(from.flags, ClockData.TSC_STABLE | ClockData.REALTIME | ClockData.HOST_TSC);
        long nanos = from.clock;
        if ((from.flags & ClockData.REALTIME) != 0) {
            nanos += Math.max(0, nanos(Instant.now()) - from.realtime);
        }
        clock.set(nanos);
        partition.clockChanged();
        modes.requestAll(Request.CLOCK_UPDATE);
    }

    private static long nanos(Instant t) {
        return t.getEpochSecond() * 1_000_000_000L + t.getNano();
    }

    // ------------------------------------------------------------------ life

    /** One reference more: each file descriptor of the VM and of its vCPUs holds one. */
    public void retain() {
        references.incrementAndGet();
    }

    /** Drops a reference; the last one takes the VM down. */
    @Override
    public void close() {
        if (references.decrementAndGet() != 0) {
            return;
        }
        interrupts.close();
        partition.close();
        xen.close();
        nxHugePages.close();
        for (Vcpu v : vcpus) {
            if (v != null) {
                v.free();
            }
        }
        mmu.close();
        parts.mmuContext().tablePages().close();
        memory.close();
        stats.close();
    }
}
