package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * Applies an object file's relocations to a debug section. Only what compilers put into debug sections is known: values
 * of whole 4 and 8 bytes.
 */
final class Relocations {
    private static final int I386 = 3;
    private static final int PPC64 = 21;
    private static final int S390 = 22;
    private static final int ARM = 40;
    private static final int X86_64 = 62;
    private static final int AARCH64 = 183;
    private static final int RISCV = 243;

    private Relocations() {}

    static ByteBuffer apply(ElfFile file, ElfFile.Section section, ByteBuffer raw) {
        for (ElfFile.Section table : file.sections()) {
            boolean addends = table.type() == 4;
            if ((addends || table.type() == 9) && table.info() == section.index()) {
                return apply(file, section, table, addends, raw);
            }
        }
        return raw;
    }

    private static ByteBuffer apply(
            ElfFile file, ElfFile.Section section, ElfFile.Section table, boolean addends, ByteBuffer raw) {
        ByteBuffer out = ByteBuffer.allocate(raw.limit()).order(file.order());
        out.put(0, raw, 0, raw.limit());
        List<ElfFile.Section> sections = file.sections();
        if (table.link() < 0 || table.link() >= sections.size()) {
            throw new LayoutException(
                    file.name(),
                    table.offset(),
                    "relocations of " + section.name() + " name symbol table " + table.link());
        }
        boolean wide = file.wide();
        ByteBuffer symbols = file.raw(sections.get(table.link()));
        ByteBuffer in = file.raw(table);
        int symbolSize = wide ? 24 : 16;
        int entry = (wide ? 16 : 8) + (addends ? (wide ? 8 : 4) : 0);
        for (int at = 0; at + entry <= in.limit(); at += entry) {
            long offset = wide ? in.getLong(at) : Integer.toUnsignedLong(in.getInt(at));
            long info = wide ? in.getLong(at + 8) : Integer.toUnsignedLong(in.getInt(at + 4));
            long symbol = wide ? info >>> 32 : info >>> 8;
            int type = wide ? (int) info : (int) info & 0xff;
            int width = width(file.machine(), type);
            if (width == 0) continue;
            if (width < 0) {
                throw new LayoutException(
                        file.name(),
                        table.offset() + at,
                        "relocation type " + type + " of machine " + file.machine() + " in " + section.name()
                                + " is not known");
            }
            if (offset < 0 || offset > out.limit() - width) {
                throw new LayoutException(
                        file.name(),
                        table.offset() + at,
                        "a relocation at 0x" + Long.toHexString(offset) + " leaves " + section.name());
            }
            if (symbol * symbolSize > symbols.limit() - symbolSize) {
                throw new LayoutException(file.name(), table.offset() + at, "a relocation names symbol " + symbol);
            }
            int symbolAt = (int) symbol * symbolSize;
            long value = wide ? symbols.getLong(symbolAt + 8) : Integer.toUnsignedLong(symbols.getInt(symbolAt + 4));
            int to = (int) offset;
            long addend;
            if (addends) addend = wide ? in.getLong(at + 16) : in.getInt(at + 8);
            else addend = width == 8 ? out.getLong(to) : out.getInt(to);
            if (width == 8) out.putLong(to, value + addend);
            else out.putInt(to, (int) (value + addend));
        }
        return out;
    }

    /** Bytes that a relocation type writes; 0 for one that a layout does not need, -1 for one that is not known. */
    private static int width(int machine, int type) {
        return switch (machine) {
            case X86_64 ->
                switch (type) {
                    case 1 -> 8; // R_X86_64_64
                    case 10, 11 -> 4; // R_X86_64_32, R_X86_64_32S
                    case 0, 2, 17, 21, 24 -> 0; // NONE, PC32, DTPOFF64, DTPOFF32, PC64: addresses
                    default -> -1;
                };
            case I386 ->
                switch (type) {
                    case 1 -> 4; // R_386_32
                    case 0, 2, 32 -> 0; // NONE, PC32, TLS_LDO_32
                    default -> -1;
                };
            case AARCH64 ->
                switch (type) {
                    case 257 -> 8; // R_AARCH64_ABS64
                    case 258 -> 4; // R_AARCH64_ABS32
                    case 0, 256, 260, 261, 1028, 1029 -> 0;
                    default -> -1;
                };
            case ARM ->
                switch (type) {
                    case 2 -> 4; // R_ARM_ABS32
                    case 0, 3, 106 -> 0;
                    default -> -1;
                };
            case PPC64 ->
                switch (type) {
                    case 38 -> 8; // R_PPC64_ADDR64
                    case 1 -> 4; // R_PPC64_ADDR32
                    case 0, 26, 44, 78 -> 0;
                    default -> -1;
                };
            case S390 ->
                switch (type) {
                    case 22 -> 8; // R_390_64
                    case 4 -> 4; // R_390_32
                    case 0, 5, 23, 54, 55 -> 0;
                    default -> -1;
                };
            case RISCV ->
                switch (type) {
                    case 2 -> 8; // R_RISCV_64
                    case 1 -> 4; // R_RISCV_32
                    case 0, 34, 35, 36, 38, 39, 40, 52, 53, 54, 55, 56, 60, 61 -> 0; // differences of addresses
                    default -> -1;
                };
            default -> -1;
        };
    }
}
