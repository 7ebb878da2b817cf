package dev.slate.kvm.dirty;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/** A vCPU enters a page into its ring; the client, in another thread, looks at the flag and then at the entry. */
@JCStressTest
@State
@Outcome(id = "0, 0", expect = Expect.ACCEPTABLE, desc = "Not there yet.")
@Outcome(id = "1, 77", expect = Expect.ACCEPTABLE, desc = "There, and whole.")
@Outcome(expect = Expect.FORBIDDEN, desc = "The flag was there before the entry.")
public class PushAndCollect {
    private final long memory = Cells.take(64);
    /** Of more bytes than there are here; only the first entry is used. */
    private final DirtyRing ring = new DirtyRing(memory, DirtyRing.MIN_BYTES);

    @Actor
    public void vcpu() {
        ring.push(7, 70);
    }

    @Actor
    public void client(II_Result r) {
        if (HostMemory.getVolatile32(memory) != 0) {
            r.r1 = 1;
            r.r2 = HostMemory.get32(memory + 4) + (int) HostMemory.get64(memory + 8);
        }
    }
}
