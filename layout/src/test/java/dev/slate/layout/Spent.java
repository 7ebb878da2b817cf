package dev.slate.layout;

import java.lang.reflect.Method;

/** What the running thread has spent. By reflection: the module under test has no use for java.management itself. */
final class Spent {
    private static final Object BEAN;
    private static final Method BYTES;
    private static final Method NANOSECONDS;

    static {
        try {
            BEAN = Class.forName("java.lang.management.ManagementFactory")
                    .getMethod("getThreadMXBean")
                    .invoke(null);
            BYTES = Class.forName("com.sun.management.ThreadMXBean").getMethod("getCurrentThreadAllocatedBytes");
            NANOSECONDS = Class.forName("java.lang.management.ThreadMXBean").getMethod("getCurrentThreadCpuTime");
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private Spent() {}

    /** Bytes allocated so far. */
    static long bytes() {
        return ask(BYTES);
    }

    /** Nanoseconds of processor time so far. */
    static long nanoseconds() {
        return ask(NANOSECONDS);
    }

    private static long ask(Method method) {
        try {
            return (long) method.invoke(BEAN);
        } catch (ReflectiveOperationException e) {
            throw new LinkageError(e.getMessage(), e);
        }
    }
}
