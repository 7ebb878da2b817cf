package dev.slate.debug.gdb;

import dev.slate.debug.ClientMemory;
import dev.slate.kvm.Kvm;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.util.concurrent.CountDownLatch;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Serves gdb's remote protocol on a port of the loopback interface, one debugger at a time, for all vCPUs of a {@link Kvm}. Listens from
 * the first KVM_RUN on: before that there is nothing to see, and gdb tries again while it is refused.
 */
public final class GdbServer {
    private final Debugger debugger;
    private final ServerSocket socket;
    private final Consumer<String> say;
    private final Runnable kill;
    private final CountDownLatch ran = new CountDownLatch(1);
    private volatile int listening;
    private volatile @Nullable GdbSession session;

    private GdbServer(ServerSocket socket, boolean halted, ClientMemory client, Consumer<String> say, Runnable kill) {
        this.debugger = new Debugger(client, new Told(), halted);
        this.socket = socket;
        this.say = say;
        this.kill = kill;
    }

    /**
     * Watches every vCPU that {@code kvm} makes from here on. Its thread is made at once, with the caller's signal mask: every signal
     * should be blocked.
     *
     * @param port 1..65535; 0: any that is free ({@link #port})
     * @param halted whether the guest waits for a debugger at its first KVM_RUN
     * @param say one line to the user
     * @param kill ends the process at a debugger's wish
     * @throws IOException the port can't be had
     */
    public static GdbServer start(
            Kvm kvm, int port, boolean halted, ClientMemory client, Consumer<String> say, Runnable kill)
            throws IOException {
        ServerSocket socket = new ServerSocket();
        socket.setReuseAddress(true);
        socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        GdbServer server = new GdbServer(socket, halted, client, say, kill);
        kvm.observeWith(server.debugger::observe);
        Thread thread = new Thread(null, server::serve, "slate-gdb", 512 * 1024);
        thread.setDaemon(true);
        thread.start();
        return server;
    }

    /** The port that is listened on; 0 before the first KVM_RUN. */
    public int port() {
        return listening;
    }

    /** The client ends: the debugger hears of it. */
    public void clientExits() {
        GdbSession s = session;
        if (s != null) {
            s.clientExits();
        }
    }

    private final class Told implements Debugger.Listener {
        @Override
        public void firstRun() {
            ran.countDown();
        }

        @Override
        public void stopped(VcpuDebug who, Stop why) {
            GdbSession s = session;
            if (s != null) {
                s.stopped(who, why);
            }
        }
    }

    private void serve() {
        try {
            ran.await();
            try (socket) {
                listening = socket.getLocalPort();
                say.accept("slate: gdb: " + (debugger.halted() ? "the guest waits" : "listening")
                        + "; in gdb: target remote :" + listening);
                for (; ; ) {
                    serve(socket.accept());
                }
            }
        } catch (IOException e) {
            say.accept("slate: gdb: " + e.getMessage() + "; the guest goes on without a debugger");
            debugger.detach();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void serve(Socket connection) {
        try (connection) {
            connection.setTcpNoDelay(true);
            PacketStream stream = new PacketStream(connection.getInputStream(), connection.getOutputStream());
            // gdb expects a target that stands still.
            debugger.hold();
            GdbSession s = new GdbSession(debugger, stream, kill);
            session = s;
            s.serve();
        } catch (SocketException | java.io.EOFException e) {
            say.accept("slate: gdb: the debugger is gone; the guest goes on");
        } catch (IOException e) {
            say.accept("slate: gdb: " + e.getMessage() + "; the connection is closed, the guest goes on");
        } finally {
            session = null;
            debugger.detach();
        }
    }
}
