package dev.slate.sweep;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalTest {
    @TempDir
    private Path folder;

    private static Job job(int repeat) {
        return new Job("x", "x", Map.of("tdp", "on"), Map.of(), repeat, List.of("x"), 1, false, 0, "", Map.of());
    }

    @Test
    void whatWasCutOffIsRunAgainAndWhatIsThereIsNot() throws Exception {
        Path file = folder.resolve("results.jsonl");
        try (Journal journal = new Journal(file, "slate 1")) {
            journal.add(job(1), Map.of("result", "pass"));
            journal.add(job(1), Map.of("result", "fail"));
            journal.add(job(2), Map.of("result", "pass"));
        }
        String two = Files.readString(file);
        assertThat(two.lines()).hasSize(2);
        Files.writeString(file, two.lines().findFirst().orElseThrow().substring(0, 20), StandardOpenOption.APPEND);
        Files.write(file, new byte[] {(byte) 0xc3}, StandardOpenOption.APPEND); // the first half of an umlaut
        try (Journal journal = new Journal(file, "slate 1")) {
            assertThat(journal.has(job(1))).isTrue();
            assertThat(journal.has(job(2))).isTrue();
            assertThat(journal.has(job(3))).isFalse();
            journal.add(job(3), Map.of("result", "limit"));
        }
        assertThat(Files.readString(file)).startsWith(two);
        assertThat(Files.readAllLines(file)).hasSize(3);
    }

    @Test
    void whatCouldNotBeWrittenIsNotThere() throws Exception {
        Journal journal = new Journal(folder.resolve("results.jsonl"), "slate 1");
        journal.close();
        assertThatThrownBy(() -> journal.add(job(1), Map.of("result", "pass")))
                .isInstanceOf(UncheckedIOException.class)
                .hasMessageContaining("the results can't be written");
        assertThat(journal.has(job(1))).isFalse();
    }

    @Test
    void resultsOfAnotherVersionAndOtherFilesAreNotGoneOnWith() throws Exception {
        Path file = folder.resolve("results.jsonl");
        try (Journal journal = new Journal(file, "slate 1")) {
            journal.add(job(1), Map.of("result", "pass"));
        }
        assertThatThrownBy(() -> new Journal(file, "slate 2").close())
                .isInstanceOf(SweepException.class)
                .hasMessageContaining("was begun with slate 1, and this is slate 2; --anew");
        Files.writeString(file, "hello\n");
        assertThatThrownBy(() -> new Journal(file, "slate 1").close())
                .isInstanceOf(SweepException.class)
                .hasMessageContaining("results.jsonl:1: is no result");
    }
}
