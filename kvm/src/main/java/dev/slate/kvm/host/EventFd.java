package dev.slate.kvm.host;

import org.jspecify.annotations.Nullable;

/**
 * A counter that the client and the hypervisor share, as eventfd(2) makes them. {@code device} implements it over descriptors of its
 * own, so that it stays whatever the client does with its.
 *
 * <p>Thread-safe.
 */
public interface EventFd extends AutoCloseable {
    /** What is done when somebody has added to the counter. */
    @FunctionalInterface
    interface Listener {
        /** On a thread of the hypervisor's, or on the adder's; never twice at once for one counter. Waits for nobody. */
        void signalled();
    }

    /** Adds 1 and wakes whoever reads or polls. */
    void signal();

    /**
     * Calls {@code listener} from now on for every addition; several may become one call, and the counter is 0 again before it. What
     * is in it already makes one call, and stays in it. Null ends that: when this has returned, no call is under way nor comes.
     */
    void listen(@Nullable Listener listener);

    /** Which counter this is: equal for two descriptors of one. */
    long identity();

    /** Gives up the hypervisor's hold on it, listening included. */
    @Override
    void close();
}
