package dev.slate.cpu.decode;

import java.util.Locale;

/**
 * Prints instructions as {@code objdump -d -M intel} does: for logs, traces and messages, not for run paths.
 *
 * <p>Knows every instruction of the table, offered or not. What the bytes do not mean prints as {@code (bad)}. One thread at a time.
 */
public final class Disassembler {
    private static final String[] CONDITIONS = {
        "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"
    };
    private static final String[] COMPARISONS = {
        "eq",
        "lt",
        "le",
        "unord",
        "neq",
        "nlt",
        "nle",
        "ord",
        "eq_uq",
        "nge",
        "ngt",
        "false",
        "neq_oq",
        "ge",
        "gt",
        "true",
        "eq_os",
        "lt_oq",
        "le_oq",
        "unord_s",
        "neq_us",
        "nlt_uq",
        "nle_uq",
        "ord_s",
        "eq_us",
        "nge_uq",
        "ngt_uq",
        "false_os",
        "neq_os",
        "ge_oq",
        "gt_oq",
        "true_us"
    };
    private static final String[] GENERAL = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    private static final String[] SEGMENTS = {"es", "cs", "ss", "ds", "fs", "gs", "?", "?"};

    private final Decoder decoder = new Decoder(Feature.ALL);
    private final StringBuilder out = new StringBuilder();
    private long address;
    private int length;

    /** Has nothing printed yet. */
    public Disassembler() {}

    /**
     * Disassembles the instruction at {@code code[from]}.
     *
     * @param to end of the bytes, exclusive
     * @param address the instruction's rip, for branch targets
     * @param mode a {@link Mode}
     * @return mnemonic, spaces, operands; {@code (bad)} for bytes that are no instruction or are cut off
     */
    public String one(byte[] code, int from, int to, long address, int mode) {
        length = decoder.decodeArray(code, from, to, mode);
        if (length == 0 || decoder.row < 0) {
            length = Math.max(length, 1);
            return "(bad)";
        }
        this.address = address;
        out.setLength(0);
        String text = DecodeText.ROWS[decoder.row];
        int space = text.indexOf(' ');
        String operands = text.substring(space + 1);
        prefixes(operands);
        mnemonic(text.substring(0, space));
        operands(operands);
        return out.toString();
    }

    /** Length in bytes of the instruction that {@link #one} printed last; 1 when it was bad and cut off. */
    public int length() {
        return length;
    }

    /** Prints instruction {@code i} of a block, as entered at {@code block.rip}. */
    public String one(Block block, int i) {
        long word = block.code[i * Insn.WORDS];
        int offset = Insn.offset(block.code[i * Insn.WORDS + 1]);
        byte[] code = new byte[Insn.length(word)];
        for (int k = 0; k < code.length; k++) {
            int at = offset + k;
            code[k] = (byte) (block.bytes[at >> 3] >>> 8 * (at & 7));
        }
        return one(code, 0, code.length, block.rip + offset, block.mode);
    }

    // ------------------------------------------------------------------ prefixes and mnemonic

    private void prefixes(String operands) {
        Decoder d = decoder;
        int op = Insn.op(d.word(0));
        if (d.lock) {
            out.append("lock ");
        }
        boolean mandatory = d.map != 0 && (prefixMask() & 3) != 0;
        if (d.repeat != 0 && !mandatory && op != Op.PAUSE) {
            boolean compares = op == Op.CMPS || op == Op.SCAS;
            boolean strings = (Decoder.rowWord(d.row) & Decoder.ROW_REP) != 0;
            boolean branch = op >= Op.CALL_REL && op <= Op.RET_IMM || op >= Op.JO && op <= Op.JNLE;
            out.append(d.repeat == 3 ? branch ? "bnd " : "repnz " : strings && !compares ? "rep " : "repz ");
        }
        boolean hasMemory = Insn.isMemory(d.word(0));
        if (d.segmentPrefix >= 0 && !hasMemory && operands.indexOf('X') < 0) {
            out.append(SEGMENTS[d.segmentPrefix]).append(' ');
        }
        boolean addressed =
                hasMemory || operands.indexOf('X') >= 0 || operands.indexOf('Y') >= 0 || operands.equals("BX");
        if (d.addressPrefix && !addressed && op != Op.JCXZ && op != Op.LOOP && op != Op.LOOPE && op != Op.LOOPNE) {
            out.append(d.mode == Mode.BITS32 ? "addr16 " : "addr32 ");
        }
    }

    private int prefixMask() {
        return Decoder.rowMask(decoder.row) >> Decoder.KEY_PREFIX_SHIFT;
    }

    private void mnemonic(String names) {
        Decoder d = decoder;
        int op = Insn.op(d.word(0));
        String name = names.replace('_', ' ');
        int comma = names.indexOf(',');
        if (comma >= 0) {
            String[] bySize = name.split(",");
            name = bySize[d.operandSize - 1];
            if (d.mode == Mode.BITS16 && bySize[0].equals(bySize[1] + "w")) {
                // The suffix marks the size that is not the mode's own.
                name = d.operandSize == 1 ? bySize[1] : bySize[1] + "d";
            }
        }
        if ((op == Op.MOV_A_MOFFS || op == Op.MOV_MOFFS_A) && d.mode == Mode.BITS64) {
            name = "movabs";
        } else if (op >= Op.JO && op <= Op.SETNLE) {
            String stem = op < Op.CMOVO ? "j" : op < Op.SETO ? "cmov" : "set";
            name = stem + CONDITIONS[Op.condition(op)];
        } else if (op == Op.JCXZ) {
            name = d.addressSize == 1 ? "jcxz" : d.addressSize == 2 ? "jecxz" : "jrcxz";
        } else if (op >= Op.CMPPS && op <= Op.CMPSD && d.immediate < (d.vex ? 32 : 8)) {
            name = name.substring(0, name.length() - 2)
                    + COMPARISONS[(int) d.immediate]
                    + name.substring(name.length() - 2);
        } else if (op == Op.PCLMULQDQ && (d.immediate & ~0x11) == 0) {
            name = (d.vex ? "v" : "") + "pclmul" + ((d.immediate & 1) != 0 ? "h" : "l") + "q"
                    + (d.immediate > 1 ? "h" : "l") + "qdq";
        }
        out.append(name);
    }

    /** Whether the mnemonic says what the last immediate says. */
    private boolean immediateInName(String operand) {
        int op = Insn.op(decoder.word(0));
        return operand.equals("Ib")
                && (op >= Op.CMPPS && op <= Op.CMPSD && decoder.immediate < (decoder.vex ? 32 : 8)
                        || op == Op.PCLMULQDQ && (decoder.immediate & ~0x11) == 0);
    }

    // ------------------------------------------------------------------ operands

    private void operands(String operands) {
        if (operands.isEmpty()) {
            return;
        }
        do {
            out.append(' ');
        } while (out.length() < 7);
        boolean first = true;
        int immediates = 0;
        for (String operand : operands.split(",")) {
            if (immediateInName(operand)) {
                continue;
            }
            if (!first) {
                out.append(',');
            }
            first = false;
            if (operand.charAt(0) == 'I') {
                immediate(operand, immediates++);
            } else {
                operand(operand);
            }
        }
    }

    private void operand(String operand) {
        Decoder d = decoder;
        long w = d.word(0);
        switch (operand) {
            case "AL", "CL", "DX", "AX", "ES", "CS", "SS", "DS", "FS", "GS", "ST", "XMM0", "1" -> {
                out.append(operand.toLowerCase(Locale.ROOT));
                return;
            }
            case "rAX" -> {
                general(0, d.operandSize);
                return;
            }
            case "eAX" -> {
                general(0, Math.min(d.operandSize, 2));
                return;
            }
            case "STi" -> {
                out.append("st(").append(Insn.rm(w)).append(')');
                return;
            }
            case "BX" -> {
                implied("BYTE PTR ", d.segment, 3);
                return;
            }
            default -> {}
        }
        String size = operand.substring(1);
        switch (operand.charAt(0)) {
            case 'E', 'M', 'R', 'W', 'U', 'Q', 'N', 'Z' -> {
                if (Insn.isMemory(w)) {
                    memory(size);
                } else {
                    register(operand.charAt(0), size, Insn.rm(w));
                }
            }
            case 'G', 'V', 'P', 'S', 'C', 'D' -> register(operand.charAt(0), size, Insn.reg(w));
            case 'H', 'B' -> register(operand.charAt(0), size, Insn.vvvv(w));
            case 'L' -> register('V', size, (int) d.immediate >> 4 & (d.mode == Mode.BITS64 ? 15 : 7));
            case 'J' -> {
                long target = address + d.immediate;
                hex(
                        d.mode == Mode.BITS64 && d.operandSize != 1
                                ? target
                                : d.operandSize == 1 ? target & 0xffff : target & 0xffff_ffffL);
            }
            case 'A' -> {
                hex(d.immediate >>> 32);
                out.append(':');
                hex(d.immediate & 0xffff_ffffL);
            }
            case 'O' -> {
                out.append(SEGMENTS[d.segment]).append(':');
                hex(d.immediate);
            }
            case 'X' -> implied(pointer(size), d.segment, 6);
            case 'Y' -> implied(pointer(size), 0, 7);
            default -> out.append(operand);
        }
    }

    /** Memory at a register that the instruction does not name. */
    private void implied(String pointer, int segment, int register) {
        out.append(pointer).append(SEGMENTS[segment]).append(":[");
        general(register, decoder.addressSize);
        out.append(']');
    }

    private void immediate(String operand, int number) {
        Decoder d = decoder;
        int op = Insn.op(d.word(0));
        long value = d.immediate;
        if (op == Op.ENTER) {
            value = number == 0 ? value & 0xffff : value >>> 32;
        } else if (op == Op.EXTRQ || op == Op.INSERTQ) {
            value = number == 0 ? value & 0xff : value >>> 8;
        } else if (!operand.equals("Ib") && !operand.equals("Iw")) {
            value = d.operandSize == 1 ? value & 0xffff : d.operandSize == 2 ? value & 0xffff_ffffL : value;
        }
        hex(value);
    }

    private void register(char kind, String size, int number) {
        switch (kind) {
            case 'P', 'Q', 'N' -> out.append("mm").append(number);
            case 'S' -> out.append(SEGMENTS[number & 7]);
            case 'C' -> out.append("cr").append(number);
            case 'D' -> out.append("dr").append(number);
            case 'V', 'W', 'U', 'H' -> {
                boolean wide = size.equals("qq") || decoder.vexL != 0 && (size.equals("x") || size.startsWith("p"));
                out.append(wide ? "ymm" : "xmm").append(number);
            }
            default -> general(number, log2(size));
        }
    }

    /** Operand size of a size letter for general registers and memory, as a log2 of bytes. */
    private int log2(String size) {
        Decoder d = decoder;
        return switch (size) {
            case "b" -> 0;
            case "w" -> 1;
            case "d", "ss" -> 2;
            case "q", "sd" -> 3;
            case "dq" -> 4;
            case "qq" -> 5;
            case "v" -> d.operandSize;
            case "z" -> Math.min(d.operandSize, 2);
            case "y" -> (d.rex & 8) != 0 && d.mode == Mode.BITS64 ? 3 : 2;
            case "m" -> d.mode == Mode.BITS64 ? 3 : 2;
            case "x", "ps", "pd" -> 4 + d.vexL;
            default -> -1;
        };
    }

    private void general(int number, int size) {
        if (size == 0) {
            if (number >= Insn.HIGH_BYTE) {
                out.append("acdb".charAt(number - Insn.HIGH_BYTE)).append('h');
            } else if (number >= 8) {
                out.append('r').append(number).append('b');
            } else {
                out.append(number < 4 ? GENERAL[number].substring(0, 1) : GENERAL[number])
                        .append('l');
            }
        } else if (number >= 8) {
            out.append('r').append(number).append(size == 1 ? "w" : size == 2 ? "d" : "");
        } else {
            out.append(size == 1 ? "" : size == 2 ? "e" : "r").append(GENERAL[number]);
        }
    }

    private String pointer(String size) {
        Decoder d = decoder;
        if (size.equals("t")) {
            return "TBYTE PTR ";
        }
        if (size.equals("o")) {
            return "OWORD PTR ";
        }
        if (size.equals("p")) {
            return d.operandSize == 1 ? "DWORD PTR " : d.operandSize == 2 ? "FWORD PTR " : "TBYTE PTR ";
        }
        if (size.equals("a")) {
            return d.operandSize == 1 ? "DWORD PTR " : "QWORD PTR ";
        }
        return switch (log2(size)) {
            case 0 -> "BYTE PTR ";
            case 1 -> "WORD PTR ";
            case 2 -> "DWORD PTR ";
            case 3 -> "QWORD PTR ";
            case 4 -> "XMMWORD PTR ";
            case 5 -> "YMMWORD PTR ";
            default -> "";
        };
    }

    private void memory(String size) {
        Decoder d = decoder;
        int under = size.indexOf('_');
        out.append(pointer(under < 0 ? size : size.substring(0, under)));
        if (d.segmentPrefix >= 0) {
            out.append(SEGMENTS[d.segmentPrefix]).append(':');
        }
        long disp = d.displacement;
        boolean hasBase = d.base != Insn.NO_REG;
        boolean hasIndex = d.index != Insn.NO_REG;
        if (d.base == Insn.RIP_BASE) {
            disp -= length;
        }
        // An index that is not there is printed when the bytes could have done without the SIB byte that says so.
        boolean noIndex = d.hasSib
                && !hasIndex
                && (hasBase
                        ? (d.base & 7) != 4 || d.scale != 0
                        : d.scale != 0 || d.mode == Mode.BITS32 || d.addressPrefix);
        if (!hasBase && !hasIndex && !noIndex) {
            if (d.segmentPrefix < 0) {
                out.append("ds:");
            }
            hex(d.addressSize == 1 ? disp & 0xffff : d.mode == Mode.BITS64 ? disp : disp & 0xffff_ffffL);
            return;
        }
        out.append('[');
        if (d.base == Insn.RIP_BASE) {
            out.append(d.addressSize == 2 ? "eip" : "rip");
        } else if (hasBase) {
            general(d.base, d.addressSize);
        }
        if (hasIndex || noIndex) {
            out.append(hasBase ? "+" : "");
            if (under >= 0) {
                register('V', size.substring(under + 2), d.index);
            } else if (noIndex) {
                out.append(d.addressSize == 3 ? "riz" : "eiz");
            } else {
                general(d.index, d.addressSize);
            }
            if (d.addressSize != 1) {
                out.append('*').append(1 << d.scale);
            }
        }
        if (d.displacementBytes != 0) {
            boolean negative = disp < 0 && d.base != Insn.RIP_BASE;
            out.append(negative ? '-' : '+');
            hex(negative ? -disp : disp);
        }
        out.append(']');
    }

    private void hex(long value) {
        out.append("0x").append(Long.toHexString(value));
    }
}
