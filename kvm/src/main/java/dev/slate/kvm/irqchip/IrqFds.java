package dev.slate.kvm.irqchip;

import dev.slate.kvm.Errno;
import dev.slate.kvm.host.EventFd;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Counters whose additions become interrupts ({@code KVM_IRQFD}).
 *
 * <p>Thread-safe. Its lock guards the list and is held while a counter begins or ends to be listened to; an addition takes none of it.
 */
public final class IrqFds {
    public static final int DEASSIGN = 1;
    /** The line stays up until the guest has ended the interrupt, and then the second counter is added to. */
    public static final int RESAMPLE = 1 << 1;

    private final Irqchip irqchip;
    private final List<IrqFd> all = new ArrayList<>();

    /** Those with resampling; replaced as a whole. */
    private volatile IrqFd[] resampled = {};

    IrqFds(Irqchip irqchip) {
        this.irqchip = irqchip;
    }

    private final class IrqFd implements EventFd.Listener {
        final EventFd counter;
        final int gsi;
        final @Nullable EventFd resample;

        IrqFd(EventFd counter, int gsi, @Nullable EventFd resample) {
            this.counter = counter;
            this.gsi = gsi;
            this.resample = resample;
        }

        @Override
        public void signalled() {
            if (resample == null) {
                irqchip.setGsi(IrqLines.SOURCE_CLIENT, gsi, true, false);
                irqchip.setGsi(IrqLines.SOURCE_CLIENT, gsi, false, false);
            } else {
                irqchip.setGsi(IrqLines.SOURCE_RESAMPLE, gsi, true, false);
            }
        }

        void close() {
            counter.listen(null);
            counter.close();
            if (resample != null) {
                resample.close();
            }
        }
    }

    /** What is wrong with an assignment before its descriptors are looked at. @throws dev.slate.kvm.KvmException EINVAL */
    public void check(int flags) {
        if ((flags & ~(DEASSIGN | RESAMPLE)) != 0) {
            throw Errno.EINVAL.raise();
        }
        if ((flags & DEASSIGN) == 0 && !((flags & RESAMPLE) != 0 ? irqchip.hasControllers() : irqchip.exists())) {
            throw Errno.EINVAL.raise();
        }
    }

    /**
     * Additions to {@code counter} raise {@code gsi} from now on, what is in it already once; keeps both counters.
     *
     * @param resample null: the line goes up and down again at once
     * @throws dev.slate.kvm.KvmException EBUSY: the counter already raises some GSI
     */
    public synchronized void assign(EventFd counter, int gsi, @Nullable EventFd resample) {
        for (IrqFd other : all) {
            if (other.counter.identity() == counter.identity()) {
                throw Errno.EBUSY.raise();
            }
        }
        IrqFd added = new IrqFd(counter, gsi, resample);
        all.add(added);
        if (resample != null) {
            IrqFd[] next = Arrays.copyOf(resampled, resampled.length + 1);
            next[resampled.length] = added;
            resampled = next;
            irqchip.watchersChanged();
        }
        counter.listen(added);
    }

    /** Takes back every assignment of a counter to a GSI; when it has returned, no addition raises it any more. */
    public synchronized void deassign(long identity, int gsi) {
        for (int i = all.size() - 1; i >= 0; i--) {
            IrqFd e = all.get(i);
            if (e.counter.identity() == identity && e.gsi == gsi) {
                all.remove(i);
                drop(e);
            }
        }
    }

    private void drop(IrqFd e) {
        e.counter.listen(null);
        if (e.resample != null) {
            IrqFd[] next = new IrqFd[resampled.length - 1];
            int n = 0;
            boolean shared = false;
            for (IrqFd other : resampled) {
                if (other != e) {
                    next[n++] = other;
                    shared |= other.gsi == e.gsi;
                }
            }
            resampled = next;
            irqchip.watchersChanged();
            if (!shared) {
                irqchip.setGsi(IrqLines.SOURCE_RESAMPLE, e.gsi, false, false);
            }
        }
        e.close();
    }

    /** Whether the end of a GSI's interrupt is waited for. Takes no lock. */
    boolean resamples(int gsi) {
        for (IrqFd e : resampled) {
            if (e.gsi == gsi) {
                return true;
            }
        }
        return false;
    }

    /** The guest has ended an interrupt of a GSI: its line falls, and devices that still want one are asked to say so. */
    void acknowledged(int gsi) {
        boolean lowered = false;
        for (IrqFd e : resampled) {
            EventFd again = e.resample;
            if (e.gsi == gsi && again != null) {
                if (!lowered) {
                    irqchip.setGsi(IrqLines.SOURCE_RESAMPLE, gsi, false, false);
                    lowered = true;
                }
                again.signal();
            }
        }
    }

    /** The VM is gone. */
    synchronized void close() {
        for (IrqFd e : all) {
            e.close();
        }
        all.clear();
        resampled = new IrqFd[0];
    }
}
