package dev.slate.debug.gdb;

import java.util.ArrayList;
import java.util.List;

/**
 * The breakpoints and watchpoints of a debugger. They are compared with addresses; nothing is written into the guest, which cannot
 * see them. Immutable: a change makes a new one, so that a vCPU looks at one set for as long as it runs.
 */
final class Breakpoints {
    /** As Z packets number them. */
    static final int SOFTWARE = 0;

    static final int HARDWARE = 1;
    static final int WRITE = 2;
    static final int READ = 3;
    static final int ACCESS = 4;

    static final Breakpoints NONE = new Breakpoints(List.of());

    /** A block ends with its page, or with the one instruction that crosses into the next. */
    private static final long LONGEST_BLOCK = 4096 + 15;

    /** @param bytes watchpoints: how many from {@code address} on */
    record Point(int type, long address, long bytes) {}

    private final List<Point> points;
    private final long[] code;
    final boolean watches;

    private Breakpoints(List<Point> points) {
        this.points = points;
        this.code = points.stream()
                .filter(p -> p.type <= HARDWARE)
                .mapToLong(Point::address)
                .toArray();
        this.watches = points.stream().anyMatch(p -> p.type > HARDWARE);
    }

    Breakpoints with(Point point) {
        if (points.contains(point)) {
            return this;
        }
        List<Point> more = new ArrayList<>(points);
        more.add(point);
        return new Breakpoints(more);
    }

    Breakpoints without(Point point) {
        List<Point> fewer = new ArrayList<>(points);
        fewer.remove(point);
        return new Breakpoints(fewer);
    }

    boolean isEmpty() {
        return points.isEmpty();
    }

    boolean at(long la) {
        for (long address : code) {
            if (address == la) {
                return true;
            }
        }
        return false;
    }

    boolean isHardware(long la) {
        for (Point p : points) {
            if (p.type == HARDWARE && p.address == la) {
                return true;
            }
        }
        return false;
    }

    /** Whether a block that starts at {@code la} may run over a breakpoint. */
    boolean near(long la) {
        for (long address : code) {
            if (address - la >= 0 && address - la < LONGEST_BLOCK) {
                return true;
            }
        }
        return false;
    }

    /** The watchpoint that an access touches, or null. */
    @org.jspecify.annotations.Nullable
    Point touched(long la, int bytes, boolean write) {
        for (Point p : points) {
            boolean wants = p.type == ACCESS || p.type == (write ? WRITE : READ);
            if (wants && la - p.address < p.bytes && p.address - la < bytes) {
                return p;
            }
        }
        return null;
    }
}
