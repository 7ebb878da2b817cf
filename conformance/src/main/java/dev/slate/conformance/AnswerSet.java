package dev.slate.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a KVM answered to the questions of one program, in the order of asking: lines {@code question: answer}. A question that is asked
 * again is another one, with {@code #2} behind it. Immutable.
 */
public final class AnswerSet {
    /** Stands for the answer of whom the question got none. */
    public static final String NONE = "(none)";

    /** A question that two KVMs answered differently. */
    public record Difference(String set, String question, String kvm, String slate) {}

    private static final String SEPARATOR = ": ";

    private final String name;
    private final Map<String, String> answers;

    private AnswerSet(String name, Map<String, String> answers) {
        this.name = name;
        this.answers = answers;
    }

    /** Of a file that keeps answers. */
    public static AnswerSet read(String name, Path file) throws IOException {
        return of(name, Files.readAllLines(file));
    }

    /** Of a program's output. */
    public static AnswerSet of(String name, List<String> lines) {
        Map<String, String> answers = new LinkedHashMap<>();
        for (String line : lines) {
            int at = line.indexOf(SEPARATOR);
            String question = (at < 0 ? line : line.substring(0, at)).strip();
            if (question.isEmpty()) {
                continue;
            }
            String key = question;
            for (int n = 2; answers.containsKey(key); n++) {
                key = question + " #" + n;
            }
            answers.put(
                    key, at < 0 ? "" : line.substring(at + SEPARATOR.length()).strip());
        }
        return new AnswerSet(name, answers);
    }

    /** Number of questions. */
    public int size() {
        return answers.size();
    }

    /** Where {@code slate} answers otherwise than this set, in this set's order; then what only {@code slate} was asked. */
    public List<Difference> compare(AnswerSet slate) {
        Set<String> questions = new LinkedHashSet<>(answers.keySet());
        questions.addAll(slate.answers.keySet());
        List<Difference> differences = new ArrayList<>();
        for (String question : questions) {
            String mine = answers.getOrDefault(question, NONE);
            String other = slate.answers.getOrDefault(question, NONE);
            if (!mine.equals(other)) {
                differences.add(new Difference(name, question, mine, other));
            }
        }
        return differences;
    }
}
