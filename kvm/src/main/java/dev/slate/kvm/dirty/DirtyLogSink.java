package dev.slate.kvm.dirty;

/** Where KVM_GET_DIRTY_LOG's bitmap goes: the client's memory, which may not be there. */
@FunctionalInterface
public interface DirtyLogSink {
    /**
     * Takes {@code bytes} bytes from native memory at {@code fromHva}.
     *
     * @return 0, or a positive errno number (EFAULT)
     */
    int write(long fromHva, long bytes);
}
