package dev.slate.layout.dwarf;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Walks over a unit's entries and finds the named definitions of structs, classes and unions, without making types of them. A
 * fingerprint of the bytes that decide about a layout (names by their place in the string section, those of the scopes around it, places
 * of members) tells whether the same definition was met in an earlier unit: most of a large program's were.
 */
final class Scan {
    private static final int MAX_DEPTH = 512;

    private final Unit unit;
    private final Unit.Head head;
    private final Abbrevs abbrevs;
    private final @Nullable Names wanted;
    private int[] found = new int[64];
    private long[] prints = new long[64];
    private int count;
    private final Scopes scopes = new Scopes();
    private final Reader in;
    private boolean templated;

    private Scan(Unit unit, @Nullable Names wanted) {
        this.unit = unit;
        this.head = unit.head;
        this.abbrevs = unit.abbrevs;
        this.wanted = wanted;
        this.in = unit.reader(head.firstEntry());
    }

    /** All definitions of a unit. */
    static Scan of(Unit unit) {
        Scan scan = new Scan(unit, null);
        scan.run();
        return scan;
    }

    /** The places of the named types of a unit that may have a name that is looked for; the unit then knows its scopes. */
    static int[] find(Unit unit, Names wanted) {
        if (wanted.hopeless(unit)) return new int[0];
        Scan scan = new Scan(unit, wanted);
        scan.run();
        if (scan.count > 0) unit.sections.scopes(unit.head, scan.scopes());
        return scan.found();
    }

    Unit unit() {
        return unit;
    }

    /** The namespaces, classes and functions that were met. */
    Scopes scopes() {
        scopes.done();
        return scopes;
    }

    /** Offsets of the definitions, an inner one before the one around it. */
    int[] found() {
        return Arrays.copyOf(found, count);
    }

    /** The fingerprints of {@link #found()}, in the same order. */
    long[] prints() {
        return Arrays.copyOf(prints, count);
    }

    private void found(int at, long print) {
        if (count == found.length) {
            found = Arrays.copyOf(found, count * 2);
            prints = Arrays.copyOf(prints, count * 2);
        }
        found[count] = at;
        prints[count++] = print;
    }

    private void run() {
        long code = in.unsigned();
        if (code == 0) return;
        Abbrevs.Abbrev top = abbrev(code, head.firstEntry());
        Skip.attributes(top, in, head);
        if (top.children) siblings(0, 0);
    }

    private Abbrevs.Abbrev abbrev(long code, int at) {
        Abbrevs.Abbrev abbrev = abbrevs.get(code);
        if (abbrev == null) throw unit.broken(at, "abbreviation " + code + " is not in the unit's table");
        return abbrev;
    }

    /** Walks over a list of children, to behind the zero that ends it. */
    private void siblings(int depth, long scope) {
        if (depth > MAX_DEPTH) throw in.broken("entries nested more than " + MAX_DEPTH + " deep");
        int end = head.end();
        while (in.at < end) {
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) return;
            Abbrevs.Abbrev abbrev = abbrev(code, at);
            if (abbrev.aggregate) aggregate(abbrev, at, depth, scope);
            else other(abbrev, at, depth, scope);
        }
        if (depth > 0) throw in.broken("the unit ends inside a list of children");
    }

    /** An entry that is no struct: what is inside it may be. */
    private void other(Abbrevs.Abbrev abbrev, int at, int depth, long scope) {
        Names names = wanted;
        if (names != null && Tag.named(abbrev.tag)) {
            if (names.matches(abbrev, in, unit)) found(at, 0);
        } else if (abbrev.scope) {
            long inner = mix(scope, abbrev.tag);
            boolean named = false;
            for (int i = 0; i < abbrev.forms.length; i++) {
                if (abbrev.attributes[i] == At.NAME) {
                    inner = mix(inner, name(abbrev.forms[i]));
                    named = true;
                } else {
                    Skip.form(abbrev.forms[i], in, head);
                }
            }
            if (!named && abbrev.tag == Tag.SUBPROGRAM) inner = mix(inner, at); // its name stands at its declaration
            scopes.enter(at);
            siblings(depth + 1, inner);
            scopes.leave(in.at);
            return;
        } else {
            Skip.attributes(abbrev, in, head);
        }
        if (!abbrev.children) return;
        if (abbrev.opaque) Skip.children(unit, in);
        else siblings(depth + 1, scope);
    }

    private void aggregate(Abbrevs.Abbrev abbrev, int at, int depth, long scope) {
        // A class without children may still be a definition (an empty one) or name one by specification.
        boolean declared = false;
        boolean named = false;
        long nameAt = 0;
        int nameForm = 0;
        Names names = wanted;
        int start = in.at;
        long print = mix(scope, abbrev.tag) | head.mark() & Unit.ALT; // another file, another string section
        int n = abbrev.forms.length;
        for (int i = 0; i < n; i++) {
            int form = abbrev.forms[i];
            switch (abbrev.attributes[i]) {
                case At.NAME -> {
                    nameAt = in.at;
                    nameForm = form;
                    print = mix(print, name(form));
                    named = true;
                }
                case At.SPECIFICATION -> {
                    print = mix(print, at); // only the declaration knows the name
                    named = true;
                    Skip.form(form, in, head);
                }
                case At.DECLARATION -> {
                    declared |= form == Form.FLAG_PRESENT || in.peek() != 0;
                    Skip.form(form, in, head);
                }
                case At.BYTE_SIZE -> print = mix(print, plain(form, abbrev.constants[i]));
                default -> Skip.form(form, in, head);
            }
        }
        if (names != null && named && !declared) {
            int after = in.at;
            in.at = start;
            if (names.matches(abbrev, in, unit)) found(at, 0);
            in.at = after;
        }
        if (abbrev.children) {
            scopes.enter(at);
            boolean outer = templated;
            templated = false;
            print = members(print, depth + 1);
            // Without its arguments a name says too little (-gsimple-template-names).
            if (templated && (nameForm == 0 || !hasArguments(nameForm, (int) nameAt))) {
                print = mix(print, head.start() + (long) at);
                scopes.templated();
            }
            templated = outer;
            scopes.leave(in.at);
        }
        if (named && !declared && names == null) found(at, print);
    }

    private boolean hasArguments(int form, int at) {
        String name = Names.text(form, at, unit);
        return name == null || name.indexOf('<') >= 0;
    }

    /** Walks over an aggregate's children and mixes the members into its fingerprint. */
    private long members(long start, int depth) {
        if (depth > MAX_DEPTH) throw in.broken("entries nested more than " + MAX_DEPTH + " deep");
        long print = start;
        int end = head.end();
        while (in.at < end) {
            int at = in.at;
            long code = in.unsigned();
            if (code == 0) return print;
            Abbrevs.Abbrev abbrev = abbrev(code, at);
            if (abbrev.tag == Tag.MEMBER || abbrev.tag == Tag.INHERITANCE) {
                print = member(mix(print, abbrev.tag), abbrev);
                if (abbrev.children) Skip.children(unit, in);
            } else if (abbrev.aggregate) {
                aggregate(abbrev, at, depth, start);
            } else if (abbrev.tag == Tag.VARIANT_PART || abbrev.tag == Tag.VARIANT) {
                Skip.attributes(abbrev, in, head);
                if (abbrev.children) print = members(mix(print, abbrev.tag), depth + 1);
            } else {
                templated |= abbrev.tag == Tag.TEMPLATE_TYPE
                        || abbrev.tag == Tag.TEMPLATE_VALUE
                        || abbrev.tag == Tag.GNU_TEMPLATE_PACK
                        || abbrev.tag == Tag.GNU_TEMPLATE_TEMPLATE;
                other(abbrev, at, depth, start);
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
                default -> Skip.form(form, in, head);
            }
        }
        return print;
    }

    /** A name's place: the same place is the same name. */
    private long name(int form) {
        return switch (form) {
            case Form.STRP -> in.bytes(head.offsetSize()) * 4 + 1;
            case Form.LINE_STRP, Form.STRP_SUP, Form.GNU_STRP_ALT -> in.bytes(head.offsetSize()) * 4 + 2;
            case Form.STRING -> {
                long hash = 3;
                for (int b = in.byte1(); b != 0; b = in.byte1()) hash = mix(hash, b);
                yield hash;
            }
            case Form.STRX1 -> unit.stringPlace(in.byte1(), in) * 4 + 1;
            case Form.STRX2 -> unit.stringPlace(in.byte2(), in) * 4 + 1;
            case Form.STRX3, Form.STRX4 -> unit.stringPlace(in.bytes(form == Form.STRX3 ? 3 : 4), in) * 4 + 1;
            case Form.STRX, Form.GNU_STR_INDEX -> unit.stringPlace(in.unsigned(), in) * 4 + 1;
            default -> mix(plain(form, 0), head.start());
        };
    }

    /** A number, or a mix of the bytes of something longer. */
    private long plain(int form, long constant) {
        return switch (form) {
            case Form.IMPLICIT_CONST -> constant;
            case Form.DATA1 -> in.byte1();
            case Form.DATA2 -> in.byte2();
            default -> {
                Reader value = in.at(in.at);
                Skip.form(form, in, head);
                long hash = form;
                while (value.at < in.at) hash = mix(hash, value.byte1());
                yield hash;
            }
        };
    }

    static long mix(long hash, long value) {
        long mixed = (hash ^ value) * 0x9E3779B97F4A7C15L;
        return mixed ^ mixed >>> 29;
    }
}
