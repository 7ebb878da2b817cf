package dev.slate.kvm.event;

import dev.slate.cpu.CpuState;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * The events of one vCPU that have not reached the guest yet. At most one exception, one external interrupt and two NMIs wait here;
 * "injected" says that delivery has begun and must be finished before anything else, "pending" that it has not.
 *
 * <p>Guarded by the vCPU's mutex, except {@link #queueNmi}, {@link #queueSmi}.
 */
public final class EventQueue {
    private static final int DF = 8;
    private static final int PF = 14;
    private static final int DB = 1;

    private static final VarHandle ARRIVED_NMIS;

    static {
        try {
            ARRIVED_NMIS = MethodHandles.lookup().findVarHandle(EventQueue.class, "arrivedNmis", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    // ---- exception ----
    public boolean exceptionPending;
    public boolean exceptionInjected;
    /** 0..31. */
    public int exceptionVector;

    public boolean exceptionHasErrorCode;
    public int exceptionErrorCode;
    /** DR6 bits of #DB, or CR2 of #PF, not yet in the register. */
    public boolean exceptionHasPayload;

    public long exceptionPayload;

    // ---- external interrupt ----
    public boolean interruptInjected;
    public boolean interruptSoft;
    /** 0..255. */
    public int interruptVector;

    /** Of INT n, or of an exception of INT3 or INTO, that is injected: bytes from rip to the address that is pushed; else 0. */
    public int instructionLength;

    // ---- NMI ----
    public boolean nmiInjected;
    /** The one that is injected came with a guest's VMRUN and not from outside: it blocks no others. */
    public boolean nmiByGuest;

    /** 0..2: one waits behind the one that is blocked (SDM 3A 6.7.1). */
    public int nmiPending;

    @SuppressWarnings("unused") // through ARRIVED_NMIS
    private int arrivedNmis;

    // ---- SMI ----
    public volatile boolean smiPending;

    /** The state was set anew, so that debug traps of the instruction before are void. */
    public boolean trapsVoid;

    /** The next entry ends in shutdown. */
    public boolean tripleFault;

    /** Nothing pending. */
    public EventQueue() {}

    /** RESET and INIT: nothing is pending any more. */
    public void clear() {
        exceptionPending = false;
        exceptionInjected = false;
        interruptInjected = false;
        nmiInjected = false;
        nmiByGuest = false;
        nmiPending = 0;
        ARRIVED_NMIS.setVolatile(this, 0);
        smiPending = false;
        tripleFault = false;
        trapsVoid = true;
    }

    /** What has begun to be delivered, or was about to be, is dropped: another world goes on. NMIs that wait still do. */
    public void dropBegun() {
        exceptionPending = false;
        exceptionInjected = false;
        interruptInjected = false;
        nmiInjected = false;
        nmiByGuest = false;
        instructionLength = 0;
    }

    /** Queues a fault or trap without error code; see {@link #queue}. */
    public void queue(int vector) {
        queue(vector, false, 0);
    }

    /**
     * Queues an exception; on top of another one it becomes a double or triple fault as SDM 3A table 6-5 says.
     *
     * @param vector 0..31
     */
    public void queue(int vector, boolean hasErrorCode, int errorCode) {
        if (!exceptionPending && !exceptionInjected) {
            set(vector, hasErrorCode, errorCode);
            return;
        }
        int previous = exceptionVector;
        if (previous == DF) {
            tripleFault = true;
            return;
        }
        boolean doubleFault = contributory(previous) && contributory(vector)
                || previous == PF && (contributory(vector) || vector == PF);
        if (doubleFault) {
            set(DF, true, 0);
        } else {
            set(vector, hasErrorCode, errorCode);
        }
    }

    private void set(int vector, boolean hasErrorCode, int errorCode) {
        exceptionPending = true;
        exceptionInjected = false;
        exceptionVector = vector;
        exceptionHasErrorCode = hasErrorCode;
        exceptionErrorCode = errorCode;
        exceptionHasPayload = false;
        exceptionPayload = 0;
        instructionLength = 0;
    }

    /** SDM 3A table 6-4: #DE, #TS, #NP, #SS, #GP. */
    private static boolean contributory(int vector) {
        return vector == 0 || vector >= 10 && vector <= 13;
    }

    /** Whether an exception of this vector is a fault: the pushed RFLAGS has RF set (SDM 3A 17.3.1.1). #DB and the traps are not. */
    public static boolean isFault(int vector) {
        return vector != DB && vector != 2 && vector != 3 && vector != 4 && vector != DF && vector != 18 && vector < 32;
    }

    /** Moves the payload of a queued #DB into DR6, of a #PF into CR2. */
    public void deliverPayload(CpuState s) {
        if (!exceptionHasPayload) {
            return;
        }
        long payload = exceptionPayload;
        if (exceptionVector == DB) {
            // The payload has every bit active high; DR6 has some active low, and has no bit 12.
            s.dr6 = (s.dr6 & ~0xfL | CpuState.DR6_ACTIVE_LOW | payload) ^ payload & CpuState.DR6_ACTIVE_LOW;
            s.dr6 &= ~(1L << 12);
        } else if (exceptionVector == PF) {
            s.cr2 = payload;
        }
        exceptionHasPayload = false;
        exceptionPayload = 0;
    }

    /** Whether something is half delivered and comes before anything new. */
    public boolean needsReinjection() {
        return exceptionInjected || interruptInjected || nmiInjected;
    }

    /** An NMI arrives. From any thread. */
    public void queueNmi() {
        ARRIVED_NMIS.getAndAdd(this, 1);
    }

    /** Moves arrived NMIs to {@link #nmiPending}; no more than can be held while NMIs are {@code blocked} or one is on its way. */
    public void collectNmis(boolean blocked) {
        if ((int) ARRIVED_NMIS.getVolatile(this) > 0) {
            int arrived = (int) ARRIVED_NMIS.getAndSet(this, 0);
            int limit = blocked || nmiInjected ? 1 : 2;
            nmiPending = Math.min(nmiPending + arrived, limit);
        }
    }

    /** Whether an NMI waits, collected or not. */
    public boolean nmiWaits() {
        return nmiPending > 0 || (int) ARRIVED_NMIS.getVolatile(this) > 0;
    }

    /** An SMI arrives. From any thread. */
    public void queueSmi() {
        smiPending = true;
    }
}
