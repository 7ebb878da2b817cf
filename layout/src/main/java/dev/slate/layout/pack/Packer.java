package dev.slate.layout.pack;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.LayoutException;
import dev.slate.layout.Locks;
import dev.slate.layout.Member;
import dev.slate.layout.MemoryTable;
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
 * classes stay first. What the compiler would make of an order is asked of the {@link Platform}.
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
    private record Block(List<Member> members, long size, long alignment, boolean lock) {}

    /** A proposal, and what had to be given up. */
    public record Proposal(Aggregate aggregate, List<String> notes) {}

    private final Aggregate struct;
    private final Platform platform;
    private final Wish wish;
    private final List<Block> pinnedFirst = new ArrayList<>();
    private final List<Block> movable = new ArrayList<>();
    private @Nullable Block pinnedLast;
    private final List<String> notes = new ArrayList<>();

    private Packer(Aggregate struct, Platform platform, Wish wish) {
        this.struct = struct;
        this.platform = platform;
        this.wish = wish;
    }

    /**
     * Proposes an order.
     *
     * @throws LayoutException if the type is a union or has no members, or a hot member does not exist
     */
    public static Proposal pack(Aggregate struct, Platform platform, Wish wish) {
        if (struct.isUnion())
            throw new LayoutException(
                    struct.table().file(), "union " + struct.name() + ": a union has no order to change");
        if (struct.members().isEmpty())
            throw new LayoutException(struct.table().file(), struct.name() + " has no members");
        return new Packer(struct, platform, wish).pack();
    }

    private Proposal pack() {
        split();
        List<Block> order = wish.keepGroups() ? fillHoles() : wish.hot().isEmpty() ? byAlignment(movable) : hotFirst();
        order = keepLocksApart(order);
        Aggregate proposed = build(order);
        if (proposed.size() > struct.size() && wish.hot().isEmpty()) {
            notes.add("no order of these members is smaller; the members are left as they are");
            proposed = build(movable);
        }
        return new Proposal(proposed, List.copyOf(notes));
    }

    private void split() {
        List<Member> members =
                struct.members().stream().filter(m -> !m.takesNoPart()).toList();
        for (int i = 0; i < members.size(); ) {
            Member member = members.get(i);
            List<Member> run = new ArrayList<>(List.of(member));
            i++;
            if (member.bitfieldSize() != 0) {
                while (i < members.size() && members.get(i).bitfieldSize() != 0) run.add(members.get(i++));
            }
            Platform.Placed alone = platform.place(run, 0);
            Block block = new Block(
                    List.copyOf(run), sizeOf(alone.members()), alone.alignment(), Locks.isLock(member.type()));
            if (member.role() == Member.Role.BASE) pinnedFirst.add(block);
            else if (i == members.size() && flexible(member)) pinnedLast = block;
            else movable.add(block);
        }
        Set<String> names = new HashSet<>();
        for (Member member : members) if (member.name() != null) names.add(member.name());
        for (String hot : wish.hot()) {
            if (!names.contains(hot))
                throw new LayoutException(struct.table().file(), struct.name() + " has no member " + hot);
        }
    }

    private static long sizeOf(List<Member> members) {
        long end = 0;
        for (Member member : members) end = Math.max(end, (member.bitEnd() + 7) / 8);
        return end;
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

    /** Moves later members into earlier holes that they fit, the nearest first, as long as that makes less of the holes. */
    private List<Block> fillHoles() {
        List<Block> order = new ArrayList<>(movable);
        for (int round = 0; round < 200; round++) {
            Aggregate now = build(order);
            long[] best = {now.size(), now.layout().holeSum()};
            int bestFrom = -1;
            int bestTo = -1;
            for (int to = 0; to < order.size(); to++) {
                if (!holeBefore(order, to)) continue;
                for (int from = 0; from < order.size(); from++) {
                    if (from == to || from == to - 1 && from + 1 == to) continue;
                    if (order.get(from).size() > 8) continue;
                    Aggregate tried = build(moved(order, from, to));
                    long size = tried.size();
                    long holes = tried.layout().holeSum();
                    if (size < best[0] || size == best[0] && holes < best[1]) {
                        best = new long[] {size, holes};
                        bestFrom = from;
                        bestTo = to;
                    }
                }
            }
            if (bestFrom < 0) return order;
            order = moved(order, bestFrom, bestTo);
        }
        return order;
    }

    private boolean holeBefore(List<Block> order, int index) {
        List<Block> prefix = order.subList(0, index);
        List<Member> members = new ArrayList<>();
        for (Block block : pinnedFirst) members.addAll(block.members());
        for (Block block : prefix) members.addAll(block.members());
        if (members.isEmpty()) return false;
        long end = sizeOf(platform.place(members, 0).members());
        return end % order.get(index).alignment() != 0;
    }

    private static List<Block> moved(List<Block> order, int from, int to) {
        List<Block> copy = new ArrayList<>(order);
        Block block = copy.remove(from);
        copy.add(from < to ? to - 1 : to, block);
        return copy;
    }

    /** Locks in one line would fight for it: each that meets an earlier one moves back behind enough others. */
    private List<Block> keepLocksApart(List<Block> order) {
        List<Block> now = new ArrayList<>(order);
        for (int round = 0; round < now.size(); round++) {
            int meets = firstMeeting(now);
            if (meets < 0) return now;
            boolean done = false;
            long size = build(now).size();
            // First a place that costs nothing, then any.
            for (int pass = 0; pass < 2 && !done; pass++) {
                for (int to = 0; to <= now.size() && !done; to++) {
                    if (to == meets || to == meets + 1) continue;
                    List<Block> tried = moved(now, meets, to);
                    int still = firstMeeting(tried);
                    boolean better = still < 0 || meetings(tried) < meetings(now);
                    if (better && (pass == 1 || build(tried).size() <= size)) {
                        now = tried;
                        done = true;
                    }
                }
            }
            if (!done) {
                notes.add("there are not enough other members to keep all locks in lines of their own");
                return now;
            }
        }
        return now;
    }

    private int meetings(List<Block> order) {
        int count = 0;
        Set<Long> taken = new HashSet<>();
        for (long[] range : lockLines(order)) {
            for (long line = range[0]; line <= range[1]; line++) if (!taken.add(line)) count++;
        }
        return count;
    }

    private int firstMeeting(List<Block> order) {
        Set<Long> taken = new HashSet<>();
        for (long[] range : lockLines(order)) {
            for (long line = range[0]; line <= range[1]; line++) if (!taken.add(line)) return (int) range[2];
        }
        return -1;
    }

    private List<long[]> lockLines(List<Block> order) {
        List<long[]> lines = new ArrayList<>();
        List<Member> members = new ArrayList<>();
        for (Block block : pinnedFirst) members.addAll(block.members());
        int skip = members.size();
        List<Integer> blockOf = new ArrayList<>();
        for (int i = 0; i < order.size(); i++) {
            for (Member member : order.get(i).members()) {
                members.add(member);
                blockOf.add(i);
            }
        }
        List<Member> placed = platform.place(members, struct.statedAlignment()).members();
        for (int i = skip; i < placed.size(); i++) {
            Member member = placed.get(i);
            int block = blockOf.get(i - skip);
            if (order.get(block).lock()) {
                lines.add(range(member.byteOffset(), member.byteSize(), block));
            } else if (Type.strip(member.type()) instanceof Aggregate inner) {
                for (var lock : Locks.of(inner))
                    lines.add(range(member.byteOffset() + lock.offset(), lock.bits() / 8, block));
            }
        }
        return lines;
    }

    private long[] range(long offset, long size, int block) {
        return new long[] {offset / wish.lineSize(), Math.max(offset, offset + size - 1) / wish.lineSize(), block};
    }

    private Aggregate build(List<Block> order) {
        List<Member> members = new ArrayList<>();
        for (Block block : pinnedFirst) members.addAll(block.members());
        for (Block block : order) members.addAll(block.members());
        Block last = pinnedLast;
        if (last != null) members.addAll(last.members());
        Platform.Placed placed = platform.place(members, struct.statedAlignment());
        MemoryTable table = new MemoryTable(
                "the proposal", struct.table().addressSize(), struct.table().language());
        return table.aggregate(struct.kind(), struct.name(), placed.size(), placed.members(), struct.statedAlignment());
    }
}
