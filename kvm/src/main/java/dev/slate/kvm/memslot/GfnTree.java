package dev.slate.kvm.memslot;

import org.jspecify.annotations.Nullable;

/**
 * Memslots in a balanced search tree by gfn ({@code gfn_tree} since Linux 5.17). KVM's is red-black and each slot has two nodes, so that
 * the next version of the tree can be built beside the one in use; this one is an AVL tree, and a change copies the path to it, which comes
 * to the same: whoever holds the old version keeps it. Immutable.
 */
final class GfnTree {
    static final class Node {
        final Memslot slot;
        final @Nullable Node left;
        final @Nullable Node right;
        private final int height;

        private Node(@Nullable Node left, Memslot slot, @Nullable Node right) {
            this.slot = slot;
            this.left = left;
            this.right = right;
            this.height = 1 + Math.max(height(left), height(right));
        }
    }

    private GfnTree() {}

    private static int height(@Nullable Node n) {
        return n == null ? 0 : n.height;
    }

    /** The tree with a slot more. @param slot overlaps none in the tree */
    static Node insert(@Nullable Node n, Memslot slot) {
        if (n == null) {
            return new Node(null, slot, null);
        }
        return slot.baseGfn < n.slot.baseGfn
                ? balanced(insert(n.left, slot), n.slot, n.right)
                : balanced(n.left, n.slot, insert(n.right, slot));
    }

    /** The tree without a slot. @param slot is in the tree */
    static @Nullable Node remove(@Nullable Node n, Memslot slot) {
        if (n == null) {
            throw new AssertionError("not in its tree: " + slot);
        }
        if (slot == n.slot) {
            if (n.left == null) {
                return n.right;
            }
            if (n.right == null) {
                return n.left;
            }
            Node next = n.right;
            while (next.left != null) {
                next = next.left;
            }
            return balanced(n.left, next.slot, remove(n.right, next.slot));
        }
        return slot.baseGfn < n.slot.baseGfn
                ? balanced(remove(n.left, slot), n.slot, n.right)
                : balanced(n.left, n.slot, remove(n.right, slot));
    }

    /** A node over two trees whose heights differ by two at most. */
    private static Node balanced(@Nullable Node left, Memslot slot, @Nullable Node right) {
        if (left != null && left.height > height(right) + 1) {
            Node inner = left.right;
            return inner == null || height(left.left) >= inner.height
                    ? new Node(left.left, left.slot, new Node(inner, slot, right))
                    : new Node(
                            new Node(left.left, left.slot, inner.left), inner.slot, new Node(inner.right, slot, right));
        }
        if (right != null && right.height > height(left) + 1) {
            Node inner = right.left;
            return inner == null || height(right.right) >= inner.height
                    ? new Node(new Node(left, slot, inner), right.slot, right.right)
                    : new Node(
                            new Node(left, slot, inner.left),
                            inner.slot,
                            new Node(inner.right, right.slot, right.right));
        }
        return new Node(left, slot, right);
    }
}
