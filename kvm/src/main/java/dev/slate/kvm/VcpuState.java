package dev.slate.kvm;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.cpuid.ControlRegisters;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.event.EventQueue;
import dev.slate.kvm.irqchip.VcpuApic;
import dev.slate.kvm.msr.MsrFile;
import dev.slate.kvm.run.VcpuMutex;
import dev.slate.kvm.run.VcpuParts;
import dev.slate.kvm.state.EventTransfer;
import dev.slate.kvm.state.RegisterTransfer;
import dev.slate.kvm.state.SregsTransfer;
import dev.slate.kvm.state.Translation;
import dev.slate.kvm.state.XsaveImage;

/**
 * What a client reads and sets of a {@link Vcpu}: registers, events on their way, a guest's guest. Every method takes the vCPU's mutex.
 */
abstract sealed class VcpuState permits Vcpu {
    /** Flag of {@link #getSregs2} and {@link #setSregs2}: {@code KVM_SREGS2_FLAGS_PDPTRS_VALID}. */
    public static final long SREGS2_PDPTRS_VALID = 1;

    final VcpuParts parts;

    // Of the parts, guarded by the mutex.
    final VcpuMutex mutex;
    final CpuState state;
    final EventQueue events;
    final CpuidTable cpuid;
    final MsrFile msrs;
    final VcpuApic apic;
    private final EventTransfer transfer;

    VcpuState(VcpuParts parts) {
        this.parts = parts;
        this.mutex = parts.mutex;
        this.state = parts.state;
        this.events = parts.events;
        this.cpuid = parts.cpuid;
        this.msrs = parts.msrs;
        this.apic = parts.apic;
        this.transfer = new EventTransfer(state, events, parts.mode, parts.smm, apic, parts.vm.settings());
    }

    /** {@code KVM_GET_REGS}. */
    public void getRegs(Regs into) {
        mutex.lock();
        try {
            RegisterTransfer.getRegs(state, into);
        } finally {
            mutex.unlock();
        }
    }

    /** A pending exception is dropped: whoever sets registers has taken it into account (as in KVM). */
    public void setRegs(Regs from) {
        mutex.lock();
        try {
            RegisterTransfer.setRegs(state, from);
            events.exceptionPending = false;
            events.trapsVoid = true;
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_SREGS}. */
    public void getSregs(Sregs into) {
        mutex.lock();
        try {
            SregsTransfer.get(state, apic, events, into);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_SREGS}. @throws KvmException EINVAL, and then nothing has changed */
    public void setSregs(Sregs from) {
        mutex.lock();
        try {
            long reserved = parts.vm.supported().cr4Reserved() | ControlRegisters.cr4Reserved(cpuid);
            if (!SregsTransfer.set(state, apic, events, parts.mode, reserved, cpuid.maxPhysicalAddress(), from)) {
                throw Errno.EINVAL.raise();
            }
            parts.nested.eferChanged(false);
            parts.processor.pageTablesReplaced();
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_GET_SREGS2}: as {@link #getSregs}, without interrupts, and with PAE paging's directory pointers.
     *
     * @param into receives the registers
     * @param pdptrs receives four entries where PAE paging is on
     * @return {@link #SREGS2_PDPTRS_VALID} where it is, else 0
     */
    public long getSregs2(Sregs into, long[] pdptrs) {
        mutex.lock();
        try {
            getSregs(into);
            if (!paePaging(into)) {
                return 0;
            }
            System.arraycopy(state.pdptr, 0, pdptrs, 0, 4);
            return SREGS2_PDPTRS_VALID;
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_SET_SREGS2}: with {@link #SREGS2_PDPTRS_VALID} the directory pointers are those given, not those in memory.
     *
     * @param from the registers; their interrupts are none
     * @param flags {@link #SREGS2_PDPTRS_VALID} or 0
     * @param pdptrs four entries
     * @throws KvmException EINVAL: as {@link #setSregs}, unknown flags, or pointers without PAE paging
     */
    public void setSregs2(Sregs from, long flags, long[] pdptrs) {
        if ((flags & ~SREGS2_PDPTRS_VALID) != 0 || flags != 0 && !paePaging(from)) {
            throw Errno.EINVAL.raise();
        }
        mutex.lock();
        try {
            setSregs(from);
            if (flags != 0) {
                System.arraycopy(pdptrs, 0, state.pdptr, 0, 4);
                parts.processor.directoryPointersGiven();
            }
        } finally {
            mutex.unlock();
        }
    }

    private static boolean paePaging(Sregs r) {
        return (r.cr0 & CpuState.CR0_PG) != 0 && (r.cr4 & CpuState.CR4_PAE) != 0 && (r.efer & CpuState.EFER_LMA) == 0;
    }

    /**
     * {@code KVM_TRANSLATE}: where a linear address leads by the guest's tables.
     *
     * @param la linear address
     * @return guest physical address; -1: nowhere
     */
    public long translate(long la) {
        mutex.lock();
        try {
            return new Translation(state, parts.mmu, cpuid.maxPhysicalAddress()).of(la);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_FPU}. */
    public void getFpu(Fpu into) {
        mutex.lock();
        try {
            RegisterTransfer.getFpu(state, into);
        } finally {
            mutex.unlock();
        }
    }

    /** MXCSR stays as it is, as in KVM. */
    public void setFpu(Fpu from) {
        mutex.lock();
        try {
            RegisterTransfer.setFpu(state, from);
        } finally {
            mutex.unlock();
        }
    }

    /** Bytes of the XSAVE image, at least 4096 ({@code KVM_CAP_XSAVE2}). */
    public int xsaveBytes() {
        return Math.max(4096, CpuidTable.xstateSize(parts.vm.supported().xcr0(), false));
    }

    /** Standard-format XSAVE image, {@code into.length} bytes of it (at least 4096). */
    public void getXsave(byte[] into) {
        mutex.lock();
        try {
            XsaveImage.get(state, parts.guestCpuid.xcr0(), into);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_XSAVE}. @throws KvmException EINVAL: components or a format that this vCPU lacks, or a bad MXCSR; nothing has changed then */
    public void setXsave(byte[] from) {
        mutex.lock();
        try {
            if (!XsaveImage.set(state, parts.guestCpuid.xcr0(), from)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_XCRS}. */
    public long getXcr0() {
        mutex.lock();
        try {
            return state.xcr0;
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_XCRS}. @throws KvmException EINVAL */
    public void setXcr0(long value) {
        mutex.lock();
        try {
            if (!parts.guestCpuid.writeXcr0(value)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_DEBUGREGS}. */
    public void getDebugRegs(DebugRegs into) {
        mutex.lock();
        try {
            RegisterTransfer.getDebugRegs(state, into);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_DEBUGREGS}. @throws KvmException EINVAL: flags, or upper halves of DR6 or DR7 that are not zero */
    public void setDebugRegs(DebugRegs from) {
        mutex.lock();
        try {
            if (!RegisterTransfer.setDebugRegs(state, from)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_VCPU_EVENTS}. */
    public void getEvents(VcpuEvents into) {
        mutex.lock();
        try {
            transfer.get(into);
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_VCPU_EVENTS}. @throws KvmException EINVAL */
    public void setEvents(VcpuEvents from) {
        mutex.lock();
        try {
            if (!transfer.set(from)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_GET_NESTED_STATE}. @throws KvmException EINVAL: guests have no guests ({@link Knobs#NESTED}) */
    public void getNestedState(NestedState into) {
        mutex.lock();
        try {
            if (!msrs.nestedOffered()) {
                throw Errno.EINVAL.raise();
            }
            parts.nested.getState(into);
        } finally {
            mutex.unlock();
        }
    }

    /**
     * {@code KVM_SET_NESTED_STATE}: last of what is restored; the registers are those of the guest's guest already.
     *
     * @throws KvmException EINVAL, and nothing has changed: as {@link #getNestedState}, or a state that can't be
     */
    public void setNestedState(NestedState from) {
        mutex.lock();
        try {
            boolean inSmm = parts.smm.active();
            if (!msrs.nestedOffered() || !parts.nested.setState(from, inSmm)) {
                throw Errno.EINVAL.raise();
            }
        } finally {
            mutex.unlock();
        }
    }

    /** {@link MpState}. */
    public int getMpState() {
        mutex.lock();
        try {
            return parts.reset.getMpState();
        } finally {
            mutex.unlock();
        }
    }

    /** {@code KVM_SET_MP_STATE}: a {@link MpState}. @throws KvmException EINVAL */
    public void setMpState(int newState) {
        mutex.lock();
        try {
            parts.reset.setMpState(newState);
        } finally {
            mutex.unlock();
        }
    }
}
