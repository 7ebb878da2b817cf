package dev.slate.layout.jvm;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Member;
import dev.slate.layout.MemoryTable;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.PaddingLayout;
import java.lang.foreign.SequenceLayout;
import java.lang.foreign.UnionLayout;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** Turns layouts of the foreign memory API into the model. Padding layouts become what they stand for: holes. */
public final class FfmLayouts {
    private final MemoryTable table;

    /** @param name what messages call the place that the layouts come from */
    public FfmLayouts(String name) {
        table = new MemoryTable(name, (int) ValueLayout.ADDRESS.byteSize(), TypeTable.Language.C);
    }

    /** A struct or union layout as an aggregate of the layout's name. */
    public Aggregate aggregate(GroupLayout layout) {
        List<Member> members = new ArrayList<>();
        long offset = 0;
        boolean union = layout instanceof UnionLayout;
        for (MemoryLayout element : layout.memberLayouts()) {
            if (!(element instanceof PaddingLayout)) {
                members.add(Member.field(
                        element.name().orElse(null), type(element), union ? 0 : offset, element.byteSize()));
            }
            offset += element.byteSize();
        }
        return table.aggregate(
                union ? Aggregate.Kind.UNION : Aggregate.Kind.STRUCT,
                layout.name().orElse(null),
                layout.byteSize(),
                members,
                0);
    }

    private Type type(MemoryLayout layout) {
        return switch (layout) {
            case GroupLayout group -> aggregate(group);
            case SequenceLayout sequence -> table.array(type(sequence.elementLayout()), sequence.elementCount());
            case AddressLayout address -> table.pointer(null);
            case ValueLayout value -> table.base(value.carrier().getSimpleName(), (int) value.byteSize() * 8);
            case PaddingLayout padding -> table.base("padding", (int) padding.byteSize() * 8);
        };
    }
}
