package dev.slate.layout.dwarf;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Walks over a unit's entries and finds the named definitions of structs, classes and unions, without making types of them. A
 * fingerprint of the bytes that decide about a layout (names by their place in the string section, places of members) tells whether the
 * same definition was met in an earlier unit: most of a large program's were.
 */
final class Scan {
    private static final int MAX_DEPTH = 512;

    private final Unit unit;
    private final Set<Long> known;
    private final List<Integer> found = new ArrayList<>();
    private final List<Long> prints = new ArrayList<>();
    private final Reader in;

    Scan(Unit unit, Set<Long> known) {
        this.unit = unit;
        this.known = known;
        this.in = unit.reader(unit.head.firstEntry());
    }

    /** Offsets of the definitions, an inner one before the one around it. */
    List<Integer> found() {
        return found;
    }

    /** The fingerprints of {@link #found()}, in the same order. */
    List<Long> prints() {
        return prints;
    }

    void run() {
        long code = in.unsigned();
        if (code == 0) return;
        Abbrevs.Abbrev top = abbrev(code, unit.head.firstEntry());
        Skip.attributes(top, in, unit.head);
        if (top.children) siblings(0);
    }

    private Abbrevs.Abbrev abbrev(long code, int at) {
        Abbrevs.Abbrev abbrev = unit.abbrevs.get(code);
        if (abbrev == null) throw unit.broken(at, "abbreviation " + code + " is not in the unit's table");
        return abbrev;
    }

    /** Walks over a list of children, to behind the zero that ends it. */
    private void siblings(int depth) {
        if (depth > MAX_DEPTH) throw in.broken("entries nested more than " + MAX_DEPTH + " deep");
        int end = unit.head.end();
        while (in.at < end) {
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) return;
            Abbrevs.Abbrev abbrev = abbrev(code, at);
            if (Tag.aggregate(abbrev.tag)) {
                aggregate(abbrev, at, depth);
            } else {
                Skip.attributes(abbrev, in, unit.head);
                if (abbrev.children) siblings(depth + 1);
            }
        }
        if (depth > 0) throw in.broken("the unit ends inside a list of children");
    }

    private void aggregate(Abbrevs.Abbrev abbrev, int at, int depth) {
        // A class without children may still be a definition (an empty one) or name one by specification.
        boolean declared = false;
        boolean named = false;
        long print = abbrev.tag | unit.head.mark() & Unit.ALT; // another file, another string section
        int n = abbrev.forms.length;
        for (int i = 0; i < n; i++) {
            int form = abbrev.forms[i];
            switch (abbrev.attributes[i]) {
                case At.NAME -> {
                    print = mix(print, name(form));
                    named = true;
                }
                case At.SPECIFICATION -> {
                    print = mix(print, at); // only the declaration knows the name
                    named = true;
                    Skip.form(form, in, unit.head);
                }
                case At.DECLARATION -> {
                    declared |= form == Form.FLAG_PRESENT || in.in.get(in.at) != 0;
                    Skip.form(form, in, unit.head);
                }
                case At.BYTE_SIZE -> print = mix(print, plain(form, abbrev.constants[i]));
                default -> Skip.form(form, in, unit.head);
            }
        }
        if (abbrev.children) print = members(print, depth + 1);
        if (!named || declared || known.contains(print)) return;
        found.add(at);
        prints.add(print);
    }

    /** Walks over an aggregate's children and mixes the members into its fingerprint. */
    private long members(long start, int depth) {
        if (depth > MAX_DEPTH) throw in.broken("entries nested more than " + MAX_DEPTH + " deep");
        long print = start;
        int end = unit.head.end();
        while (in.at < end) {
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) return print;
            Abbrevs.Abbrev abbrev = abbrev(code, at);
            if (abbrev.tag == Tag.MEMBER || abbrev.tag == Tag.INHERITANCE) {
                print = member(mix(print, abbrev.tag), abbrev);
                if (abbrev.children) Skip.children(unit, in);
            } else if (Tag.aggregate(abbrev.tag)) {
                aggregate(abbrev, at, depth);
            } else {
                Skip.attributes(abbrev, in, unit.head);
                if (abbrev.children) siblings(depth + 1);
            }
        }
        throw in.broken("the unit ends inside a list of children");
    }

    private long member(long start, Abbrevs.Abbrev abbrev) {
        long print = start;
        int n = abbrev.forms.length;
        for (int i = 0; i < n; i++) {
            int form = abbrev.forms[i];
            int attribute = abbrev.attributes[i];
            switch (attribute) {
                case At.NAME -> print = mix(print, name(form));
                case At.DATA_MEMBER_LOCATION, At.DATA_BIT_OFFSET, At.BIT_OFFSET, At.BIT_SIZE, At.BYTE_SIZE ->
                    print = mix(mix(print, attribute), plain(form, abbrev.constants[i]));
                default -> Skip.form(form, in, unit.head);
            }
        }
        return print;
    }

    /** A name's place: the same place is the same name. */
    private long name(int form) {
        return switch (form) {
            case Form.STRP -> in.bytes(unit.head.offsetSize()) * 4 + 1;
            case Form.LINE_STRP, Form.STRP_SUP, Form.GNU_STRP_ALT -> in.bytes(unit.head.offsetSize()) * 4 + 2;
            case Form.STRING -> {
                long hash = 3;
                for (int b = in.byte1(); b != 0; b = in.byte1()) hash = mix(hash, b);
                yield hash;
            }
            default -> mix(plain(form, 0), unit.head.start()); // an index into a table of the unit's own
        };
    }

    /** A number, or a mix of the bytes of something longer. */
    private long plain(int form, long constant) {
        return switch (form) {
            case Form.IMPLICIT_CONST -> constant;
            case Form.DATA1 -> in.byte1();
            case Form.DATA2 -> in.byte2();
            default -> {
                int from = in.at;
                Skip.form(form, in, unit.head);
                long hash = form;
                for (int i = from; i < in.at; i++) hash = mix(hash, in.in.get(i));
                yield hash;
            }
        };
    }

    private static long mix(long hash, long value) {
        long mixed = (hash ^ value) * 0x9E3779B97F4A7C15L;
        return mixed ^ mixed >>> 29;
    }

    /** The place of the first definition of a name, or -1. */
    static int find(Unit unit, Names wanted) {
        Reader in = unit.reader(unit.head.firstEntry());
        int end = unit.head.end();
        while (in.at < end) {
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) continue;
            Abbrevs.Abbrev abbrev = unit.abbrevs.get(code);
            if (abbrev == null) throw unit.broken(at, "abbreviation " + code + " is not in the unit's table");
            if (!Tag.named(abbrev.tag)) {
                Skip.attributes(abbrev, in, unit.head);
                continue;
            }
            if (matches(abbrev, in, unit, wanted)) return at;
        }
        return -1;
    }

    private static boolean matches(Abbrevs.Abbrev abbrev, Reader in, Unit unit, Names wanted) {
        boolean hit = false;
        boolean declared = false;
        for (int i = 0; i < abbrev.forms.length; i++) {
            int form = abbrev.forms[i];
            if (abbrev.attributes[i] == At.NAME) {
                hit = wanted.matches(form, in, unit);
            } else if (abbrev.attributes[i] == At.DECLARATION) {
                declared |= form == Form.FLAG_PRESENT || in.in.get(in.at) != 0;
                Skip.form(form, in, unit.head);
            } else {
                Skip.form(form, in, unit.head);
            }
        }
        return hit && !declared;
    }

    /** A name that is looked for, with the places where the string section has it. */
    static final class Names {
        private final byte[] name;
        private final Set<Integer> places = new java.util.HashSet<>();

        Names(String name, Sections sections) {
            this.name = name.getBytes(java.nio.charset.StandardCharsets.UTF_8);
            java.nio.ByteBuffer text = sections.strings();
            int length = this.name.length;
            if (length == 0) return;
            byte first = this.name[0];
            for (int at = 0; at + length < text.limit(); at++) {
                if (text.get(at) == first && text.get(at + length) == 0 && same(text, at)) places.add(at);
            }
        }

        private boolean same(java.nio.ByteBuffer text, int at) {
            for (int i = 0; i < name.length; i++) if (text.get(at + i) != name[i]) return false;
            return true;
        }

        boolean matches(int form, Reader in, Unit unit) {
            if (form == Form.STRP) {
                long place = in.bytes(unit.head.offsetSize());
                return place <= Integer.MAX_VALUE && places.contains((int) place);
            }
            if (form == Form.STRING) {
                int at = in.at;
                in.skipString();
                return in.at - at - 1 == name.length && same(in.in, at);
            }
            int at = in.at;
            Skip.form(form, in, unit.head);
            @Nullable String text = text(form, at, unit);
            return text != null
                    && java.util.Arrays.equals(text.getBytes(java.nio.charset.StandardCharsets.UTF_8), name);
        }

        private static @Nullable String text(int form, int at, Unit unit) {
            Reader in = unit.reader(at);
            return switch (form) {
                case Form.LINE_STRP -> Reader.string(unit.sections.lineStrings(), in.bytes(unit.head.offsetSize()), in);
                case Form.STRP_SUP, Form.GNU_STRP_ALT ->
                    Reader.string(unit.session.alternate(unit).strings(), in.bytes(unit.head.offsetSize()), in);
                case Form.STRX, Form.GNU_STR_INDEX -> unit.string(in.unsigned(), in);
                case Form.STRX1 -> unit.string(in.byte1(), in);
                case Form.STRX2 -> unit.string(in.byte2(), in);
                case Form.STRX3 -> unit.string(in.bytes(3), in);
                case Form.STRX4 -> unit.string(in.bytes(4), in);
                default -> null;
            };
        }
    }
}
