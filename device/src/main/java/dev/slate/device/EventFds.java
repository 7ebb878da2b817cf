package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.EventFd;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The client's eventfds, by descriptors of our own, and the thread that hears of additions to those that are listened to. It is a daemon,
 * started with the JVM, when all signals are blocked: none of the client's comes to it.
 */
final class EventFds {
    private static final int MOST_AT_ONCE = 64;

    private final int epoll;
    /** By descriptor; replaced when it grows, entries written under this object's lock. */
    private volatile @Nullable Counter[] listened = new Counter[64];

    EventFds() {
        epoll = Native.epollCreate();
        Thread thread = new Thread(null, this::loop, "slate-irqfd", 256 * 1024);
        thread.setDaemon(true);
        thread.start();
    }

    /** The client's eventfd. @throws dev.slate.kvm.KvmException EBADF; EINVAL: another kind of file; EMFILE */
    EventFd open(int clientFd) {
        int fd = Native.eventFd(clientFd);
        if (fd < 0) {
            throw Device.fromKernel(-fd).raise();
        }
        return new Counter(fd);
    }

    private final class Counter implements EventFd {
        private final int fd;
        private final long identity;
        private volatile boolean closed;

        // Guarded by this; held while the listener is called.
        private @Nullable Listener listener;
        /** What is in it was there before the listener and stays in. */
        private boolean early;

        Counter(int fd) {
            this.fd = fd;
            this.identity = Native.eventFdId(fd);
        }

        @Override
        public void signal() {
            if (!closed) {
                Native.eventFdSignal(fd);
            }
        }

        @Override
        public void listen(@Nullable Listener next) {
            synchronized (this) {
                if (next == null) {
                    if (listener != null) {
                        listener = null;
                        Native.epollControl(epoll, false, fd);
                    }
                    return;
                }
                listener = next;
                early = Native.eventFdPending(fd);
            }
            remember(fd, this);
            Native.epollControl(epoll, true, fd);
        }

        /** On the thread. */
        synchronized void added() {
            Listener l = listener;
            if (l == null) {
                return;
            }
            if (early) {
                early = false;
            } else {
                Native.eventFdDrain(fd);
            }
            l.signalled();
        }

        @Override
        public long identity() {
            return identity;
        }

        @Override
        public void close() {
            listen(null);
            if (!closed) {
                closed = true;
                remember(fd, null);
                Native.closeDescriptor(fd);
            }
        }
    }

    private synchronized void remember(int fd, @Nullable Counter counter) {
        @Nullable Counter[] table = listened;
        if (fd >= table.length) {
            if (counter == null) {
                return;
            }
            table = Arrays.copyOf(table, Math.max(fd + 1, 2 * table.length));
        }
        table[fd] = counter;
        listened = table;
    }

    private void loop() {
        long found = Native.map(4096, 4096);
        for (; ; ) {
            int n = Native.epollWait(epoll, found, MOST_AT_ONCE);
            for (int i = 0; i < n; i++) {
                int fd = HostMemory.get32(found + 4L * i);
                @Nullable Counter[] table = listened;
                Counter c = fd < table.length ? table[fd] : null;
                if (c != null) {
                    try {
                        c.added();
                    } catch (RuntimeException e) {
                        Device.bug("an irqfd", e);
                    }
                }
            }
            if (n < 0 && -n != Errno.EINTR.number()) {
                return;
            }
        }
    }
}
