package dev.slate.layout.text;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Layout;
import dev.slate.layout.Member;
import dev.slate.layout.Packing;
import dev.slate.layout.Type;
import dev.slate.layout.VirtualBases;
import java.util.List;

/** What stands between the braces of one struct, and the sums below it. */
final class StructText {
    private final PaholeText text;
    private final StringBuilder out;
    private final Aggregate struct;
    private final Layout layout;
    private final Place place;
    private int breaks; // comments since the last member: an empty line sets them off
    private int forcedAlignments;
    private int forcedHoles;
    private long forcedHoleSum;
    private long sumBytes;
    private long sumBits;
    private long sumHoles;
    private long sumBitHoles;
    private int withPadding;
    private long innerPadding;
    private boolean variants;

    StructText(PaholeText text, Aggregate struct, Place place) {
        this.text = text;
        this.out = text.out();
        this.struct = struct;
        this.layout = text.pahole() ? struct.paholeLayout() : struct.layout();
        this.place = place;
    }

    void bases() {
        String separator = " :";
        for (Member member : struct.members()) {
            if (member.role() != Member.Role.BASE) continue;
            out.append(separator);
            separator = ",";
            if (member.virtual()) out.append(" virtual");
            if (member.access() != Aggregate.Access.NONE) out.append(' ').append(word(member.access()));
            Type type = member.type();
            out.append(' ').append(type == null ? "void" : text.own(type));
        }
    }

    private static String word(Aggregate.Access access) {
        return switch (access) {
            case PUBLIC -> "public";
            case PROTECTED -> "protected";
            case PRIVATE -> "private";
            case NONE -> "";
        };
    }

    private void setOff() {
        if (breaks++ == 0) out.append('\n');
    }

    private static String plural(long n, String word) {
        return n + " " + word + (n != 1 ? "s" : "");
    }

    void body() {
        if (layout.preBitHole() > 0) {
            setOff();
            text.tabs(place.indent);
            out.append("/* XXX ").append(plural(layout.preBitHole(), "bit")).append(" hole, try to pack */\n");
            sumBitHoles += layout.preBitHole();
        }
        if (layout.preHole() > 0) {
            setOff();
            text.tabs(place.indent);
            out.append("/* XXX ").append(plural(layout.preHole(), "byte")).append(" hole, try to pack */\n");
            sumHoles += layout.preHole();
        }
        Aggregate.Access access = Aggregate.Access.NONE;
        int last = -1;
        long lastSize = 0;
        int index = -1;
        List<Aggregate.Entry> entries = struct.entries();
        for (int i = 0; i < entries.size(); i++) {
            Aggregate.Entry entry = entries.get(i);
            Aggregate.Access its = switch (entry) {
                case Member m -> m.access();
                case Aggregate.AccessMark mark -> mark.access();
                case Aggregate.Variant v -> Aggregate.Access.NONE;
            };
            if (its != Aggregate.Access.NONE && its != access) {
                access = its;
                text.tabs(place.indent - 1);
                out.append(word(access)).append(":\n\n");
            }
            if (entry instanceof Aggregate.Variant variant) variant(variant);
            if (!(entry instanceof Member member)) continue;
            index++;
            if (member.role() == Member.Role.BASE
                    && member.virtual()
                    && !layout.virtualBases().placed().isEmpty()) continue; // it comes at its place, behind the members
            Member before = last < 0 ? null : struct.members().get(last);
            if (member.alignment() != 0) {
                long hole = last < 0 ? layout.preHole() : layout.hole(last);
                if (hole > 0 || hole != 0 && text.pahole()) {
                    forcedHoles++;
                    forcedHoleSum += hole;
                }
                forcedAlignments++;
            }
            if (before != null && member.role() != Member.Role.BASE && lastSize != 0) {
                transition(member, before, last, lastSize);
            }
            if (breaks != 0) {
                out.append('\n');
                breaks = 0;
            }
            place.last = i == entries.size() - 1;
            place.first = before == null;
            text.tabs(place.indent);
            Member shown = text.pahole() ? member : VirtualBases.trimmed(member);
            text.member(shown, place, false);
            if (member.type() instanceof Aggregate inner
                    && !inner.isUnion()
                    && inner.definition() != null
                    && shown == member
                    && !overlapped(member)) innerGaps(inner);
            gaps(index);
            out.append('\n');
            if (member.role() == Member.Role.BASE) continue;
            if (member.bitfieldSize() != 0) sumBits += member.bitfieldSize();
            else sumBytes += member.byteSize();
            if (before == null
                    || lastSize == 0
                    || before.byteOffset() != member.byteOffset()
                    || before.bitfieldSize() == 0 && member.bitfieldSize() != 0) {
                lastSize = member.byteSize();
            }
            last = index;
        }
        virtualBases();
        if (text.alarms(struct)) forcedPadding(last);
    }

    /** Virtual bases behind the members, where the ABI puts them. */
    private void virtualBases() {
        VirtualBases bases = layout.virtualBases();
        for (int i = 0; i < bases.placed().size(); i++) {
            VirtualBases.Placed base = bases.placed().get(i);
            if (breaks != 0) out.append('\n');
            breaks = 0;
            Member member = new Member(
                    null,
                    base.base(),
                    Member.Role.BASE,
                    base.offset(),
                    base.offset() * 8,
                    0,
                    0,
                    base.size(),
                    0,
                    Aggregate.Access.NONE,
                    false,
                    0);
            text.tabs(place.indent);
            text.member(member, place, true);
            gaps(struct.members().size() + i);
            out.append('\n');
        }
        if (bases.known()) return;
        setOff();
        text.tabs(place.indent);
        out.append("/* virtual bases follow, at places that only the running program knows */\n");
    }

    /** Whether another member lies in this one's padding. */
    private boolean overlapped(Member member) {
        if (text.pahole() || !struct.table().language().cxx()) return false;
        for (Member other : struct.members()) {
            if (other.takesNoPart() || other == member || other.bitOffset() == other.bitEnd()) continue;
            if (other.bitOffset() > member.bitOffset() && other.bitOffset() < member.bitEnd()) return true;
        }
        return false;
    }

    /** An alternative of a Rust enum or an Ada record. pahole 1.24 leaves these out and shows the enum as empty. */
    private void variant(Aggregate.Variant variant) {
        variants = true;
        boolean tag = variant.part() == Aggregate.Variant.Part.DISCRIMINANT;
        text.tabs(place.indent);
        switch (variant.part()) {
            case DISCRIMINANT -> out.append("/* tells the variants apart: */\n");
            case OTHERWISE -> out.append("/* variant otherwise: */\n");
            case CHOSEN -> out.append("/* variant ").append(variant.value()).append(": */\n");
        }
        int line = place.line == null ? 0 : place.line[0];
        for (Member member : variant.members()) {
            text.tabs(place.indent);
            text.member(tag && member.name() == null ? named(member) : member, place, true);
            out.append('\n');
            if (place.line != null) place.line[0] = line;
        }
    }

    private static Member named(Member m) {
        return new Member(
                "<discriminant>",
                m.type(),
                m.role(),
                m.byteOffset(),
                m.bitOffset(),
                m.bitfieldSize(),
                m.bitfieldOffset(),
                m.byteSize(),
                m.alignment(),
                m.access(),
                m.virtual(),
                m.value());
    }

    /** Comments between a member and the one before it, where bit fields share bytes. */
    private void transition(Member member, Member before, int last, long lastSize) {
        if (layout.bitHole(last) != 0 && member.bitfieldSize() != 0) {
            int bits = layout.bitHole(last);
            if (before.byteOffset() != member.byteOffset()) {
                out.append('\n');
                text.tabs(place.indent);
                out.append("/* Force alignment to the next boundary: */\n");
                bits = 0;
            }
            text.tabs(place.indent);
            text.typeAndName(member.type(), "", place);
            out.append(':').append(bits).append(";\n");
        }
        if (!text.pahole() && member.bitfieldSize() == 0 && before.bitfieldSize() == 0) return; // they share bytes
        boolean backwards = member.byteOffset() < before.byteOffset()
                || member.byteOffset() == before.byteOffset()
                        && before.bitfieldSize() == 0
                        && member.bitfieldSize() != 0;
        if (backwards) {
            setOff();
            text.tabs(place.indent);
            out.append("/* Bitfield combined with previous fields */\n");
        } else {
            long distance = member.byteOffset() - before.byteOffset();
            if (distance > 0 && distance < lastSize) {
                setOff();
                text.tabs(place.indent);
                out.append("/* Bitfield combined with next fields */\n");
            }
        }
    }

    private void gaps(int index) {
        int bits = layout.bitHole(index);
        if (bits > 0) {
            setOff();
            out.append('\n');
            text.tabs(place.indent);
            out.append("/* XXX ").append(plural(bits, "bit")).append(" hole, try to pack */");
            sumBitHoles += bits;
        }
        int bytes = layout.hole(index);
        if (bytes > 0) {
            setOff();
            out.append('\n');
            text.tabs(place.indent);
            out.append("/* XXX ").append(plural(bytes, "byte")).append(" hole, try to pack */");
            sumHoles += bytes;
        }
    }

    /** A member that is a struct with padding of its own. */
    private void innerGaps(Aggregate inner) {
        Packing.look(inner);
        long padding = (text.pahole() ? inner.paholeLayout() : inner.layout()).padding();
        if (padding == 0) return;
        setOff();
        out.append('\n');
        text.tabs(place.indent);
        out.append("/* XXX last struct has ").append(plural(padding, "byte")).append(" of padding */");
        withPadding++;
        innerPadding += padding;
    }

    /** Padding wider than a word that no stated alignment explains must have been written as nameless bit fields. */
    private void forcedPadding(int last) {
        if (layout.padding() == 0
                || struct.statedAlignment() != 0
                || !struct.table().statesAlignment()
                || last < 0) return;
        Type type = struct.members().get(last).type();
        long size = Type.sizeOf(type);
        if (size <= 0
                || Long.bitCount(size) != 1
                || layout.padding() <= struct.table().addressSize()) return;
        out.append('\n');
        text.tabs(place.indent);
        out.append("/* Force padding: */\n");
        for (long added = 0; added < layout.padding(); added += size) {
            text.tabs(place.indent);
            text.typeAndName(type, "", place);
            out.append(':').append(size * 8).append(";\n");
        }
    }

    private void sum(String line) {
        text.tabs(place.indent);
        out.append("/* ").append(line).append(" */\n");
    }

    void stats() {
        int members = 0;
        int statics = 0;
        for (Member member : struct.members()) {
            if (member.role() == Member.Role.STATIC) statics++;
            else members++;
        }
        out.append('\n');
        String size = text.pahole() || struct.sizeKnown() ? Long.toString(struct.size()) : "not known";
        sum("size: " + size + ", cachelines: " + layout.lines(text.lineSize()) + ", members: " + members
                + (statics != 0 ? ", static members: " + statics : ""));
        boolean exact = text.alarms(struct);
        if (sumHoles > 0 || sumBitHoles > 0) {
            // Bases, members that share bytes and variants count once: whatever is neither hole nor padding.
            if (!exact) {
                long gaps = (sumHoles + layout.padding()) * 8 + sumBitHoles + layout.bitPadding();
                sumBytes = Math.max(0, struct.size() - (gaps + sumBits) / 8);
            }
            if (sumBytes > 0) {
                sum("sum members: " + sumBytes
                        + (sumHoles > 0 ? ", holes: " + layout.holeCount() + ", sum holes: " + sumHoles : ""));
            }
            if (sumBits > 0) {
                sum("sum bitfield members: " + sumBits + " bits"
                        + (sumBitHoles > 0
                                ? ", bit holes: " + layout.bitHoleCount() + ", sum bit holes: " + sumBitHoles + " bits"
                                : " (" + sumBits / 8 + " bytes)"));
            }
        }
        if (layout.padding() > 0) sum("padding: " + layout.padding());
        if (withPadding > 0) sum("paddings: " + withPadding + ", sum paddings: " + innerPadding);
        if (layout.bitPadding() > 0) sum("bit_padding: " + layout.bitPadding() + " bits");
        if (forcedAlignments != 0) {
            sum("forced alignments: " + forcedAlignments
                    + (forcedHoles != 0
                            ? ", forced holes: " + forcedHoles + ", sum forced holes: " + forcedHoleSum
                            : ""));
        }
        long lastLine = (place.base + struct.size()) % text.lineSize();
        if (lastLine != 0) sum("last cacheline: " + lastLine + " bytes");
        long missing = struct.size() * 8
                - (sumBytes * 8 + sumBits + sumHoles * 8 + sumBitHoles + layout.padding() * 8 + layout.bitPadding());
        if (exact && missing != 0 && members != 0 && !variants) {
            out.append('\n');
            sum("BRAIN FART ALERT! " + struct.size() + " bytes != " + sumBytes + " (member bytes) + " + sumBits
                    + " (member bits) + " + sumHoles + " (byte holes) + " + sumBitHoles + " (bit holes), diff = "
                    + missing + " bits");
        }
    }
}
