package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Finds the members that are locks, by the names of their types. */
public final class Locks {
    private static final Set<String> NAMES = Set.of(
            "mutex",
            "rt_mutex",
            "ww_mutex",
            "spinlock",
            "spinlock_t",
            "raw_spinlock",
            "raw_spinlock_t",
            "arch_spinlock_t",
            "rwlock_t",
            "arch_rwlock_t",
            "qspinlock",
            "qrwlock",
            "rw_semaphore",
            "semaphore",
            "percpu_rw_semaphore",
            "seqlock_t",
            "local_lock_t",
            "pthread_mutex_t",
            "pthread_rwlock_t",
            "pthread_spinlock_t",
            "recursive_mutex",
            "shared_mutex",
            "timed_mutex");

    private Locks() {}

    /** Whether a type is a lock, by its own name or that of a typedef on the way to it. */
    public static boolean isLock(@Nullable Type type) {
        Type at = type;
        for (int steps = 0; at != null && steps < 64; steps++) {
            String name = at.name();
            if (name != null) {
                if (NAMES.contains(name)) return true;
                // Rust's futex mutexes and the lock types of other libraries.
                String lower = name.toLowerCase(Locale.ROOT);
                if (at instanceof Aggregate
                        && (lower.equals("reentrantlock")
                                || lower.startsWith("mutex<")
                                || lower.startsWith("rwlock<"))) {
                    return true;
                }
            }
            at = switch (at) {
                case TypedefType t -> t.target();
                case QualifiedType q -> q.target();
                default -> null;
            };
        }
        return false;
    }

    /** The locks of an aggregate and of the structs in it; a lock's own insides are not looked at. */
    public static List<Flat> of(Aggregate aggregate) {
        List<Flat> found = new ArrayList<>();
        long insideUntil = -1;
        for (Flat flat : Flat.deep(aggregate)) {
            if (flat.bitOffset() < insideUntil) continue;
            if (!isLock(flat.member().type())) continue;
            found.add(flat);
            insideUntil = flat.bitOffset() + flat.bits();
        }
        return found;
    }
}
