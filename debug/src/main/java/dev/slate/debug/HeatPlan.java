package dev.slate.debug;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.zip.GZIPInputStream;
import org.jspecify.annotations.Nullable;

/**
 * What {@code slate heat} counts, as the command hands it over.
 *
 * @param types whose objects are counted
 * @param places where objects are learnt, and where they end
 * @param kernel how the guest's kernel and its modules are found
 * @param fromExit exits of the guest's guests that pass before anything is counted
 * @param mostExits exits of each reason that are kept, each with all that it touched
 * @param output the file that is written at the end
 */
public record HeatPlan(
        List<Counted> types, List<Place> places, Kernel kernel, long fromExit, long mostExits, String output) {
    /** A type, its bytes, and its members by offset; one that holds others stands before them. */
    public record Counted(String name, long size, List<Field> fields) {}

    /**
     * A place in the guest's code at which a register holds the address of an object: there an instruction begins a block, as a function's
     * first does.
     *
     * @param type which of the types the object has; {@link #END}: it is none any more
     * @param module whose function it is; null: the kernel's, or an address of the user's
     * @param name what the user called it: in a module, the function
     * @param la linear address, of a kernel's function as its symbols have it; 0 in a module
     * @param fixed the address is as the user gave it, and does not move with the kernel
     * @param register 0 to 15, as instructions number them
     * @param offset of the object from what the register holds
     */
    public record Place(
            int type, @Nullable String module, String name, long la, boolean fixed, int register, long offset) {}

    /** Of a place: an object ends there. */
    public static final int END = -1;

    /**
     * Addresses as the kernel's symbols have them, and offsets in its types; all 0 where nothing is asked of it.
     *
     * @param systemCall what MSR LSTAR holds in a kernel that did not move
     * @param moduleBegins a function's, with a {@code struct module} in RDI, after its symbols have their addresses
     * @param moduleEnds the same, where one is unloaded
     * @param offsets of {@code module.name}, {@code module.kallsyms}, and of {@code mod_kallsyms.symtab}, {@code num_symtab}, {@code strtab}
     */
    public record Kernel(long systemCall, long moduleBegins, long moduleEnds, List<Integer> offsets) {}

    /** A member. */
    public record Field(long offset, long bytes, String path) {}

    /** Registers by number. */
    public static final List<String> REGISTERS = List.of(
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15");

    private static final String NOT_OURS = "heat: SLATE_HEAT is made by `slate heat`, and this is none";

    /**
     * The plan in what an environment variable holds: base 64 of gzip, because one that is longer than 128 KiB starts no program.
     *
     * @throws IllegalArgumentException it was not made by the command
     */
    public static HeatPlan unpack(String packed) {
        try (GZIPInputStream in =
                new GZIPInputStream(new ByteArrayInputStream(Base64.getDecoder().decode(packed)))) {
            return parse(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException | RuntimeException e) {
            throw new IllegalArgumentException(NOT_OURS, e);
        }
    }

    /**
     * Reads lines {@code type=BYTES NAME}, behind it its {@code field=OFFSET BYTES PATH}; {@code at=TYPE REGISTER OFFSET ADDRESS MODULE NAME},
     * TYPE by its number from 0 on or -1, ADDRESS with a + behind it that moves with the kernel, MODULE a - for none;
     * {@code system-call=ADDRESS}, {@code module-begins=}, {@code module-ends=}, {@code offsets=N N N N N};
     * {@code from-exit=N}, {@code most-exits=N} and {@code output=FILE}.
     *
     * @throws IllegalArgumentException they were not made by the command
     */
    public static HeatPlan parse(String text) {
        List<Counted> types = new ArrayList<>();
        List<Field> fields = new ArrayList<>();
        List<Place> places = new ArrayList<>();
        long[] kernel = new long[3];
        List<Integer> offsets = new ArrayList<>();
        long fromExit = 0;
        long mostExits = 10_000;
        String output = "";
        for (String line : text.split("\n")) {
            int eq = line.indexOf('=');
            String value = line.substring(eq + 1);
            switch (eq < 0 ? "" : line.substring(0, eq)) {
                case "type" -> {
                    String[] words = value.split(" ", 2);
                    fields = new ArrayList<>();
                    types.add(new Counted(words[1], Long.parseLong(words[0]), fields));
                }
                case "field" -> {
                    String[] words = value.split(" ", 3);
                    fields.add(new Field(Long.parseLong(words[0]), Long.parseLong(words[1]), words[2]));
                }
                case "at" -> places.add(place(value.split(" ", 6)));
                case "system-call" -> kernel[0] = Long.parseUnsignedLong(value, 16);
                case "module-begins" -> kernel[1] = Long.parseUnsignedLong(value, 16);
                case "module-ends" -> kernel[2] = Long.parseUnsignedLong(value, 16);
                case "offsets" -> {
                    for (String offset : value.split(" ")) {
                        offsets.add(Integer.parseInt(offset));
                    }
                }
                case "from-exit" -> fromExit = Long.parseLong(value);
                case "most-exits" -> mostExits = Long.parseLong(value);
                case "output" -> output = value;
                default -> {
                    if (!line.isBlank()) {
                        throw new IllegalArgumentException("heat: no line of a plan: " + line);
                    }
                }
            }
        }
        if (types.isEmpty() || places.isEmpty() || output.isEmpty()) {
            throw new IllegalArgumentException(NOT_OURS);
        }
        Kernel found = new Kernel(kernel[0], kernel[1], kernel[2], List.copyOf(offsets));
        return new HeatPlan(List.copyOf(types), List.copyOf(places), found, fromExit, mostExits, output);
    }

    private static Place place(String[] words) {
        boolean moves = words[3].endsWith("+");
        String address = moves ? words[3].substring(0, words[3].length() - 1) : words[3];
        return new Place(
                Integer.parseInt(words[0]),
                words[4].equals("-") ? null : words[4],
                words[5],
                Long.parseUnsignedLong(address, 16),
                !moves,
                REGISTERS.indexOf(words[1]),
                Long.parseLong(words[2]));
    }
}
