package dev.slate.cpu.mem;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Numbers in byte arrays as x86 stores them. */
public final class LittleEndian {
    private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private LittleEndian() {}

    /** Four bytes from {@code at}. */
    public static int getInt(byte[] b, int at) {
        return (int) INT.get(b, at);
    }

    /** Stores four bytes from {@code at}. */
    public static void putInt(byte[] b, int at, int v) {
        INT.set(b, at, v);
    }

    /** Eight bytes from {@code at}. */
    public static long getLong(byte[] b, int at) {
        return (long) LONG.get(b, at);
    }

    /** Stores eight bytes from {@code at}. */
    public static void putLong(byte[] b, int at, long v) {
        LONG.set(b, at, v);
    }
}
