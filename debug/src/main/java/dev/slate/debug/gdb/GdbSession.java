package dev.slate.debug.gdb;

import dev.slate.cpu.CpuState;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** One connected debugger: from each packet to its answer (gdb manual, appendix E.2). One thread; {@link #stopped} from any. */
final class GdbSession {
    private static final String OK = "OK";
    /** Errors carry a number that gdb only shows. */
    private static final String FAILED = "E01";

    private static final String NO_THREAD = "E03";
    private static final String UNSUPPORTED = "";
    private static final HexFormat HEX = HexFormat.of();

    private final Debugger debugger;
    private final PacketStream stream;
    private final Monitor monitor;
    private final Runnable kill;

    /** The thread that registers and memory are asked of (Hg). */
    private int general;
    /** The thread that c and s mean (Hc): 0 and -1 are all. */
    private int control = -1;

    private boolean detached;
    /** The guest has been stopped since the last packet. */
    private volatile boolean unsettled = true;

    GdbSession(Debugger debugger, PacketStream stream, Runnable kill) {
        this.debugger = debugger;
        this.stream = stream;
        this.monitor = new Monitor(debugger);
        this.kill = kill;
    }

    /** Serves until the debugger leaves. @throws IOException it is gone */
    void serve() throws IOException {
        while (!detached) {
            byte[] packet = stream.read();
            if (packet == PacketStream.INTERRUPT) {
                debugger.interrupt();
                continue;
            }
            settle();
            String text = new String(packet, StandardCharsets.ISO_8859_1);
            String answer;
            try {
                answer = answer(text, packet);
            } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
                answer = FAILED; // numbers that are none, bytes that are missing
            }
            if (answer != null) {
                send(answer);
            }
            if (text.equals("QStartNoAckMode")) {
                stream.acknowledgeNoMore();
            }
        }
    }

    /** What a debugger asks behind a stop is asked of a guest that stands still: waits for the vCPUs that are still on their way out. */
    private void settle() {
        if (unsettled) {
            unsettled = false;
            for (VcpuDebug v : debugger.vcpus()) {
                v.inspect(s -> {});
            }
        }
    }

    private void send(String answer) throws IOException {
        stream.send(answer.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** Tells the debugger that the guest stands still. Failures are the reading side's to notice. */
    void stopped(VcpuDebug who, Stop why) {
        general = who.thread;
        unsettled = true;
        if (!why.note().isEmpty()) {
            tell("O" + HexFormat.of().formatHex(why.note().getBytes(StandardCharsets.US_ASCII)));
        }
        tell(stopReply(who, why));
    }

    /** The client has ended. */
    void clientExits() {
        tell("W00");
    }

    private void tell(String text) {
        try {
            send(text);
        } catch (IOException e) {
            // read() fails too, and ends the session.
        }
    }

    private static String stopReply(VcpuDebug who, Stop why) {
        return String.format("T%02xthread:%x;%s", why.signal(), who.thread, why.detail());
    }

    // ------------------------------------------------------------------ packets

    /** The answer, empty for what is not known; null: none, or it comes when the guest stops. */
    private @Nullable String answer(String p, byte[] packet) {
        if (p.isEmpty()) {
            return UNSUPPORTED;
        }
        String rest = p.substring(1);
        switch (p.charAt(0)) {
            case '?' -> {
                List<VcpuDebug> all = debugger.vcpus();
                return all.isEmpty() ? "W00" : stopReply(current(all), Stop.STEPPED);
            }
            case 'q', 'Q' -> {
                return query(p);
            }
            case 'H' -> {
                int thread = thread(rest.substring(1));
                if (thread > 0 && debugger.thread(thread) == null) {
                    return NO_THREAD;
                }
                if (rest.charAt(0) == 'g') {
                    general = thread;
                } else {
                    control = thread;
                }
                return OK;
            }
            case 'T' -> {
                return debugger.thread(thread(rest)) == null ? NO_THREAD : OK;
            }
            case 'g' -> {
                return readRegisters(0, Registers.COUNT);
            }
            case 'p' -> {
                int number = Integer.parseInt(rest, 16);
                return number < 0 || number >= Registers.COUNT ? FAILED : readRegisters(number, number + 1);
            }
            case 'G' -> {
                return writeRegisters(0, Registers.COUNT, HEX.parseHex(rest));
            }
            case 'P' -> {
                int eq = rest.indexOf('=');
                int number = Integer.parseInt(rest.substring(0, eq), 16);
                if (number < 0 || number >= Registers.COUNT) {
                    return FAILED;
                }
                return writeRegisters(number, number + 1, HEX.parseHex(rest.substring(eq + 1)));
            }
            case 'm' -> {
                String[] part = rest.split(",");
                return readMemory(Long.parseUnsignedLong(part[0], 16), Integer.parseInt(part[1], 16));
            }
            case 'M', 'X' -> {
                int comma = rest.indexOf(',');
                int colon = rest.indexOf(':');
                long address = Long.parseUnsignedLong(rest.substring(0, comma), 16);
                int bytes = Integer.parseInt(rest.substring(comma + 1, colon), 16);
                byte[] data = p.charAt(0) == 'M'
                        ? HEX.parseHex(rest.substring(colon + 1))
                        : Arrays.copyOfRange(packet, colon + 2, packet.length);
                return data.length == bytes ? writeMemory(address, data) : FAILED;
            }
            case 'Z', 'z' -> {
                return point(p);
            }
            case 'c', 'C', 's', 'S' -> {
                int action = Character.toLowerCase(p.charAt(0)) == 's' ? Debugger.Plan.STEP : Debugger.Plan.GO;
                int only = control > 0 ? control : action == Debugger.Plan.STEP ? general : 0;
                debugger.resume(v -> only > 0 && v.thread != only ? Debugger.Plan.HOLD : action);
                return null;
            }
            case 'v' -> {
                return verbose(p);
            }
            case 'D' -> {
                detached = true;
                debugger.detach();
                return OK;
            }
            case 'k' -> {
                kill.run();
                return null;
            }
            default -> {
                return UNSUPPORTED;
            }
        }
    }

    private static int thread(String text) {
        return text.equals("-1") ? -1 : Integer.parseInt(text, 16);
    }

    private VcpuDebug current(List<VcpuDebug> all) {
        for (VcpuDebug v : all) {
            if (v.thread == general) {
                return v;
            }
        }
        general = all.getFirst().thread;
        return all.getFirst();
    }

    private @Nullable VcpuDebug current() {
        List<VcpuDebug> all = debugger.vcpus();
        return all.isEmpty() ? null : current(all);
    }

    private @Nullable String query(String p) {
        if (p.startsWith("qSupported")) {
            return "PacketSize=" + Integer.toHexString(PacketStream.MOST_BYTES)
                    + ";QStartNoAckMode+;qXfer:features:read+;swbreak+;hwbreak+;vContSupported+";
        }
        if (p.equals("QStartNoAckMode")) {
            return OK;
        }
        if (p.startsWith("qXfer:features:read:target.xml:")) {
            String[] part =
                    p.substring("qXfer:features:read:target.xml:".length()).split(",");
            String xml = Registers.description();
            int from = Math.min(Integer.parseInt(part[0], 16), xml.length());
            int to = Math.min(from + Integer.parseInt(part[1], 16), xml.length());
            return (to == xml.length() ? "l" : "m") + xml.substring(from, to);
        }
        if (p.equals("qC")) {
            VcpuDebug v = current();
            return v == null ? FAILED : "QC" + Integer.toHexString(v.thread);
        }
        if (p.equals("qfThreadInfo")) {
            StringBuilder all = new StringBuilder();
            for (VcpuDebug v : debugger.vcpus()) {
                all.append(all.isEmpty() ? 'm' : ',').append(Integer.toHexString(v.thread));
            }
            return all.isEmpty() ? "l" : all.toString();
        }
        if (p.equals("qsThreadInfo")) {
            return "l";
        }
        if (p.startsWith("qThreadExtraInfo,")) {
            VcpuDebug v = debugger.thread(thread(p.substring("qThreadExtraInfo,".length())));
            return v == null ? NO_THREAD : hex(v.name());
        }
        if (p.startsWith("qRcmd,")) {
            String command = new String(HEX.parseHex(p.substring("qRcmd,".length())), StandardCharsets.ISO_8859_1);
            return hex(monitor.answer(command.strip(), current()));
        }
        if (p.startsWith("qSymbol")) {
            return OK;
        }
        if (p.equals("qAttached") || p.startsWith("qAttached:")) {
            return "1"; // quitting gdb detaches, and the client goes on
        }
        return UNSUPPORTED;
    }

    private static String hex(String text) {
        return HEX.formatHex(text.getBytes(StandardCharsets.UTF_8));
    }

    private @Nullable String verbose(String p) {
        if (p.equals("vCont?")) {
            return "vCont;c;C;s;S";
        }
        if (p.startsWith("vCont;")) {
            int[] threads = new int[p.length()];
            int[] actions = new int[p.length()];
            int n = 0;
            for (String action : p.substring("vCont;".length()).split(";")) {
                char what = action.toLowerCase(Locale.ROOT).charAt(0);
                if (what != 'c' && what != 's') {
                    return FAILED;
                }
                int colon = action.indexOf(':');
                threads[n] = colon < 0 ? -1 : thread(action.substring(colon + 1));
                actions[n++] = what == 's' ? Debugger.Plan.STEP : Debugger.Plan.GO;
            }
            int count = n;
            debugger.resume(v -> {
                // The first action that fits a thread is the one meant.
                for (int i = 0; i < count; i++) {
                    if (threads[i] <= 0 || threads[i] == v.thread) {
                        return actions[i];
                    }
                }
                return Debugger.Plan.HOLD;
            });
            return null;
        }
        if (p.startsWith("vKill")) {
            tell(OK);
            kill.run();
            return null;
        }
        return UNSUPPORTED;
    }

    // ------------------------------------------------------------------ registers, memory, breakpoints

    private String readRegisters(int from, int to) {
        VcpuDebug v = current();
        StringBuilder out = new StringBuilder();
        boolean done = v != null
                && v.inspect(s -> {
                    byte[] value = new byte[Registers.LARGEST];
                    for (int i = from; i < to; i++) {
                        out.append(HEX.formatHex(value, 0, Registers.read(s, i, value)));
                    }
                });
        return done ? out.toString() : FAILED;
    }

    private String writeRegisters(int from, int to, byte[] values) {
        VcpuDebug v = current();
        boolean[] good = {true};
        boolean done = v != null
                && v.inspect(s -> {
                    int at = 0;
                    for (int i = from; i < to && at + Registers.bytes(i) <= values.length; i++) {
                        good[0] &= Registers.write(s, i, values, at);
                        at += Registers.bytes(i);
                    }
                    good[0] &= at == values.length;
                });
        return done && good[0] ? OK : FAILED;
    }

    private String readMemory(long address, int bytes) {
        VcpuDebug v = current();
        if (v == null || bytes < 0 || bytes > PacketStream.MOST_BYTES / 2) {
            return FAILED;
        }
        byte[] data = new byte[bytes];
        int[] got = new int[1];
        boolean done = v.inspect((CpuState s) -> got[0] = v.memory(s).read(address, data, bytes));
        return done && (got[0] > 0 || bytes == 0) ? HEX.formatHex(data, 0, got[0]) : FAILED;
    }

    private String writeMemory(long address, byte[] data) {
        VcpuDebug v = current();
        int[] written = new int[1];
        boolean done =
                v != null && v.inspect((CpuState s) -> written[0] = v.memory(s).write(address, data, data.length));
        // What has become code for one vCPU may be in the decoded blocks of every other.
        for (VcpuDebug other : debugger.vcpus()) {
            if (other != v) {
                other.inspect(s -> {});
            }
        }
        return done && written[0] == data.length ? OK : FAILED;
    }

    private String point(String p) {
        String[] part = p.substring(1).split("[,;]");
        int type = Integer.parseInt(part[0]);
        if (type < 0 || type > Breakpoints.ACCESS) {
            return UNSUPPORTED;
        }
        long bytes = type > Breakpoints.HARDWARE ? Long.parseLong(part[2], 16) : 1;
        if (bytes <= 0) {
            return FAILED;
        }
        Breakpoints.Point point = new Breakpoints.Point(type, Long.parseUnsignedLong(part[1], 16), bytes);
        Breakpoints now = debugger.breakpoints;
        debugger.change(p.charAt(0) == 'Z' ? now.with(point) : now.without(point));
        return OK;
    }
}
