package dev.slate.layout;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Types that are made, not read: a proposed order of members, a JVM class, an FFM layout. Their members may have types of other tables. */
public final class MemoryTable implements TypeTable {
    private final String file;
    private final int addressSize;
    private final Language language;
    private final List<Type> types = new ArrayList<>();
    private final Map<Long, Contents> contents = new HashMap<>();

    /** @param file what messages call it */
    public MemoryTable(String file, int addressSize, Language language) {
        this.file = file;
        this.addressSize = addressSize;
        this.language = language;
    }

    private <T extends Type> T add(T type) {
        types.add(type);
        return type;
    }

    private long next() {
        return types.size() + 1L;
    }

    /** A number of so many bits. */
    public BaseType base(String name, int bits) {
        return add(new BaseType(this, next(), name, bits));
    }

    /** A pointer to void, or to a type of this table. */
    public PointerType pointer(@Nullable Type target) {
        return add(new PointerType(this, next(), PointerType.Kind.POINTER, null, target == null ? 0 : target.id(), 0));
    }

    /** A second name for a type of this table. */
    public TypedefType typedef(String name, Type target) {
        return add(new TypedefType(this, next(), name, target.id()));
    }

    /** An array of a type of this table. */
    public ArrayType array(Type element, long count) {
        return add(new ArrayType(this, next(), element.id(), new long[] {count}, false));
    }

    /** A struct, class or union whose members have their places. */
    public Aggregate aggregate(
            Aggregate.Kind kind,
            @Nullable String name,
            long size,
            List<? extends Aggregate.Entry> entries,
            long alignment) {
        long id = next();
        contents.put(id, new Contents(List.copyOf(entries), alignment));
        return add(new Aggregate(this, id, kind, name, size, false));
    }

    @Override
    public String file() {
        return file;
    }

    @Override
    public int addressSize() {
        return addressSize;
    }

    @Override
    public Language language() {
        return language;
    }

    @Override
    public @Nullable Type type(long id) {
        if (id == 0) return null;
        if (id < 0 || id > types.size()) throw new LayoutException(file, "there is no type " + id);
        return types.get((int) id - 1);
    }

    @Override
    public Contents contents(Aggregate aggregate) {
        Contents known = contents.get(aggregate.id());
        return known == null ? new Contents(List.of(), 0) : known;
    }

    @Override
    public boolean statesAlignment() {
        return true;
    }
}
