package dev.slate.layout.pack;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Fills holes with later members, the nearest that fits, and leaves everything else in its order. Takes time in proportion to the members. */
final class Groups {
    /** What is larger is not moved: it is a group of its own. */
    private static final long LARGEST = 8;

    private Groups() {}

    /** Blocks of one size and alignment that may still be moved, in their order. */
    private record Shape(long size, long alignment) {}

    static List<Packer.Block> fillHoles(Packer packer) {
        List<Packer.Block> blocks = packer.movable();
        Map<Shape, Deque<Integer>> later = new HashMap<>();
        for (int i = 0; i < blocks.size(); i++) {
            Packer.Block block = blocks.get(i);
            if (block.size() > 0 && block.size() <= LARGEST)
                later.computeIfAbsent(new Shape(block.size(), block.alignment()), s -> new ArrayDeque<>())
                        .add(i);
        }
        boolean[] placed = new boolean[blocks.size()];
        List<Packer.Block> order = new ArrayList<>(blocks.size());
        long end = packer.start();
        for (int next = 0; next < blocks.size(); next++) {
            if (placed[next]) continue;
            Packer.Block block = blocks.get(next);
            // A hole before the next block: fill it with what comes later, as long as something fits.
            for (long gap = gap(end, block); gap > 0; gap = gap(end, block)) {
                int best = nearest(later, next, placed, end, gap);
                if (best < 0) break;
                placed[best] = true;
                order.add(blocks.get(best));
                end += blocks.get(best).size();
            }
            placed[next] = true;
            order.add(block);
            end = end + gap(end, block) + block.size();
        }
        // Moving a member may open a hole where it was.
        return packer.size(order) < packer.size(blocks) ? order : new ArrayList<>(blocks);
    }

    private static long gap(long end, Packer.Block block) {
        return (block.alignment() - end % block.alignment()) % block.alignment();
    }

    private static int nearest(Map<Shape, Deque<Integer>> later, int after, boolean[] placed, long end, long gap) {
        int best = -1;
        for (Map.Entry<Shape, Deque<Integer>> entry : later.entrySet()) {
            Shape shape = entry.getKey();
            Deque<Integer> waiting = entry.getValue();
            while (!waiting.isEmpty() && (waiting.peek() <= after || placed[waiting.peek()])) waiting.poll();
            if (waiting.isEmpty() || shape.size() > gap || end % shape.alignment() != 0) continue;
            if (best < 0 || waiting.peek() < best) best = waiting.peek();
        }
        return best;
    }
}
