package dev.slate.layout.pack;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Member;
import dev.slate.layout.MemoryTable;
import dev.slate.layout.Platform;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.VirtualBases;
import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/**
 * The rules by which a struct was laid out, as far as its file tells. No debug format says whether a member or an inner struct is packed,
 * nor always whether a base gives up its padding: each reading of that which reproduces the file's own layout stays, and a proposal must
 * come out the same under all of them.
 */
final class Rules {
    private static final long[] CAPS = {Platform.NATURAL, 1, 2, 4, 8, 16, 32, 64, 128};

    /**
     * One reading.
     *
     * @param reuse what gives up its tail padding
     * @param packed whether every member that has no hole before it may lie anywhere
     */
    private record Reading(Platform platform, Platform.Reuse reuse, boolean packed) {}

    private final Aggregate struct;
    private final List<Reading> readings = new ArrayList<>();
    /** Members of which no hole before them says that they are aligned. */
    private final Set<Member> unproven = Collections.newSetFromMap(new IdentityHashMap<>());

    private final boolean crooked;

    Rules(Aggregate struct, Platform platform, List<Member> members) {
        this.struct = struct;
        TypeTable.Language language = struct.table().language();
        boolean tells = language == TypeTable.Language.RUST || language == TypeTable.Language.GO;
        Platform sure = new Platform(platform.widest(), 1);
        boolean any = false;
        long end = 0;
        for (Member member : members) {
            any |= member.bitfieldSize() == 0 && member.byteOffset() % sure.alignmentOf(member.type()) != 0;
            if (member.byteOffset() == (end + 7) / 8) unproven.add(member);
            end = Math.max(end, member.bitEnd());
        }
        crooked = any;
        for (Platform.Reuse reuse : Platform.Reuse.values()) {
            if (reuse != Platform.Reuse.NOTHING && !language.cxx()) continue;
            for (long cap : CAPS) {
                for (boolean packed : new boolean[] {false, true}) {
                    if (tells && (packed || cap != Platform.NATURAL)) continue;
                    Reading reading = new Reading(new Platform(platform.widest(), cap), reuse, packed);
                    if (reproduces(reading, members)) readings.add(reading);
                }
            }
        }
    }

    private Platform.Placed place(Reading reading, List<Member> members) {
        Platform platform = reading.platform();
        return platform.place(
                members,
                struct.statedAlignment(),
                struct.table().language(),
                reading.reuse(),
                member -> reading.packed() && unproven.contains(member)
                        ? Math.max(1, member.alignment())
                        : platform.alignmentOf(member));
    }

    private boolean reproduces(Reading reading, List<Member> members) {
        if (crooked) return false;
        Platform.Placed placed = place(reading, members);
        if (placed.size() != struct.size()) return false;
        for (int i = 0; i < members.size(); i++)
            if (placed.members().get(i).bitOffset() != members.get(i).bitOffset()) return false;
        return true;
    }

    /** Whether the rules come to the layout that the file has. */
    boolean known() {
        return !readings.isEmpty();
    }

    /** Members in an order, at the places that the first reading gives them. */
    Platform.Placed place(List<Member> members) {
        return place(readings.getFirst(), members);
    }

    /** Whether all readings agree about an order. */
    boolean certain(List<Member> members) {
        Platform.Placed first = place(members);
        for (Reading reading : readings) {
            Platform.Placed other = place(reading, members);
            if (other.size() != first.size()) return false;
            for (int i = 0; i < members.size(); i++)
                if (other.members().get(i).bitOffset() != first.members().get(i).bitOffset()) return false;
        }
        return true;
    }

    /** The alignment of a member, in bytes. */
    long alignmentOf(Member member) {
        return readings.getFirst().platform().alignmentOf(member);
    }

    /** A type made of members in an order. */
    Aggregate build(List<Member> members) {
        Platform.Placed placed = place(members);
        return made(placed.members(), placed.size());
    }

    /** A type like the struct, with members at places. */
    Aggregate made(List<Member> members, long size) {
        TypeTable.Language language = struct.table().language();
        MemoryTable table = new MemoryTable("the proposal", struct.table().addressSize(), language);
        return table.aggregate(struct.kind(), struct.qualifiedName(), size, members, struct.statedAlignment());
    }

    /** Why a struct can have no proposal, or null. */
    static @org.jspecify.annotations.Nullable String hopeless(Aggregate struct) {
        TypeTable.Language language = struct.table().language();
        switch (language) {
            case ADA, FORTRAN, PASCAL, OTHER, JAVA -> {
                return "the compiler of its language orders members by rules that are not known here"
                        + " (those of C, C++, Rust, Go and D are)";
            }
            default -> {}
        }
        if (!struct.sizeKnown()) return "its size is not known";
        for (Aggregate.Entry entry : struct.entries()) {
            if (entry instanceof Aggregate.Variant) return "it has variants, which the compiler places";
            if (!(entry instanceof Member member) || member.role() == Member.Role.STATIC) continue;
            if (member.role() == Member.Role.BASE && member.virtual())
                return "it has virtual bases, which the most derived class places";
            if (member.role() == Member.Role.DYNAMIC) return "the running program places " + member.name();
            if (language.cxx() && Type.strip(member.type()) instanceof Aggregate inner && VirtualBases.empty(inner))
                return "it holds or is an empty class, which may share its place with others";
            if (!member.sizeKnown()) {
                Type type = Type.strip(member.type());
                return "the size of "
                        + (member.name() == null && type != null ? type.qualifiedName() : member.name())
                        + " is not known: its type is only declared in the files given";
            }
        }
        return null;
    }
}
