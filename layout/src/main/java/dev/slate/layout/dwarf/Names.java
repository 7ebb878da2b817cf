package dev.slate.layout.dwarf;

import dev.slate.layout.TypeTable;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Names that are looked for in one file, with the places where its string section has them. */
final class Names {
    /** The last part of each name, as the entry itself spells it, and without its template arguments. */
    private final List<byte[]> names = new ArrayList<>();

    private final Set<String> inAnyCase = new HashSet<>();
    private final Set<Integer> places = new HashSet<>();

    Names(Collection<String> wanted, Sections sections) {
        Set<String> spellings = new HashSet<>();
        for (String name : wanted) {
            String last = Name.last(name);
            spellings.add(last);
            spellings.add(Name.last(name, true));
            int arguments = last.indexOf('<');
            if (arguments > 0) spellings.add(last.substring(0, arguments));
        }
        boolean[] first = new boolean[256];
        for (String spelling : spellings) {
            byte[] bytes = spelling.getBytes(StandardCharsets.UTF_8);
            if (bytes.length == 0) continue;
            names.add(bytes);
            inAnyCase.add(spelling.toLowerCase(Locale.ROOT));
            first[bytes[0] & 0xff] = true;
        }
        ByteBuffer text = sections.strings();
        for (int at = 0; at < text.limit(); at++) {
            if (!first[text.get(at) & 0xff]) continue;
            for (byte[] name : names) if (ends(text, at, name) && same(text, at, name)) places.add(at);
        }
    }

    private static boolean ends(ByteBuffer text, int at, byte[] name) {
        return at + name.length < text.limit() && text.get(at + name.length) == 0;
    }

    private static boolean same(ByteBuffer text, int at, byte[] name) {
        for (int i = 0; i < name.length; i++) if (text.get(at + i) != name[i]) return false;
        return true;
    }

    /** Whether no entry of a unit can have one of the names. */
    boolean hopeless(Unit unit) {
        return names.isEmpty();
    }

    /** Whether a named definition may be one of these; moves the reader behind its attributes. */
    boolean matches(Abbrevs.Abbrev abbrev, Reader in, Unit unit) {
        boolean hit = false;
        boolean declared = false;
        for (int i = 0; i < abbrev.forms.length; i++) {
            int form = abbrev.forms[i];
            switch (abbrev.attributes[i]) {
                case At.NAME -> hit = matches(form, in, unit);
                case At.SPECIFICATION -> {
                    hit = true; // only its declaration knows
                    Skip.form(form, in, unit.head);
                }
                case At.DECLARATION -> {
                    declared |= form == Form.FLAG_PRESENT || in.peek() != 0;
                    Skip.form(form, in, unit.head);
                }
                default -> Skip.form(form, in, unit.head);
            }
        }
        return hit && !declared;
    }

    private boolean matches(int form, Reader in, Unit unit) {
        TypeTable.Language language = unit.language();
        boolean scoped = language == TypeTable.Language.GO || language.anyCase();
        if (form == Form.STRP && !scoped) {
            long place = in.bytes(unit.head.offsetSize());
            return place <= Integer.MAX_VALUE && places.contains((int) place);
        }
        if (form == Form.STRING && !scoped) {
            int at = in.at;
            in.skipString();
            int length = in.at - at - 1;
            for (byte[] name : names) if (length == name.length && in.same(at, name)) return true;
            return false;
        }
        int at = in.at;
        Skip.form(form, in, unit.head);
        @Nullable String text = text(form, at, unit);
        if (text == null) return false;
        if (language == TypeTable.Language.GO && Name.composed(text)) return false;
        String last = scoped ? Name.last(text, language == TypeTable.Language.ADA) : text;
        if (language.anyCase()) return inAnyCase.contains(last.toLowerCase(Locale.ROOT));
        byte[] bytes = last.getBytes(StandardCharsets.UTF_8);
        for (byte[] name : names) if (java.util.Arrays.equals(bytes, name)) return true;
        return false;
    }

    static @Nullable String text(int form, int at, Unit unit) {
        Reader in = unit.reader(at);
        return switch (form) {
            case Form.STRING -> in.string();
            case Form.STRP -> unit.sections.string(in.bytes(unit.head.offsetSize()), in);
            case Form.LINE_STRP -> unit.sections.lineString(in.bytes(unit.head.offsetSize()), in);
            case Form.STRP_SUP, Form.GNU_STRP_ALT ->
                unit.session.alternate(unit).string(in.bytes(unit.head.offsetSize()), in);
            case Form.STRX, Form.GNU_STR_INDEX -> unit.string(in.unsigned(), in);
            case Form.STRX1 -> unit.string(in.byte1(), in);
            case Form.STRX2 -> unit.string(in.byte2(), in);
            case Form.STRX3 -> unit.string(in.bytes(3), in);
            case Form.STRX4 -> unit.string(in.bytes(4), in);
            default -> null;
        };
    }
}
