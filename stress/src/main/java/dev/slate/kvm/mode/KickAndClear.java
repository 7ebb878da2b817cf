package dev.slate.kvm.mode;

import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/** A vCPU clears its kick word and looks for requests before it sleeps; a request and a kick come. Either it sees the request or stays kicked. */
@JCStressTest
@State
@Outcome(
        id = {"1, 0", "1, 1", "0, 1"},
        expect = Expect.ACCEPTABLE,
        desc = "It does not sleep, or is woken.")
@Outcome(id = "0, 0", expect = Expect.FORBIDDEN, desc = "A lost wake-up.")
public class KickAndClear {
    private final GuestMode mode = new GuestMode(Cells.INSTANCE);

    public KickAndClear() {
        mode.kick();
    }

    @Actor
    public void vcpu(II_Result r) {
        mode.clearKick();
        r.r1 = mode.pending() ? 1 : 0;
    }

    @Actor
    public void requester() {
        mode.request(Request.EVENT);
        mode.kick();
    }

    @Arbiter
    public void end(II_Result r) {
        r.r2 = mode.kicked() ? 1 : 0;
    }
}
