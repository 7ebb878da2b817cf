package dev.slate.junit;

import dev.slate.kvm.Exit;

/** The devices of a test: what a guest reads from ports, and from addresses where no memory is. */
@FunctionalInterface
public interface Answers {
    /** All zero. */
    Answers ZERO = exit -> 0;

    /** What the guest reads. @param exit an {@link Exit.PortIn} or {@link Exit.MmioRead} */
    long to(Exit exit);
}
