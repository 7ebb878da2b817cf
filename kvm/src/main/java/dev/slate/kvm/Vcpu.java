package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.TranslationFigures;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.dirty.DirtyRing;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.memslot.SlotLookup;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.msr.MceFile;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.run.VcpuParts;
import dev.slate.kvm.run.VcpuRun;
import dev.slate.kvm.state.GuestDebug;
import dev.slate.kvm.stats.VcpuStats;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A virtual CPU. Every method takes the vCPU's mutex, as KVM's vCPU ioctls do, except those that say "from any thread". While a
 * thread is in {@link #run}, the others wait.
 */
public final class Vcpu extends VcpuState implements AutoCloseable {
    /** Bit of the kick word: a request is pending. */
    public static final int KICK_REQUEST = GuestMode.KICK_REQUEST;
    /**
     * Bit of the kick word: a signal has arrived, {@link #run} ends with EINTR. Whoever arms a signal wrapper on the word clears the
     * bit first and reads {@code immediate_exit} after that; run() clears it when it returns for it.
     */
    public static final int KICK_SIGNAL = GuestMode.KICK_SIGNAL;

    private final Vm vm;
    private final int id;
    private final long runAreaHva;
    private final boolean ownsRunArea;
    private final VcpuRun run;

    Vcpu(Vm vm, int id, long runAreaHva, boolean ownsRunArea) {
        super(new VcpuParts(vm.parts(), id, new VcpuExit(), runAreaHva));
        this.vm = vm;
        this.id = id;
        this.runAreaHva = runAreaHva;
        this.ownsRunArea = ownsRunArea;
        this.run = new VcpuRun(parts, vm.kvm().observe(this));
    }

    /** The VM that it belongs to. */
    public Vm vm() {
        return vm;
    }

    /** The client's number, which is the APIC id. */
    public int id() {
        return id;
    }

    /** What the last {@link #run} came back with. One object, reused. */
    public VcpuExit exit() {
        return parts.exit;
    }

    /** Counted by the thread that runs the vCPU; readable from any thread. */
    public VcpuStats stats() {
        return parts.stats;
    }

    /** The vCPU's mode, requests and kick. For any thread as its methods say. */
    public GuestMode mode() {
        return parts.mode;
    }

    /** How the memslots of this vCPU's faults were found. From any thread. */
    public SlotLookup.Counts slotLookups() {
        return parts.mmu.slots.counts();
    }

    /** What has been made of its code; null while nothing translates it. From any thread. */
    public @Nullable TranslationFigures translation() {
        Cpu cpu = parts.processor.orNull();
        return cpu != null && cpu.translates() ? cpu.translation : null;
    }

    /** Takes the vCPU's mutex for several calls, until {@link #unlock}: for who has data of his own beside the vCPU. */
    public void lock() {
        mutex.lock();
    }

    /** Undoes one {@link #lock}. @throws IllegalMonitorStateException the thread does not hold it */
    public void unlock() {
        mutex.unlock();
    }

    // ------------------------------------------------------------------ running

    /** Host address of the data of port I/O: the second page of the run area. */
    public long portData() {
        return runAreaHva + VcpuExit.PIO_PAGE_OFFSET;
    }

    /**
     * {@code KVM_RUN}: completes what the last exit left open, then runs the guest on the calling thread until something is up to the
     * client. Allocates nothing.
     *
     * @param immediateExit complete, but run no guest instruction, and return EINTR
     * @return 0: the exit stands in {@link #exit}; else a positive errno number: EINTR (with {@link VcpuExit#INTR} after a signal, with
     *     {@code exit} unchanged for {@code immediateExit}), EFAULT, EAGAIN, EINVAL, EIO
     */
    public int run(boolean immediateExit) {
        mutex.lock();
        try {
            return run.run(immediateExit);
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Shows the processor's state to {@code visitor}, which may change it; before the vCPU next runs, code and translations are looked
     * at anew. Waits until the vCPU is neither running nor used by another call.
     *
     * @return false: it still was after {@code millis}, and nothing has happened
     */
    public boolean inspect(long millis, Consumer<CpuState> visitor) throws InterruptedException {
        if (!mutex.tryLock(millis, TimeUnit.MILLISECONDS)) {
            return false;
        }
        try {
            visitor.accept(state);
            parts.processor.changed();
            return true;
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_PRE_FAULT_MEMORY}: maps guest memory as reads of it would, before the guest needs it.
     *
     * @param gpa a multiple of 4096
     * @param size in bytes, a multiple of 4096, more than 0
     * @return bytes from {@code gpa} on that are mapped now, more than 0; fewer than {@code size} after a signal, or where something is
     *     wrong that another call will say
     * @throws KvmException EINVAL for bad ranges; when nothing was mapped: ENOENT without memory, EINTR after a signal, EFAULT where the client's memory
     *     is not there, EOPNOTSUPP under shadow paging
     */
    public long preFaultMemory(long gpa, long size) {
        if (((gpa | size) & 4095) != 0 || Long.compareUnsigned(gpa + size, gpa) <= 0) {
            throw Errno.EINVAL.raise();
        }
        mutex.lock();
        try {
            return parts.processor.preFault(gpa, size);
        } finally {
            mutex.unlock();
        }
    }

    /** hva of the 32-bit kick word ({@link #KICK_REQUEST}, {@link #KICK_SIGNAL}); valid until close. From any thread. */
    public long kickWordHva() {
        return parts.mode.kickWordHva();
    }

    /** Makes the running or the next {@link #run} return EINTR. From any thread. */
    public void signal() {
        parts.mode.signal();
    }

    // ------------------------------------------------------------------ CPUID and MSRs

    /** {@code KVM_GET_CPUID2}. */
    public List<CpuidEntry> getCpuid() {
        mutex.lock();
        try {
            parts.guestCpuid.update();
            return cpuid.toList();
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_XEN_VCPU_SET_ATTR}. @param u eight words: the union @throws KvmException ENOENT, EINVAL, EFAULT */
    public void setXenAttribute(int type, long[] u) {
        mutex.lock();
        try {
            parts.xen.setAttribute(type, u);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_XEN_VCPU_GET_ATTR}. @throws KvmException ENOENT, EINVAL */
    public void getXenAttribute(int type, long[] u) {
        mutex.lock();
        try {
            parts.xen.getAttribute(type, u);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_SUPPORTED_HV_CPUID}. */
    public List<CpuidEntry> supportedHypervCpuid() {
        return vm.kvm().supportedHypervCpuid(apic.inKernel());
    }

    /**
     * {@code KVM_SET_CPUID2}. Once the vCPU has run, only what it already has is accepted.
     *
     * @throws KvmException E2BIG: more than {@link Kvm#MAX_CPUID_ENTRIES}; EINVAL: linear addresses of neither 48 nor 57 bits, or
     *     changed after the vCPU has run
     */
    public void setCpuid(List<CpuidEntry> entries) {
        if (entries.size() > Kvm.MAX_CPUID_ENTRIES) {
            throw Errno.E2BIG.raise();
        }
        mutex.lock();
        try {
            parts.guestCpuid.set(entries, parts.processor.orNull() != null);
        } finally {
            mutex.unlock();
        }
    }

    /**
     * Reads an MSR for the client ({@code KVM_GET_MSRS}).
     *
     * @param value receives the value at [0]
     * @return false when KVM refuses it: the ioctl stops there
     */
    public boolean getMsr(int index, long[] value) {
        mutex.lock();
        try {
            if (msrs.read(index, true) != MsrFile.OK) {
                return false;
            }
            value[0] = msrs.value;
            return true;
        } finally {
            mutex.unlock();
        }
    }

    /** Writes an MSR for the client ({@code KVM_SET_MSRS}); false when KVM refuses it. */
    public boolean setMsr(int index, long value) {
        mutex.lock();
        try {
            return msrs.write(index, value, true) == MsrFile.OK;
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_X86_SETUP_MCE}. @throws KvmException EINVAL */
    public void setupMce(long mcgCap) {
        mutex.lock();
        try {
            if (!msrs.mce().setup(mcgCap, vm.kvm().mceCapSupported())) {
                throw Errno.EINVAL.raise();
            }
            LocalApic a = apic.lapic();
            if (a != null) {
                a.offerCmci(msrs.mce().hasCmci());
            }
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_X86_SET_MCE}: a machine-check error happens.
     *
     * @param bank below the number of banks
     * @param status as in IA32_MCi_STATUS, VAL set
     * @param globalStatus as in IA32_MCG_STATUS
     * @throws KvmException EINVAL: no such bank, or VAL is clear
     */
    public void setMce(int bank, long status, long address, long misc, long globalStatus) {
        mutex.lock();
        try {
            boolean enabled = (state.cr4 & CpuState.CR4_MCE) != 0;
            switch (msrs.mce().inject(bank, status, address, misc, globalStatus, enabled)) {
                case MceFile.REFUSED -> throw Errno.EINVAL.raise();
                case MceFile.MACHINE_CHECK -> events.queue(GuestFault.MC);
                case MceFile.SHUTDOWN -> events.tripleFault = true;
                case MceFile.SIGNALLED -> {
                    LocalApic a = apic.lapic();
                    if (a != null) {
                        a.cmci();
                    }
                }
                default -> {}
            }
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_GET_LAPIC}.
     *
     * @param into {@link LocalApic#STATE_BYTES} bytes of registers
     * @throws KvmException EINVAL without an in-kernel APIC
     */
    public void getLapic(byte[] into) {
        mutex.lock();
        try {
            apic.required().get(into);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_LAPIC}. @throws KvmException EINVAL without an in-kernel APIC */
    public void setLapic(byte[] from) {
        mutex.lock();
        try {
            apic.required().set(from);
            apic.syncCr8();
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_VAPIC_ADDR}; 0: none. @throws KvmException EINVAL: no in-kernel APIC, or no memory there */
    public void setVapicAddress(long gpa) {
        mutex.lock();
        try {
            apic.required();
            if (!parts.vapic.place(gpa)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_TPR_ACCESS_REPORTING}: whether {@link VcpuExit#TPR_ACCESS} tells of accesses to the task priority. */
    public void reportTaskPriority(boolean on) {
        mutex.lock();
        try {
            apic.reportTaskPriority(on);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_KVMCLOCK_CTRL}: the guest's watchdogs are told that it stood still. @throws KvmException EINVAL: it has no kvmclock */
    public void guestStopped() {
        mutex.lock();
        try {
            if (!parts.clock.guestStopped()) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    // ------------------------------------------------------------------ time

    /** {@code KVM_GET_TSC_KHZ}. */
    public int getTscKhz() {
        return parts.tsc.khz();
    }

    /** {@code KVM_SET_TSC_KHZ}; 0 means the host's. @throws KvmException EINVAL: negative as a signed number */
    public void setTscKhz(int khz) {
        mutex.lock();
        try {
            if (khz < 0) {
                throw Errno.EINVAL.raise();
            }
            parts.tsc.setKhz(khz == 0 ? (int) vm.kvm().host().tscKhz() : khz);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_VCPU_TSC_OFFSET}. */
    public long getTscOffset() {
        return parts.tsc.offset();
    }

    /** Sets {@code KVM_VCPU_TSC_OFFSET}. */
    public void setTscOffset(long offset) {
        mutex.lock();
        try {
            parts.vm.tscSync().setOffset(parts.tsc, offset);
            parts.vm.partition().clockChanged();
            parts.mode.request(Request.CLOCK_UPDATE);
        } finally {
            mutex.unlock();
        }
    }

    // ------------------------------------------------------------------ events from the client

    /** {@code KVM_INTERRUPT}. @throws KvmException EINVAL: no vector; ENXIO: the APIC is in the kernel; EEXIST: one waits already */
    public void interrupt(int vector) {
        if (vector < 0 || vector > 255) {
            throw Errno.EINVAL.raise();
        }
        mutex.lock();
        try {
            if (apic.inKernel()) {
                apic.clientInterrupt(vector);
                return;
            }
            events.interruptInjected = true;
            events.interruptSoft = false;
            events.interruptVector = vector;
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_NMI}. From any thread. */
    public void nmi() {
        apic.nmiArrived();
    }

    /** {@code KVM_SMI}. From any thread. */
    public void smi() {
        apic.smiArrived();
    }

    /**
     * {@code KVM_SET_GUEST_DEBUG}.
     *
     * @param control {@code KVM_GUESTDBG_*}
     * @param debugreg eight registers, as {@code struct kvm_guest_debug_arch}
     * @throws KvmException EBUSY: an exception is pending that would be lost
     */
    public void setGuestDebug(int control, long[] debugreg) {
        mutex.lock();
        try {
            if ((control & (GuestDebug.INJECT_DB | GuestDebug.INJECT_BP)) != 0) {
                if (events.exceptionPending) {
                    throw Errno.EBUSY.raise();
                }
                events.queue((control & GuestDebug.INJECT_DB) != 0 ? 1 : 3);
            }
            parts.debug.set(control, debugreg, parts.processor.orNull());
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_ENABLE_CAP} on a vCPU, as {@link Vm#enableCap}. @throws KvmException EINVAL */
    public void enableCap(int number, int flags, long[] args) {
        Cap cap = Cap.of(number);
        if (flags != 0 || cap == null || !cap.onVcpu() || cap == Cap.HYPERV_SYNIC2 && args[0] != 0) {
            throw Errno.EINVAL.raise();
        }
        mutex.lock();
        try {
            switch (cap) {
                // No nested hypervisor could use either.
                case HYPERV_ENLIGHTENED_VMCS, HYPERV_DIRECT_TLBFLUSH -> throw Errno.ENOTTY.raise();
                case HYPERV_SYNIC, HYPERV_SYNIC2 -> {
                    apic.required();
                    parts.hyperV.activateSynIc(cap == Cap.HYPERV_SYNIC2);
                }
                case HYPERV_ENFORCE_CPUID -> parts.hyperV.enforceCpuid(args[0] != 0);
                case ENFORCE_PV_FEATURE_CPUID -> cpuid.enforcesPvFeatures = args[0] != 0;
                default -> throw new IllegalStateException(cap + " can be enabled and has no case here");
            }
        } finally {
            mutex.unlock();
        }
    }

    // ------------------------------------------------------------------ what the VM asks

    /** What it is made of. */
    VcpuParts parts() {
        return parts;
    }

    /** Ends the vCPU; the caller has made sure that nothing runs it. A dirty ring in the caller's run area stays his. */
    @Override
    public void close() {
        DirtyRing ring = parts.mmu.dirtyRing;
        if (ring != null && !ownsRunArea) {
            vm.memory().closeDirtyRing(ring);
        }
        vm.remove(this);
    }

    /** Gives back native memory, once nobody can look at this vCPU any more. */
    void free() {
        run.close();
        parts.close();
        if (ownsRunArea) {
            vm.kvm().host().free(runAreaHva, vm.runAreaBytes());
        }
    }
}
