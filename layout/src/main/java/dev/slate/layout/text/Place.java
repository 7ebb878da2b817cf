package dev.slate.layout.text;

import org.jspecify.annotations.Nullable;

/** Where a type is written in pahole's text: whatever surrounds it, as far as that changes how it looks. */
final class Place {
    int indent;
    int typeColumn = 26;
    int nameColumn = 23;

    @Nullable
    String prefix;

    @Nullable
    String suffix;

    boolean stats = true;
    boolean relative; // offsets count from the innermost struct, not from the outermost one
    long base;
    int @Nullable [] line; // the line that the last member started in, shared with the inner structs
    boolean first;
    boolean last;
    boolean inUnion;

    Place copy() {
        Place copy = new Place();
        copy.indent = indent;
        copy.typeColumn = typeColumn;
        copy.nameColumn = nameColumn;
        copy.prefix = prefix;
        copy.suffix = suffix;
        copy.stats = stats;
        copy.relative = relative;
        copy.base = base;
        copy.line = line;
        copy.first = first;
        copy.last = last;
        copy.inUnion = inUnion;
        return copy;
    }
}
