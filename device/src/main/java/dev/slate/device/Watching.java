package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import dev.slate.debug.ClientMemory;
import dev.slate.debug.Heat;
import dev.slate.debug.HeatPlan;
import dev.slate.debug.Trace;
import dev.slate.debug.TraceOptions;
import dev.slate.debug.gdb.GdbServer;
import dev.slate.kvm.Kvm;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * What the client was started to be watched with: {@code slate trace}, {@code slate heat}, {@code slate run --gdb}. In an ordinary run three
 * environment variables are looked for.
 */
final class Watching {
    private static @Nullable Trace trace;
    private static @Nullable Heat heat;
    private static @Nullable HeatPlan heatPlan;
    private static @Nullable GdbServer gdb;

    /** The exit status of a client that a debugger killed: a shell's for SIGKILL. */
    private static final int KILLED = 128 + 9;

    private Watching() {}

    /** @throws IllegalArgumentException an option is wrong, or the log cannot be written */
    static void start(Kvm kvm) {
        String options = Native.environment("SLATE_TRACE");
        if (options != null) {
            trace(kvm, TraceOptions.parse(options));
        }
        String plan = Native.environment("SLATE_HEAT");
        if (plan != null) {
            heatPlan = HeatPlan.unpack(plan);
            heat = Heat.start(kvm, heatPlan, new Copies());
        }
        String port = Native.environment("SLATE_GDB");
        if (port != null) {
            try {
                gdb = GdbServer.start(
                        kvm,
                        port(port),
                        !"1".equals(Native.environment("SLATE_GDB_RUN")),
                        new Copies(),
                        Device::say,
                        () -> Native.quit(KILLED));
            } catch (IOException e) {
                throw new IllegalArgumentException("--gdb " + port + ": that port can't be listened on ("
                        + e.getMessage() + "); take another one, or 0 for one that is free");
            }
        }
    }

    private static int port(String text) {
        try {
            int port = Integer.parseInt(text);
            if (port >= 0 && port <= 65535) {
                return port;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new IllegalArgumentException(
                "--gdb " + text + ": a port from 1 to 65535 is wanted, or 0 for one that is free");
    }

    private static void trace(Kvm kvm, TraceOptions options) {
        String file = options.output();
        FileOutputStream out;
        try {
            out = file == null ? new FileOutputStream(FileDescriptor.err) : new FileOutputStream(file);
        } catch (IOException e) {
            throw new IllegalArgumentException("trace: --output " + file + ": " + e.getMessage());
        }
        trace = Trace.start(kvm, options, new Copies(), new OutputStreamWriter(out, StandardCharsets.US_ASCII));
    }

    /** The process ends. */
    static void exit() {
        Trace t = trace;
        if (t != null) {
            t.flush();
            String nothing = t.nothing();
            if (nothing != null) {
                Device.say("slate: " + nothing);
            }
        }
        writeHeat();
        GdbServer g = gdb;
        if (g != null) {
            g.clientExits();
        }
    }

    private static void writeHeat() {
        Heat h = heat;
        HeatPlan plan = heatPlan;
        if (h == null || plan == null) {
            return;
        }
        if (h.objects() > 0) {
            try (OutputStreamWriter out =
                    new OutputStreamWriter(new FileOutputStream(plan.output()), StandardCharsets.UTF_8)) {
                h.write(out);
            } catch (IOException e) {
                Device.say("slate: heat: " + plan.output() + " can't be written: " + e.getMessage());
            }
        }
        Device.say("slate: " + h.summary());
    }

    /** Copies through the shim, which survives a client that unmaps what is copied. */
    private static final class Copies implements ClientMemory {
        /** One page, for one copy at a time. */
        private final Scratch page = new Scratch(4096);

        private final long buffer = page.hva();

        @Override
        public synchronized boolean read(long hva, byte[] to, int offset, int bytes) {
            if (Native.copyIn(buffer, hva, bytes) != 0) {
                return false;
            }
            HostMemory.copyOut(buffer, to, offset, bytes);
            return true;
        }

        @Override
        public synchronized boolean write(long hva, byte[] from, int offset, int bytes) {
            HostMemory.copyIn(from, offset, buffer, bytes);
            return Native.copyOut(hva, buffer, bytes) == 0;
        }
    }
}
