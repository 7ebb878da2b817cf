package dev.slate.lab.lines;

/** Cache lines, head included, that one operation on a list touches. */
public record ListLines(double add, double walk, double remove) {}
