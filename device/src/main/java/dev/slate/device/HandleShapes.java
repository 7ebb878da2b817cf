package dev.slate.device;

/**
 * Method handles of the shapes that the JDK makes while its access to foreign memory starts ({@code jdk.internal.foreign.Utils},
 * {@code LayoutPath}), for the AOT cache alone: nothing runs them.
 *
 * <p>Why: a direct method handle is executed by a small class for its shape (parameters and result, with all references alike). The
 * cache holds the classes that the method references of a cached class need, and none of those that the JDK asks for by reflection. So
 * without this each client's start writes, verifies and links ten classes, a quarter of its processor time. Where another JDK asks for
 * other shapes it makes them itself, as ever.
 */
@SuppressWarnings("UnusedMethod") // of the functional interfaces only the shape counts
final class HandleShapes {
    private HandleShapes() {}

    /** Never initialized, as the JDK's are not yet when it makes handles to them: those have shapes of their own. */
    private static final class Statics {
        static long ofReference(Object a) {
            return 0;
        }

        static Object ofLong(long a) {
            return Statics.class;
        }

        static long ofLongs(long a, long b) {
            return a;
        }

        static long ofFourLongs(long a, long b, long c, long d) {
            return a;
        }

        static void ofReferences(Object a, long b, Object c) {}
    }

    private interface Receiver {
        Object withLongs(long a, long b);

        Object withReference(long a, Object b);
    }

    private interface OfReference {
        long call(Object a);
    }

    private interface OfLong {
        Object call(long a);
    }

    private interface OfLongs {
        long call(long a, long b);
    }

    private interface OfFourLongs {
        long call(long a, long b, long c, long d);
    }

    private interface OfReferences {
        void call(Object a, long b, Object c);
    }

    private interface WithLongs {
        Object call(Receiver receiver, long a, long b);
    }

    private interface WithReference {
        Object call(Receiver receiver, long a, Object b);
    }

    /** The training run links the references. */
    static Object[] link() {
        OfReference ofReference = Statics::ofReference;
        OfLong ofLong = Statics::ofLong;
        OfLongs ofLongs = Statics::ofLongs;
        OfFourLongs ofFourLongs = Statics::ofFourLongs;
        OfReferences ofReferences = Statics::ofReferences;
        WithLongs withLongs = Receiver::withLongs;
        WithReference withReference = Receiver::withReference;
        return new Object[] {ofReference, ofLong, ofLongs, ofFourLongs, ofReferences, withLongs, withReference};
    }
}
