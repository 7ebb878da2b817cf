package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.util.List;

/**
 * Applies an object file's relocations to a debug section. Only what compilers put into debug sections is known: values of
 * whole bytes; {@link Machine} has them.
 */
final class Relocations {

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
            if (Machine.mips64(file.machine(), wide)) {
                // A word of symbol, then four bytes, of which the last is the type: the order of the file decides
                // where they are.
                boolean little = file.order() == java.nio.ByteOrder.LITTLE_ENDIAN;
                symbol = little ? info & 0xffffffffL : info >>> 32;
                type = little ? (int) (info >>> 56) : (int) info & 0xff;
            } else if (Machine.byteType(file.machine())) {
                type &= 0xff;
            }
            int width = Machine.width(file.machine(), type);
            if (width == Machine.UNNEEDED) continue;
            if (width == Machine.UNKNOWN) {
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
            long addend = addends ? wide ? in.getLong(at + 16) : in.getInt(at + 8) : 0;
            if (!addends || Machine.addsInPlace(file.machine()))
                addend += switch (width) {
                    case 8 -> out.getLong(to);
                    case 4 -> out.getInt(to);
                    case 2 -> out.getShort(to);
                    default -> out.get(to);
                };
            switch (width) {
                case 8 -> out.putLong(to, value + addend);
                case 4 -> out.putInt(to, (int) (value + addend));
                case 2 -> out.putShort(to, (short) (value + addend));
                default -> out.put(to, (byte) (value + addend));
            }
        }
        return out;
    }
}
