package dev.slate.cli;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Where {@code slate stat} draws: a terminal, whose keys come one by one meanwhile and which is put back at the end, however that comes;
 * or anything else, where pictures follow one another.
 */
final class StatScreen implements AutoCloseable {
    private static final int POLL_MILLIS = 50;
    private static final int USUAL_ROWS = 24;

    private final boolean terminal;
    private final String settings;
    private final PrintStream out = new PrintStream(
            new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16), false, StandardCharsets.UTF_8);
    private final Thread hook = new Thread(this::restore);
    private boolean restored;

    private StatScreen(boolean terminal, String settings) {
        this.terminal = terminal;
        this.settings = settings;
    }

    /** @param picture whether pictures are drawn rather than lines printed */
    static StatScreen open(boolean picture) throws IOException {
        String settings =
                picture && System.console() != null && System.console().isTerminal() ? stty("-g") : "";
        StatScreen screen = new StatScreen(!settings.isEmpty(), settings);
        if (screen.terminal) {
            Runtime.getRuntime().addShutdownHook(screen.hook);
            stty("-icanon", "-echo", "min", "0", "time", "0");
            screen.out.print("\033[?1049h\033[?25l");
        }
        return screen;
    }

    private static String stty(String... arguments) throws IOException {
        List<String> command = new java.util.ArrayList<>(List.of("stty"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command)
                .redirectInput(ProcessBuilder.Redirect.INHERIT)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).strip();
        try {
            return process.waitFor() == 0 ? said : "";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }

    /** Whether somebody watches. */
    boolean terminal() {
        return terminal;
    }

    /** Lines that fit. */
    int rows() throws IOException {
        if (!terminal) {
            return Integer.MAX_VALUE;
        }
        String[] size = stty("size").split(" ");
        return size.length == 2 && !size[0].equals("0") ? Integer.parseInt(size[0]) : USUAL_ROWS;
    }

    PrintStream begin() {
        if (terminal) {
            out.print("\033[H\033[J");
        }
        return out;
    }

    void end() {
        out.flush();
    }

    /** Waits; false when the person at the terminal wants to leave. */
    boolean sleep(long millis) throws IOException {
        long end = System.nanoTime() + millis * 1_000_000;
        while (System.nanoTime() - end < 0) {
            try {
                Thread.sleep(Math.min(POLL_MILLIS, millis));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return false;
            }
            while (terminal && System.in.available() > 0) {
                int key = System.in.read();
                if (key == 'q' || key == 'Q' || key == 3 || key == 4) {
                    return false;
                }
            }
            if (out.checkError()) {
                return false; // nobody reads any more
            }
        }
        return true;
    }

    private synchronized void restore() {
        if (terminal && !restored) {
            restored = true;
            out.print("\033[?25h\033[?1049l");
            out.flush();
            try {
                stty(settings);
            } catch (IOException e) {
                // There is nothing to put the terminal back with.
            }
        }
    }

    @Override
    public void close() {
        restore();
        if (terminal) {
            Runtime.getRuntime().removeShutdownHook(hook);
        }
        out.flush();
    }
}
