package dev.slate.kvm.mmu.tdp;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.dirty.DirtyBitmap;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;

/**
 * A vCPU's fast page fault makes a page writable and marks it; the dirty log takes the marks and write-protects. Whatever is writable at the
 * end must still be marked: else a write would be lost.
 */
@JCStressTest
@State
@Outcome(id = "0, 1, 1", expect = Expect.ACCEPTABLE, desc = "The harvest came first: the write is for the next one.")
@Outcome(id = "1, 0, 0", expect = Expect.ACCEPTABLE, desc = "The harvest has the page, and it is protected again.")
@Outcome(
        id = "0, 0, 1",
        expect = Expect.ACCEPTABLE,
        desc = "Protected before the mark came: reported once too often, later.")
@Outcome(expect = Expect.FORBIDDEN, desc = "Writable and not marked: a write is lost.")
public class FastFaultAndHarvest {
    private final long spte = Cells.take(8);
    private final DirtyBitmap bitmap = DirtyBitmap.create(Cells.INSTANCE, 64);

    public FastFaultAndHarvest() {
        HostMemory.put64(spte, Spte.page(0x7000, true, 1) & ~Spte.WRITABLE);
    }

    @Actor
    public void fault() {
        for (; ; ) {
            int made = TdpTables.grant(spte, HostMemory.getVolatile64(spte), TdpTables.WRITE);
            if (made != TdpTables.AGAIN) {
                break;
            }
        }
        bitmap.mark(5);
    }

    @Actor
    public void harvest(III_Result r) {
        r.r1 = (bitmap.take(0) & 1 << 5) != 0 ? 1 : 0;
        // The log protects what it has taken, and when it is first switched on everything: here always.
        TdpTables.takeWrite(spte);
    }

    @Arbiter
    public void end(III_Result r) {
        r.r2 = Spte.writable(HostMemory.getVolatile64(spte)) ? 1 : 0;
        r.r3 = bitmap.marked(5) ? 1 : 0;
    }
}
