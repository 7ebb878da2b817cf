package dev.slate.layout;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** The type of a function. */
public final class FunctionType extends Type {
    /** A parameter. */
    public record Parameter(@Nullable String name, long type) {}

    private final long result;
    private final List<Parameter> parameters;
    private final boolean variadic;

    public FunctionType(TypeTable table, long id, long result, List<Parameter> parameters, boolean variadic) {
        super(table, id);
        this.result = result;
        this.parameters = List.copyOf(parameters);
        this.variadic = variadic;
    }

    public @Nullable Type result() {
        return table().type(result);
    }

    public List<Parameter> parameters() {
        return parameters;
    }

    /** The type of a parameter of this function. */
    public @Nullable Type type(Parameter parameter) {
        return table().type(parameter.type());
    }

    public boolean variadic() {
        return variadic;
    }

    @Override
    public @Nullable String name() {
        return null;
    }

    /** C has no values of a function type; where other languages do, the value is a pointer. */
    @Override
    public long size() {
        TypeTable.Language language = table().language();
        return language == TypeTable.Language.GO || language == TypeTable.Language.PASCAL ? table().addressSize() : 0;
    }
}
