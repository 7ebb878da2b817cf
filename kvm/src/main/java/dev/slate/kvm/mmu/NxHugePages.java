package dev.slate.kvm.mmu;

import dev.slate.kvm.host.ModuleParameters;
import dev.slate.kvm.host.Worker;
import org.jspecify.annotations.Nullable;

/**
 * NX huge pages of one VM: whether large pages are mapped without execution, and the recovery of those that were split because a guest
 * executed there, now and then ({@code kvm-nx-lpage-recovery}).
 *
 * <p>Thread-safe.
 */
public final class NxHugePages implements AutoCloseable {
    private final ModuleParameters parameters;
    private final Worker worker;
    private final Worker.Task recovery = this::recover;
    private final ModuleParameters.Listener listener = this::parametersChanged;
    private volatile boolean disabled;
    private volatile long recovered = System.nanoTime();
    private volatile @Nullable Mmu mmu;

    /** Nothing is recovered before {@link #start}. */
    public NxHugePages(ModuleParameters parameters, Worker worker) {
        this.parameters = parameters;
        this.worker = worker;
    }

    /** Begins to listen and to recover. */
    public void start(Mmu of) {
        mmu = of;
        parameters.add(listener);
        worker.schedule(recovery, next());
    }

    /** Whether large pages are mapped without execution, at this moment. */
    public boolean on() {
        return parameters.nxHugePages() && !disabled;
    }

    /** {@code KVM_CAP_VM_DISABLE_NX_HUGE_PAGES}; while there are no vCPUs. */
    public void disable() {
        disabled = true;
    }

    private void parametersChanged(boolean nxChanged) {
        Mmu m = mmu;
        if (nxChanged && m != null) {
            m.zapAll();
        }
        worker.schedule(recovery, next());
    }

    private long next() {
        long millis = parameters.recoveryMillis();
        return millis == 0 ? Worker.NEVER : recovered + millis * 1_000_000;
    }

    private long recover() {
        int ratio = parameters.recoveryRatio();
        Mmu m = mmu;
        if (ratio != 0 && m != null) {
            m.recoverNxHugePages(ratio);
        }
        recovered = System.nanoTime();
        return next();
    }

    /** Ends it; nothing of it runs any more. */
    @Override
    public void close() {
        parameters.remove(listener);
        worker.cancel(recovery);
    }
}
