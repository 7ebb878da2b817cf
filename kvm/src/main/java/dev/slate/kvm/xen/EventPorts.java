package dev.slate.kvm.xen;

import dev.slate.kvm.Errno;
import dev.slate.kvm.host.EventFd;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Where events go that a guest sends ({@code KVM_XEN_ATTR_TYPE_EVTCHN}): to a port of its own, or to a counter of the client's.
 *
 * <p>Thread-safe.
 */
final class EventPorts {
    /**
     * @param port to which the event is looped back; 0: {@code counter} is added to
     * @param vcpuId whose port it is
     */
    record Target(int type, int port, int vcpuId, @Nullable EventFd counter) {}

    private final Map<Integer, Target> targets = new ConcurrentHashMap<>();

    @Nullable
    Target of(int port) {
        return targets.get(port);
    }

    /** @throws dev.slate.kvm.KvmException EEXIST */
    void assign(int port, Target target) {
        if (targets.putIfAbsent(port, target) != null) {
            throw Errno.EEXIST.raise();
        }
    }

    void update(int port, Target target) {
        targets.replace(port, target);
    }

    /** @throws dev.slate.kvm.KvmException ENOENT */
    void deassign(int port) {
        Target gone = targets.remove(port);
        if (gone == null) {
            throw Errno.ENOENT.raise();
        }
        close(gone);
    }

    void reset() {
        for (Integer port : List.copyOf(targets.keySet())) {
            Target gone = targets.remove(port);
            if (gone != null) {
                close(gone);
            }
        }
    }

    private static void close(Target gone) {
        EventFd counter = gone.counter;
        if (counter != null) {
            counter.close();
        }
    }
}
