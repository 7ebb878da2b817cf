package dev.slate.kvm.host;

import org.jspecify.annotations.Nullable;

/** A counter of a test's own: whoever listens is called by whoever adds. */
public final class FakeEventFd implements EventFd {
    private final long identity;
    public long count;
    public boolean closed;
    private @Nullable Listener listener;

    public FakeEventFd(long identity) {
        this.identity = identity;
    }

    @Override
    public void signal() {
        Listener l = listener;
        if (l == null) {
            count++;
        } else {
            count = 0;
            l.signalled();
        }
    }

    @Override
    public void listen(@Nullable Listener next) {
        listener = next;
        if (next != null && count != 0) {
            next.signalled();
        }
    }

    @Override
    public long identity() {
        return identity;
    }

    @Override
    public void close() {
        closed = true;
        listener = null;
    }
}
