package dev.slate.layout.text;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.EnumType;
import dev.slate.layout.Layout;
import dev.slate.layout.Member;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import dev.slate.layout.VirtualBases;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A layout as a tree for {@link Json}. Sizes and offsets in bytes unless a name says bits. */
public final class LayoutJson {
    private LayoutJson() {}

    /** A struct, class or union with members, holes and sums; an enum with values; a typedef with what it stands for. */
    public static Map<String, Object> of(Type type, int lineSize) {
        Map<String, Object> out = new LinkedHashMap<>();
        String name = type.name();
        out.put("name", name == null ? "" : name);
        String qualified = type.qualifiedName();
        out.put("qualified_name", qualified == null ? "" : qualified);
        TypeTable.Where where = type.where();
        if (!where.scope().isEmpty()) out.put("scope", where.scope());
        if (where.unit() != null) out.put("unit", where.unit());
        if (where.line() != 0) out.put(where.header() ? "line_of_a_header" : "declared_on_line", where.line());
        switch (type) {
            case Aggregate a -> aggregate(a, lineSize, out);
            case EnumType e -> {
                out.put("kind", "enum");
                out.put("size", e.size());
                Map<String, Object> values = new LinkedHashMap<>();
                for (EnumType.Value value : e.values()) values.put(value.name(), value.value());
                out.put("values", values);
            }
            case TypedefType t -> {
                out.put("kind", "typedef");
                out.put("size", t.size());
                Type target = Type.strip(t);
                if (target instanceof Aggregate a && a.name() == null) out.put("target", of(a, lineSize));
                else out.put("target", TypeNames.plain(t.target()));
            }
            default -> out.put("size", type.size());
        }
        return out;
    }

    private static void aggregate(Aggregate aggregate, int lineSize, Map<String, Object> out) {
        Layout layout = aggregate.layout();
        out.put("kind", aggregate.kind().word());
        out.put("size", aggregate.sizeKnown() ? aggregate.size() : null);
        if (aggregate.statedAlignment() != 0) out.put("alignment", aggregate.statedAlignment());
        out.put("cachelines", layout.lines(lineSize));
        List<Object> members = new ArrayList<>();
        int index = 0;
        for (Aggregate.Entry entry : aggregate.entries()) {
            switch (entry) {
                case Member member -> {
                    Map<String, Object> one = member(member, lineSize);
                    if (!aggregate.isUnion()) {
                        if (layout.hole(index) > 0) one.put("hole_after", layout.hole(index));
                        if (layout.bitHole(index) > 0) one.put("bit_hole_after", layout.bitHole(index));
                    }
                    index++;
                    members.add(one);
                }
                case Aggregate.Variant variant -> {
                    Map<String, Object> one = new LinkedHashMap<>();
                    switch (variant.part()) {
                        case DISCRIMINANT -> one.put("discriminant", true);
                        case OTHERWISE -> one.put("variant", "otherwise");
                        case CHOSEN -> one.put("variant", variant.value());
                    }
                    List<Object> inner = new ArrayList<>();
                    for (Member member : variant.members()) inner.add(member(member, lineSize));
                    one.put("members", inner);
                    members.add(one);
                }
                case Aggregate.AccessMark mark -> {}
            }
        }
        for (VirtualBases.Placed base : layout.virtualBases().placed()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("role", "virtual base");
            one.put("type", TypeNames.plain(base.base()));
            one.put("offset", base.offset());
            one.put("size", base.size());
            one.put("line", base.offset() / lineSize);
            members.add(one);
        }
        out.put("members", members);
        if (!aggregate.isUnion()) {
            out.put("holes", layout.holeCount());
            out.put("sum_holes", layout.holeSum());
            out.put("bit_holes", layout.bitHoleCount());
            out.put("padding", layout.padding());
            out.put("bit_padding", layout.bitPadding());
        }
    }

    private static List<Object> dimensions(@Nullable Type type) {
        List<Object> found = new ArrayList<>();
        Type at = Type.strip(type);
        for (int steps = 0; at instanceof ArrayType array && steps < 64; steps++) {
            for (int i = 0; i < array.dimensions(); i++) found.add(array.count(i));
            at = Type.strip(array.element());
        }
        return found;
    }

    private static Map<String, Object> member(Member member, int lineSize) {
        Map<String, Object> one = new LinkedHashMap<>();
        if (member.name() != null) one.put("name", member.name());
        if (member.role() != Member.Role.FIELD)
            one.put("role", member.role().name().toLowerCase(java.util.Locale.ROOT));
        if (member.virtual()) one.put("virtual", true);
        one.put("type", TypeNames.plain(member.type()));
        List<Object> dimensions = dimensions(member.type());
        if (!dimensions.isEmpty()) one.put("dimensions", dimensions);
        boolean placed = !member.takesNoPart();
        one.put("offset", placed ? member.byteOffset() : null);
        one.put("size", member.sizeKnown() ? member.byteSize() : null);
        if (placed) one.put("line", member.byteOffset() / lineSize);
        if (member.bitfieldSize() != 0) {
            one.put("bit_offset", member.bitOffset());
            one.put("bits", member.bitfieldSize());
        }
        if (member.alignment() != 0) one.put("alignment", member.alignment());
        if (Type.strip(member.type()) instanceof Aggregate inner && inner.name() == null) {
            Map<String, Object> nested = new LinkedHashMap<>();
            aggregate(inner, lineSize, nested);
            one.put("inner", nested);
        }
        return one;
    }
}
