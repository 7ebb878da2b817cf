package dev.slate.device;

/**
 * What the shim does for Java. Its functions are bound when the shim starts the JVM, or by {@code System.load} of libslate.so (training
 * and tests). Numbers that can fail are 0 or a negative errno unless a method says otherwise.
 */
final class Native {
    // Kinds of files, as enum kind in native/slate.h.
    static final int KIND_SYSTEM = 1;
    static final int KIND_VM = 2;
    static final int KIND_VCPU = 3;
    static final int KIND_STATS = 4;
    /** A parameter or counter that is open for writing; Java has no file for it. */
    static final int KIND_PSEUDO = 5;
    /** Another process's VM or vCPU. */
    static final int KIND_FOREIGN = 6;

    private Native() {}

    /** Copies from the client's memory, which may not be there (-EFAULT). */
    static native int copyIn(long to, long client, long bytes);

    /** Copies to the client's memory. */
    static native int copyOut(long client, long from, long bytes);

    /** As {@link dev.slate.kvm.host.HostServices#populate}: a positive errno. */
    static native int populate(long hva, long bytes, boolean write);

    static native long readTsc();

    /** Stores EAX, EBX, ECX, EDX as four 32-bit words at {@code into}. */
    static native long cpuid(int leaf, int subleaf, long into);

    static native void await(long word, int expected, long nanos);

    static native void wake(long word);

    /** As {@link dev.slate.kvm.host.HostServices#mayLoadLibraries}. */
    static native boolean mayLoadLibraries();

    /** From now on HotSpot's second compiler takes what the client's threads leave (docs/decisions/0037). */
    static native void putC2Behind();

    /** As {@link dev.slate.kvm.host.HostServices#runDelayNanos}. */
    static native long runDelay();

    /** Zeroed pages of the process's own, or a negative errno. */
    static native long map(long bytes, long alignment);

    static native void unmap(long hva, long bytes);

    /** As {@link dev.slate.kvm.host.HostServices#addCode}: 0, or -ENOMEM when there are too many ranges. */
    static native int addCode(long start, long end, long resume);

    /** Forgets the range that begins at {@code start}. */
    static native void removeCode(long start);

    static native boolean hugeMapped(long hva);

    /**
     * A new file with its descriptor, not yet known to the client.
     *
     * @param id of a vCPU, which its name in /proc shows; of a statistics file -1 for the VM's
     * @param bytes of pages behind it ({@link #area}), or 0
     * @return handle in bits 0-31, descriptor in bits 32-62; or a negative errno
     */
    static native long newFile(int kind, int id, long bytes);

    /** The page behind a VM shows in the mappings of a vCPU's descriptor, where KVM has its ring of coalesced writes. */
    static native void showRing(int vcpuHandle, int vmHandle);

    /** A descriptor of our own for the client's eventfd; -EBADF, or -EINVAL for another kind of file. */
    static native int eventFd(int clientFd);

    /** Which eventfd it is: the same for all descriptors of one. */
    static native long eventFdId(int fd);

    /** Adds 1. */
    static native void eventFdSignal(int fd);

    /** Takes out what is in it; never waits. */
    static native void eventFdDrain(int fd);

    /** Whether anything is in it. */
    static native boolean eventFdPending(int fd);

    static native void closeDescriptor(int fd);

    /** epoll_create1(2). */
    static native int epollCreate();

    /** Reports the descriptor once for every addition, from now on or ({@code add} false) no more. */
    static native int epollControl(int epoll, boolean add, int fd);

    /** Waits; stores descriptors as 32-bit words at {@code into} and returns how many. */
    static native int epollWait(int epoll, long into, int max);

    /** Address of a file's pages. */
    static native long area(int handle);

    /** Gives the descriptor to the client: the file works from here on. Returns the descriptor. */
    static native int install(int handle, int fd);

    /** The handle behind a descriptor, or 0. For training and tests. */
    static native int handle(int fd);

    /** Undoes {@link #newFile}. */
    static native void abandon(int handle, int fd);

    /** {@code KVM_SET_SIGNAL_MASK}, applied by the shim around KVM_RUN. */
    static native void signalMask(int handle, boolean set, long mask);

    /** Address of two 64-bit words: least and greatest (exclusive) host address of all memory slots. */
    static native long watched();

    /** Adds to the exits in the file of {@code SLATE_COUNTERS}. */
    static native void countExits(long exits);

    /** Whether there is a file of {@code SLATE_COUNTERS}. */
    static native boolean counting();

    /** Writes to standard error. */
    static native void say(byte[] text);

    /** The client's own environment variable, or null. */
    static native @org.jspecify.annotations.Nullable String environment(String name);

    static native int pid();

    /** The user's number, the real one's. */
    static native int uid();

    /** Ends the process. */
    static native void quit(int status);
}
