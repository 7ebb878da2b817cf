package dev.slate.kvm.mmu;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * A vCPU looks a translation up and commits it in a reading window; meanwhile the client's memory goes away. When the zapper has waited
 * for readers and zapped, nothing may be mapped any more.
 */
@JCStressTest
@State
@Outcome(
        id = {"0, 0", "1, 0"},
        expect = Expect.ACCEPTABLE,
        desc = "Not committed, or committed and zapped.")
@Outcome(expect = Expect.FORBIDDEN, desc = "Memory that is gone is mapped.")
public class InvalidateAndCommit {
    private static final long HVA = 0x7000;

    private final GuestMode mode = new GuestMode(Cells.INSTANCE);
    private final GuestModes modes = new GuestModes();
    private final HvaInvalidation invalidation = new HvaInvalidation();
    private final long spte = Cells.take(8);

    public InvalidateAndCommit() {
        modes.add(mode);
    }

    @Actor
    public void vcpu(II_Result r) {
        long sequence = invalidation.sequence();
        if (invalidation.inProgress(HVA, 4096)) {
            return;
        }
        mode.beginReading();
        if (!invalidation.retry(sequence, HVA, 4096)) {
            HostMemory.cas64(spte, 0, Spte.page(HVA, true, 1));
            r.r1 = 1;
        }
        mode.endReading();
    }

    @Actor
    public void zapper() {
        invalidation.begin(HVA, HVA + 4096);
        modes.waitForReaders();
        HostMemory.getAndSet64(spte, 0);
    }

    @Arbiter
    public void end(II_Result r) {
        r.r2 = HostMemory.getVolatile64(spte) != 0 ? 1 : 0;
    }
}
