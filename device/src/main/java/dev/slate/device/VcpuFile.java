package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.device.abi.KvmDebugRegs;
import dev.slate.device.abi.KvmFpu;
import dev.slate.device.abi.KvmRegs;
import dev.slate.device.abi.KvmRun;
import dev.slate.device.abi.KvmSregs;
import dev.slate.device.abi.KvmSregs2;
import dev.slate.device.abi.KvmVcpuEvents;
import dev.slate.device.abi.PreFaultMemory;
import dev.slate.kvm.DebugRegs;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Fpu;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuEvents;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.stats.VcpuStats;

/** A vCPU's descriptor. One ioctl at a time, under the vCPU's mutex: the others wait, as for KVM's vcpu-&gt;mutex. */
final class VcpuFile extends KvmFile {
    private static final int XSAVE_BYTES = 4096;
    private static final int LAPIC_BYTES = 1024;

    private final VmFile vm;
    private final Vcpu vcpu;
    /** {@code struct kvm_run}. */
    private final long run;

    private final long kickWord;
    private final VcpuExit exit;
    private final Regs regs = new Regs();
    private final Sregs sregs = new Sregs();
    private final VcpuEvents events = new VcpuEvents();
    private final boolean counting = Native.counting();
    private long countedExits;

    VcpuFile(int handle, VmFile vm, int id, long runAreaHva) {
        super(handle);
        this.vm = vm;
        this.run = runAreaHva;
        this.vcpu = vm.vm().createVcpu(id, runAreaHva);
        this.kickWord = vcpu.kickWordHva();
        this.exit = vcpu.exit();
        vm.retain();
    }

    @Override
    long ioctl(int request, long arg, long scratch) {
        vcpu.lock();
        try {
            if (request == Ioctl.RUN) {
                return arg == 0 ? run(scratch + Device.SCRATCH_BYTES) : -Errno.EINVAL.number();
            }
            return other(request, arg, scratch);
        } finally {
            vcpu.unlock();
        }
    }

    // struct mailbox in native/slate.h.
    private static final int MAIL_SIGNALLED = 0;
    private static final int MAIL_KICK = 8;

    /**
     * {@code KVM_RUN}. Allocates nothing.
     *
     * @param mailbox of the calling thread: signals that arrive from here on kick this vCPU, those that came before are told there
     */
    private long run(long mailbox) {
        if ((get32(kickWord) & Vcpu.KICK_SIGNAL) != 0) {
            HostMemory.getAndAnd32(kickWord, ~Vcpu.KICK_SIGNAL); // came too late for the run that it was for
        }
        put64(mailbox + MAIL_KICK, kickWord);
        // Signals come on this thread, so that the order in its code is enough; pthread_cancel() brings a barrier for
        // both sides.
        HostMemory.compilerFence();
        if (get32(mailbox + MAIL_SIGNALLED) != 0) {
            vcpu.signal();
        }
        try {
            return runSignalled();
        } finally {
            put64(mailbox + MAIL_KICK, 0);
        }
    }

    private long runSignalled() {
        long valid = KvmRun.validRegs(run);
        long dirty = KvmRun.dirtyRegs(run);
        if (((valid | dirty) & ~(long) Kvm.SYNC_REGS_VALID) != 0) {
            return -Errno.EINVAL.number();
        }
        if (dirty != 0) {
            loadSyncRegs(dirty);
        }
        KvmRun.read(run, exit);
        int errno = vcpu.run(KvmRun.immediateExit(run));
        if (errno == 0) {
            KvmRun.writeExit(run, exit);
        } else if (errno != Errno.EINTR.number() || exit.reason == VcpuExit.INTR) {
            KvmRun.writeReason(run, exit.reason);
        }
        if (valid != 0) {
            storeSyncRegs(valid);
        }
        KvmRun.writeState(run, exit);
        if (counting) {
            long exits = vcpu.stats().get(VcpuStats.EXITS);
            Native.countExits(exits - countedExits);
            countedExits = exits;
        }
        return -errno;
    }

    private static final int SYNC_REGS = 1;
    private static final int SYNC_SREGS = 2;
    private static final int SYNC_EVENTS = 4;

    /** A set that fails leaves its bit and the later ones. @throws KvmException EINVAL */
    private void loadSyncRegs(long dirty) {
        if ((dirty & SYNC_REGS) != 0) {
            KvmRegs.read(run + KvmRun.SYNC_REGS_REGS, regs);
            vcpu.setRegs(regs);
            dirty &= ~SYNC_REGS;
            KvmRun.setDirtyRegs(run, dirty);
        }
        if ((dirty & SYNC_SREGS) != 0) {
            KvmSregs.read(run + KvmRun.SYNC_REGS_SREGS, sregs);
            vcpu.setSregs(sregs);
            dirty &= ~SYNC_SREGS;
            KvmRun.setDirtyRegs(run, dirty);
        }
        if ((dirty & SYNC_EVENTS) != 0) {
            KvmVcpuEvents.read(run + KvmRun.SYNC_REGS_EVENTS, events);
            vcpu.setEvents(events);
            KvmRun.setDirtyRegs(run, dirty & ~SYNC_EVENTS);
        }
    }

    private void storeSyncRegs(long valid) {
        if ((valid & SYNC_REGS) != 0) {
            vcpu.getRegs(regs);
            KvmRegs.write(run + KvmRun.SYNC_REGS_REGS, regs);
        }
        if ((valid & SYNC_SREGS) != 0) {
            vcpu.getSregs(sregs);
            KvmSregs.write(run + KvmRun.SYNC_REGS_SREGS, sregs);
        }
        if ((valid & SYNC_EVENTS) != 0) {
            vcpu.getEvents(events);
            KvmVcpuEvents.write(run + KvmRun.SYNC_REGS_EVENTS, events);
        }
    }

    private long other(int request, long arg, long scratch) {
        switch (request) {
            case Ioctl.GET_REGS -> {
                vcpu.getRegs(regs);
                KvmRegs.write(scratch, regs);
                UserMemory.write(arg, scratch, KvmRegs.BYTES);
            }
            case Ioctl.SET_REGS -> {
                UserMemory.read(scratch, arg, KvmRegs.BYTES);
                KvmRegs.read(scratch, regs);
                vcpu.setRegs(regs);
            }
            case Ioctl.GET_SREGS -> {
                vcpu.getSregs(sregs);
                KvmSregs.write(scratch, sregs);
                UserMemory.write(arg, scratch, KvmSregs.BYTES);
            }
            case Ioctl.SET_SREGS -> {
                UserMemory.read(scratch, arg, KvmSregs.BYTES);
                KvmSregs.read(scratch, sregs);
                vcpu.setSregs(sregs);
            }
            case Ioctl.GET_SREGS2 -> {
                long[] pdptrs = new long[4];
                long flags = vcpu.getSregs2(sregs, pdptrs);
                KvmSregs2.write(scratch, sregs, flags, pdptrs);
                UserMemory.write(arg, scratch, KvmSregs2.BYTES);
            }
            case Ioctl.SET_SREGS2 -> {
                UserMemory.read(scratch, arg, KvmSregs2.BYTES);
                long[] pdptrs = new long[4];
                KvmSregs2.read(scratch, sregs, pdptrs);
                vcpu.setSregs2(sregs, KvmSregs2.flags(scratch), pdptrs);
            }
            case Ioctl.GET_FPU -> {
                Fpu fpu = new Fpu();
                vcpu.getFpu(fpu);
                KvmFpu.write(scratch, fpu);
                UserMemory.write(arg, scratch, KvmFpu.BYTES);
            }
            case Ioctl.SET_FPU -> {
                UserMemory.read(scratch, arg, KvmFpu.BYTES);
                Fpu fpu = new Fpu();
                KvmFpu.read(scratch, fpu);
                vcpu.setFpu(fpu);
            }
            case Ioctl.GET_XSAVE -> {
                if (vcpu.xsaveBytes() > XSAVE_BYTES) {
                    throw Errno.EINVAL.raise();
                }
                getXsave(arg, scratch, XSAVE_BYTES);
            }
            case Ioctl.GET_XSAVE2 -> getXsave(arg, scratch, vcpu.xsaveBytes());
            case Ioctl.SET_XSAVE -> {
                byte[] image = new byte[vcpu.xsaveBytes()];
                UserMemory.read(scratch, arg, image.length);
                HostMemory.copyOut(scratch, image, 0, image.length);
                vcpu.setXsave(image);
            }
            case Ioctl.TRANSLATE -> translate(arg, scratch);
            case Ioctl.GET_XCRS -> {
                HostMemory.fill(scratch, Abi.XCRS.bytes(), 0);
                put32(scratch + Abi.XCRS.at("nr_xcrs"), 1);
                put64(scratch + Abi.XCRS.at("xcrs") + Abi.XCR.at("value"), vcpu.getXcr0());
                UserMemory.write(arg, scratch, Abi.XCRS.bytes());
            }
            case Ioctl.SET_XCRS -> setXcrs(arg, scratch);
            case Ioctl.GET_DEBUGREGS -> {
                DebugRegs debug = new DebugRegs();
                vcpu.getDebugRegs(debug);
                KvmDebugRegs.write(scratch, debug);
                UserMemory.write(arg, scratch, KvmDebugRegs.BYTES);
            }
            case Ioctl.SET_DEBUGREGS -> {
                UserMemory.read(scratch, arg, KvmDebugRegs.BYTES);
                DebugRegs debug = new DebugRegs();
                KvmDebugRegs.read(scratch, debug);
                vcpu.setDebugRegs(debug);
            }
            case Ioctl.GET_VCPU_EVENTS -> {
                vcpu.getEvents(events);
                KvmVcpuEvents.write(scratch, events);
                UserMemory.write(arg, scratch, KvmVcpuEvents.BYTES);
            }
            case Ioctl.SET_VCPU_EVENTS -> {
                UserMemory.read(scratch, arg, KvmVcpuEvents.BYTES);
                KvmVcpuEvents.read(scratch, events);
                vcpu.setEvents(events);
            }
            case Ioctl.GET_NESTED_STATE -> NestedStates.get(vcpu, arg, scratch);
            case Ioctl.SET_NESTED_STATE -> NestedStates.set(vcpu, arg, scratch);
            case Ioctl.GET_MP_STATE -> {
                put32(scratch, vcpu.getMpState());
                UserMemory.write(arg, scratch, Abi.MP_STATE.bytes());
            }
            case Ioctl.SET_MP_STATE -> {
                UserMemory.read(scratch, arg, Abi.MP_STATE.bytes());
                vcpu.setMpState(get32(scratch));
            }
            case Ioctl.SET_CPUID -> Cpuids.setOld(vcpu, arg, scratch);
            case Ioctl.SET_CPUID2 -> Cpuids.set(vcpu, arg, scratch);
            case Ioctl.GET_CPUID2 -> Cpuids.get(vcpu.getCpuid(), arg, scratch);
            case Ioctl.XEN_VCPU_GET_ATTR, Ioctl.XEN_VCPU_SET_ATTR -> XenIoctls.ofVcpu(vcpu, request, arg, scratch);
            case Ioctl.GET_SUPPORTED_HV_CPUID -> Cpuids.get(vcpu.supportedHypervCpuid(), arg, scratch);
            case Ioctl.GET_MSRS -> {
                return Msrs.get(vm.vm().kvm(), vcpu, arg, scratch);
            }
            case Ioctl.SET_MSRS -> {
                return Msrs.set(vcpu, arg, scratch);
            }
            case Ioctl.GET_LAPIC -> {
                byte[] lapic = new byte[LAPIC_BYTES];
                vcpu.getLapic(lapic);
                HostMemory.copyIn(lapic, 0, scratch, LAPIC_BYTES);
                UserMemory.write(arg, scratch, LAPIC_BYTES);
            }
            case Ioctl.SET_LAPIC -> {
                byte[] lapic = new byte[LAPIC_BYTES];
                UserMemory.read(scratch, arg, LAPIC_BYTES);
                HostMemory.copyOut(scratch, lapic, 0, LAPIC_BYTES);
                vcpu.setLapic(lapic);
            }
            case Ioctl.INTERRUPT -> {
                UserMemory.read(scratch, arg, Abi.INTERRUPT.bytes());
                vcpu.interrupt(get32(scratch));
            }
            case Ioctl.NMI -> vcpu.nmi();
            case Ioctl.SMI -> vcpu.smi();
            case Ioctl.SET_GUEST_DEBUG -> setGuestDebug(arg, scratch);
            case Ioctl.SET_VAPIC_ADDR -> {
                UserMemory.read(scratch, arg, Abi.VAPIC_ADDR.bytes());
                vcpu.setVapicAddress(get64(scratch));
            }
            case Ioctl.TPR_ACCESS_REPORTING -> {
                UserMemory.read(scratch, arg, Abi.TPR_ACCESS_CTL.bytes());
                vcpu.reportTaskPriority(get32(scratch) != 0);
                UserMemory.write(arg, scratch, Abi.TPR_ACCESS_CTL.bytes());
            }
            case Ioctl.KVMCLOCK_CTRL -> vcpu.guestStopped();
            case Ioctl.SET_SIGNAL_MASK -> setSignalMask(arg, scratch);
            case Ioctl.PRE_FAULT_MEMORY -> preFaultMemory(arg, scratch);
            case Ioctl.X86_SETUP_MCE -> {
                UserMemory.read(scratch, arg, 8);
                vcpu.setupMce(get64(scratch));
            }
            case Ioctl.X86_SET_MCE -> {
                UserMemory.read(scratch, arg, Abi.X86_MCE.bytes());
                vcpu.setMce(
                        HostMemory.get8(scratch + Abi.X86_MCE.at("bank")),
                        get64(scratch + Abi.X86_MCE.at("status")),
                        get64(scratch + Abi.X86_MCE.at("addr")),
                        get64(scratch + Abi.X86_MCE.at("misc")),
                        get64(scratch + Abi.X86_MCE.at("mcg_status")));
            }
            case Ioctl.ENABLE_CAP -> {
                UserMemory.read(scratch, arg, Abi.ENABLE_CAP.bytes());
                vcpu.enableCap(get32(scratch + Caps.CAP), get32(scratch + Caps.FLAGS), Caps.arguments(scratch));
            }
            case Ioctl.GET_TSC_KHZ -> {
                return vcpu.getTscKhz();
            }
            case Ioctl.SET_TSC_KHZ -> vcpu.setTscKhz((int) arg);
            case Ioctl.GET_DEVICE_ATTR, Ioctl.SET_DEVICE_ATTR, Ioctl.HAS_DEVICE_ATTR ->
                attribute(request, arg, scratch);
            case Ioctl.GET_STATS_FD -> {
                return StatsFile.open(vm, "kvm-" + Native.pid() + "/vcpu-" + vcpu.id(), vcpu.stats());
            }
            default -> {
                return UnknownRequests.refuse(request, Errno.EINVAL);
            }
        }
        return 0;
    }

    private void preFaultMemory(long arg, long scratch) {
        UserMemory.read(scratch, arg, PreFaultMemory.BYTES);
        if (get64(scratch + PreFaultMemory.FLAGS) != 0) {
            throw Errno.EINVAL.raise();
        }
        long gpa = get64(scratch + PreFaultMemory.GPA);
        long size = get64(scratch + PreFaultMemory.SIZE);
        long done = vcpu.preFaultMemory(gpa, size);
        // What is left to do.
        put64(scratch + PreFaultMemory.GPA, gpa + done);
        put64(scratch + PreFaultMemory.SIZE, size - done);
        UserMemory.write(arg, scratch, PreFaultMemory.BYTES);
    }

    private void getXsave(long arg, long scratch, int bytes) {
        byte[] image = new byte[bytes];
        vcpu.getXsave(image);
        HostMemory.copyIn(image, 0, scratch, bytes);
        UserMemory.write(arg, scratch, bytes);
    }

    /** KVM says of every address that it is the supervisor's and can be written. */
    private void translate(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.TRANSLATION.bytes());
        long gpa = vcpu.translate(get64(scratch + Abi.TRANSLATION.at("linear_address")));
        put64(scratch + Abi.TRANSLATION.at("physical_address"), gpa);
        HostMemory.put8(scratch + Abi.TRANSLATION.at("valid"), gpa == -1 ? 0 : 1);
        HostMemory.put8(scratch + Abi.TRANSLATION.at("writeable"), 1);
        HostMemory.put8(scratch + Abi.TRANSLATION.at("usermode"), 0);
        UserMemory.write(arg, scratch, Abi.TRANSLATION.bytes());
    }

    /** XCR0 is the only register; without it among the first {@code nr_xcrs} nothing happens. */
    private void setXcrs(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.XCRS.bytes());
        int count = get32(scratch + Abi.XCRS.at("nr_xcrs"));
        if (Integer.compareUnsigned(count, 16) > 0 || get32(scratch + Abi.XCRS.at("flags")) != 0) {
            throw Errno.EINVAL.raise();
        }
        for (int i = 0; i < count; i++) {
            long at = scratch + Abi.XCRS.at("xcrs") + i * Abi.XCR.bytes();
            if (get32(at + Abi.XCR.at("xcr")) == 0) {
                vcpu.setXcr0(get64(at + Abi.XCR.at("value")));
                return;
            }
        }
    }

    private void setGuestDebug(long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.GUEST_DEBUG.bytes());
        long[] registers = new long[8];
        for (int i = 0; i < 8; i++) {
            registers[i] = get64(scratch + Abi.GUEST_DEBUG.at("arch.debugreg") + 8L * i);
        }
        vcpu.setGuestDebug(get32(scratch + Abi.GUEST_DEBUG.at("control")), registers);
    }

    private void setSignalMask(long arg, long scratch) {
        long mask = 0;
        if (arg != 0) {
            long header = Abi.SIGNAL_MASK.bytes();
            UserMemory.read(scratch, arg, header);
            if (get32(scratch) != Long.BYTES) {
                throw Errno.EINVAL.raise();
            }
            UserMemory.read(scratch, arg + header, Long.BYTES);
            mask = get64(scratch);
        }
        Native.signalMask(handle, arg != 0, mask);
    }

    /** {@code KVM_VCPU_TSC_CTRL}'s {@code KVM_VCPU_TSC_OFFSET} is the one attribute. */
    private void attribute(int request, long arg, long scratch) {
        UserMemory.read(scratch, arg, Abi.DEVICE_ATTR.bytes());
        if (get32(scratch + Abi.DEVICE_ATTR.at("group")) != 0 || get64(scratch + Abi.DEVICE_ATTR.at("attr")) != 0) {
            throw Errno.ENXIO.raise();
        }
        long address = get64(scratch + Abi.DEVICE_ATTR.at("addr"));
        if (request == Ioctl.GET_DEVICE_ATTR) {
            put64(scratch, vcpu.getTscOffset());
            UserMemory.write(address, scratch, Long.BYTES);
        } else if (request == Ioctl.SET_DEVICE_ATTR) {
            UserMemory.read(scratch, address, Long.BYTES);
            vcpu.setTscOffset(get64(scratch));
        }
    }

    @Override
    void release() {
        vcpu.close();
        vm.drop();
    }
}
