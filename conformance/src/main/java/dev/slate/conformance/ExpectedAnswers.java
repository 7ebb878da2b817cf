package dev.slate.conformance;

import dev.slate.conformance.AnswerSet.Difference;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Where Slate is expected to answer otherwise than a real KVM, and why. The file has a line {@code reason: TEXT} before the lines that it
 * holds for: {@code set | question | Slate's answer}. {@code *} as the answer stands for any, where it depends on the machine; then the
 * question may end in {@code *}, too. Immutable.
 */
public final class ExpectedAnswers {
    /** The reason of what nobody has explained; it excuses nothing. */
    public static final String UNEXPLAINED = "?";

    private static final String REASON = "reason:";
    private static final String ANY = "*";
    /** Of an answer on the page. */
    private static final int LONGEST = 60;

    private record Line(String set, String question, String answer) {
        boolean exact() {
            return !answer.equals(ANY);
        }

        boolean matches(Difference d) {
            boolean asked = question.endsWith(ANY)
                    ? d.question().startsWith(question.substring(0, question.length() - 1))
                    : d.question().equals(question);
            return asked && set.equals(d.set()) && (!exact() || answer.equals(d.slate()));
        }

        @Override
        public String toString() {
            return set + " | " + question + " | " + answer;
        }
    }

    private final Map<String, List<Line>> byReason;

    private ExpectedAnswers(Map<String, List<Line>> byReason) {
        this.byReason = byReason;
    }

    /** @throws SuiteFormatException when a line has another form; names the line */
    public static ExpectedAnswers read(Path file) throws IOException {
        Map<String, List<Line>> byReason = new LinkedHashMap<>();
        List<Line> lines = null;
        int number = 0;
        for (String raw : Files.readAllLines(file)) {
            number++;
            String line = raw.strip();
            if (line.isEmpty() || line.startsWith("#")) {
                continue;
            }
            if (line.startsWith(REASON)) {
                lines = byReason.computeIfAbsent(line.substring(REASON.length()).strip(), r -> new ArrayList<>());
                continue;
            }
            String place = file + ":" + number + ": '" + line + "'";
            String[] columns = line.split("\\|", -1);
            if (columns.length != 3) {
                throw new SuiteFormatException(place + ": wanted 'set | question | answer'");
            }
            if (lines == null) {
                throw new SuiteFormatException(place + ": a line 'reason: TEXT' comes first");
            }
            Line read = new Line(columns[0].strip(), columns[1].strip(), columns[2].strip());
            if (read.exact() && read.question.endsWith(ANY)) {
                throw new SuiteFormatException(place + ": many questions can't have one answer; write * for it");
            }
            lines.add(read);
        }
        return new ExpectedAnswers(byReason);
    }

    /** The differences that no line explains. */
    public List<Difference> unexpected(List<Difference> differences) {
        List<Difference> left = new ArrayList<>();
        for (Difference d : differences) {
            if (reasonOf(d).equals(UNEXPLAINED)) {
                left.add(d);
            }
        }
        return left;
    }

    private String reasonOf(Difference d) {
        for (Map.Entry<String, List<Line>> e : byReason.entrySet()) {
            for (Line line : e.getValue()) {
                if (line.matches(d)) {
                    return e.getKey();
                }
            }
        }
        return UNEXPLAINED;
    }

    /** Lines that say one answer and are no difference any more, or another one. */
    public List<String> stale(List<Difference> differences) {
        List<String> stale = new ArrayList<>();
        for (List<Line> lines : byReason.values()) {
            for (Line line : lines) {
                if (line.exact() && differences.stream().noneMatch(line::matches)) {
                    stale.add(line.toString());
                }
            }
        }
        return stale;
    }

    /**
     * These expectations made true: lines of no difference left out, an answer that has changed put in place of the old one, what has no line
     * yet under {@link #UNEXPLAINED}.
     */
    public ExpectedAnswers accept(List<Difference> differences) {
        Map<String, List<Line>> accepted = new LinkedHashMap<>();
        Set<Difference> placed = new LinkedHashSet<>();
        byReason.forEach((reason, lines) -> {
            List<Line> kept = new ArrayList<>();
            for (Line line : lines) {
                if (!line.exact()) {
                    kept.add(line);
                    differences.stream().filter(line::matches).forEach(placed::add);
                    continue;
                }
                for (Difference d : differences) {
                    if (d.set().equals(line.set) && d.question().equals(line.question) && placed.add(d)) {
                        kept.add(new Line(line.set, line.question, d.slate()));
                    }
                }
            }
            if (!kept.isEmpty()) {
                accepted.put(reason, kept);
            }
        });
        List<Line> left = new ArrayList<>(accepted.getOrDefault(UNEXPLAINED, List.of()));
        for (Difference d : differences) {
            if (!placed.contains(d)) {
                left.add(new Line(d.set(), d.question(), d.slate()));
            }
        }
        accepted.remove(UNEXPLAINED);
        if (!left.isEmpty()) {
            accepted.put(UNEXPLAINED, left);
        }
        return new ExpectedAnswers(accepted);
    }

    /** Writes the file. */
    public void write(Path file) throws IOException {
        StringBuilder text = new StringBuilder("""
                # Where Slate answers otherwise than the real KVM whose answers stand in conformance/answers, and why.
                # `slate conformance answers` compares with it; `--update` writes it, with "reason: ?" where a reason is wanted.
                #   set | question | Slate's answer          * for an answer that depends on the machine
                """);
        byReason.forEach((reason, lines) -> {
            text.append('\n').append(REASON).append(' ').append(reason).append('\n');
            for (Line line : lines) {
                text.append(line).append('\n');
            }
        });
        Files.writeString(file, text);
    }

    /** The same as a Markdown page. */
    public String page() {
        StringBuilder text = new StringBuilder("""
                # Where Slate answers otherwise than a real KVM

                `conformance/answers` asks some 700 questions of a KVM: capabilities, ioctls with good and bad arguments, the state of a new
                vCPU, every MSR of the lists, CPUID, small runs, interrupt lines, MMIO. Beside each program stand the answers of Linux
                6.1.192's `kvm.ko` and `kvm-amd.ko`, run in QEMU 7.2 TCG, which has no performance counters: Slate is asked with `pmu=off`.

                ```
                ./slate conformance answers
                ```

                runs them on Slate and ends with 1 when an answer differs and is not in this list, which
                `./slate conformance answers --update` writes from `conformance/answers/expected`. In the last column `*` stands for an answer
                that depends on the machine, `(none)` for a question that Slate is not asked.
                """);
        byReason.forEach((reason, lines) -> {
            text.append("\n## ")
                    .append(Character.toUpperCase(reason.charAt(0)))
                    .append(reason.substring(1))
                    .append("\n\n");
            Map<String, List<String>> questions = new TreeMap<>();
            for (Line line : lines) {
                questions
                        .computeIfAbsent(line.set + " | " + shortened(line.answer), k -> new ArrayList<>())
                        .add('`' + line.question + '`');
            }
            text.append("| set | Slate's answer | questions |\n|---|---|---|\n");
            questions.forEach((answer, asked) -> text.append("| ")
                    .append(answer)
                    .append(" | ")
                    .append(String.join(", ", asked))
                    .append(" |\n"));
        });
        return text.toString();
    }

    private static String shortened(String answer) {
        return answer.length() <= LONGEST ? answer : answer.substring(0, LONGEST) + " …";
    }
}
