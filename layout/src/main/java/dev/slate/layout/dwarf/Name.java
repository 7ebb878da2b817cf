package dev.slate.layout.dwarf;

/** How a user may write the name of a type: {@code [file.c:][scope::]name}, with as much of the scope as is needed. */
final class Name {
    private Name() {}

    /** The part behind the last separator that stands outside of template arguments: {@code ::}, or Go's and others' dots and slashes. */
    static String last(String name) {
        return last(name, false);
    }

    /** @param gnat whether two underscores are a separator too, as GNAT joins a package and a name */
    static String last(String name, boolean gnat) {
        int depth = 0;
        for (int i = name.length() - 1; i >= 0; i--) {
            char c = name.charAt(i);
            if (c == '>' || c == ')' || c == ']' || c == '}') depth++;
            else if (c == '<' || c == '(' || c == '[' || c == '{') depth--;
            boolean separator =
                    c == ':' || c == '.' || c == '/' || gnat && c == '_' && i > 0 && name.charAt(i - 1) == '_';
            if (depth <= 0 && separator && i + 1 < name.length()) return name.substring(i + 1);
        }
        return name;
    }

    /** Whether a name of Go's is that of a type made of others: a slice, a map, a pointer. */
    static boolean composed(String name) {
        if (name.isEmpty()) return true;
        char first = name.charAt(0);
        return first == '['
                || first == '*'
                || first == '<'
                || name.indexOf(' ') > 0 && name.indexOf('[') < 0
                || name.startsWith("map[")
                || name.startsWith("func(")
                || name.startsWith("struct {");
    }

    /** Whether a type of this qualified name and unit may be meant. */
    static boolean means(String wanted, String qualified, @org.jspecify.annotations.Nullable String unit, int line) {
        if (ends(wanted, qualified)) return true;
        if (unit == null) return false;
        // file.c:T, file.c:12:T
        int at = wanted.indexOf(':');
        while (at > 0) {
            if (at + 1 < wanted.length() && wanted.charAt(at + 1) != ':' && wanted.charAt(at - 1) != ':') {
                String file = wanted.substring(0, at);
                String rest = wanted.substring(at + 1);
                if (unit.equals(file) || unit.endsWith("/" + file)) {
                    int colon = rest.indexOf(':');
                    String number = colon > 0 ? rest.substring(0, colon) : "";
                    if (!number.isEmpty() && number.chars().allMatch(Character::isDigit))
                        return number.equals(String.valueOf(line)) && ends(rest.substring(colon + 1), qualified);
                    return ends(rest, qualified);
                }
            }
            at = wanted.indexOf(':', at + 1);
        }
        return false;
    }

    private static boolean ends(String wanted, String qualified) {
        if (qualified.equals(wanted)) return true;
        if (!qualified.endsWith(wanted) || wanted.isEmpty()) return false;
        char before = qualified.charAt(qualified.length() - wanted.length() - 1);
        return before == ':' || before == '.' || before == '/' || before == '_' && qualified.contains("__" + wanted);
    }
}
