package dev.slate.layout.dwarf;

import dev.slate.layout.BaseType;
import dev.slate.layout.EnumType;
import dev.slate.layout.PointerType;
import dev.slate.layout.QualifiedType;
import dev.slate.layout.Type;
import org.jspecify.annotations.Nullable;

/**
 * Rebuilds the template arguments of a class whose name leaves them out ({@code -gsimple-template-names}), as clang would have written
 * them into the name.
 */
final class Templates {
    private static final int DEEPEST = 30;

    private final Entries entries;

    Templates(Entries entries) {
        this.entries = entries;
    }

    /** {@code <int, 3>}, or nothing for a class that is no template's. */
    String arguments(Die die) {
        StringBuilder text = new StringBuilder();
        collect(die, text);
        if (text.isEmpty()) return "";
        return "<" + text + (text.charAt(text.length() - 1) == '>' ? " >" : ">");
    }

    private void collect(Die die, StringBuilder text) {
        for (Die child : entries.children(die)) {
            String one = switch (child.tag()) {
                case Tag.TEMPLATE_TYPE -> spell(entries.typeOf(child), 0);
                case Tag.TEMPLATE_VALUE -> value(child);
                case Tag.GNU_TEMPLATE_TEMPLATE -> child.string(At.GNU_TEMPLATE_NAME);
                case Tag.GNU_TEMPLATE_PACK -> {
                    collect(child, text);
                    yield null;
                }
                default -> null;
            };
            if (one == null) continue;
            if (!text.isEmpty()) text.append(", ");
            text.append(one);
        }
    }

    private String value(Die parameter) {
        Type type = Type.strip(entries.typeOf(parameter));
        if (!parameter.constant(At.CONST_VALUE)) return "?";
        long value = parameter.number(At.CONST_VALUE);
        if (type instanceof EnumType e) {
            String name = String.valueOf(e.qualifiedName());
            int scope = name.lastIndexOf("::");
            String prefix = entries.scoped(parameter) ? name + "::" : scope < 0 ? "" : name.substring(0, scope + 2);
            for (EnumType.Value v : e.values()) if (v.value() == value) return prefix + v.name();
            return "(" + e.qualifiedName() + ")" + value;
        }
        if (!(type instanceof BaseType base)) return Long.toString(value);
        String name = String.valueOf(base.name());
        String suffix = (name.startsWith("unsigned") ? "U" : "")
                + (name.contains("long long") ? "LL" : name.contains("long") ? "L" : "");
        return switch (base.encoding()) {
            case BOOLEAN -> value != 0 ? "true" : "false";
            case CHARACTER -> value >= 32 && value < 127 ? "'" + (char) value + "'" : Long.toString(value);
            default ->
                base.encoding() == BaseType.Encoding.UNSIGNED ? Long.toUnsignedString(value) + suffix : value + suffix;
        };
    }

    private static String spell(@Nullable Type type, int depth) {
        if (depth > DEEPEST) return "...";
        return switch (type) {
            case null -> "void";
            case PointerType p -> {
                String sign = switch (p.kind()) {
                    case POINTER -> "*";
                    case REFERENCE -> "&";
                    case RVALUE_REFERENCE -> "&&";
                    case MEMBER -> spell(p.containing(), depth + 1) + "::*";
                };
                String target = spell(p.target(), depth + 1);
                yield target.endsWith("*") || target.endsWith("&") ? target + sign : target + " " + sign;
            }
            case QualifiedType q -> {
                String target = spell(q.target(), depth + 1);
                String word = switch (q.kind()) {
                    case CONST -> "const";
                    case VOLATILE -> "volatile";
                    case ATOMIC -> "_Atomic";
                    case RESTRICT, TAG -> "";
                };
                yield word.isEmpty() ? target : target.endsWith("*") ? target + word : word + " " + target;
            }
            case dev.slate.layout.ArrayType a -> {
                StringBuilder text = new StringBuilder(spell(a.element(), depth + 1));
                for (int i = 0; i < a.dimensions(); i++)
                    text.append('[').append(a.count(i)).append(']');
                yield text.toString();
            }
            case dev.slate.layout.FunctionType f -> {
                StringBuilder text = new StringBuilder(spell(f.result(), depth + 1)).append(" (");
                String separator = "";
                for (dev.slate.layout.FunctionType.Parameter parameter : f.parameters()) {
                    text.append(separator).append(spell(f.type(parameter), depth + 1));
                    separator = ", ";
                }
                yield text.append(')').toString();
            }
            default -> String.valueOf(type.qualifiedName());
        };
    }
}
