package dev.slate.cpu.mem;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

/**
 * Calls of native functions on x86-64, all but CMPXCHG16B's ({@link WideCompare}) by one shape: six words to a word. The JDK writes,
 * verifies and links a dozen classes for each shape that it is asked for, 10 ms of a client's start each; by the System V calling
 * convention one fits every function of at most six integers or pointers: what it does not take is in registers that it may
 * overwrite, and of a narrower one it reads the low bits.
 *
 * <p>Thread-safe. The calling thread is in native code meanwhile, so a call may block and holds up no safepoint.
 */
final class NativeCall {
    /** Null on another processor, whose calling convention is another. */
    private static final @Nullable MethodHandle CALL = link();

    private NativeCall() {}

    // Why native code is called here: Java has no other way to executable memory.
    // Why it is safe: what is called is libc's, with checked results, or what the caller has emitted.
    @SuppressWarnings("restricted")
    private static @Nullable MethodHandle link() {
        if (!System.getProperty("os.arch").equals("amd64")) {
            return null;
        }
        return Linker.nativeLinker()
                .downcallHandle(FunctionDescriptor.of(
                        JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG));
    }

    /**
     * Finds a function of libc's, for which the JDK loads a library.
     *
     * @return its host address; 0 where there is none: the process may have no more files or address space
     */
    @SuppressWarnings("restricted")
    static long libc(String name) {
        return CALL != null
                ? Linker.nativeLinker()
                        .defaultLookup()
                        .find(name)
                        .map(MemorySegment::address)
                        .orElse(0L)
                : 0;
    }

    /** Calls the function at {@code at}. Its result is the whole of RAX, of which a function that gives an int has set the low half. */
    static long call(long at, long a, long b, long c, long d, long e, long f) {
        MethodHandle call = CALL;
        if (call == null) {
            throw new UnsupportedOperationException("no native calls on this host");
        }
        try {
            return (long) call.invokeExact(MemorySegment.ofAddress(at), a, b, c, d, e, f);
        } catch (Throwable t) {
            throw new AssertionError("native code cannot be called", t);
        }
    }
}
