package dev.slate.device.abi;

import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A structure of the kernel's interface: its FFM layout, and where its fields lie. A field of an inner structure is named as C names
 * it ({@code io.port}); members without a name are C's anonymous unions.
 *
 * <p>Immutable.
 */
public final class Struct {
    /** Where a field lies in its structure, in bytes. */
    public record Field(long offset, long bytes) {}

    private final GroupLayout layout;
    private final String name;
    private final Map<String, Field> fields = new LinkedHashMap<>();

    private Struct(String name, GroupLayout layout) {
        this.name = name;
        this.layout = layout;
        collect(layout, "", 0);
    }

    /** The structure {@code struct name}. */
    static Struct of(String name, MemoryLayout... members) {
        return new Struct(name, MemoryLayout.structLayout(members));
    }

    private void collect(GroupLayout group, String prefix, long at) {
        boolean union = group instanceof java.lang.foreign.UnionLayout;
        for (MemoryLayout member : group.memberLayouts()) {
            if (!(member instanceof PaddingLayout)) {
                String path = prefix + member.name().orElse("");
                if (member.name().isPresent()) {
                    fields.put(path, new Field(at, member.byteSize()));
                    path += ".";
                }
                if (member instanceof GroupLayout inner) {
                    collect(inner, path, at);
                }
            }
            if (!union) {
                at += member.byteSize();
            }
        }
    }

    /** Its name in C, without {@code struct}. */
    public String name() {
        return name;
    }

    /** Its size in bytes; a flexible array at the end counts nothing. */
    public long bytes() {
        return layout.byteSize();
    }

    /** Where a field begins, in bytes. */
    public long at(String field) {
        Field f = fields.get(field);
        if (f == null) {
            throw new IllegalArgumentException("struct " + name + " has no field " + field);
        }
        return f.offset();
    }

    /** All named fields, outer ones before their own. */
    public Map<String, Field> fields() {
        return Map.copyOf(fields);
    }

    static MemoryLayout u8(String name) {
        return ValueLayout.JAVA_BYTE.withName(name);
    }

    static MemoryLayout u16(String name) {
        return ValueLayout.JAVA_SHORT.withName(name);
    }

    static MemoryLayout u32(String name) {
        return ValueLayout.JAVA_INT.withName(name);
    }

    static MemoryLayout u64(String name) {
        return ValueLayout.JAVA_LONG.withName(name);
    }

    static MemoryLayout u8s(String name, long count) {
        return MemoryLayout.sequenceLayout(count, ValueLayout.JAVA_BYTE).withName(name);
    }

    static MemoryLayout u16s(String name, long count) {
        return MemoryLayout.sequenceLayout(count, ValueLayout.JAVA_SHORT).withName(name);
    }

    static MemoryLayout u32s(String name, long count) {
        return MemoryLayout.sequenceLayout(count, ValueLayout.JAVA_INT).withName(name);
    }

    static MemoryLayout u64s(String name, long count) {
        return MemoryLayout.sequenceLayout(count, ValueLayout.JAVA_LONG).withName(name);
    }

    /** Bytes that the C compiler leaves. */
    static MemoryLayout gap(long bytes) {
        return MemoryLayout.paddingLayout(bytes);
    }

    /** An inner structure, or with {@code name} "" an anonymous one. */
    static MemoryLayout inner(String name, MemoryLayout... members) {
        MemoryLayout s = MemoryLayout.structLayout(members);
        return name.isEmpty() ? s : s.withName(name);
    }

    /** The layout of another structure as a member. */
    MemoryLayout as(String member) {
        return layout.withName(member);
    }

    /** An array of structures as a member. */
    MemoryLayout array(String member, long count) {
        return MemoryLayout.sequenceLayout(count, layout).withName(member);
    }

    /** An anonymous union. */
    static MemoryLayout union(MemoryLayout... members) {
        return MemoryLayout.unionLayout(members);
    }

    static MemoryLayout union(String name, MemoryLayout... members) {
        return MemoryLayout.unionLayout(members).withName(name);
    }
}
