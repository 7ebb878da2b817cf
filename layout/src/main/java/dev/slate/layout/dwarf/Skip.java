package dev.slate.layout.dwarf;

/** Walks over attributes and entries without decoding them. */
final class Skip {
    private Skip() {}

    /** Moves the reader behind one value. */
    static void form(int form, Reader in, Unit.Head head) {
        switch (form) {
            case Form.STRING -> in.skipString();
            case Form.BLOCK, Form.BLOCK1, Form.BLOCK2, Form.BLOCK4, Form.EXPRLOC -> in.skip(blockLength(form, in));
            case Form.SDATA,
                    Form.UDATA,
                    Form.REF_UDATA,
                    Form.STRX,
                    Form.ADDRX,
                    Form.LOCLISTX,
                    Form.RNGLISTX,
                    Form.GNU_ADDR_INDEX,
                    Form.GNU_STR_INDEX -> in.skipLeb();
            case Form.INDIRECT -> form((int) in.unsigned(), in, head);
            default -> {
                int size = Form.size(form, head);
                if (size < 0) throw in.broken("form 0x" + Integer.toHexString(form) + " of an attribute is not known");
                in.skip(size);
            }
        }
    }

    /** Reads a block's length and moves to its first byte. */
    static long blockLength(int form, Reader in) {
        return switch (form) {
            case Form.BLOCK1 -> in.byte1();
            case Form.BLOCK2 -> in.byte2();
            case Form.BLOCK4 -> Integer.toUnsignedLong(in.byte4());
            default -> in.unsigned();
        };
    }

    /** Moves the reader behind an entry's attributes. */
    static void attributes(Abbrevs.Abbrev abbrev, Reader in, Unit.Head head) {
        if (abbrev.fixedSize >= 0) {
            in.skip(abbrev.fixedSize);
            return;
        }
        int[] sizes = abbrev.sizes;
        for (int i = 0; i < sizes.length; i++) {
            if (sizes[i] >= 0) in.skip(sizes[i]);
            else form(abbrev.forms[i], in, head);
        }
    }

    /** Moves the reader, which stands at a first child, behind the last one. */
    static void children(Unit unit, Reader in) {
        int depth = 1;
        while (depth > 0) {
            if (in.at >= unit.head.end()) throw in.broken("the unit ends inside a list of children");
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) {
                depth--;
                continue;
            }
            Abbrevs.Abbrev abbrev = unit.abbrevs.get(code);
            if (abbrev == null) throw unit.broken(at, "abbreviation " + code + " is not in the unit's table");
            int attributes = in.at;
            if (abbrev.children && abbrev.siblingAt >= 0) {
                in.at = attributes + abbrev.siblingAt;
                long sibling = Integer.toUnsignedLong(in.byte4()) + unit.head.start();
                if (sibling <= attributes || sibling > unit.head.end()) {
                    throw unit.broken(at, "an entry's sibling lies at 0x" + Long.toHexString(sibling));
                }
                in.at = (int) sibling;
                continue;
            }
            attributes(abbrev, in, unit.head);
            if (abbrev.children) depth++;
        }
    }
}
