package dev.slate.layout.text;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.BaseType;
import dev.slate.layout.EnumType;
import dev.slate.layout.FunctionType;
import dev.slate.layout.LayoutException;
import dev.slate.layout.PointerType;
import dev.slate.layout.QualifiedType;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import dev.slate.layout.UnspecifiedType;
import org.jspecify.annotations.Nullable;

/**
 * Spells a type in one line. pahole builds such a name in buffers of 128 and 1024 bytes and cuts it where they end; so does
 * this.
 */
public final class TypeNames {
    private static final int SHORT = 128;
    private static final int LONG = 1024;

    /** How deep types may nest in a name, and how many it may be made of: a broken file can make them circular. */
    private static final int DEEPEST = 200;

    private static final int MOST = 20_000;

    private final boolean pahole;
    private int depth;
    private int named;

    private void enter(@Nullable Type type) {
        if (depth == 0) named = 0;
        if (++depth > DEEPEST || ++named > MOST) {
            depth = 0;
            throw new LayoutException(
                    type == null ? "?" : type.table().file(),
                    (type == null ? "a type" : "type " + type.id())
                            + ": a type's name holds the type itself, or too many others");
        }
    }

    /** Spells types one after another, with the scopes that they are in. */
    public TypeNames() {
        this(false);
    }

    /** @param pahole whether to spell as pahole 1.24 does: without scopes, and some qualifiers twice */
    public TypeNames(boolean pahole) {
        this.pahole = pahole;
    }

    /** A type's own name, with its scopes where those are wanted. */
    String own(Type type) {
        return orEmpty(pahole ? type.name() : type.qualifiedName());
    }

    /** A type in full, with its scopes and dimensions, and without the spaces that pahole's columns need. */
    public static String plain(@Nullable Type type) {
        StringBuilder text = new StringBuilder(
                new TypeNames().name(type, LONG).replaceAll("\\s+", " ").strip());
        Type at = type;
        for (int steps = 0; at instanceof ArrayType array && steps < 64; steps++) {
            for (int i = 0; i < array.dimensions(); i++)
                text.append('[').append(array.count(i)).append(']');
            at = array.element();
        }
        return text.toString();
    }

    /**
     * The name of a type.
     *
     * @param room one more than the characters that the name may have
     */
    public String name(@Nullable Type type, int room) {
        enter(type);
        String name = switch (type) {
            case null -> "void";
            case BaseType b -> b.name() == null ? "nameless base type!" : b.name();
            case PointerType p -> pointer(p);
            case UnspecifiedType u -> "void ";
            case QualifiedType q -> qualified(q);
            case ArrayType a -> name(a.element(), room);
            case FunctionType f -> function(f, null, false, 0);
            case TypedefType t -> own(t);
            case EnumType e -> spaced("enum ", own(e));
            case Aggregate a -> spaced(word(a), own(a));
        };
        depth--;
        return cut(name, room);
    }

    private String spaced(String word, String name) {
        return !pahole && name.isEmpty() ? word.stripTrailing() : word + name;
    }

    private static String word(Aggregate aggregate) {
        return switch (aggregate.kind()) {
            case UNION -> "union ";
            case CLASS -> "class ";
            case INTERFACE -> "";
            case STRUCT -> aggregate.table().language() == TypeTable.Language.CPP ? "class " : "struct ";
        };
    }

    private String pointer(PointerType pointer) {
        String suffix = switch (pointer.kind()) {
            case POINTER -> "*";
            case REFERENCE -> "&";
            case RVALUE_REFERENCE -> "&&";
            case MEMBER -> {
                Type containing = pointer.containing();
                yield (containing == null ? "void" : own(containing)) + "::*";
            }
        };
        Type target = pointer.target();
        if (target == null) return "void " + suffix;
        String constant = "";
        if (target instanceof QualifiedType q
                && q.kind() == QualifiedType.Kind.CONST
                && q.target() instanceof PointerType inner
                && inner.kind() == PointerType.Kind.POINTER) {
            constant = "const ";
            target = inner;
        }
        return name(target, LONG) + " " + constant + suffix;
    }

    private String qualified(QualifiedType qualified) {
        Type target = qualified.target();
        // Rust and C++ say const of what is const already.
        if (!pahole && target instanceof QualifiedType q && q.kind() == qualified.kind()) return name(q, SHORT);
        String inner = name(target, SHORT);

        return switch (qualified.kind()) {
            case CONST -> "const " + inner + " ";
            case VOLATILE -> "volatile " + inner + " ";
            case ATOMIC -> "_Atomic " + inner + " ";
            case RESTRICT -> inner + " restrict ";
            case TAG -> inner;
        };
    }

    /** A function, or a pointer to one, declared with a name: the result's type padded to {@code typeColumn}. */
    public String function(FunctionType function, @Nullable String name, boolean pointer, int typeColumn) {
        return prototype(function, name, false, pointer, true, typeColumn);
    }

    private String prototype(
            FunctionType function,
            @Nullable String name,
            boolean inline,
            boolean pointer,
            boolean parentheses,
            int typeColumn) {
        enter(function);
        StringBuilder out = new StringBuilder();
        if (inline) out.append("inline ");
        String result = name(function.result(), SHORT);
        out.append(result);
        for (int i = result.length(); i < Math.abs(typeColumn); i++) out.append(' ');
        out.append(' ');
        if (parentheses) out.append('(');
        if (pointer) out.append('*');
        if (name != null) out.append(name);
        if (parentheses) out.append(')');
        out.append('(');
        boolean first = true;
        for (FunctionType.Parameter parameter : function.parameters()) {
            if (!first) out.append(", ");
            first = false;
            Type type = function.type(parameter);
            String parameterName = parameter.name();
            if (type instanceof PointerType p
                    && p.kind() == PointerType.Kind.POINTER
                    && p.target() instanceof FunctionType inner) {
                out.append(prototype(inner, parameterName, false, true, true, 0));
            } else if (type instanceof FunctionType inner) {
                out.append(prototype(inner, parameterName, true, false, false, 0));
            } else {
                out.append(name(type, SHORT));
                if (parameterName != null) out.append(' ').append(parameterName);
            }
        }
        if (first) out.append("void)");
        else if (function.variadic()) out.append(", ...)");
        else out.append(')');
        depth--;
        return out.toString();
    }

    private static String cut(String name, int room) {
        return name.length() < room ? name : name.substring(0, room - 1);
    }

    private static String orEmpty(@Nullable String text) {
        return text == null ? "" : text;
    }
}
