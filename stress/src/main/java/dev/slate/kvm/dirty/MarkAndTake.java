package dev.slate.kvm.dirty;

import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/** A vCPU marks two pages of one word while it is harvested: no mark is lost, none is reported twice. */
@JCStressTest
@State
@Outcome(
        id = {"0, 3", "1, 2", "3, 0"},
        expect = Expect.ACCEPTABLE,
        desc = "Each mark in this harvest or the next.")
@Outcome(expect = Expect.FORBIDDEN, desc = "A mark is lost or doubled.")
public class MarkAndTake {
    private final DirtyBitmap bitmap = DirtyBitmap.create(Cells.INSTANCE, 64);

    @Actor
    public void vcpu() {
        bitmap.mark(0);
        bitmap.mark(1);
    }

    @Actor
    public void harvest(II_Result r) {
        r.r1 = (int) bitmap.take(0);
    }

    @Arbiter
    public void end(II_Result r) {
        r.r2 = (int) bitmap.take(0);
    }
}
