package dev.slate.device;

/** What stands behind a handle: the Java side of a VM, vCPU or statistics descriptor. */
abstract sealed class KvmFile permits VmFile, VcpuFile, StatsFile {
    final int handle;

    KvmFile(int handle) {
        this.handle = handle;
    }

    /**
     * Serves an ioctl, on the client's thread.
     *
     * @param request the ioctl's number
     * @param arg the ioctl's argument as the client passed it
     * @param scratch {@link Device#SCRATCH_BYTES} bytes of native memory for this call
     * @return what ioctl(2) gives, or a negative errno
     * @throws dev.slate.kvm.KvmException the errno
     */
    abstract long ioctl(int request, long arg, long scratch);

    /** The last descriptor has been closed and no call is under way. */
    abstract void release();
}
