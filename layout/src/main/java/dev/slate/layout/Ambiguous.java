package dev.slate.layout;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Tells types apart that have the same name: by their scopes, else by their units, else by their lines. */
public final class Ambiguous {
    private Ambiguous() {}

    /** For each type a name that means it alone, in their order: {@code ns::T}, {@code file.c:T} or {@code file.c:12:T}. */
    public static List<String> keys(List<? extends Type> types) {
        Map<String, Integer> names = new HashMap<>();
        Map<String, Integer> inUnits = new HashMap<>();
        for (Type type : types) {
            names.merge(name(type), 1, Integer::sum);
            inUnits.merge(inUnit(type), 1, Integer::sum);
        }
        List<String> keys = new ArrayList<>();
        for (Type type : types) {
            TypeTable.Where where = type.where();
            if (names.getOrDefault(name(type), 0) == 1 || where.unit() == null) keys.add(name(type));
            else if (inUnits.getOrDefault(inUnit(type), 0) == 1) keys.add(inUnit(type));
            else keys.add(where.unit() + ":" + where.line() + ":" + name(type));
        }
        return keys;
    }

    /** One line for each type: its key, size, unit and line. */
    public static List<String> lines(List<? extends Type> types) {
        List<String> keys = keys(types);
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < types.size(); i++) {
            Type type = types.get(i);
            TypeTable.Where where = type.where();
            StringBuilder line = new StringBuilder(keys.get(i));
            line.append("  (").append(type.sizeKnown() ? type.size() + " bytes" : "size not known");
            if (where.unit() != null) line.append(", ").append(where.unit());
            if (where.line() != 0) line.append(where.header() ? ", line " : ":").append(where.line());
            if (where.header() && where.line() != 0) line.append(" of a file that it includes");
            lines.add(line.append(')').toString());
        }
        return lines;
    }

    private static String name(Type type) {
        return String.valueOf(type.qualifiedName());
    }

    private static String inUnit(Type type) {
        return type.where().unit() + ":" + name(type);
    }
}
