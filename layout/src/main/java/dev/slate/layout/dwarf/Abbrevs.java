package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** One unit's abbreviations (DWARF 5, 7.5.3), with what a quick walk over entries needs worked out ahead. */
final class Abbrevs {
    /** One abbreviation: attributes and forms in parallel. */
    static final class Abbrev {
        final int tag;
        final boolean children;
        final int[] attributes;
        final int[] forms;
        final long[] constants;
        /** Whether entries of it are structs, classes or unions. */
        final boolean aggregate;
        /** Whether they are something else around types that has a name, and may have types in it. */
        final boolean scope;
        /** Whether nothing inside them has a layout: enumerations, lists of parameters, arrays. */
        final boolean opaque;
        /** Bytes of each attribute, -1 where they vary. */
        final int[] sizes;
        /** Bytes of all attributes, or -1 if they vary. */
        final int fixedSize;
        /** Bytes before the place of the next sibling, -1 if it has none or they vary. */
        final int siblingAt;

        Abbrev(int tag, boolean children, int[] attributes, int[] forms, long[] constants, Unit.Head unit) {
            this.tag = tag;
            this.children = children;
            this.attributes = attributes;
            this.forms = forms;
            this.constants = constants;
            this.aggregate = Tag.aggregate(tag);
            this.scope = children && !aggregate && Tag.scope(tag);
            this.opaque = tag == Tag.ENUMERATION || tag == Tag.SUBROUTINE || tag == Tag.ARRAY;
            this.sizes = new int[forms.length];
            int size = 0;
            int sibling = -1;
            for (int i = 0; i < forms.length; i++) {
                if (attributes[i] == At.SIBLING && size >= 0 && forms[i] == Form.REF4) sibling = size;
                int one = Form.size(forms[i], unit);
                sizes[i] = one;
                size = one < 0 || size < 0 ? -1 : size + one;
            }
            fixedSize = size;
            siblingAt = sibling;
        }

        boolean has(int attribute) {
            for (int a : attributes) if (a == attribute) return true;
            return false;
        }
    }

    private @Nullable Abbrev[] byCode = new @Nullable Abbrev[128];

    Abbrevs(ByteBuffer section, long start, Unit.Head unit, String file) {
        if (start < 0 || start >= section.limit()) {
            throw new LayoutException(
                    file,
                    unit.start(),
                    "the unit's abbreviations lie at 0x" + Long.toHexString(start) + " of .debug_abbrev, which has "
                            + section.limit() + " bytes");
        }
        Reader in = Reader.of(section, (int) start, section.limit(), file, ".debug_abbrev");
        int[] attributes = new int[32];
        int[] forms = new int[32];
        long[] constants = new long[32];
        for (long code = in.unsigned(); code != 0; code = in.unsigned()) {
            if (code < 0 || code > 1 << 20) throw in.broken("abbreviation " + code);
            int tag = (int) in.unsigned();
            boolean children = in.byte1() != 0;
            int n = 0;
            while (true) {
                int attribute = (int) in.unsigned();
                int form = (int) in.unsigned();
                if (n == attributes.length) {
                    if (n > 4096) throw in.broken("an abbreviation of more than 4096 attributes");
                    attributes = Arrays.copyOf(attributes, n * 2);
                    forms = Arrays.copyOf(forms, n * 2);
                    constants = Arrays.copyOf(constants, n * 2);
                }
                long constant = form == Form.IMPLICIT_CONST ? in.signed() : 0;
                if (attribute == 0 && form == 0) break;
                attributes[n] = attribute;
                forms[n] = form;
                constants[n++] = constant;
            }
            Abbrev abbrev = new Abbrev(
                    tag,
                    children,
                    Arrays.copyOf(attributes, n),
                    Arrays.copyOf(forms, n),
                    Arrays.copyOf(constants, n),
                    unit);
            if (code >= byCode.length) byCode = Arrays.copyOf(byCode, Math.max((int) code + 1, byCode.length * 2));
            byCode[(int) code] = abbrev;
        }
    }

    @Nullable
    Abbrev get(long code) {
        return code > 0 && code < byCode.length ? byCode[(int) code] : null;
    }
}
