package dev.slate.lab;

import java.util.List;

/**
 * A row of a table: a variant in one setting.
 *
 * @param labels one for each of the table's label columns
 */
public record Case(List<String> labels) {
    public Case {
        labels = List.copyOf(labels);
    }

    public static Case of(String... labels) {
        return new Case(List.of(labels));
    }

    /** The labels in one line. */
    public String name() {
        return String.join(", ", labels);
    }
}
