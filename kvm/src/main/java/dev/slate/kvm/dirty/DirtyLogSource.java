package dev.slate.kvm.dirty;

/** Where KVM_CLEAR_DIRTY_LOG's bitmap comes from: the client's memory, which may not be there. */
@FunctionalInterface
public interface DirtyLogSource {
    /**
     * Puts {@code bytes} bytes into native memory at {@code toHva}.
     *
     * @return 0, or a positive errno number (EFAULT)
     */
    int read(long toHva, long bytes);
}
