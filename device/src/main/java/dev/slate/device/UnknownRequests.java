package dev.slate.device;

import dev.slate.kvm.Errno;
import java.lang.reflect.Field;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Requests that KVM has not: they get KVM's errno. Where one differs from a request of KVM's by the size of its structure alone, a line
 * says so, once: C++ makes such requests of headers that are right for C.
 */
final class UnknownRequests {
    // _IOC in asm-generic/ioctl.h.
    private static final int SIZE_SHIFT = 16;
    private static final int SIZE_MASK = 0x3fff;

    /** A client that tries every number fills neither memory nor its standard error. */
    private static final int MOST_LINES = 8;

    private static final Set<Integer> SAID = ConcurrentHashMap.newKeySet();

    private UnknownRequests() {}

    /** Gives the errno, negative. */
    static long refuse(int request, Errno errno) {
        if (size(request) != 0 && SAID.size() < MOST_LINES) {
            Field meant = meant(request);
            if (meant != null && SAID.add(request)) {
                Device.say(line(request, meant, errno));
            }
        }
        return -errno.number();
    }

    private static int size(int request) {
        return request >>> SIZE_SHIFT & SIZE_MASK;
    }

    /** The request of the same number and direction, null where there is none or where the size is right. */
    private static @Nullable Field meant(int request) {
        Field found = null;
        for (Field field : Ioctl.class.getDeclaredFields()) {
            int known = number(field);
            if (known == request) {
                return null;
            }
            if (known != 0 && (known ^ request) << 32 - SIZE_SHIFT == 0 && (known ^ request) >>> SIZE_SHIFT + 14 == 0) {
                found = field;
            }
        }
        return found;
    }

    private static int number(Field field) {
        try {
            return field.getType() == int.class ? field.getInt(null) : 0;
        } catch (IllegalAccessException e) {
            return 0;
        }
    }

    private static String line(int request, Field meant, Errno errno) {
        int known = number(meant);
        return "slate: request 0x" + Integer.toHexString(request) + " is KVM_" + meant.getName()
                + " with a structure of "
                + size(request) + " bytes where KVM's has " + size(known) + ": it fails with " + errno + ", as on KVM. "
                + "C++ makes a structure that ends in a flexible array larger than C does, and shifts the array: build that file as C, or"
                + " use 0x" + Integer.toHexString(known) + " and a structure of your own.";
    }
}
