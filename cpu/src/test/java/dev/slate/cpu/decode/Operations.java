package dev.slate.cpu.decode;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The operations section of the instruction table, read from {@code src/main/isa/operations.isa}, whose head is its grammar. */
public final class Operations {
    /** One operation: its name, number and the attributes of its line. */
    public record Operation(
            String name, int number, String read, String written, String undefined, boolean end, boolean cpl0) {}

    private final List<Operation> inOrder = new ArrayList<>();
    private final Map<String, Operation> byName = new HashMap<>();

    private Operations() {}

    /** The folder of the table's text files. */
    public static Path folder() {
        Path here = Path.of("src/main/isa");
        return Files.isDirectory(here) ? here : Path.of("cpu").resolve(here);
    }

    /** Reads the file. */
    public static Operations read() throws IOException {
        Operations all = new Operations();
        int next = 0;
        int lineNumber = 0;
        for (String line : Files.readAllLines(folder().resolve("operations.isa"))) {
            lineNumber++;
            List<String> names = new ArrayList<>();
            String read = "";
            String written = "";
            String undefined = "";
            boolean end = false;
            boolean cpl0 = false;
            String text = line.indexOf('#') < 0 ? line : line.substring(0, line.indexOf('#'));
            for (String word : text.trim().split("\\s+")) {
                if (word.isEmpty()) {
                    continue;
                }
                if (Character.isUpperCase(word.charAt(0))) {
                    names.add(word);
                } else if (word.equals("align16")) {
                    next = (next + 15) & ~15;
                } else if (word.equals("end")) {
                    end = true;
                } else if (word.equals("cpl0")) {
                    cpl0 = true;
                } else if (word.startsWith("r=")) {
                    read = word.substring(2);
                } else if (word.startsWith("w=")) {
                    written = word.substring(2);
                } else if (word.startsWith("u=")) {
                    undefined = word.substring(2);
                } else {
                    throw new IOException("operations.isa:" + lineNumber + ": unknown attribute '" + word + "'");
                }
            }
            for (String name : names) {
                Operation op = new Operation(name, next++, read, written, undefined, end, cpl0);
                if (all.byName.put(name, op) != null) {
                    throw new IOException("operations.isa:" + lineNumber + ": " + name + " is there twice");
                }
                all.inOrder.add(op);
            }
        }
        return all;
    }

    /** By number. */
    public List<Operation> inOrder() {
        return inOrder;
    }

    /** The operation of that name. */
    public Operation named(String name) {
        Operation op = byName.get(name);
        if (op == null) {
            throw new IllegalArgumentException("operations.isa has no operation " + name);
        }
        return op;
    }

    /** One more than the highest number. */
    public int count() {
        return inOrder.getLast().number() + 1;
    }
}
