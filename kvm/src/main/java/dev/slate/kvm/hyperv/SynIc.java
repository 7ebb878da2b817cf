package dev.slate.kvm.hyperv;

import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.irqchip.LocalApic;
import dev.slate.kvm.irqchip.SyntheticSources;
import dev.slate.kvm.mmu.VcpuMmu;
import dev.slate.kvm.tracepoint.HyperVTracepoints;
import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLongArray;
import org.jspecify.annotations.Nullable;

/**
 * The synthetic interrupt controller of a virtual processor (TLFS, "virtual interrupt control"): sixteen sources, each with a vector of
 * the local APIC, and the pages in which their messages and events lie.
 *
 * <p>Guarded by the vCPU's mutex, but for the sources, which any thread reads.
 */
final class SynIc implements SyntheticSources.Vectors {
    static final int SOURCES = 16;

    private static final long MASKED = 1 << 16;
    private static final long AUTO_EOI = 1 << 17;
    private static final int FIRST_VECTOR = 16;
    private static final long PAGE_ENABLED = 1;
    private static final long FRAME = ~0xfffL;
    private static final int VERSION_1 = 1;
    private static final byte[] ZEROS = new byte[4096];

    // A message: type, size of what it carries, flags.
    private static final int MESSAGE_BYTES = 256;
    private static final int FLAGS = 5;
    private static final byte PENDING = 1;

    /** Who hears that a source's interrupt is over. On the vCPU's thread. */
    interface Listener {
        void sourceEnded(int source, int gsi);
    }

    private final int vcpuId;
    private final VcpuMmu mmu;
    private final @Nullable LocalApic apic;
    private final Listener listener;
    private final AtomicLongArray sources = new AtomicLongArray(SOURCES);
    /** The GSI that is routed to a source; -1: none. */
    private final AtomicIntegerArray gsis = new AtomicIntegerArray(SOURCES);

    private final byte[] word = new byte[4];

    private volatile boolean active;
    private boolean keepsPages;
    private long control;
    private long version = VERSION_1;
    private long eventPage;
    private long messagePage;

    SynIc(int vcpuId, VcpuMmu mmu, @Nullable LocalApic apic, Listener listener) {
        this.vcpuId = vcpuId;
        this.mmu = mmu;
        this.apic = apic;
        this.listener = listener;
        for (int i = 0; i < SOURCES; i++) {
            sources.set(i, MASKED);
            gsis.set(i, -1);
        }
    }

    /** {@code KVM_CAP_HYPERV_SYNIC}. @param keepsPages {@code SYNIC2}: a guest's page is not cleared when it is named */
    void activate(boolean keepsPages) {
        active = true;
        this.keepsPages = keepsPages;
        control = 1;
    }

    boolean active() {
        return active;
    }

    long control() {
        return control;
    }

    long eventPage() {
        return eventPage;
    }

    long messagePage() {
        return messagePage;
    }

    /** What an MSR of it holds. */
    long read(int msr) {
        return switch (msr) {
            case HvMsr.SCONTROL -> control;
            case HvMsr.SVERSION -> version;
            case HvMsr.SIEFP -> eventPage;
            case HvMsr.SIMP -> messagePage;
            case HvMsr.EOM -> 0;
            default -> sources.get(msr - HvMsr.SINT0);
        };
    }

    /** False: refused. */
    boolean write(int msr, long v, boolean host) {
        if (Tracepoints.ON) {
            HyperVTracepoints.synicSetMsr(vcpuId, msr, v, host);
        }
        switch (msr) {
            case HvMsr.SCONTROL -> control = v;
            case HvMsr.SVERSION -> {
                if (!host) {
                    return false;
                }
                version = v;
            }
            case HvMsr.SIEFP -> {
                if (!clear(v, host)) {
                    return false;
                }
                eventPage = v;
            }
            case HvMsr.SIMP -> {
                if (!clear(v, host)) {
                    return false;
                }
                messagePage = v;
            }
            case HvMsr.EOM -> {
                if (active) {
                    for (int i = 0; i < SOURCES; i++) {
                        listener.sourceEnded(i, gsis.get(i));
                    }
                }
            }
            default -> {
                // A guest's guest that is Hyper-V writes the masked vector 0 when it starts.
                if ((v & 0xff) < FIRST_VECTOR && !host && (v & MASKED) == 0) {
                    return false;
                }
                sources.set(msr - HvMsr.SINT0, v);
            }
        }
        return true;
    }

    private boolean clear(long page, boolean host) {
        return (page & PAGE_ENABLED) == 0 || host || keepsPages || mmu.write(page & FRAME, ZEROS, 0, ZEROS.length);
    }

    /** A GSI is routed to a source. From any thread. */
    void route(int source, int gsi) {
        if (active && source >= 0 && source < SOURCES) {
            gsis.set(source, gsi);
        }
    }

    /** Raises a source: 1, or -1 where nobody takes it. From any thread. */
    int raise(int source) {
        LocalApic a = apic;
        if (!active || a == null || source < 0 || source >= SOURCES) {
            return -1;
        }
        long s = sources.get(source);
        if ((s & MASKED) != 0) {
            return -1;
        }
        int vector = (int) s & 0xff;
        int taken = a.request(vector) ? 1 : 0;
        if (Tracepoints.ON) {
            HyperVTracepoints.synicSetIrq(vcpuId, source, vector, taken);
        }
        return taken;
    }

    @Override
    public boolean endsItself(int vector) {
        if (!active || vector < FIRST_VECTOR) {
            return false;
        }
        for (int i = 0; i < SOURCES; i++) {
            long s = sources.get(i);
            if ((s & (MASKED | AUTO_EOI)) == AUTO_EOI && (s & 0xff) == vector) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void ended(int vector) {
        if (!active || vector < FIRST_VECTOR) {
            return;
        }
        if (Tracepoints.ON) {
            HyperVTracepoints.synicSendEoi(vcpuId, vector);
        }
        for (int i = 0; i < SOURCES; i++) {
            long s = sources.get(i);
            if ((s & MASKED) == 0 && (s & 0xff) == vector) {
                listener.sourceEnded(i, gsis.get(i));
            }
        }
    }

    /** What has become of a message. */
    enum Sent {
        DONE,
        /** Its place is taken; the guest will say when that is free. */
        LATER,
        FAILED
    }

    /**
     * Puts a message where the guest looks for those of a source, and raises that.
     *
     * @param mayBeLost one that finds its place taken is dropped
     */
    Sent send(int source, byte[] message, boolean mayBeLost) {
        if ((messagePage & PAGE_ENABLED) == 0) {
            return Sent.FAILED;
        }
        long gpa = (messagePage & FRAME) + source * MESSAGE_BYTES;
        if (!mmu.read(gpa, word, 0, 4)) {
            return Sent.FAILED;
        }
        if (LittleEndian.getInt(word, 0) != 0) {
            if (mayBeLost) {
                return Sent.DONE;
            }
            word[0] = PENDING;
            return mmu.write(gpa + FLAGS, word, 0, 1) ? Sent.LATER : Sent.FAILED;
        }
        return mmu.write(gpa, message, 0, message.length) && raise(source) > 0 ? Sent.DONE : Sent.FAILED;
    }
}
