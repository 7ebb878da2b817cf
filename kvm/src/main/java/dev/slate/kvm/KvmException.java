package dev.slate.kvm;

/**
 * An API call failed with an {@link Errno}. Stackless, one instance per errno, so that a failing call costs no more than a
 * succeeding one; make none yourself: {@link Errno#raise}.
 */
public final class KvmException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final Errno errno;

    KvmException(Errno errno) {
        super(errno.name(), null, false, false);
        this.errno = errno;
    }

    /** What the call failed with. */
    public Errno errno() {
        return errno;
    }
}
