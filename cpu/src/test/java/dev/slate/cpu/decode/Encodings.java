package dev.slate.cpu.decode;

import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The rows of the instruction table, read from {@code src/main/isa/encodings.isa}, whose head is its grammar. */
public final class Encodings {
    /** One row for one opcode: a line of the file, or one of those that a line with +r, +c or a range of digits stands for. */
    public static final class Row {
        public final Operations.Operation operation;
        public final int line;
        public final List<String> operands;
        public final Set<String> attributes = new HashSet<>();
        public final Map<String, String> values = new HashMap<>();
        /** 0 one-byte, 1 0F, 2 0F38, 3 0F3A; plus 3 with VEX. */
        public int map;

        public int opcode;
        /** -1: any. 0 none, 1 66, 2 F3, 3 F2. */
        public int prefix = -1;

        public boolean vex;
        /** -1: any. */
        public int vexL = -1;

        public int regDigit = -1;
        /** -1 any, 0 memory, 1 register. */
        public int register = -1;
        /** modrm.rm, -1: any. */
        public int rmDigit = -1;

        public boolean modrm;

        Row(Operations.Operation operation, int line, List<String> operands) {
            this.operation = operation;
            this.line = line;
            this.operands = operands;
        }

        private Row copy(Operations.Operation other) {
            Row r = new Row(other, line, operands);
            r.attributes.addAll(attributes);
            r.values.putAll(values);
            r.map = map;
            r.opcode = opcode;
            r.prefix = prefix;
            r.vex = vex;
            r.vexL = vexL;
            r.regDigit = regDigit;
            r.register = register;
            r.rmDigit = rmDigit;
            r.modrm = modrm;
            return r;
        }

        /** Whether the line has that attribute. */
        public boolean is(String attribute) {
            return attributes.contains(attribute);
        }
    }

    private final List<Row> rows = new ArrayList<>();

    private Encodings() {}

    /** Reads the file. */
    public static Encodings read(Operations operations) throws IOException {
        Encodings all = new Encodings();
        int lineNumber = 0;
        for (String line : Files.readAllLines(Operations.folder().resolve("encodings.isa"))) {
            lineNumber++;
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            try {
                all.addLine(operations, lineNumber, line.trim().split("\\s+"));
            } catch (RuntimeException e) {
                throw new IOException("encodings.isa:" + lineNumber + ": " + line, e);
            }
        }
        all.rows.sort(Comparator.comparingInt(r -> r.map << 8 | r.opcode));
        return all;
    }

    /** In the order of map and opcode; rows of one opcode in the file's order. */
    public List<Row> rows() {
        return rows;
    }

    private void addLine(Operations operations, int lineNumber, String[] words) {
        List<String> operands = words[2].equals("-") ? List.of() : List.of(words[2].split(","));
        Row row = new Row(operations.named(words[0]), lineNumber, operands);
        for (int i = 3; i < words.length; i++) {
            int equals = words[i].indexOf('=');
            if (equals < 0) {
                row.attributes.add(words[i]);
            } else {
                row.values.put(words[i].substring(0, equals), words[i].substring(equals + 1));
            }
        }
        String encoding = words[1];
        int firstReg = -1;
        int lastReg = -1;
        int mark = encoding.indexOf('=');
        if (mark > 0) {
            int byteValue = Integer.parseInt(encoding.substring(mark + 1), 16);
            row.register = byteValue >> 6 == 3 ? 1 : 0;
            firstReg = lastReg = byteValue >> 3 & 7;
            row.rmDigit = byteValue & 7;
            row.modrm = true;
            encoding = encoding.substring(0, mark);
        }
        mark = encoding.indexOf('/');
        if (mark > 0) {
            String reg = encoding.substring(mark + 1);
            encoding = encoding.substring(0, mark);
            row.modrm = true;
            if (reg.endsWith("m") || reg.endsWith("r")) {
                row.register = reg.endsWith("r") ? 1 : 0;
                reg = reg.substring(0, reg.length() - 1);
            }
            if (!reg.isEmpty()) {
                firstReg = reg.charAt(0) - '0';
                lastReg = reg.charAt(reg.length() - 1) - '0';
            }
        }
        int copies = encoding.endsWith("+r") ? 8 : encoding.endsWith("+c") ? 16 : 1;
        if (copies > 1) {
            encoding = encoding.substring(0, encoding.length() - 2);
        }
        String[] parts = encoding.split("\\.");
        for (int i = 0; i < parts.length - 1; i++) {
            switch (parts[i]) {
                case "NP" -> row.prefix = 0;
                case "66" -> row.prefix = 1;
                case "F3" -> row.prefix = 2;
                case "F2" -> row.prefix = 3;
                case "V", "VLIG" -> row.vex = true;
                case "VL0", "VL1" -> {
                    row.vex = true;
                    row.vexL = parts[i].charAt(2) - '0';
                }
                default -> throw new IllegalArgumentException("unknown part " + parts[i]);
            }
        }
        if (row.vex && row.prefix < 0) {
            row.prefix = 0;
        }
        String[] mapAndOpcode = parts[parts.length - 1].split(":");
        row.opcode = Integer.parseInt(mapAndOpcode[mapAndOpcode.length - 1], 16);
        if (mapAndOpcode.length > 1) {
            row.map = List.of("", "0F", "0F38", "0F3A").indexOf(mapAndOpcode[0]) + (row.vex ? 3 : 0);
        }
        for (String operand : operands) {
            row.modrm |= "EGMRWVUQPNSCD".indexOf(operand.charAt(0)) >= 0
                    && operand.length() <= 5
                    && !List.of("CL", "DX", "ES", "CS", "SS", "DS", "GS", "ST").contains(operand);
        }
        for (int i = 0; i < copies; i++) {
            for (int reg = firstReg; reg <= lastReg; reg++) {
                Row r = row.copy(
                        copies == 16
                                ? operations.inOrder().get(operations.inOrder().indexOf(row.operation) + i)
                                : row.operation);
                r.opcode += i;
                r.regDigit = reg;
                rows.add(r);
            }
        }
    }
}
