package dev.slate.conformance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.conformance.AnswerSet.Difference;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Answers of two KVMs, what may differ, and the files in the tree. */
class AnswersTest {
    @TempDir
    Path folder = Path.of("");

    private static AnswerSet set(String... lines) {
        return AnswerSet.of("s", List.of(lines));
    }

    private ExpectedAnswers expected(String... lines) throws IOException {
        Path file = folder.resolve("expected");
        Files.write(file, List.of(lines));
        return ExpectedAnswers.read(file);
    }

    @Test
    void onlyQuestionsThatAreAnsweredOtherwiseDiffer() {
        AnswerSet real = set("a: 1", "b: 2", "a: 3", "only: 4", "", "bare");
        assertThat(real.size()).isEqualTo(5);
        assertThat(real.compare(real)).isEmpty();
        assertThat(real.compare(set("b: 2", "a: 1", "a: 5", "bare", "new: 6")))
                .containsExactly(
                        new Difference("s", "a #2", "3", "5"),
                        new Difference("s", "only", "4", AnswerSet.NONE),
                        new Difference("s", "new", AnswerSet.NONE, "6"));
    }

    @Test
    void aLineExcusesItsOwnAnswerAndAStarAny() throws IOException {
        ExpectedAnswers e = expected("reason: why", "s | a | 5", "s | cpu* | *");
        List<Difference> known = List.of(new Difference("s", "a", "3", "5"), new Difference("s", "cpuid 1", "x", "y"));
        assertThat(e.unexpected(known)).isEmpty();
        Difference otherAnswer = new Difference("s", "a", "3", "6");
        Difference otherSet = new Difference("t", "a", "3", "5");
        assertThat(e.unexpected(List.of(otherAnswer, otherSet))).containsExactly(otherAnswer, otherSet);
    }

    @Test
    void whatHasNoReasonIsNotExcused() throws IOException {
        Difference d = new Difference("s", "a", "3", "5");
        assertThat(expected("reason: ?", "s | a | 5").unexpected(List.of(d))).containsExactly(d);
    }

    @Test
    void aLineThatIsNoDifferenceAnyMoreIsToldAndLeftOut() throws IOException {
        ExpectedAnswers e = expected("reason: why", "s | a | 5", "s | b | 1", "s | c | *", "reason: old", "s | d | 1");
        List<Difference> now = List.of(new Difference("s", "b", "2", "9"), new Difference("s", "new", "1", "2"));
        assertThat(e.stale(now)).containsExactly("s | a | 5", "s | b | 1", "s | d | 1");
        Path file = folder.resolve("written");
        e.accept(now).write(file);
        assertThat(Files.readAllLines(file).stream().filter(l -> !l.isEmpty() && !l.startsWith("#")))
                .containsExactly("reason: why", "s | b | 9", "s | c | *", "reason: ?", "s | new | 2");
    }

    @Test
    void aLineOfAnotherFormIsNamed() {
        for (String line : List.of("s | a", "s | a* | 1", "s | a | b | c")) {
            assertThatExceptionOfType(SuiteFormatException.class)
                    .isThrownBy(() -> expected("reason: r", line))
                    .withMessageContaining(":2: '" + line + "'");
        }
        assertThatExceptionOfType(SuiteFormatException.class).isThrownBy(() -> expected("s | a | 1"));
    }

    @Test
    void everyLineInTheTreeHasAReasonAndThePageIsMadeOfThem() throws IOException {
        Path home = Path.of("..").toAbsolutePath().normalize();
        Answers answers = new Answers(home);
        ExpectedAnswers e = ExpectedAnswers.read(answers.expectations());
        assertThat(Files.readAllLines(answers.expectations())).doesNotContain("reason: ?");
        assertThat(Files.readString(answers.page()))
                .as("./slate conformance answers --update writes it")
                .isEqualTo(e.page());
        for (String set : Answers.SETS) {
            assertThat(answers.real(set).size()).as(set).isPositive();
        }
    }
}
