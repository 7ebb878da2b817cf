package dev.slate.kvm.mode;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * One vCPU's mode, pending requests and kick word ({@code vcpu->mode}, {@code vcpu->requests}; KVM document, "vcpu-requests").
 *
 * <p>The invariant everything leans on: <em>outside guest mode a vCPU holds no host address of guest memory or of a table page</em>.
 * Whoever takes memory away posts {@link Request#TLB_FLUSH}, then looks at the mode: a vCPU found outside sees the request before it
 * comes back in, because {@link #enter} is a full barrier between the mode and the look at the requests (Dekker); one found inside is
 * kicked and waited for. Leaving counts {@link #token passes}, so that a waiter notices a vCPU that went out and in again.
 *
 * <p>Only the vCPU's thread calls {@link #enter}, {@link #leave}, {@link #beginReading}, {@link #endReading}, {@link #check} and
 * {@link #clearKick}; the rest is for any thread.
 */
public final class GuestMode implements AutoCloseable {
    public static final int OUTSIDE_GUEST_MODE = 0;
    public static final int IN_GUEST_MODE = 1;
    /** Was in guest mode and has been kicked; still in there. */
    public static final int EXITING_GUEST_MODE = 2;
    /** Outside the guest, but reading or editing the tables, or touching guest memory for the guest. Never blocks in there. */
    public static final int READING_SHADOW_PAGE_TABLES = 3;

    /** Of {@link #mpState}: HLT that is no exit. To the client such a vCPU is runnable, as it is in guest mode for KVM. */
    public static final int HALTED_INSIDE = -1;

    /** Bit of the kick word: a request is pending. */
    public static final int KICK_REQUEST = 1;
    /** Bit of the kick word: a signal has arrived; KVM_RUN ends with EINTR. */
    public static final int KICK_SIGNAL = 2;

    private static final int MODE_BITS = 2;
    private static final int MODE_MASK = 3;
    /** The kick word has a cache line to itself: other threads write it. */
    private static final long KICK_BYTES = 64;

    private static final VarHandle STATE;
    private static final VarHandle REQUESTS;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            STATE = lookup.findVarHandle(GuestMode.class, "state", long.class);
            REQUESTS = lookup.findVarHandle(GuestMode.class, "requests", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final HostServices host;
    private final long kickWord;

    /** Number of passes through "outside" above the two bits of the mode. */
    private volatile long state;

    private volatile long requests;
    private volatile boolean blocking;

    /** {@link dev.slate.kvm.MpState} or {@link #HALTED_INSIDE}: whether the vCPU executes anything. Guarded by the vCPU's mutex for writers. */
    public volatile int mpState;

    /** Outside the guest, with no request. @throws dev.slate.kvm.KvmException ENOMEM */
    public GuestMode(HostServices host) {
        this.host = host;
        this.kickWord = host.allocate(KICK_BYTES, KICK_BYTES);
        if (kickWord == 0) {
            throw dev.slate.kvm.Errno.ENOMEM.raise();
        }
    }

    /** hva of the 32-bit kick word: the processor leaves at the next block edge while it is not 0. */
    public long kickWordHva() {
        return kickWord;
    }

    /** The mode, one of the four constants. */
    public int mode() {
        return (int) state & MODE_MASK;
    }

    // ------------------------------------------------------------------ the vCPU's own side

    /** From outside into guest mode. A full barrier: look at {@link #pending} after it, and {@link #leave} when there is something. */
    public void enter() {
        state = (long) STATE.getOpaque(this) & ~MODE_MASK | IN_GUEST_MODE;
    }

    /**
     * From guest mode to outside; whoever waited for that may go on. A release and no barrier: what was done inside is done before, and
     * nothing that follows is asked of those who saw the vCPU inside; they only wait a little longer.
     */
    public void leave() {
        STATE.setRelease(this, ((long) STATE.getOpaque(this) & ~MODE_MASK) + (1L << MODE_BITS));
    }

    /** From outside to reading. A full barrier: whatever a zapper published before it looked is seen from here on. */
    public void beginReading() {
        state = (long) STATE.getOpaque(this) & ~MODE_MASK | READING_SHADOW_PAGE_TABLES;
    }

    /** From reading to outside. */
    public void endReading() {
        leave();
    }

    /** Whether any request is pending. */
    public boolean pending() {
        return requests != 0;
    }

    /** Takes a request: true when it was pending, and then it is no longer. */
    public boolean check(int request) {
        long bit = 1L << request;
        if (((long) REQUESTS.getOpaque(this) & bit) == 0) {
            return false;
        }
        // The full barrier pairs with the requester's: what was written before the request is seen after this.
        return ((long) REQUESTS.getAndBitwiseAnd(this, ~bit) & bit) != 0;
    }

    /** Takes back {@link #KICK_REQUEST}; to be called before the requests are looked at, never after. */
    public void clearKick() {
        if ((HostMemory.get32(kickWord) & KICK_REQUEST) != 0) {
            HostMemory.getAndAnd32(kickWord, ~KICK_REQUEST);
        }
    }

    /** Takes {@link #KICK_SIGNAL}: true when a signal had come. */
    public boolean takeSignal() {
        return (HostMemory.get32(kickWord) & KICK_SIGNAL) != 0
                && (HostMemory.getAndAnd32(kickWord, ~KICK_SIGNAL) & KICK_SIGNAL) != 0;
    }

    /** Whether a signal has come that {@link #takeSignal} has not taken. */
    public boolean signalled() {
        return (HostMemory.get32(kickWord) & KICK_SIGNAL) != 0;
    }

    /** Whether the kick word holds anything. */
    public boolean kicked() {
        return HostMemory.get32(kickWord) != 0;
    }

    /** HLT: waits until kicked, for at most {@code nanos}. Outside guest mode. May return for no reason. */
    public void block(long nanos) {
        blocking = true;
        try {
            host.await(kickWord, 0, nanos);
        } finally {
            blocking = false;
        }
    }

    // ------------------------------------------------------------------ from any thread

    /** Whether a request is pending. */
    public boolean test(int request) {
        return (requests & 1L << request) != 0;
    }

    /** Posts a request; a full barrier. {@link #kick} follows when it must be seen soon. */
    public void request(int request) {
        REQUESTS.getAndBitwiseOr(this, 1L << request);
    }

    /** Gets the vCPU out of the guest or of HLT to look at its requests. Does not wait. */
    public void kick() {
        raise(KICK_REQUEST);
    }

    /** Makes the running or the next KVM_RUN end with EINTR. Does not wait. */
    public void signal() {
        raise(KICK_SIGNAL);
    }

    private void raise(int bit) {
        HostMemory.getAndOr32(kickWord, bit);
        long now = state;
        if ((now & MODE_MASK) == IN_GUEST_MODE) {
            STATE.compareAndSet(this, now, now & ~MODE_MASK | EXITING_GUEST_MODE);
        }
        if (blocking) {
            host.wake(kickWord);
        }
    }

    /** The mode and how often the vCPU has left: who is given the same twice looked at one that stayed where it was. */
    public long passes() {
        return state;
    }

    /** Whether the vCPU was outside when {@link #passes} gave this. */
    public static boolean wasOutside(long passes) {
        return (passes & MODE_MASK) == OUTSIDE_GUEST_MODE;
    }

    /** What {@link #passed} compares with: 0 when the vCPU is outside now, and then nobody needs to wait for it. */
    public long token() {
        long now = state;
        return (now & MODE_MASK) == OUTSIDE_GUEST_MODE ? 0 : now;
    }

    /** As {@link #token}, but 0 unless the vCPU is reading. */
    long readerToken() {
        long now = state;
        return (now & MODE_MASK) == READING_SHADOW_PAGE_TABLES ? now : 0;
    }

    /** Whether the vCPU has been outside since the token was taken. */
    boolean passed(long token) {
        return state >>> MODE_BITS != token >>> MODE_BITS;
    }

    /** Gives the kick word back; nobody may kick any more. */
    @Override
    public void close() {
        host.free(kickWord, KICK_BYTES);
    }
}
