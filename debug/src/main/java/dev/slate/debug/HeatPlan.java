package dev.slate.debug;

import java.util.ArrayList;
import java.util.List;

/**
 * What {@code slate heat} counts, as the command hands it over.
 *
 * @param type the type's name
 * @param size its bytes
 * @param entries where objects are learnt
 * @param fields by offset; one that holds others stands before them
 * @param output the file that is written at the end
 */
public record HeatPlan(String type, long size, List<Entry> entries, List<Field> fields, String output) {
    /**
     * A place in the guest's code at which a register holds the address of an object.
     *
     * @param la linear address of the instruction that begins a block, as a function's first does
     * @param register 0 to 15, as instructions number them
     * @param name what the user called it
     */
    public record Entry(long la, int register, String name) {}

    /** A member. */
    public record Field(long offset, long bytes, String path) {}

    /** Registers by number. */
    public static final List<String> REGISTERS = List.of(
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15");

    /**
     * Reads lines {@code type=}, {@code size=}, {@code at=ADDRESS REGISTER NAME}, {@code field=OFFSET BYTES PATH} and {@code output=}.
     *
     * @throws IllegalArgumentException they were not made by the command
     */
    public static HeatPlan parse(String text) {
        String type = "";
        long size = 0;
        String output = "";
        List<Entry> entries = new ArrayList<>();
        List<Field> fields = new ArrayList<>();
        for (String line : text.split("\n")) {
            int eq = line.indexOf('=');
            String value = line.substring(eq + 1);
            String[] words = value.split(" ", 3);
            switch (eq < 0 ? "" : line.substring(0, eq)) {
                case "type" -> type = value;
                case "size" -> size = Long.parseLong(value);
                case "output" -> output = value;
                case "at" ->
                    entries.add(new Entry(Long.parseUnsignedLong(words[0], 16), REGISTERS.indexOf(words[1]), words[2]));
                case "field" -> fields.add(new Field(Long.parseLong(words[0]), Long.parseLong(words[1]), words[2]));
                default -> {
                    if (!line.isBlank()) {
                        throw new IllegalArgumentException("heat: no line of a plan: " + line);
                    }
                }
            }
        }
        if (size <= 0 || entries.isEmpty() || output.isEmpty()) {
            throw new IllegalArgumentException("heat: SLATE_HEAT is made by `slate heat`, and this is none");
        }
        return new HeatPlan(type, size, List.copyOf(entries), List.copyOf(fields), output);
    }

    /** The innermost member that holds the byte at {@code offset}; empty where none does. */
    String field(long offset) {
        String found = "";
        for (Field f : fields) {
            if (offset >= f.offset && offset < f.offset + f.bytes) {
                found = f.path;
            }
        }
        return found;
    }
}
