package dev.slate.kvm.mode;

import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/** A vCPU goes in and looks at its requests; a requester posts one and looks whether the vCPU is in. One of them must see the other. */
@JCStressTest
@State
@Outcome(
        id = {"1, 0", "1, 1", "0, 1"},
        expect = Expect.ACCEPTABLE,
        desc = "At least one has seen the other.")
@Outcome(id = "0, 0", expect = Expect.FORBIDDEN, desc = "In the guest with an old translation, and nobody waits.")
public class RequestAndEnter {
    private final GuestMode mode = new GuestMode(Cells.INSTANCE);

    @Actor
    public void vcpu(II_Result r) {
        mode.enter();
        r.r1 = mode.pending() ? 1 : 0;
    }

    @Actor
    public void requester(II_Result r) {
        mode.request(Request.TLB_FLUSH);
        r.r2 = mode.token() != 0 ? 1 : 0;
    }
}
