package dev.slate.kvm.irqchip;

import dev.slate.kvm.Errno;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/**
 * A local APIC (SDM 3A chapter 10, APM 2 chapter 16), as KVM has it in the kernel: registers by xAPIC's page and x2APIC's MSRs,
 * interrupts accepted from the bus and from its own timer.
 *
 * <p>The vCPU's mutex guards everything but the interrupt request register and the pending INIT and SIPI, which any thread sets.
 */
public final class LocalApic {
    /** Bytes of the register page that a client saves and restores. */
    public static final int STATE_BYTES = 1024;

    public static final long BASE_BSP = 1 << 8;
    public static final long BASE_X2APIC = 1 << 10;
    public static final long BASE_ENABLE = 1 << 11;
    private static final long BASE_ADDRESS = 0xf_ffff_ffff_f000L;

    // Registers, as numbers of 16-byte steps.
    static final int ID = 0x2;
    private static final int LVR = 0x3;
    static final int TASKPRI = 0x8;
    private static final int ARBPRI = 0x9;
    private static final int PROCPRI = 0xa;
    private static final int EOI = 0xb;
    static final int LDR = 0xd;
    static final int DFR = 0xe;
    private static final int SPIV = 0xf;
    private static final int ISR = 0x10;
    private static final int TMR = 0x18;
    private static final int IRR = 0x20;
    private static final int ESR = 0x28;
    private static final int ICR = 0x30;
    private static final int ICR2 = 0x31;
    private static final int LVTCMCI = 0x2f;
    static final int LVTT = 0x32;
    private static final int LVTTHMR = 0x33;
    private static final int LVTPC = 0x34;
    private static final int LVT0 = 0x35;
    private static final int LVT1 = 0x36;
    private static final int LVTERR = 0x37;
    static final int TMICT = 0x38;
    private static final int TMCCT = 0x39;
    static final int TDCR = 0x3e;
    private static final int SELF_IPI = 0x3f;
    private static final int REGISTERS = 64;

    // Version 14h, six local vectors.
    private static final int VERSION = 0x14 | 5 << 16;
    /** The version register's bit for {@link #SPIV_NO_EOI_BROADCAST}. */
    private static final int VERSION_NO_EOI_BROADCAST = 1 << 24;

    private static final int SPIV_ENABLED = 1 << 8;
    private static final int SPIV_NO_EOI_BROADCAST = 1 << 12;
    private static final int ICR_BUSY = 1 << 12;
    private static final long X2APIC_ICR_RESERVED = 0xfff0_0000L | 3 << 16 | 1 << 13;
    private static final int LVT_MASKED = 1 << 16;
    private static final int LVT_BITS = LVT_MASKED | 1 << 12 | 0xff;
    private static final int LVT_MODE = 7 << 8;
    private static final int LVT_LEVEL = 1 << 15;
    private static final int LINT_BITS = LVT_BITS | LVT_MODE | 1 << 13 | 1 << 14 | 1 << 15;
    private static final int EXTINT = 7 << 8;
    private static final int NMI = 4 << 8;

    /** Readable registers of xAPIC; x2APIC has all of them but ARBPRI, DFR and ICR2. */
    private static final long READABLE = bits(ID, LVR, TASKPRI, ARBPRI, PROCPRI, LDR, DFR, SPIV, ESR, ICR, ICR2, LVTT)
            | bits(LVTTHMR, LVTPC, LVT0, LVT1, LVTERR, TMICT, TMCCT, TDCR)
            | 0xffL << ISR
            | 0xffL << TMR
            | 0xffL << IRR;

    private static final long NOT_IN_X2APIC = bits(ARBPRI, DFR, ICR2);

    /** Of the version register: the number of the last local vector. */
    private static final int VERSION_LAST_LVT = 1 << 16;

    private static final int PENDING_INIT = 1;
    private static final int PENDING_SIPI = 2;

    private static final VarHandle WORDS = MethodHandles.arrayElementVarHandle(int[].class);
    private static final VarHandle PENDING;

    static {
        try {
            PENDING = MethodHandles.lookup().findVarHandle(LocalApic.class, "pending", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** What an APIC asks of the vCPU it belongs to. From any thread. */
    public interface Owner {
        /** Something may have become deliverable: look. */
        void eventArrived();

        void nmiArrived();

        void smiArrived();

        /** A paravirtual lock was released: out of HLT. */
        void unhalt();

        /** An interrupt has ended whose I/O APIC is the client's ({@code KVM_EXIT_IOAPIC_EOI}). On the vCPU's thread. */
        void clientIoApicEoi(int vector);

        /** The guest, or the client, has switched the APIC on by software. On the vCPU's thread or under its mutex. */
        void switchedOn();

        /** The guest has read or written its task priority, which a client may want to hear of. On the vCPU's thread. */
        void taskPriorityAccessed(boolean write);
    }

    private final int id;
    private final boolean bootCpu;
    private final Owner owner;
    private final ApicBus bus;
    private final ApicTimer timer;
    private final int[] r = new int[REGISTERS];

    private volatile long base;

    @SuppressWarnings("unused") // through PENDING
    private int pending;

    private SyntheticSources.Vectors synthetic = SyntheticSources.Vectors.NONE;
    private volatile int sipiVector;
    private int version = VERSION;
    private boolean hasCmci;
    private boolean noEoiBroadcast;

    /**
     * @param tsc reads the guest's time-stamp counter
     * @param tscKhz its frequency
     */
    public LocalApic(
            int id,
            boolean bootCpu,
            Owner owner,
            ApicBus bus,
            TimerThread timers,
            LongSupplier tsc,
            IntSupplier tscKhz) {
        this.id = id;
        this.bootCpu = bootCpu;
        this.owner = owner;
        this.bus = bus;
        this.timer = new ApicTimer(this, timers, tsc, tscKhz);
        setBase(0xfee0_0000L | BASE_ENABLE | (bootCpu ? BASE_BSP : 0));
    }

    /** Whose some of its vectors may be; before the vCPU runs. */
    public void share(SyntheticSources.Vectors with) {
        synthetic = with;
    }

    private static long bits(int... registers) {
        long mask = 0;
        for (int register : registers) {
            mask |= 1L << register;
        }
        return mask;
    }

    /** RESET and INIT: every register to its initial value (SDM 3A 10.4.7); RESET also sets the id anew. */
    public void reset(boolean init, boolean lint0Reenabled) {
        timer.cancel();
        if (!init) {
            r[ID] = x2apic() ? id : id << 24;
        }
        r[LVR] = version;
        for (int lvt = LVTT; lvt <= LVTERR; lvt++) {
            r[lvt] = LVT_MASKED;
        }
        if (hasCmci) {
            r[LVTCMCI] = LVT_MASKED;
        }
        timer.modeChanged();
        if (bootCpu && lint0Reenabled) {
            r[LVT0] = EXTINT;
        }
        r[DFR] = -1;
        r[SPIV] = 0xff;
        r[TASKPRI] = 0;
        if (!x2apic()) {
            r[LDR] = 0;
        }
        r[ESR] = 0;
        r[ICR] = 0;
        r[ICR2] = 0;
        r[TDCR] = 0;
        r[TMICT] = 0;
        for (int i = 0; i < 8; i++) {
            r[ISR + i] = 0;
            r[TMR + i] = 0;
            WORDS.setVolatile(r, IRR + i, 0);
        }
        if (!init) {
            PENDING.setVolatile(this, 0);
        }
    }

    // ------------------------------------------------------------------ IA32_APIC_BASE

    public long base() {
        return base;
    }

    /** A value that has been checked. */
    public void setBase(long value) {
        long changed = base ^ value;
        base = value;
        if ((changed & BASE_ENABLE) != 0 && (value & BASE_ENABLE) != 0) {
            r[ID] = id << 24;
        }
        if ((changed & BASE_X2APIC) != 0 && (value & BASE_X2APIC) != 0) {
            r[ID] = id;
            r[LDR] = (id & ~15) << 12 | 1 << (id & 15);
        }
    }

    /** Whether IA32_APIC_BASE has it on. */
    public boolean hardwareEnabled() {
        return (base & BASE_ENABLE) != 0;
    }

    boolean softwareEnabled() {
        return (r[SPIV] & SPIV_ENABLED) != 0;
    }

    private boolean enabled() {
        return hardwareEnabled() && softwareEnabled();
    }

    boolean x2apic() {
        return (base & (BASE_ENABLE | BASE_X2APIC)) == (BASE_ENABLE | BASE_X2APIC);
    }

    // ------------------------------------------------------------------ the register page and the MSRs

    /** Whether a guest physical address lies in the register page. */
    public boolean holds(long gpa) {
        return (gpa & ~0xfffL) == (base & BASE_ADDRESS);
    }

    /** Whether the page answers: the APIC is on, and not in x2APIC mode. */
    public boolean hasPage() {
        return hardwareEnabled() && !x2apic();
    }

    /** Reads 1, 2 or 4 bytes within one register; what is none reads as zeros, a page that is not there as ones. */
    public long readPage(long gpa, int bytes) {
        if (!hasPage()) {
            return bytes == 8 ? -1 : (1L << bytes * 8) - 1;
        }
        int offset = (int) gpa & 0xfff;
        int in = offset & 15;
        int register = offset >>> 4;
        if (in + bytes > 4 || !canRead(register)) {
            return 0;
        }
        return (read(register) & 0xffff_ffffL) >>> in * 8 & (1L << bytes * 8) - 1;
    }

    /** Writes a register; anything but four aligned bytes is dropped. */
    public void writePage(long gpa, int bytes, long value) {
        int offset = (int) gpa & 0xfff;
        if (hasPage() && bytes == 4 && (offset & 15) == 0 && offset >>> 4 < REGISTERS) {
            write(offset >>> 4, (int) value);
        }
    }

    /** Whether RDMSR of x2APIC register {@code register} (MSR less 800h) is allowed. */
    public boolean canReadMsr(int register) {
        return x2apic() && canRead(register) && (NOT_IN_X2APIC >>> register & 1) == 0;
    }

    /** RDMSR, after {@link #canReadMsr} has said yes. */
    public long readMsr(int register) {
        return readWide(register);
    }

    /** WRMSR; false: #GP. */
    public boolean writeMsr(int register, long value) {
        if (!x2apic()) {
            return false;
        }
        return writeWide(register, value);
    }

    /** Whether {@link #readWide} has something to read. */
    public boolean canRead(int register) {
        return register < REGISTERS && ((READABLE >>> register & 1) != 0 || register == LVTCMCI && hasCmci);
    }

    /** A register in either mode, the interrupt command register as a whole. */
    public long readWide(int register) {
        long low = read(register) & 0xffff_ffffL;
        return register == ICR ? low | (long) r[ICR2] << 32 : low;
    }

    /** Writes a register in either mode, the interrupt command register as a whole; false: refused. */
    public boolean writeWide(int register, long value) {
        if (register == ICR) {
            if ((value & X2APIC_ICR_RESERVED) != 0) {
                return false;
            }
            int low = (int) value & ~ICR_BUSY;
            bus.send(this, low, (int) (value >>> 32));
            r[ICR] = low;
            r[ICR2] = (int) (value >>> 32);
            return true;
        }
        return value >>> 32 == 0 && register < REGISTERS && write(register, (int) value);
    }

    private int read(int register) {
        return switch (register) {
            case TMCCT -> timer.currentCount();
            case PROCPRI -> processorPriority();
            case ARBPRI -> 0;
            case TASKPRI -> {
                owner.taskPriorityAccessed(false);
                yield r[TASKPRI];
            }
            default -> (int) WORDS.getVolatile(r, register);
        };
    }

    /** Writes a register; false where x2APIC faults (xAPIC ignores it). */
    private boolean write(int register, int value) {
        boolean x2 = x2apic();
        switch (register) {
            case ID -> {
                if (x2) {
                    return false;
                }
                r[ID] = value & 0xff00_0000;
            }
            case TASKPRI -> {
                owner.taskPriorityAccessed(true);
                setTaskPriority(value & 0xff);
            }
            case EOI -> endOfInterrupt();
            case LDR -> {
                if (x2) {
                    return false;
                }
                r[LDR] = value & 0xff00_0000;
            }
            case DFR -> {
                if (x2) {
                    return false;
                }
                r[DFR] = value | 0x0fff_ffff;
            }
            case SPIV ->
                writeSpurious(value & (0x3ff | ((r[LVR] & VERSION_NO_EOI_BROADCAST) != 0 ? SPIV_NO_EOI_BROADCAST : 0)));
            case ICR -> {
                int low = value & ~ICR_BUSY;
                bus.send(this, low, r[ICR2]);
                r[ICR] = low;
            }
            case ICR2 -> {
                if (x2) {
                    return false;
                }
                r[ICR2] = value & 0xff00_0000;
            }
            case LVTT -> {
                r[LVTT] = (softwareEnabled() ? value : value | LVT_MASKED) & (LVT_BITS | timer.modeMask());
                timer.modeChanged();
            }
            case LVTCMCI -> {
                if (!hasCmci) {
                    return false;
                }
                writeLocalVector(register, value, LVT_BITS | LVT_MODE);
            }
            case LVTTHMR, LVTPC -> writeLocalVector(register, value, LVT_BITS | LVT_MODE);
            case LVT0 -> {
                writeLocalVector(register, value, LINT_BITS);
                // The other controllers' interrupt may have waited for this.
                owner.eventArrived();
            }
            case LVT1 -> writeLocalVector(register, value, LINT_BITS);
            case LVTERR -> writeLocalVector(register, value, LVT_BITS);
            case TMICT -> timer.writeInitialCount(value);
            case TDCR -> {
                r[TDCR] = value & 0xb;
                timer.divisorChanged();
            }
            case ESR -> {
                return !x2 || value == 0;
            }
            case SELF_IPI -> {
                if (!x2 || (value & ~0xff) != 0) {
                    return false;
                }
                bus.send(this, ApicBus.SHORTHAND_SELF | value, 0);
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private void writeLocalVector(int register, int value, int writable) {
        r[register] = (softwareEnabled() ? value : value | LVT_MASKED) & writable;
    }

    private void writeSpurious(int value) {
        r[SPIV] = value;
        if ((value & SPIV_ENABLED) == 0) {
            for (int lvt = LVTT; lvt <= LVTERR; lvt++) {
                r[lvt] |= LVT_MASKED;
            }
            if (hasCmci) {
                r[LVTCMCI] |= LVT_MASKED;
            }
            timer.modeChanged();
        } else {
            owner.switchedOn();
        }
    }

    int register(int register) {
        return r[register];
    }

    void setRegister(int register, int value) {
        r[register] = value;
    }

    // ------------------------------------------------------------------ priorities

    /** CR8: the task priority's class. */
    public long cr8() {
        return r[TASKPRI] >>> 4 & 15;
    }

    public void setCr8(long value) {
        setTaskPriority((int) value << 4);
    }

    int taskPriority() {
        return r[TASKPRI] & 0xff;
    }

    void setTaskPriority(int value) {
        boolean lower = value < r[TASKPRI];
        r[TASKPRI] = value;
        if (lower) {
            lookAgain();
        }
    }

    /** The processor priority has fallen: what waited below it may be due now. */
    private void lookAgain() {
        if (pendingVector() >= 0) {
            owner.eventArrived();
        }
    }

    private int processorPriority() {
        int task = r[TASKPRI] & 0xff;
        int service = Math.max(highest(ISR), 0);
        return (task & 0xf0) >= (service & 0xf0) ? task : service & 0xf0;
    }

    /** Highest vector set in a 256-bit register, or -1. */
    private int highest(int register) {
        for (int i = 7; i >= 0; i--) {
            int word = (int) WORDS.getVolatile(r, register + i);
            if (word != 0) {
                return i * 32 + 31 - Integer.numberOfLeadingZeros(word);
            }
        }
        return -1;
    }

    /** The vector that the processor should take now, or -1. */
    public int pendingVector() {
        if (!enabled()) {
            return -1;
        }
        int vector = highest(IRR);
        return vector < 0 || (vector & 0xf0) <= (processorPriority() & 0xf0) ? -1 : vector;
    }

    /** The processor takes {@link #pendingVector}, if there is one: from requested to in service. */
    public int acknowledge() {
        int vector = pendingVector();
        if (vector < 0) {
            return vector;
        }
        WORDS.getAndBitwiseAnd(r, IRR + (vector >>> 5), ~(1 << vector));
        if (synthetic.endsItself(vector)) {
            lookAgain();
        } else {
            WORDS.getAndBitwiseOr(r, ISR + (vector >>> 5), 1 << vector);
        }
        return vector;
    }

    private void endOfInterrupt() {
        int vector = highest(ISR);
        if (Tracepoints.ON) {
            Tracepoints.eoi(id, vector);
        }
        if (vector < 0) {
            return;
        }
        WORDS.getAndBitwiseAnd(r, ISR + (vector >>> 5), ~(1 << vector));
        boolean level = ((int) WORDS.getVolatile(r, TMR + (vector >>> 5)) >>> vector & 1) != 0;
        synthetic.ended(vector);
        bus.ended(this, vector, level);
        lookAgain();
    }

    /** Ends the interrupt in service of the highest priority, as a write to the EOI register does. */
    public void end() {
        endOfInterrupt();
    }

    /** The vector that the processor will take, if nothing else is requested or in service; else -1. */
    public int loneVector() {
        int vector = pendingVector();
        if (vector < 0 || highest(ISR) >= 0) {
            return -1;
        }
        for (int i = 0; i < 8; i++) {
            int only = i == vector >>> 5 ? 1 << vector : 0;
            if ((int) WORDS.getVolatile(r, IRR + i) != only) {
                return -1;
            }
        }
        return vector;
    }

    /** A fixed interrupt of the hypervisor's own; whether it was taken. */
    public boolean request(int vector) {
        return accept(ApicBus.MODE_FIXED, vector, true, false);
    }

    /** Vector in service of the highest priority, or -1. */
    public int inService() {
        return highest(ISR);
    }

    /** Vector requested of the highest priority, or -1. */
    public int requested() {
        return highest(IRR);
    }

    /** Whether the guest ends level-triggered interrupts at the I/O APIC itself. */
    boolean suppressesEoiBroadcast() {
        return (r[SPIV] & SPIV_NO_EOI_BROADCAST) != 0;
    }

    /** The end of an interrupt is the client's affair. */
    void clientIoApicEoi(int vector) {
        owner.clientIoApicEoi(vector);
    }

    /** Whether this processor takes what the 8259s ask for: they are wired to LINT0, and to the processor while its APIC is off. */
    public boolean acceptsPic() {
        return !hardwareEnabled() || ((int) WORDS.getVolatile(r, LVT0) & (LVT_MASKED | LVT_MODE)) == EXTINT;
    }

    /** The 8259s ask for an interrupt: look. */
    void picRaised() {
        owner.eventArrived();
    }

    /** The interval timer's tick at LINT0, which counts only where it is an NMI (a watchdog). */
    void lint0Watchdog() {
        if (hardwareEnabled() && ((int) WORDS.getVolatile(r, LVT0) & (LVT_MASKED | LVT_MODE)) == NMI) {
            owner.nmiArrived();
        }
    }

    // ------------------------------------------------------------------ accepting, from any thread

    /**
     * An interrupt message arrives.
     *
     * @param mode delivery mode, {@code ApicBus.MODE_*}
     * @return whether it was taken
     */
    boolean accept(int mode, int vector, boolean level, boolean levelTriggered) {
        if (Tracepoints.ON) {
            Tracepoints.apicAcceptIrq(id, mode, levelTriggered, vector);
        }
        switch (mode) {
            case ApicBus.MODE_FIXED, ApicBus.MODE_LOWEST -> {
                if (levelTriggered && !level || !enabled()) {
                    return false;
                }
                int word = vector >>> 5;
                if (levelTriggered) {
                    WORDS.getAndBitwiseOr(r, TMR + word, 1 << vector);
                } else {
                    WORDS.getAndBitwiseAnd(r, TMR + word, ~(1 << vector));
                }
                WORDS.getAndBitwiseOr(r, IRR + word, 1 << vector);
                owner.eventArrived();
            }
            case ApicBus.MODE_REMOTE_READ -> owner.unhalt();
            case ApicBus.MODE_NMI -> owner.nmiArrived();
            case ApicBus.MODE_SMI -> owner.smiArrived();
            case ApicBus.MODE_INIT -> {
                if (levelTriggered && !level) {
                    return false;
                }
                PENDING.setVolatile(this, PENDING_INIT);
                owner.eventArrived();
            }
            case ApicBus.MODE_STARTUP -> {
                sipiVector = vector;
                PENDING.getAndBitwiseOr(this, PENDING_SIPI);
                owner.eventArrived();
            }
            // ExtINT comes from a PIC only.
            default -> {
                return false;
            }
        }
        return true;
    }

    /** The timer has run out. From the timer's thread. */
    void timerExpired() {
        deliverLocal(LVTT);
    }

    /** Whether INIT or SIPI waits. */
    public boolean hasPendingInitOrSipi() {
        return (int) PENDING.getVolatile(this) != 0;
    }

    /** Whether INIT waits. */
    public boolean initPending() {
        return ((int) PENDING.getVolatile(this) & PENDING_INIT) != 0;
    }

    /** A client restores whether INIT waits. */
    public void setInitPending(boolean pending) {
        if (pending) {
            PENDING.getAndBitwiseOr(this, PENDING_INIT);
        } else {
            PENDING.getAndBitwiseAnd(this, ~PENDING_INIT);
        }
    }

    /** Takes a pending INIT. */
    public boolean takeInit() {
        return ((int) PENDING.getAndBitwiseAnd(this, ~PENDING_INIT) & PENDING_INIT) != 0;
    }

    /** Takes a pending SIPI: its vector, or -1. */
    public int takeSipi() {
        return ((int) PENDING.getAndBitwiseAnd(this, ~PENDING_SIPI) & PENDING_SIPI) != 0 ? sipiVector : -1;
    }

    /** A client says that a SIPI has come: the last vector counts. */
    public void sipiAgain() {
        PENDING.getAndBitwiseOr(this, PENDING_SIPI);
    }

    // ------------------------------------------------------------------ the client's view

    /**
     * {@code KVM_GET_LAPIC}: 1,024 bytes, 32 bits of each register at a multiple of 16; the id in bits 24-31 in either mode, unless the
     * client has asked for 32-bit ids ({@link ApicBus#use32BitIds}).
     */
    public void get(byte[] to) {
        for (int i = 0; i < REGISTERS; i++) {
            int v = i == PROCPRI || i == TMCCT ? read(i) : (int) WORDS.getVolatile(r, i);
            if (i == ID && x2apic() && !bus.uses32BitIds()) {
                v <<= 24;
            }
            IoApic.putInt(to, i * 16, v);
        }
    }

    /**
     * {@code KVM_SET_LAPIC}. The timer goes on from the saved current count.
     *
     * @throws dev.slate.kvm.KvmException EINVAL: with 32-bit ids, another id than the vCPU's
     */
    public void set(byte[] from) {
        if (x2apic() && bus.uses32BitIds() && IoApic.getInt(from, ID * 16) != id) {
            throw Errno.EINVAL.raise();
        }
        timer.cancel();
        for (int i = 0; i < REGISTERS; i++) {
            WORDS.setVolatile(r, i, IoApic.getInt(from, i * 16));
        }
        if (x2apic()) {
            r[ID] >>>= bus.uses32BitIds() ? 0 : 24;
            r[LDR] = (r[ID] & ~15) << 12 | 1 << (r[ID] & 15);
        }
        int count = r[TMCCT];
        r[TMCCT] = 0;
        r[LVR] = version;
        timer.restore(count);
        owner.eventArrived();
        if (softwareEnabled()) {
            owner.switchedOn();
        }
    }

    /** IA32_TSC_DEADLINE. */
    public long tscDeadline() {
        return hardwareEnabled() ? timer.tscDeadline() : 0;
    }

    public void setTscDeadline(long value) {
        if (hardwareEnabled()) {
            timer.setTscDeadline(value);
        }
    }

    /** CPUID has been set: whether the timer has its TSC-deadline mode. */
    public void tscDeadlineOffered(boolean offered) {
        timer.tscDeadlineOffered(offered);
    }

    /** Whether the guest may keep ends of level-triggered interrupts to itself: where the I/O APIC is the client's. */
    public void offerNoEoiBroadcast(boolean offered) {
        noEoiBroadcast = offered;
        versionChanged();
    }

    /** The client has set up machine checks: whether there is a vector for corrected ones (SDM 3B 15.5.2). */
    public void offerCmci(boolean offered) {
        if (offered && !hasCmci) {
            r[LVTCMCI] = LVT_MASKED;
        }
        hasCmci = offered;
        versionChanged();
    }

    private void versionChanged() {
        version = VERSION + (hasCmci ? VERSION_LAST_LVT : 0) | (noEoiBroadcast ? VERSION_NO_EOI_BROADCAST : 0);
        r[LVR] = version;
    }

    /** A corrected machine check. */
    public void cmci() {
        deliverLocal(LVTCMCI);
    }

    /** A performance counter has run over. */
    public void counterOverflow() {
        deliverLocal(LVTPC);
    }

    /** What a local vector says, unless it is masked: a vector, an NMI, an SMI. */
    private void deliverLocal(int register) {
        int lvt = (int) WORDS.getVolatile(r, register);
        if (hardwareEnabled() && (lvt & LVT_MASKED) == 0) {
            accept(lvt >>> 8 & 7, lvt & 0xff, true, (lvt & LVT_LEVEL) != 0);
        }
    }

    /** The vCPU's number. */
    public int id() {
        return id;
    }

    /** The vCPU is gone. */
    public void close() {
        timer.cancel();
    }
}
