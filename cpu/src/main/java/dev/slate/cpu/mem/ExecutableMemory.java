package dev.slate.cpu.mem;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
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

    private static final MethodHandle CALL;
    private static final MethodHandle MMAP;
    private static final MethodHandle MUNMAP;
    private static final MethodHandle MEMFD_CREATE;
    private static final MethodHandle FTRUNCATE;
    private static final MethodHandle CLOSE;
    private static final MethodHandle MADVISE;
    private static final MethodHandle MREMAP;
    private static final MethodHandle MPROTECT;

    // Why native code is called here: Java has no other way to executable memory. Why it is safe: the calls are
    // libc's with checked results, and what CALL runs is what this object's owner has emitted.
    static {
        MethodHandle missing = MethodHandles.empty(MethodType.methodType(long.class, long.class, long.class));
        MethodHandle call = missing;
        MethodHandle[] libc = new MethodHandle[8];
        if (System.getProperty("os.arch").equals("amd64")) {
            call = linkCall();
            libc = linkLibc();
        }
        CALL = call;
        MMAP = libc[0];
        MUNMAP = libc[1];
        MEMFD_CREATE = libc[2];
        FTRUNCATE = libc[3];
        CLOSE = libc[4];
        MADVISE = libc[5];
        MREMAP = libc[6];
        MPROTECT = libc[7];
    }

    private final long writable;
    private final long executable;
    private final long bytes;

    private ExecutableMemory(long writable, long executable, long bytes) {
        this.writable = writable;
        this.executable = executable;
        this.bytes = bytes;
    }

    @SuppressWarnings("restricted")
    private static MethodHandle linkCall() {
        return Linker.nativeLinker()
                .downcallHandle(FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG))
                .asType(MethodType.methodType(long.class, MemorySegment.class, long.class, long.class));
    }

    /** Nulls where the JDK cannot load the library by which it finds libc's names: the process may have no more files or address space. */
    @SuppressWarnings("restricted")
    private static MethodHandle[] linkLibc() {
        Linker linker = Linker.nativeLinker();
        if (linker.defaultLookup().find("mmap").isEmpty()) {
            return new MethodHandle[8];
        }
        return new MethodHandle[] {
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("mmap"),
                    FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("munmap"),
                    FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("memfd_create"),
                    FunctionDescriptor.of(JAVA_INT, ValueLayout.ADDRESS, JAVA_INT)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("ftruncate"),
                    FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("close"), FunctionDescriptor.of(JAVA_INT, JAVA_INT)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("madvise"),
                    FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("mremap"),
                    FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT)),
            linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("mprotect"),
                    FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT)),
        };
    }

    /**
     * Finds libc's functions, for which the JDK loads a library, before the process loses its files.
     *
     * @return whether they are there
     */
    public static boolean link() {
        return MMAP != null;
    }

    /**
     * Maps {@code bytes} bytes (a multiple of the page size), zeroed; pages cost memory when they are first written.
     *
     * @param anonymous without a file behind it, as {@code perf} wants it for code whose names are in a map. Otherwise it is a memfd: clients
     *     that filter their system calls let Slate have those, but perhaps not mremap()
     * @return null where the host allows no executable memory
     */
    public static @Nullable ExecutableMemory map(long bytes, boolean anonymous) {
        if (MMAP == null) {
            return null;
        }
        return anonymous ? mapAnonymous(bytes) : mapFile(bytes);
    }

    private static @Nullable ExecutableMemory mapAnonymous(long bytes) {
        try {
            long executable =
                    (long) MMAP.invokeExact(0L, bytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0L);
            if (executable == -1) {
                return null;
            }
            // Of no bytes of a shared mapping it makes a second one of the same pages (mremap(2)).
            long writable = (long) MREMAP.invokeExact(executable, 0L, bytes, MREMAP_MAYMOVE);
            if (writable == -1 || (int) MPROTECT.invokeExact(writable, bytes, PROT_READ | PROT_WRITE) != 0) {
                unmap(writable, bytes);
                unmap(executable, bytes);
                return null;
            }
            return new ExecutableMemory(writable, executable, bytes);
        } catch (Throwable e) {
            throw new AssertionError("libc cannot be called", e);
        }
    }

    private static @Nullable ExecutableMemory mapFile(long bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocateFrom("slate-code");
            int fd = (int) MEMFD_CREATE.invokeExact(name, MFD_CLOEXEC | MFD_EXEC);
            if (fd < 0) {
                fd = (int) MEMFD_CREATE.invokeExact(name, MFD_CLOEXEC);
            }
            if (fd < 0) {
                return mapAnonymous(bytes); // the process may have no more descriptors
            }
            long writable = -1;
            long executable = -1;
            if ((int) FTRUNCATE.invokeExact(fd, bytes) == 0) {
                writable = (long) MMAP.invokeExact(0L, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
                executable = (long) MMAP.invokeExact(0L, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0L);
            }
            int closed = (int) CLOSE.invokeExact(fd);
            if (writable == -1 || executable == -1 || closed != 0) {
                unmap(writable, bytes);
                unmap(executable, bytes);
                return null;
            }
            return new ExecutableMemory(writable, executable, bytes);
        } catch (Throwable e) {
            throw new AssertionError("libc cannot be called", e);
        }
    }

    private static void unmap(long at, long bytes) throws Throwable {
        if (at != -1) {
            int ignored = (int) MUNMAP.invokeExact(at, bytes);
            assert ignored == 0;
        }
    }

    /** Gives the memory back; nothing of it may run. */
    public void close() {
        try {
            unmap(writable, bytes);
            unmap(executable, bytes);
        } catch (Throwable e) {
            throw new AssertionError("munmap cannot be called", e);
        }
    }

    /**
     * Gives the pages back that lie between two addresses of code; nothing of it may run. They are zero when they are written again.
     *
     * @return whether the host took them
     */
    public boolean release(long from, long to) {
        long first = from - executable + 4095 & -4096L;
        long last = to - executable + 4095 & -4096L;
        try {
            return last <= first || (int) MADVISE.invokeExact(writable + first, last - first, MADV_REMOVE) == 0;
        } catch (Throwable e) {
            throw new AssertionError("madvise cannot be called", e);
        }
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
        try {
            return (long) CALL.invokeExact(MemorySegment.ofAddress(at), first, second);
        } catch (Throwable e) {
            throw new AssertionError("machine code cannot be called", e);
        }
    }
}
