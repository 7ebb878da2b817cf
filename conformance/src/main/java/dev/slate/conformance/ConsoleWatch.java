package dev.slate.conformance;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Looks for texts in what a machine prints while it prints, so that they are found in an output of any length, on a line that is not ended
 * yet (a prompt), and through the escape sequences with which a terminal is painted. One thread feeds it; any may ask.
 */
final class ConsoleWatch {
    /** Of a line that does not end. */
    private static final int LONGEST_LINE = 4096;

    private static final int ESCAPE = 0x1b;

    private final List<String> missing;
    private final CompletableFuture<Void> complete = new CompletableFuture<>();
    private final byte[] line = new byte[LONGEST_LINE];
    private int length;
    /** 0 outside of an escape sequence, 1 behind ESC, 2 behind ESC [. */
    private int escape;

    ConsoleWatch(List<String> wanted) {
        missing = new ArrayList<>(wanted);
        if (missing.isEmpty()) {
            complete.complete(null);
        }
    }

    /** Takes the next bytes of the output. */
    synchronized void add(byte[] bytes, int n) {
        for (int i = 0; i < n && !missing.isEmpty(); i++) {
            add(bytes[i]);
        }
        look();
    }

    private void add(byte b) {
        if (escape > 0 && b >= ' ') {
            inEscape(b);
            return;
        }
        escape = b == ESCAPE ? 1 : 0; // what is no character ends a sequence
        if (b == ESCAPE) {
            return;
        }
        if (b == '\n' || b == '\r') {
            look();
            length = 0;
        } else {
            if (length == LONGEST_LINE) {
                look();
                // A text that lies across the edge stays whole.
                System.arraycopy(line, LONGEST_LINE / 2, line, 0, LONGEST_LINE / 2);
                length = LONGEST_LINE / 2;
            }
            line[length++] = b;
        }
    }

    /** A control sequence ends with a byte from @ to ~ (ECMA-48, 5.4); of the others those with one letter are passed over. */
    private void inEscape(byte b) {
        if (escape == 1) {
            escape = b == '[' ? 2 : 0;
        } else if (b >= '@' && b <= '~') {
            escape = 0;
        }
    }

    private void look() {
        if (missing.isEmpty()) {
            return;
        }
        String text = new String(line, 0, length, StandardCharsets.UTF_8);
        missing.removeIf(text::contains);
        if (missing.isEmpty()) {
            complete.complete(null);
        }
    }

    /** The texts that were not seen yet. */
    synchronized List<String> missing() {
        return List.copyOf(missing);
    }

    /** Done when all was seen. */
    CompletableFuture<Void> complete() {
        return complete;
    }
}
