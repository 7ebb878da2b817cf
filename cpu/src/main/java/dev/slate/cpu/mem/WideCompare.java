package dev.slate.cpu.mem;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import org.jspecify.annotations.Nullable;

/**
 * The host's own CMPXCHG16B, which Java has no access mode for: 33 bytes of machine code on a page of their own, called as a function
 * that neither blocks nor calls back. Not on hosts that are no x86-64, or that allow no new executable page.
 *
 * <p>A class of its own, because making the call costs some 30 ms once, and few guests ever need it. Thread-safe.
 */
final class WideCompare {
    private static final int PROT_READ = 1;
    private static final int PROT_WRITE = 2;
    private static final int PROT_EXEC = 4;
    private static final int MAP_PRIVATE_ANONYMOUS = 0x22;
    private static final long PAGE = 4096;

    /** {@code int f(long at, long low, long high, long newLow, long newHigh, long *found)}, System V calling convention. */
    private static final int[] CODE = {
        0x53, // push rbx
        0x48, 0x89, 0xf0, // mov rax, rsi; rdx is the high word already
        0x48, 0x89, 0xcb, // mov rbx, rcx
        0x4c, 0x89, 0xc1, // mov rcx, r8
        0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b [rdi]
        0x49, 0x89, 0x01, // mov [r9], rax
        0x49, 0x89, 0x51, 0x08, // mov [r9+8], rdx
        0x0f, 0x94, 0xc0, // sete al
        0x0f, 0xb6, 0xc0, // movzx eax, al
        0x5b, // pop rbx
        0xc3, // ret
    };

    private static final @Nullable MethodHandle CALL = link();

    /** Whether {@link #compareAndSet} can be called. */
    static final boolean AVAILABLE = CALL != null;

    private WideCompare() {}

    // Why native code is called here: see the class comment. Why it is safe: the code is the constant above, on a
    // page that is never given back, and touches nothing but its two arguments.
    @SuppressWarnings("restricted")
    private static @Nullable MethodHandle link() {
        long mmap = NativeCall.libc("mmap");
        long mprotect = NativeCall.libc("mprotect");
        if (mmap == 0 || mprotect == 0) {
            return null;
        }
        long page = NativeCall.call(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
        if (page == -1) {
            return null;
        }
        for (int i = 0; i < CODE.length; i++) {
            HostMemory.put8(page + i, CODE[i]);
        }
        if ((int) NativeCall.call(mprotect, page, PAGE, PROT_READ | PROT_EXEC, 0, 0, 0) != 0) {
            return null;
        }
        return Linker.nativeLinker()
                .downcallHandle(
                        MemorySegment.ofAddress(page),
                        FunctionDescriptor.of(
                                JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG),
                        Linker.Option.critical(false));
    }

    /** See {@link HostMemory#cas128}. */
    static boolean compareAndSet(long hva, long low, long high, long newLow, long newHigh, long found) {
        MethodHandle call = CALL;
        if (call == null) {
            throw new UnsupportedOperationException("no CMPXCHG16B on this host");
        }
        try {
            return (int) call.invokeExact(hva, low, high, newLow, newHigh, found) != 0;
        } catch (Throwable e) {
            throw new AssertionError("CMPXCHG16B cannot be called", e);
        }
    }
}
