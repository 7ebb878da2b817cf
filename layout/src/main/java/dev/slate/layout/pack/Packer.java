package dev.slate.layout.pack;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.LayoutException;
import dev.slate.layout.Locks;
import dev.slate.layout.Member;
import dev.slate.layout.Platform;
import dev.slate.layout.Type;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Proposes an order of a struct's members. A flexible array stays last, bit fields that share a storage unit stay together, base
 * classes and what the compiler adds stay first. An order is proposed only if the rules of the language and platform came to the layout that the
 * file has, and all that is not certain about them makes no difference to it.
 */
public final class Packer {
    /**
     * What to aim for.
     *
     * @param keepGroups move members only into holes before them, so that neighbours stay neighbours
     * @param hot members that should lie together at the start in as few lines as possible, by name; empty for none
     */
    public record Wish(boolean keepGroups, Set<String> hot, int lineSize) {}

    /** Members that move together: one, or a run of bit fields. */
    record Block(List<Member> members, long size, long alignment, boolean lock) {}

    /**
     * A proposal, and what had to be given up.
     *
     * @param aggregate the type in the proposed order; the type itself if there is nothing to propose
     * @param made whether there is something to propose
     */
    public record Proposal(Aggregate aggregate, boolean made, List<String> notes) {}

    private final Aggregate struct;
    private final Rules rules;
    private final Wish wish;
    private final List<Member> members;
    private final List<Block> pinnedFirst = new ArrayList<>();
    private final List<Block> movable = new ArrayList<>();
    private @Nullable Block pinnedLast;
    private final List<String> notes = new ArrayList<>();

    private Packer(Aggregate struct, Platform platform, Wish wish) {
        this.struct = struct;
        this.wish = wish;
        this.members = struct.members().stream().filter(m -> !m.takesNoPart()).toList();
        this.rules = new Rules(struct, platform, members);
    }

    /** As the other one, by the rules of the platform that the type was compiled for. */
    public static Proposal pack(Aggregate struct, Wish wish) {
        return pack(struct, Platform.of(struct.table()), wish);
    }

    /**
     * Proposes an order.
     *
     * @throws LayoutException if the type is a union or has no members, or a hot member does not exist
     */
    public static Proposal pack(Aggregate struct, Platform platform, Wish wish) {
        if (struct.isUnion())
            throw new LayoutException(
                    struct.table().file(), "union " + struct.qualifiedName() + ": a union has no order to change");
        String why = Rules.hopeless(struct);
        if (why != null) return nothing(struct, why);
        if (struct.members().isEmpty())
            throw new LayoutException(struct.table().file(), struct.qualifiedName() + " has no members");
        return new Packer(struct, platform, wish).pack();
    }

    private static Proposal nothing(Aggregate struct, String why) {
        return new Proposal(struct, false, List.of("no proposal: " + why));
    }

    private Proposal pack() {
        checkHot();
        if (!rules.known()) {
            return nothing(
                    struct,
                    "the rules of its language and platform do not come to the layout that it has"
                            + " (it may be packed, or have attributes or nameless bit fields that the file does not tell)");
        }
        split();
        List<Block> order =
                wish.keepGroups() ? Groups.fillHoles(this) : wish.hot().isEmpty() ? byAlignment(movable) : hotFirst();
        List<String> given = new ArrayList<>();
        LocksApart locks = new LocksApart(this, given);
        List<Block> apart = locks.order(order);
        // Lines for locks may cost all that was gained: then it is enough that no more locks meet than did before.
        boolean dear = wish.hot().isEmpty() && size(apart) >= struct.size() && size(order) < struct.size();
        if (dear && locks.meetings(order) <= locks.meetings(movable)) apart = order;
        else notes.addAll(given);
        List<Member> proposed = list(apart);
        Platform.Placed placed = rules.place(proposed);
        if (wish.hot().isEmpty() && placed.size() >= struct.size())
            return nothing(struct, "no order of these members is smaller");
        if (!rules.certain(proposed)) {
            String doubt = "depends on whether a member or a struct inside is packed, which the file does not tell";
            if (wish.hot().isEmpty()) return nothing(struct, "what a better order comes to " + doubt);
            notes.add("where the members come to lie " + doubt + "; here none is");
        }
        return new Proposal(rules.build(proposed), true, List.copyOf(notes));
    }

    private void checkHot() {
        Set<String> names = new HashSet<>();
        for (Member member : members) if (member.name() != null) names.add(member.name());
        for (String hot : wish.hot()) {
            if (!names.contains(hot))
                throw new LayoutException(struct.table().file(), struct.qualifiedName() + " has no member " + hot);
        }
    }

    private void split() {
        for (int i = 0; i < members.size(); ) {
            Member member = members.get(i);
            List<Member> run = new ArrayList<>(List.of(member));
            i++;
            if (member.bitfieldSize() != 0) {
                while (i < members.size() && members.get(i).bitfieldSize() != 0) run.add(members.get(i++));
            }
            long size = (run.getLast().bitEnd() + 7) / 8 - run.getFirst().bitOffset() / 8;
            long alignment = 1;
            for (Member one : run) alignment = Math.max(alignment, rules.alignmentOf(one));
            Block block = new Block(List.copyOf(run), size, alignment, Locks.isLock(member.type()));
            boolean vptr = member.name() != null
                    && member.name().startsWith("_vptr")
                    && struct.table().language().cxx();
            if (member.role() == Member.Role.BASE || vptr) pinnedFirst.add(block);
            else if (i == members.size() && flexible(member)) pinnedLast = block;
            else movable.add(block);
        }
    }

    private static boolean flexible(Member member) {
        return member.byteSize() == 0 && Type.strip(member.type()) instanceof ArrayType;
    }

    /** The widest alignment first: then nothing but the end can be padded. Among equals the old order stays. */
    private static List<Block> byAlignment(List<Block> blocks) {
        List<Block> sorted = new ArrayList<>(blocks);
        // A block whose size its alignment does not divide would leave a gap before the next one of that alignment:
        // it goes last.
        sorted.sort(Comparator.comparingLong((Block b) -> -b.alignment())
                .thenComparing(b -> b.size() % b.alignment() != 0));
        return sorted;
    }

    private List<Block> hotFirst() {
        List<Block> hot = new ArrayList<>();
        List<Block> cold = new ArrayList<>();
        for (Block block : movable) {
            boolean any = block.members().stream()
                    .anyMatch(m -> m.name() != null && wish.hot().contains(m.name()));
            (any ? hot : cold).add(block);
        }
        List<Block> order = byAlignment(hot);
        long bytes = 0;
        for (Block block : hot) bytes += block.size();
        long lines = (bytes + wish.lineSize() - 1) / wish.lineSize();
        notes.add(hot.size() + " hot members, " + bytes + " bytes: at least " + lines
                + (lines == 1 ? " cacheline" : " cachelines"));
        order.addAll(byAlignment(cold));
        return order;
    }

    List<Block> movable() {
        return movable;
    }

    int lineSize() {
        return wish.lineSize();
    }

    /** Bytes that the blocks which stay first take. */
    long start() {
        List<Member> first = new ArrayList<>();
        for (Block block : pinnedFirst) first.addAll(block.members());
        long end = 0;
        if (first.isEmpty()) return 0;
        for (Member member : rules.place(first).members()) end = Math.max(end, (member.bitEnd() + 7) / 8);
        return end;
    }

    /** All members, with these blocks in this order. */
    List<Member> list(List<Block> order) {
        List<Member> all = new ArrayList<>();
        for (Block block : pinnedFirst) all.addAll(block.members());
        for (Block block : order) all.addAll(block.members());
        Block last = pinnedLast;
        if (last != null) all.addAll(last.members());
        return all;
    }

    /** The places of these blocks' members in this order. */
    List<Member> place(List<Block> order) {
        List<Member> placed = rules.place(list(order)).members();
        int first = 0;
        for (Block block : pinnedFirst) first += block.members().size();
        return placed.subList(first, placed.size());
    }

    long size(List<Block> order) {
        return rules.place(list(order)).size();
    }
}
