package dev.slate.cpu.mem;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import jdk.internal.misc.Unsafe;
import org.jspecify.annotations.Nullable;

/**
 * The host's memory, addressed by host virtual address (hva, bytes), in x86's order.
 *
 * <p>Guest RAM, page tables, rmaps and every other native structure are reached through this class and no other. It holds the one
 * segment over the whole address space; the segment is unchecked by construction, so a caller owes the proof that {@code hva} is
 * mapped: the MMU populates a page before it hands out its address (docs/decisions), slabs own what they carve.
 *
 * <p>Order: {@code get*} are loads with acquire order and {@code put*} stores with release order at any alignment, which together
 * are x86-TSO (SDM 3A 9.2.2, APM 2 7.2): only a later load may pass an earlier store. {@code cas*}, {@code getAnd*} and
 * {@code fence} are full barriers, as locked instructions are. {@code cas*} and {@code getAnd*} ask for natural alignment.
 *
 * <p>Words go by {@code jdk.internal.misc.Unsafe} where the JVM exports it to this module, as a client's does, and through the segment
 * where it does not (docs/decisions/0038). Once HotSpot's second compiler has seen a method, what is left between them is the segment's
 * check of bounds and alignment; until then the segment's are a dozen calls each. Where such a check would throw, which is a caller's
 * bug, {@code Unsafe} does what the processor does.
 *
 * <p>Thread-safe.
 */
public final class HostMemory {
    // Why reinterpret is needed: frames are wherever the client mapped them, so no narrower segment exists.
    // Why it is safe: see the class comment; nothing outside this package holds ALL.
    @SuppressWarnings("restricted")
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private static final ValueLayout.OfByte I8 = ValueLayout.JAVA_BYTE;
    private static final ValueLayout.OfShort I16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle A32 =
            ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();
    private static final VarHandle A64 =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    private static final @Nullable Unsafe UNSAFE = unsafe();

    private HostMemory() {}

    private static @Nullable Unsafe unsafe() {
        Module here = HostMemory.class.getModule();
        return Object.class.getModule().isExported("jdk.internal.misc", here) ? Unsafe.getUnsafe() : null;
    }

    /** Whether words go by {@code Unsafe}. */
    static boolean byUnsafe() {
        return UNSAFE != null;
    }

    /** The byte at {@code hva}, zero-extended. */
    public static int get8(long hva) {
        int v = (UNSAFE != null ? UNSAFE.getByte(hva) : ALL.get(I8, hva)) & 0xff;
        VarHandle.acquireFence();
        return v;
    }

    /** The 16-bit word at {@code hva}, zero-extended. */
    public static int get16(long hva) {
        int v = (UNSAFE != null ? UNSAFE.getShort(hva) : ALL.get(I16, hva)) & 0xffff;
        VarHandle.acquireFence();
        return v;
    }

    /** The 32-bit word at {@code hva}. */
    public static int get32(long hva) {
        int v = UNSAFE != null ? UNSAFE.getInt(hva) : ALL.get(I32, hva);
        VarHandle.acquireFence();
        return v;
    }

    /** The 64-bit word at {@code hva}. */
    public static long get64(long hva) {
        long v = UNSAFE != null ? UNSAFE.getLong(hva) : ALL.get(I64, hva);
        VarHandle.acquireFence();
        return v;
    }

    /** Stores the low byte of {@code v}. */
    public static void put8(long hva, int v) {
        VarHandle.releaseFence();
        if (UNSAFE != null) {
            UNSAFE.putByte(hva, (byte) v);
        } else {
            ALL.set(I8, hva, (byte) v);
        }
    }

    /** Stores the low 16 bits of {@code v}. */
    public static void put16(long hva, int v) {
        VarHandle.releaseFence();
        if (UNSAFE != null) {
            UNSAFE.putShort(hva, (short) v);
        } else {
            ALL.set(I16, hva, (short) v);
        }
    }

    /** Stores 32 bits. */
    public static void put32(long hva, int v) {
        VarHandle.releaseFence();
        if (UNSAFE != null) {
            UNSAFE.putInt(hva, v);
        } else {
            ALL.set(I32, hva, v);
        }
    }

    /** Stores 64 bits. */
    public static void put64(long hva, long v) {
        VarHandle.releaseFence();
        if (UNSAFE != null) {
            UNSAFE.putLong(hva, v);
        } else {
            ALL.set(I64, hva, v);
        }
    }

    /** Sequentially consistent 32-bit load; {@code hva} a multiple of 4. */
    public static int getVolatile32(long hva) {
        return UNSAFE != null ? UNSAFE.getIntVolatile(null, hva) : (int) A32.getVolatile(ALL, hva);
    }

    /** Sequentially consistent 64-bit load; {@code hva} a multiple of 8. */
    public static long getVolatile64(long hva) {
        return UNSAFE != null ? UNSAFE.getLongVolatile(null, hva) : (long) A64.getVolatile(ALL, hva);
    }

    /** Sequentially consistent 32-bit store; {@code hva} a multiple of 4. */
    public static void putVolatile32(long hva, int v) {
        if (UNSAFE != null) {
            UNSAFE.putIntVolatile(null, hva, v);
        } else {
            A32.setVolatile(ALL, hva, v);
        }
    }

    /** Sequentially consistent 64-bit store; {@code hva} a multiple of 8. */
    public static void putVolatile64(long hva, long v) {
        if (UNSAFE != null) {
            UNSAFE.putLongVolatile(null, hva, v);
        } else {
            A64.setVolatile(ALL, hva, v);
        }
    }

    /** Compare-and-set of an aligned 32-bit word; true when it was {@code expected}. */
    public static boolean cas32(long hva, int expected, int v) {
        return UNSAFE != null
                ? UNSAFE.compareAndSetInt(null, hva, expected, v)
                : A32.compareAndSet(ALL, hva, expected, v);
    }

    /** Compare-and-set of an aligned 64-bit word; true when it was {@code expected}. */
    public static boolean cas64(long hva, long expected, long v) {
        return UNSAFE != null
                ? UNSAFE.compareAndSetLong(null, hva, expected, v)
                : A64.compareAndSet(ALL, hva, expected, v);
    }

    /** Whether {@link #cas128} works on this host. The first call costs some 30 ms. */
    public static boolean hasCas128() {
        return WideCompare.AVAILABLE;
    }

    /**
     * Compare-and-set of 16 bytes, atomic against every access; a full barrier whatever comes of it.
     *
     * @param hva a multiple of 16
     * @param found host address of 16 bytes that receive what was there
     * @return whether (low, high) was there
     */
    public static boolean cas128(long hva, long low, long high, long newLow, long newHigh, long found) {
        return WideCompare.compareAndSet(hva, low, high, newLow, newHigh, found);
    }

    /**
     * What stands before it in the code is done before what stands behind it, as far as this thread and the handlers of signals on it can
     * see: C's atomic_signal_fence(). A barrier for the compiler alone, as both of these are where the processor is an x86.
     */
    public static void compilerFence() {
        VarHandle.releaseFence();
        VarHandle.acquireFence();
    }

    /** A full barrier. */
    public static void fence() {
        VarHandle.fullFence();
    }

    /** Stores {@code v} and returns the aligned 64-bit word that was there. */
    public static long getAndSet64(long hva, long v) {
        return UNSAFE != null ? UNSAFE.getAndSetLong(null, hva, v) : (long) A64.getAndSet(ALL, hva, v);
    }

    /** Adds to an aligned 64-bit word and returns what was there. */
    public static long getAndAdd64(long hva, long delta) {
        return UNSAFE != null ? UNSAFE.getAndAddLong(null, hva, delta) : (long) A64.getAndAdd(ALL, hva, delta);
    }

    /** Sets bits in an aligned 64-bit word and returns what was there. */
    public static long getAndOr64(long hva, long bits) {
        return UNSAFE != null
                ? UNSAFE.getAndBitwiseOrLong(null, hva, bits)
                : (long) A64.getAndBitwiseOr(ALL, hva, bits);
    }

    /** Keeps only the bits of {@code mask} in an aligned 64-bit word and returns what was there. */
    public static long getAndAnd64(long hva, long mask) {
        return UNSAFE != null
                ? UNSAFE.getAndBitwiseAndLong(null, hva, mask)
                : (long) A64.getAndBitwiseAnd(ALL, hva, mask);
    }

    /** Sets bits in an aligned 32-bit word and returns what was there. */
    public static int getAndOr32(long hva, int bits) {
        return UNSAFE != null ? UNSAFE.getAndBitwiseOrInt(null, hva, bits) : (int) A32.getAndBitwiseOr(ALL, hva, bits);
    }

    /** Keeps only the bits of {@code mask} in an aligned 32-bit word and returns what was there. */
    public static int getAndAnd32(long hva, int mask) {
        return UNSAFE != null
                ? UNSAFE.getAndBitwiseAndInt(null, hva, mask)
                : (int) A32.getAndBitwiseAnd(ALL, hva, mask);
    }

    /** Copies {@code bytes} bytes; the ranges do not overlap. Plain order: callers that publish add their own store. */
    public static void copy(long from, long to, long bytes) {
        MemorySegment.copy(ALL, from, ALL, to, bytes);
    }

    /** Copies native memory into a Java array. */
    public static void copyOut(long from, byte[] to, int offset, int bytes) {
        MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, from, to, offset, bytes);
    }

    /** Copies a Java array into native memory. */
    public static void copyIn(byte[] from, int offset, long to, int bytes) {
        MemorySegment.copy(from, offset, ALL, ValueLayout.JAVA_BYTE, to, bytes);
    }

    /** Fills {@code bytes} bytes with {@code value}. */
    public static void fill(long hva, long bytes, int value) {
        ALL.asSlice(hva, bytes).fill((byte) value);
    }
}
