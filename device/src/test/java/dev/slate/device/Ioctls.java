package dev.slate.device;

import java.lang.reflect.Field;
import java.util.Map;
import java.util.TreeMap;

/** The rows of {@link Ioctl}, for tests of other packages. */
public final class Ioctls {
    private Ioctls() {}

    /** Every ioctl's name, without KVM_, and number. */
    public static Map<String, Integer> numbers() {
        Map<String, Integer> all = new TreeMap<>();
        for (Field field : Ioctl.class.getDeclaredFields()) {
            if (field.getType() == int.class) {
                try {
                    all.put(field.getName(), field.getInt(null));
                } catch (IllegalAccessException e) {
                    throw new AssertionError(e);
                }
            }
        }
        return all;
    }
}
