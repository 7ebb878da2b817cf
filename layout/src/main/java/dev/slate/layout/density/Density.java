package dev.slate.layout.density;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.Type;
import java.util.ArrayList;
import java.util.List;

/** What each cell, a byte or a bit, of a type holds. */
public final class Density {
    /** What a cell may hold. */
    public enum Use {
        MEMBER,
        HOLE,
        PADDING
    }

    private static final int LIMIT = 1 << 24;

    private final Aggregate aggregate;
    private final boolean bits;
    private final List<Flat> members = new ArrayList<>();
    private final int[] owner;
    private int lastUsed = -2;

    /**
     * @param bits whether a cell is a bit instead of a byte
     * @param inside whether structs inside are opened, so that their own holes show
     */
    public Density(Aggregate aggregate, boolean bits, boolean inside) {
        this.aggregate = aggregate;
        this.bits = bits;
        long cells = aggregate.size() * (bits ? 8 : 1);
        if (cells > LIMIT)
            throw new dev.slate.layout.LayoutException(
                    aggregate.table().file(), "a picture of " + cells + " cells; 16 million are the most");
        owner = new int[(int) cells];
        java.util.Arrays.fill(owner, -1);
        List<Flat> all = inside ? Flat.deep(aggregate) : Flat.members(aggregate);
        for (int i = 0; i < all.size(); i++) {
            Flat flat = all.get(i);
            boolean opened = inside
                    && flat.type() instanceof Aggregate inner
                    && !inner.members().isEmpty()
                    && i + 1 < all.size()
                    && (all.get(i + 1).path().startsWith(flat.path() + ".")
                            || inner.size() > 0 && !Flat.members(inner).isEmpty());
            if (opened) continue;
            int index = members.size();
            members.add(flat);
            long first = bits ? flat.bitOffset() : flat.offset();
            long bitEnd = flat.bitOffset() + flat.room();
            long end = bits ? bitEnd : (bitEnd + 7) / 8;
            for (long at = Math.max(0, first); at < Math.min(end, cells); at++) owner[(int) at] = index;
        }
    }

    public Aggregate aggregate() {
        return aggregate;
    }

    public boolean bits() {
        return bits;
    }

    public int cells() {
        return owner.length;
    }

    /** The members that have cells of their own. */
    public List<Flat> members() {
        return members;
    }

    /** The member that a cell belongs to, by its place in {@link #members()}, -1 for none. */
    public int owner(int cell) {
        return owner[cell];
    }

    /** What a cell holds. Padding is what no member comes after. */
    public Use use(int cell) {
        if (owner[cell] >= 0) return Use.MEMBER;
        return cell < lastUsed() ? Use.HOLE : Use.PADDING;
    }

    private int lastUsed() {
        if (lastUsed == -2) lastUsed = findLastUsed();
        return lastUsed;
    }

    private int findLastUsed() {
        int last = owner.length - 1;
        while (last >= 0 && owner[last] < 0) last--;
        return last;
    }

    /**
     * How many cells hold what.
     *
     * @param members cells that belong to a member
     * @param holes cells between members
     * @param padding cells after the last member
     */
    public record Count(long members, long holes, long padding) {}

    /** Counts all cells. */
    public Count count() {
        int last = lastUsed();
        long members = 0;
        long holes = 0;
        for (int i = 0; i <= last; i++) {
            if (owner[i] >= 0) members++;
            else holes++;
        }
        return new Count(members, holes, owner.length - 1L - last);
    }

    /** A title for the picture. */
    public String title() {
        String name = ((Type) aggregate).qualifiedName();
        return aggregate.kind().word() + " " + (name == null ? "{...}" : name) + ", " + aggregate.size() + " bytes";
    }
}
