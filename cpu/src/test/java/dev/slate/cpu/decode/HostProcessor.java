package dev.slate.cpu.decode;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** What the host says of its own processor, in /proc/cpuinfo. */
public final class HostProcessor {
    private static final String FLAGS = " "
            + field("flags")
                    .replace(" abm ", " abm lzcnt ")
                    .replace(" sha_ni ", " sha_ni sha ")
                    .replace(" 3dnowprefetch ", " 3dnowprefetch prefetchw ")
                    .replace(" pni ", " pni sse3 ");

    private HostProcessor() {}

    private static String field(String name) {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
                if (line.startsWith(name + "\t") || line.startsWith(name + " ") || line.startsWith(name + ":")) {
                    return line.substring(line.indexOf(':') + 1).strip() + " ";
                }
            }
        } catch (IOException e) {
            // There is none: the host is not Linux, and the tests that ask say so.
        }
        return " ";
    }

    /** Whether it has a feature, by the name that /proc/cpuinfo gives it. */
    public static boolean has(String flag) {
        return FLAGS.contains(" " + flag + " ");
    }

    /** Whether Intel made it. */
    public static boolean intel() {
        return field("vendor_id").equals("GenuineIntel ");
    }

    /** How many bits its linear addresses can have: those of CPUID, whether or not the kernel uses them. */
    public static int linearBits() {
        // For instance "48 bits physical, 57 bits virtual".
        return field("address sizes").contains(" 57 bits virtual") ? 57 : 48;
    }

    /** Its maker, family, model and name, for messages. */
    public static String name() {
        return (field("model name") + "(" + field("vendor_id") + "family " + field("cpu family") + "model "
                                + field("model") + "stepping " + field("stepping"))
                        .strip()
                + ")";
    }

    /** Its features, as far as the table knows them, and {@link Feature#INTEL}. */
    public static long features() {
        long features = Feature.bit(Feature.BASE);
        for (var f : Feature.class.getFields()) {
            if (f.getType() == int.class && has(f.getName().toLowerCase(Locale.ROOT))) {
                try {
                    features |= Feature.bit(f.getInt(null));
                } catch (IllegalAccessException e) {
                    throw new IllegalStateException(e);
                }
            }
        }
        return intel() ? features | Feature.bit(Feature.INTEL) : features;
    }
}
