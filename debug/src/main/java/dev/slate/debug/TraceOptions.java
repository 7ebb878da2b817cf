package dev.slate.debug;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What {@code slate trace} logs.
 *
 * @param from first linear address of instructions that count
 * @param to the address behind the last, as an unsigned number; 0: up to the top
 * @param skip so many instructions in the range are passed over before the first that is logged
 * @param count so many are logged; the guest then goes on at full speed
 * @param vcpu the id of the vCPU that is watched; -1: all
 * @param memory loads and stores too
 * @param exits exits and delivered events too
 * @param output a file's name; null: standard error
 * @param translation a linear address: in place of instructions, the machine code is shown that they become; null: none is
 */
public record TraceOptions(
        long from,
        long to,
        long skip,
        long count,
        int vcpu,
        boolean memory,
        boolean exits,
        @Nullable String output,
        @Nullable Long translation) {
    /** What says which instructions are logged, and what of them. */
    private static final Set<String> OF_INSTRUCTIONS = Set.of("from", "to", "skip", "count", "memory", "exits");

    /** Everything of every vCPU, instructions alone, to standard error. */
    public static final TraceOptions ALL = new TraceOptions(0, 0, 0, Long.MAX_VALUE, -1, false, false, null, null);

    /**
     * Reads options as {@code slate trace} hands them over.
     *
     * @param text lines NAME=VALUE, named as the options of the command; addresses in hexadecimal, with or without 0x
     * @throws IllegalArgumentException with what is wrong and what would be right
     */
    public static TraceOptions parse(String text) {
        long from = 0;
        long to = 0;
        long skip = 0;
        long count = Long.MAX_VALUE;
        int vcpu = -1;
        boolean memory = false;
        boolean exits = false;
        String output = null;
        Long translation = null;
        String selecting = null;
        for (String line : text.split("\n")) {
            if (line.isBlank()) {
                continue;
            }
            int eq = line.indexOf('=');
            String name = eq < 0 ? line : line.substring(0, eq);
            String value = eq < 0 ? "" : line.substring(eq + 1);
            if (OF_INSTRUCTIONS.contains(name)) {
                selecting = name;
            }
            switch (name) {
                case "translation" -> translation = address(name, value);
                case "from" -> from = address(name, value);
                case "to" -> to = address(name, value);
                case "skip" -> skip = number(name, value, 0, Long.MAX_VALUE);
                case "count" -> count = number(name, value, 1, Long.MAX_VALUE);
                case "vcpu" -> vcpu = (int) number(name, value, 0, Integer.MAX_VALUE);
                case "memory" -> memory = true;
                case "exits" -> exits = true;
                case "output" -> output = value;
                default -> throw new IllegalArgumentException("trace: no such option: " + name);
            }
        }
        if (translation != null && selecting != null) {
            throw new IllegalArgumentException(
                    "trace: --translation shows the code at one address and logs no instructions;" + " leave --"
                            + selecting + " out");
        }
        if (to != 0 && Long.compareUnsigned(from, to) >= 0) {
            throw new IllegalArgumentException("trace: --to 0x" + Long.toHexString(to) + " must lie above --from 0x"
                    + Long.toHexString(from) + ", or nothing is logged");
        }
        return new TraceOptions(from, to, skip, count, vcpu, memory, exits, output, translation);
    }

    private static long address(String name, String value) {
        String digits = value.startsWith("0x") || value.startsWith("0X") ? value.substring(2) : value;
        try {
            return Long.parseUnsignedLong(digits, 16);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("trace: --" + name + " " + value
                    + ": a linear address in hexadecimal is wanted, for instance 0x402a10 (`nm` lists a client's)");
        }
    }

    private static long number(String name, String value, long min, long max) {
        try {
            long n = Long.parseLong(value);
            if (n >= min && n <= max) {
                return n;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new IllegalArgumentException(
                "trace: --" + name + " " + value + ": a whole number of at least " + min + " is wanted");
    }

    /** Appends the range, as a person says it; nothing where there is none. */
    void appendRange(StringBuilder text) {
        if (from != 0) {
            text.append(" from 0x").append(Long.toHexString(from)).append(" on");
        }
        if (to != 0) {
            text.append(from != 0 ? " and" : "").append(" below 0x").append(Long.toHexString(to));
        }
    }

    /** Whether an instruction at linear address {@code la} counts. */
    boolean contains(long la) {
        return Long.compareUnsigned(la, from) >= 0 && (to == 0 || Long.compareUnsigned(la, to) < 0);
    }

    /** Whether a block that starts outside, at {@code la}, may run into the range: no block reaches further than its page's end. */
    boolean near(long la) {
        return Long.compareUnsigned(la, from) < 0 && (from - la < 4096 + 15);
    }
}
