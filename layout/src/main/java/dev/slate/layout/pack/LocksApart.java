package dev.slate.layout.pack;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.Locks;
import dev.slate.layout.Member;
import dev.slate.layout.Type;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;

/** Locks in one line would fight for it: each that meets an earlier one moves behind enough others. */
final class LocksApart {
    /** How many places are tried for one lock, and how many locks are moved: a struct may have thousands of members. */
    private static final int TRIES = 64;

    private final Packer packer;
    private final List<String> notes;
    private final IdentityHashMap<Aggregate, List<Flat>> inside = new IdentityHashMap<>();

    LocksApart(Packer packer, List<String> notes) {
        this.packer = packer;
        this.notes = notes;
    }

    List<Packer.Block> order(List<Packer.Block> order) {
        List<Packer.Block> now = new ArrayList<>(order);
        for (int round = 0; round < Math.min(now.size(), TRIES); round++) {
            int meets = firstMeeting(now);
            if (meets < 0) return now;
            List<Packer.Block> better = move(now, meets);
            if (better == null) {
                notes.add("there are not enough other members to keep all locks in lines of their own");
                return now;
            }
            now = better;
        }
        return now;
    }

    /** The order with one block elsewhere, at a place that costs nothing if there is one; null if no place makes it better. */
    private @org.jspecify.annotations.Nullable List<Packer.Block> move(List<Packer.Block> now, int meets) {
        int meetings = meetings(now);
        long size = packer.size(now);
        int step = Math.max(1, now.size() / TRIES);
        List<Packer.Block> second = null;
        for (int to = 0; to <= now.size(); to += step) {
            if (to == meets || to == meets + 1) continue;
            List<Packer.Block> tried = new ArrayList<>(now);
            Packer.Block block = tried.remove(meets);
            tried.add(meets < to ? to - 1 : to, block);
            if (meetings(tried) >= meetings) continue;
            if (packer.size(tried) <= size) return tried;
            if (second == null) second = tried;
        }
        return second;
    }

    /** How many lines more than one lock has bytes in, counted once for each lock but the first. */
    int meetings(List<Packer.Block> order) {
        int count = 0;
        Set<Long> taken = new HashSet<>();
        for (long[] range : lockLines(order)) {
            for (long line = range[0]; line <= range[1]; line++) if (!taken.add(line)) count++;
        }
        return count;
    }

    private int firstMeeting(List<Packer.Block> order) {
        Set<Long> taken = new HashSet<>();
        for (long[] range : lockLines(order)) {
            for (long line = range[0]; line <= range[1]; line++) if (!taken.add(line)) return (int) range[2];
        }
        return -1;
    }

    private List<long[]> lockLines(List<Packer.Block> order) {
        List<long[]> lines = new ArrayList<>();
        List<Member> placed = null;
        int at = 0;
        for (int block = 0; block < order.size(); block++) {
            for (Member member : order.get(block).members()) {
                int index = at++;
                boolean lock = order.get(block).lock();
                List<Flat> those = lock || !(Type.strip(member.type()) instanceof Aggregate inner)
                        ? List.of()
                        : inside.computeIfAbsent(inner, Locks::of);
                if (!lock && those.isEmpty()) continue;
                if (placed == null) placed = packer.place(order);
                long offset = placed.get(index).byteOffset();
                if (lock) lines.add(range(offset, member.byteSize(), block));
                for (Flat one : those) lines.add(range(offset + one.offset(), one.bits() / 8, block));
            }
        }
        return lines;
    }

    private long[] range(long offset, long size, int block) {
        int line = packer.lineSize();
        return new long[] {offset / line, Math.max(offset, offset + size - 1) / line, block};
    }
}
