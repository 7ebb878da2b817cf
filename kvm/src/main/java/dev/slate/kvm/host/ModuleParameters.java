package dev.slate.kvm.host;

import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/**
 * Parameters of kvm.ko that can be written while VMs run ({@code /sys/module/kvm/parameters}): those of NX huge pages, which are large
 * mappings that the guest cannot execute from, because a processor with the iTLB multihit erratum would hang.
 *
 * <p>Thread-safe. Here they belong to the process and start with its knobs.
 */
public final class ModuleParameters {
    private static final String NX = "kvm.nx_huge_pages";
    private static final String RATIO = "kvm.nx_huge_pages_recovery_ratio";
    private static final String PERIOD = "kvm.nx_huge_pages_recovery_period_ms";
    private static final long HOUR_MILLIS = 3_600_000;
    private static final long MOST_AN_HOUR = 3600;

    /** Hears of changes. Called with this object's lock held. */
    public interface Listener {
        /** Something was written. @param nxChanged whether NX huge pages were switched; else when to recover has changed */
        void parametersChanged(boolean nxChanged);
    }

    private final List<Listener> listeners = new CopyOnWriteArrayList<>();
    private volatile boolean nxHugePages;
    private boolean never;
    private volatile long ratio;
    private volatile long periodMillis;

    /** Starts with the knobs' values. */
    public ModuleParameters(Knobs knobs) {
        nxHugePages = knobs.on(Knobs.NX_HUGE_PAGES);
        ratio = knobs.number(Knobs.NX_HUGE_PAGES_RECOVERY_RATIO);
        periodMillis = knobs.number(Knobs.NX_HUGE_PAGES_RECOVERY_PERIOD_MS);
    }

    /** Tells of changes from here on. */
    public void add(Listener listener) {
        listeners.add(listener);
    }

    /** No more. */
    public void remove(Listener listener) {
        listeners.remove(listener);
    }

    /** Whether large pages are mapped without execution. */
    public boolean nxHugePages() {
        return nxHugePages;
    }

    /** Of the split pages one in so many is recovered each time; 0: none is. */
    public int recoveryRatio() {
        return (int) Math.min(ratio, Integer.MAX_VALUE);
    }

    /** Time from one recovery to the next in milliseconds; 0: nothing is recovered. Without a period, all of them within an hour. */
    public long recoveryMillis() {
        long r = ratio;
        if (!nxHugePages || r == 0) {
            return 0;
        }
        long period = periodMillis;
        return period != 0 ? period : HOUR_MILLIS / Math.min(r, MOST_AN_HOUR);
    }

    /** The parameter's text as sysfs shows it; null: it is none of these. @param name with its module, {@code kvm.nx_huge_pages} */
    public @Nullable String text(String name) {
        return switch (name) {
            case NX -> never ? "never\n" : nxHugePages ? "Y\n" : "N\n";
            case RATIO -> ratio + "\n";
            case PERIOD -> periodMillis + "\n";
            default -> null;
        };
    }

    /**
     * Writes a parameter as sysfs does.
     *
     * @throws dev.slate.kvm.KvmException ENOENT: there is none of that name; EINVAL: no such value; ERANGE: more than 32 bits; EPERM: NX huge pages are off
     *     for good; EBUSY: they cannot be while there are VMs
     */
    public synchronized void write(String name, String value) {
        String v = value.endsWith("\n") ? value.substring(0, value.length() - 1) : value;
        switch (name) {
            case NX -> {
                requireNotNever();
                boolean on = nxHugePages(v);
                boolean changed = on != nxHugePages;
                nxHugePages = on;
                if (changed) {
                    tell(true);
                }
            }
            case RATIO -> {
                requireNotNever();
                ratio = number(v);
                tell(false);
            }
            case PERIOD -> {
                requireNotNever();
                periodMillis = number(v);
                tell(false);
            }
            default -> throw Errno.ENOENT.raise();
        }
    }

    private boolean nxHugePages(String v) {
        return switch (v) {
            case "force" -> true;
            // "auto": the processor here has no such erratum.
            case "off", "auto" -> false;
            case "never" -> {
                if (!listeners.isEmpty()) {
                    throw Errno.EBUSY.raise();
                }
                never = true;
                yield false;
            }
            default -> bool(v);
        };
    }

    /** As {@code kstrtobool}, which looks at one character, or two behind an "o". */
    private static boolean bool(String v) {
        if (v.isEmpty()) {
            throw Errno.EINVAL.raise();
        }
        return switch (Character.toLowerCase(v.charAt(0))) {
            case 'y', 't', '1' -> true;
            case 'n', 'f', '0' -> false;
            case 'o' -> {
                char second = v.length() > 1 ? Character.toLowerCase(v.charAt(1)) : 0;
                if (second != 'n' && second != 'f') {
                    throw Errno.EINVAL.raise();
                }
                yield second == 'n';
            }
            default -> throw Errno.EINVAL.raise();
        };
    }

    /** As {@code kstrtouint} with base 0: decimal, 0x… or 0…. */
    private static long number(String v) {
        String digits = v.startsWith("+") ? v.substring(1) : v;
        try {
            boolean hex = digits.startsWith("0x") || digits.startsWith("0X");
            boolean octal = !hex && digits.length() > 1 && digits.startsWith("0");
            if (digits.startsWith("-") || digits.startsWith("+")) {
                throw Errno.EINVAL.raise();
            }
            long n = hex ? Long.parseLong(digits.substring(2), 16) : Long.parseLong(digits, octal ? 8 : 10);
            if (n < 0 || n > 0xffff_ffffL) {
                throw Errno.ERANGE.raise();
            }
            return n;
        } catch (NumberFormatException e) {
            throw Errno.EINVAL.raise();
        }
    }

    private void requireNotNever() {
        if (never) {
            throw Errno.EPERM.raise();
        }
    }

    private void tell(boolean nxChanged) {
        for (Listener l : listeners) {
            l.parametersChanged(nxChanged);
        }
    }
}
