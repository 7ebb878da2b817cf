package dev.slate.kvm.hyperv;

import dev.slate.kvm.Errno;
import dev.slate.kvm.host.EventFd;
import java.util.Arrays;

/**
 * Connections of a partition whose events go to a counter of the client's ({@code KVM_HYPERV_EVENTFD}).
 *
 * <p>Thread-safe. A table is immutable and replaced as a whole: a guest that signals takes no lock.
 */
final class EventConnections {
    private record Table(int[] ids, EventFd[] counters) {}

    private volatile Table table = new Table(new int[0], new EventFd[0]);

    /** Signals of a connection add to {@code counter}, which this keeps. @throws dev.slate.kvm.KvmException EEXIST: it is taken */
    synchronized void assign(int connection, EventFd counter) {
        Table t = table;
        int at = Arrays.binarySearch(t.ids, connection);
        if (at >= 0) {
            throw Errno.EEXIST.raise();
        }
        int place = -at - 1;
        int n = t.ids.length;
        int[] ids = new int[n + 1];
        EventFd[] counters = new EventFd[n + 1];
        System.arraycopy(t.ids, 0, ids, 0, place);
        System.arraycopy(t.counters, 0, counters, 0, place);
        ids[place] = connection;
        counters[place] = counter;
        System.arraycopy(t.ids, place, ids, place + 1, n - place);
        System.arraycopy(t.counters, place, counters, place + 1, n - place);
        table = new Table(ids, counters);
    }

    /** @throws dev.slate.kvm.KvmException ENOENT */
    synchronized void deassign(int connection) {
        Table t = table;
        int at = Arrays.binarySearch(t.ids, connection);
        if (at < 0) {
            throw Errno.ENOENT.raise();
        }
        int n = t.ids.length - 1;
        int[] ids = Arrays.copyOf(t.ids, n);
        EventFd[] counters = Arrays.copyOf(t.counters, n);
        System.arraycopy(t.ids, at + 1, ids, at, n - at);
        System.arraycopy(t.counters, at + 1, counters, at, n - at);
        table = new Table(ids, counters);
        t.counters[at].close();
    }

    /** Whether somebody waited for it. */
    boolean signal(int connection) {
        Table t = table;
        int at = Arrays.binarySearch(t.ids, connection);
        if (at < 0) {
            return false;
        }
        t.counters[at].signal();
        return true;
    }

    synchronized void close() {
        for (EventFd counter : table.counters) {
            counter.close();
        }
        table = new Table(new int[0], new EventFd[0]);
    }
}
