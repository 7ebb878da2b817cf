package dev.slate.cpu.mem;

import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/**
 * Memory for machine code, mapped twice: written at one address, run at the other, so that no page is ever both.
 *
 * <p>Written by one thread; run by that thread through {@link #call}.
 */
public final class ExecutableMemory {
    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int PROT_EXEC = 4;
    private static final int MAP_SHARED = 1;
    private static final int MAP_ANONYMOUS = 0x20;
    private static final int MREMAP_MAYMOVE = 1;
    private static final int MADV_REMOVE = 9;
    private static final int MFD_CLOEXEC = 1;
    /** Since Linux 6.3; older kernels refuse the flag and need none. */
    private static final int MFD_EXEC = 0x10;

    private static final long MMAP = NativeCall.libc("mmap");
    private static final long MUNMAP = NativeCall.libc("munmap");
    private static final long MEMFD_CREATE = NativeCall.libc("memfd_create");
    private static final long FTRUNCATE = NativeCall.libc("ftruncate");
    private static final long CLOSE = NativeCall.libc("close");
    private static final long MADVISE = NativeCall.libc("madvise");
    private static final long MREMAP = NativeCall.libc("mremap");
    private static final long MPROTECT = NativeCall.libc("mprotect");

    private final long writable;
    private final long executable;
    private final long bytes;

    private ExecutableMemory(long writable, long executable, long bytes) {
        this.writable = writable;
        this.executable = executable;
        this.bytes = bytes;
    }

    /**
     * Finds libc's functions, for which the JDK loads a library, before the process loses its files.
     *
     * @return whether they are there
     */
    public static boolean link() {
        return MMAP != 0;
    }

    /**
     * Maps {@code bytes} bytes (a multiple of the page size), zeroed; pages cost memory when they are first written.
     *
     * @param anonymous without a file behind it, as {@code perf} wants it for code whose names are in a map. Otherwise it is a memfd: clients
     *     that filter their system calls let Slate have those, but perhaps not mremap()
     * @return null where the host allows no executable memory
     */
    public static @Nullable ExecutableMemory map(long bytes, boolean anonymous) {
        if (MMAP == 0) {
            return null;
        }
        return anonymous ? mapAnonymous(bytes) : mapFile(bytes);
    }

    private static @Nullable ExecutableMemory mapAnonymous(long bytes) {
        long executable = mmap(bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1);
        if (executable == -1) {
            return null;
        }
        // Of no bytes of a shared mapping it makes a second one of the same pages (mremap(2)).
        long writable = NativeCall.call(MREMAP, executable, 0, bytes, MREMAP_MAYMOVE, 0, 0);
        if (writable == -1 || (int) NativeCall.call(MPROTECT, writable, bytes, PROT_READ | PROT_WRITE, 0, 0, 0) != 0) {
            unmap(writable, bytes);
            unmap(executable, bytes);
            return null;
        }
        return new ExecutableMemory(writable, executable, bytes);
    }

    private static @Nullable ExecutableMemory mapFile(long bytes) {
        int fd = memoryFile();
        if (fd < 0) {
            return mapAnonymous(bytes); // the process may have no more descriptors
        }
        long writable = -1;
        long executable = -1;
        if ((int) NativeCall.call(FTRUNCATE, fd, bytes, 0, 0, 0, 0) == 0) {
            writable = mmap(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
            executable = mmap(bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd);
        }
        int closed = (int) NativeCall.call(CLOSE, fd, 0, 0, 0, 0, 0);
        if (writable == -1 || executable == -1 || closed != 0) {
            unmap(writable, bytes);
            unmap(executable, bytes);
            return null;
        }
        return new ExecutableMemory(writable, executable, bytes);
    }

    private static int memoryFile() {
        try (Arena arena = Arena.ofConfined()) {
            long name = arena.allocateFrom("slate-code").address();
            int fd = (int) NativeCall.call(MEMFD_CREATE, name, MFD_CLOEXEC | MFD_EXEC, 0, 0, 0, 0);
            return fd >= 0 ? fd : (int) NativeCall.call(MEMFD_CREATE, name, MFD_CLOEXEC, 0, 0, 0, 0);
        }
    }

    private static long mmap(long bytes, int protection, int flags, int fd) {
        return NativeCall.call(MMAP, 0, bytes, protection, flags, fd, 0);
    }

    private static void unmap(long at, long bytes) {
        if (at != -1) {
            int ignored = (int) NativeCall.call(MUNMAP, at, bytes, 0, 0, 0, 0);
            assert ignored == 0;
        }
    }

    /** Gives the memory back; nothing of it may run. */
    public void close() {
        unmap(writable, bytes);
        unmap(executable, bytes);
    }

    /**
     * Gives the pages back that lie between two addresses of code; nothing of it may run. They are zero when they are written again.
     *
     * @return whether the host took them
     */
    public boolean release(long from, long to) {
        long first = from - executable + 4095 & -4096L;
        long last = to - executable + 4095 & -4096L;
        return last <= first
                || (int) NativeCall.call(MADVISE, writable + first, last - first, MADV_REMOVE, 0, 0, 0) == 0;
    }

    /** Host address at which the code runs. */
    public long address() {
        return executable;
    }

    /** Size in bytes. */
    public long bytes() {
        return bytes;
    }

    /** Writes {@code length} bytes of code from {@code from} on so that they run at {@code at}. */
    public void write(long at, byte[] code, int from, int length) {
        HostMemory.copyIn(code, from, at - executable + writable, length);
    }

    /** Replaces four bytes of the code at {@code at}. */
    public void patch32(long at, int v) {
        HostMemory.put32(at - executable + writable, v);
    }

    /** Replaces eight bytes of the code at {@code at}. */
    public void patch64(long at, long v) {
        HostMemory.put64(at - executable + writable, v);
    }

    /** Calls the function at {@code at} with two arguments, by the System V calling convention. It may block no safepoint: the thread is in native code. */
    public static long call(long at, long first, long second) {
        return NativeCall.call(at, first, second, 0, 0, 0, 0);
    }
}
