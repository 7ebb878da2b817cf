package dev.slate.kvm;

import org.jspecify.annotations.Nullable;

/** Makes the {@link RunObserver}s of vCPUs; see {@link Kvm#observeWith}. */
@FunctionalInterface
public interface RunObserverFactory {
    /** The observer of a vCPU that is being made (its VM and id are known, no more); null: nobody watches this one. */
    @Nullable
    RunObserver observe(Vcpu vcpu);
}
