package dev.slate.kvm.rmap;

/** Is shown the SPTEs of a list. */
@FunctionalInterface
public interface SpteVisitor {
    /** @param spte address of the SPTE */
    void visit(long spte);
}
