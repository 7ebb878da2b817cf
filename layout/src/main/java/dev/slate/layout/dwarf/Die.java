package dev.slate.layout.dwarf;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** One debugging information entry, decoded on demand. */
final class Die {
    final Unit unit;
    final int offset;
    final Abbrevs.Abbrev abbrev;
    private final int attributesAt;
    private long @Nullable [] values;
    private int @Nullable [] forms;
    private int after;

    Die(Unit unit, int offset, Abbrevs.Abbrev abbrev, int attributesAt) {
        this.unit = unit;
        this.offset = offset;
        this.abbrev = abbrev;
        this.attributesAt = attributesAt;
    }

    int tag() {
        return abbrev.tag;
    }

    /** Decodes all attributes: numbers and references as themselves, strings and blocks as the place where they lie. */
    void read() {
        if (values != null) return;
        Reader in = unit.reader(attributesAt);
        int n = abbrev.forms.length;
        long[] found = new long[n];
        int[] actual = abbrev.forms;
        for (int i = 0; i < n; i++) {
            int form = abbrev.forms[i];
            if (form == Form.INDIRECT) {
                form = (int) in.unsigned();
                actual = Arrays.copyOf(actual, n);
                actual[i] = form;
            }
            found[i] = form == Form.IMPLICIT_CONST ? abbrev.constants[i] : value(form, in);
        }
        values = found;
        forms = actual;
        after = in.at;
    }

    private long value(int form, Reader in) {
        return switch (form) {
            case Form.STRING, Form.BLOCK, Form.BLOCK1, Form.BLOCK2, Form.BLOCK4, Form.EXPRLOC, Form.DATA16 -> {
                int start = in.at;
                Skip.form(form, in, unit.head);
                yield start;
            }
            case Form.SDATA -> in.signed();
            case Form.UDATA,
                    Form.REF_UDATA,
                    Form.STRX,
                    Form.ADDRX,
                    Form.LOCLISTX,
                    Form.RNGLISTX,
                    Form.GNU_ADDR_INDEX,
                    Form.GNU_STR_INDEX -> in.unsigned();
            case Form.FLAG_PRESENT -> 1;
            default -> {
                int size = Form.size(form, unit.head);
                if (size < 0) throw in.broken("form 0x" + Integer.toHexString(form) + " of an attribute is not known");
                yield in.bytes(size);
            }
        };
    }

    private int index(int attribute) {
        int[] attributes = abbrev.attributes;
        for (int i = 0; i < attributes.length; i++) if (attributes[i] == attribute) return i;
        return -1;
    }

    boolean has(int attribute) {
        return index(attribute) >= 0;
    }

    /** The offset of the first child, or of what follows. */
    int after() {
        read();
        return after;
    }

    private long rawAt(int i) {
        read();
        return values == null ? 0 : values[i];
    }

    private int formAt(int i) {
        read();
        return forms == null ? 0 : forms[i];
    }

    /** A number; a location that only adds a constant counts as that constant. */
    long number(int attribute) {
        int i = index(attribute);
        if (i < 0) return 0;
        long raw = rawAt(i);
        int form = formAt(i);
        if (form == Form.DATA16) { // its lower half
            Reader in = unit.reader((int) raw);
            long first = in.byte8();
            long second = in.byte8();
            return in.little() ? first : second;
        }
        return Form.block(form) ? expression(form, (int) raw) : raw;
    }

    long numberOr(int attribute, long otherwise) {
        return has(attribute) ? number(attribute) : otherwise;
    }

    /** Whether a bound or place is a constant, not something that only a running program knows. */
    boolean constant(int attribute) {
        int i = index(attribute);
        if (i < 0) return false;
        int form = formAt(i);
        if (Form.reference(form)) return false;
        if (!Form.block(form)) return true;
        Reader in = unit.reader((int) rawAt(i));
        long length = Skip.blockLength(form, in);
        if (length <= 0) return false;
        long end = in.at + length;
        int op = in.byte1();
        switch (op) {
            case 0x23, 0x10, 0x11 -> in.skipLeb();
            case 0x08, 0x09 -> in.skip(1);
            case 0x0a, 0x0b -> in.skip(2);
            case 0x0c, 0x0d -> in.skip(4);
            default -> {
                if (op < 0x30 || op > 0x4f) return false;
            }
        }
        return in.at == end; // more steps than one do more than add a constant
    }

    /** DWARF 5, 2.5.1: the constant that a one-step expression pushes or adds; 0 for any other. */
    private long expression(int form, int start) {
        Reader in = unit.reader(start);
        if (Skip.blockLength(form, in) <= 0) return 0;
        int op = in.byte1();
        return switch (op) {
            case 0x23, 0x10 -> in.unsigned(); // plus_uconst, constu
            case 0x11 -> in.signed(); // consts
            case 0x08 -> in.byte1(); // const1u
            case 0x09 -> (byte) in.byte1();
            case 0x0a -> in.byte2();
            case 0x0b -> (short) in.byte2();
            case 0x0c -> Integer.toUnsignedLong(in.byte4());
            case 0x0d -> in.byte4();
            default -> op >= 0x30 && op <= 0x4f ? op - 0x30 : 0; // lit0 to lit31
        };
    }

    /** A reader at the first byte of a block, null if the attribute is none. */
    @Nullable
    Reader block(int attribute) {
        int i = index(attribute);
        if (i < 0 || !Form.block(formAt(i))) return null;
        Reader in = unit.reader((int) rawAt(i));
        Skip.blockLength(formAt(i), in);
        return in;
    }

    /** Where a block ends. */
    int blockEnd(int attribute) {
        int i = index(attribute);
        Reader in = unit.reader((int) rawAt(i));
        long length = Skip.blockLength(formAt(i), in);
        in.skip(length);
        return in.at;
    }

    /** The bytes of a value that is wider than 64 bits, null for any other. */
    byte @Nullable [] bytes(int attribute) {
        int i = index(attribute);
        if (i < 0) return null;
        Reader in = unit.reader((int) rawAt(i));
        int length;
        if (formAt(i) == Form.DATA16) length = 16;
        else if (Form.block(formAt(i))) length = (int) Math.min(64, Skip.blockLength(formAt(i), in));
        else return null;
        byte[] bytes = new byte[Math.max(0, length)];
        for (int k = 0; k < bytes.length; k++) bytes[k] = (byte) in.byte1();
        return bytes;
    }

    @Nullable
    String string(int attribute) {
        int i = index(attribute);
        if (i < 0) return null;
        long raw = rawAt(i);
        Reader in = unit.reader(offset);
        return switch (formAt(i)) {
            case Form.STRING -> in.at((int) raw).string();
            case Form.STRP -> unit.sections.string(raw, in);
            case Form.LINE_STRP -> unit.sections.lineString(raw, in);
            case Form.STRP_SUP, Form.GNU_STRP_ALT ->
                unit.session.alternate(unit).string(raw, in);
            case Form.STRX, Form.STRX1, Form.STRX2, Form.STRX3, Form.STRX4, Form.GNU_STR_INDEX -> unit.string(raw, in);
            default -> throw in.broken("a name of form 0x" + Integer.toHexString(formAt(i)));
        };
    }

    @Nullable
    String name() {
        return string(At.NAME);
    }

    /** The number of the type or entry that an attribute refers to, 0 for none. */
    long reference(int attribute) {
        int i = index(attribute);
        if (i < 0) return 0;
        long raw = rawAt(i);
        Unit.Head head = unit.head;
        return switch (formAt(i)) {
            case Form.REF1, Form.REF2, Form.REF4, Form.REF8, Form.REF_UDATA -> {
                long target = raw + head.start();
                if (raw < 0 || target < head.firstEntry() || target >= head.end()) {
                    throw unit.broken(
                            offset, "an entry refers to 0x" + Long.toHexString(target) + ", outside of its unit");
                }
                yield target | head.mark();
            }
            case Form.REF_ADDR -> raw | head.mark() & Unit.ALT;
            case Form.REF_SUP4, Form.REF_SUP8, Form.GNU_REF_ALT -> raw | Unit.ALT;
            case Form.REF_SIG8 -> unit.session.signature(raw, unit, offset);
            default -> throw unit.broken(offset, "a reference of form 0x" + Integer.toHexString(formAt(i)));
        };
    }
}
