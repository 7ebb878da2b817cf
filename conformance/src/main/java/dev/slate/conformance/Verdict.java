package dev.slate.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Judges one run of a kselftest program or of a machine by what it left behind. A pure function of its inputs.
 *
 * @param outcome pass, skip or fail
 * @param reason why, in one line; empty for a pass
 */
record Verdict(Outcome outcome, String reason) {
    /** Exit status of a kselftest program that could not run its test (tools/testing/selftests/kselftest.h). */
    private static final int KSFT_SKIP = 4;

    private static final int LONGEST_REASON = 240;

    private static final String ASSERTION = "Test Assertion Failure";
    private static final Pattern ERRNO = Pattern.compile("pid=\\d+ tid=\\d+ errno=(\\d+) - (.*)");
    /** The stack goes through {@code cat -n}. */
    private static final Pattern STACK_LINE = Pattern.compile("\\s*\\d+\t.*|\\s*\\(stack trace .*");

    private static final Pattern SKIP_LINE = Pattern.compile("(?:.*# SKIP ?-? ?(.*))|(.*, skipping test.*)");
    private static final Pattern JVM_SIGNAL = Pattern.compile("#\\s+(SIG\\w+|Internal Error|fatal error).*");
    private static final String[] SIGNALS = {
        "0", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
        "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM"
    };

    /**
     * What a program left behind. {@code status} is as of a shell: 128 + number for a signal; unused after a time-out. {@code missing} are
     * the texts that it should have shown and did not.
     */
    record Evidence(
            Row row, int status, boolean timedOut, List<String> missing, List<String> output, Counters counters) {}

    static Verdict of(Evidence evidence) {
        List<String> output = evidence.output;
        Program program = evidence.row.program();
        String crash = jvmCrash(output);
        if (crash != null) {
            return fail(crash, output);
        }
        String unseen = evidence.missing.isEmpty() ? "" : ", '" + evidence.missing.getFirst() + "' was never shown";
        if (evidence.timedOut) {
            return fail("no result in " + evidence.row.limit().toSeconds() + " s" + unseen + lastSaid(output), output);
        }
        int assertion = indexOf(output, ASSERTION);
        // An assertion that fails while errno is EACCES ends with the status of a skip (lib/assert.c).
        if (assertion >= 0 && evidence.status != 0) {
            return fail(assertionText(output, assertion), output);
        }
        if (evidence.status == KSFT_SKIP && !program.machine()) {
            return skip(skipText(output));
        }
        if (evidence.status != program.status()) {
            return fail(statusText(evidence.status) + unseen + lastSaid(output), output);
        }
        if (!unseen.isEmpty()) {
            return fail("ended with its status, but" + unseen.substring(1) + lastSaid(output), output);
        }
        if (evidence.counters.ioctls() == 0) {
            return new Verdict(Outcome.FAIL, "passed, but Slate served no ioctl: it reached something else");
        }
        if (program.machine() && evidence.counters.exits() == 0) {
            return new Verdict(Outcome.FAIL, "passed, but no guest of Slate's ran: it reached something else");
        }
        return new Verdict(Outcome.PASS, "");
    }

    static Verdict skip(String reason) {
        return new Verdict(Outcome.SKIP, shorten(reason));
    }

    private static Verdict fail(String reason, List<String> output) {
        String slate = lastSlateLine(output);
        String whole = slate.isEmpty() || reason.contains(slate) ? reason : reason + " [" + slate + "]";
        return new Verdict(Outcome.FAIL, shorten(whole));
    }

    private static @org.jspecify.annotations.Nullable String jvmCrash(List<String> output) {
        int at = indexOf(output, "A fatal error has been detected by the Java Runtime Environment");
        if (at < 0) {
            return null;
        }
        for (String line : output.subList(at, output.size())) {
            if (JVM_SIGNAL.matcher(line).matches()) {
                return "the JVM crashed: " + line.substring(1).strip();
            }
        }
        return "the JVM crashed";
    }

    /**
     * The block that lib/assert.c prints: a headline, "file:line: expression", "pid= tid= errno= - text", the stack, the
     * message.
     */
    private static String assertionText(List<String> output, int headline) {
        List<String> parts = new ArrayList<>();
        String errno = "";
        for (String line : output.subList(headline + 1, Math.min(output.size(), headline + 40))) {
            String text = line.strip();
            Matcher matcher = ERRNO.matcher(text);
            if (matcher.matches()) {
                errno = " (errno " + matcher.group(1) + ")";
            } else if (!text.isEmpty() && !STACK_LINE.matcher(line).matches() && !isSlateLine(text)) {
                parts.add(text);
                if (parts.size() == 2) {
                    break;
                }
            }
        }
        return switch (parts.size()) {
            case 0 -> "assertion failed";
            case 1 -> parts.get(0) + errno;
            default -> parts.get(0) + errno + ": " + parts.get(1);
        };
    }

    private static String skipText(List<String> output) {
        for (String line : output.reversed()) {
            Matcher matcher = SKIP_LINE.matcher(line.strip());
            if (matcher.matches()) {
                String text = matcher.group(1) != null ? matcher.group(1) : matcher.group(2);
                if (!text.isBlank()) {
                    return text.strip();
                }
            }
        }
        String last = lastLine(output);
        return last.isEmpty() ? "the program gave no reason" : last;
    }

    private static String statusText(int status) {
        int signal = status - 128;
        if (signal > 0 && signal < 65) {
            return "killed by " + (signal < SIGNALS.length ? SIGNALS[signal] : "signal " + signal);
        }
        return "exit status " + status;
    }

    private static String lastSaid(List<String> output) {
        String last = lastLine(output);
        return last.isEmpty() ? "" : ", last output: " + last;
    }

    private static String lastLine(List<String> output) {
        for (String line : output.reversed()) {
            String text = line.strip();
            if (!text.isEmpty() && !isSlateLine(text)) {
                return text;
            }
        }
        return "";
    }

    private static String lastSlateLine(List<String> output) {
        for (String line : output.reversed()) {
            if (isSlateLine(line)) {
                return line.strip();
            }
        }
        return "";
    }

    private static boolean isSlateLine(String line) {
        return line.startsWith("slate: ") || line.startsWith("Slate: ");
    }

    private static int indexOf(List<String> output, String text) {
        for (int i = 0; i < output.size(); i++) {
            if (output.get(i).contains(text)) {
                return i;
            }
        }
        return -1;
    }

    private static String shorten(String text) {
        String line = text.replaceAll("[\\p{Cntrl}\\s]+", " ").strip();
        return line.length() <= LONGEST_REASON
                ? line
                : line.substring(0, LONGEST_REASON - 1).strip() + "…";
    }
}
