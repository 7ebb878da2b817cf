package dev.slate.kvm;

/**
 * What an API call fails with: the error numbers that KVM gives for the same call (KVM document, section 4; errno(3)). The number
 * becomes negative only in {@code device}.
 */
public enum Errno {
    EPERM(1),
    ENOENT(2),
    EINTR(4),
    EIO(5),
    ENXIO(6),
    E2BIG(7),
    ENOEXEC(8),
    EBADF(9),
    EAGAIN(11),
    ENOMEM(12),
    EACCES(13),
    EFAULT(14),
    EBUSY(16),
    EEXIST(17),
    ENODEV(19),
    EINVAL(22),
    EMFILE(24),
    ENOTTY(25),
    ENOSPC(28),
    ERANGE(34),
    ENOSYS(38),
    EOPNOTSUPP(95);

    private final int number;
    private final KvmException exception;

    Errno(int number) {
        this.number = number;
        this.exception = new KvmException(this);
    }

    /** The positive number of Linux on x86-64. */
    public int number() {
        return number;
    }

    /**
     * Throws this errno's one exception; never returns. The result type lets callers write {@code throw Errno.EINVAL.raise()}.
     */
    public KvmException raise() {
        throw exception;
    }
}
