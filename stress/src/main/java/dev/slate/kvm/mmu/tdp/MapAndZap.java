package dev.slate.kvm.mmu.tdp;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mmu.Slab;
import dev.slate.kvm.mmu.Spte;
import dev.slate.kvm.stats.VmStats;
import dev.slate.kvm.stress.Cells;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;

/**
 * A vCPU sets an entry of a table that another thread is taking down. Either the zapper finds the entry, or the vCPU finds REMOVED and
 * starts again; the table ends with REMOVED.
 */
@JCStressTest
@State
@Outcome(id = "0, 1, 1", expect = Expect.ACCEPTABLE, desc = "Mapped, then found by the zapper.")
@Outcome(id = "2, 0, 1", expect = Expect.ACCEPTABLE, desc = "Too late: the vCPU starts again.")
@Outcome(expect = Expect.FORBIDDEN, desc = "An entry that nobody accounts for.")
public class MapAndZap {
    private static final TdpTables TABLES = new TdpTables(Slab.ofPages(Cells.INSTANCE), new VmStats(Cells.INSTANCE));

    private final long entry = Cells.take(8);

    @Actor
    public void map(III_Result r) {
        r.r1 = TABLES.install(entry, 0, 7, 0x7000, 1, TdpTables.WRITE);
    }

    @Actor
    public void zap(III_Result r) {
        r.r2 = Spte.mapped(HostMemory.getAndSet64(entry, Spte.REMOVED)) ? 1 : 0;
    }

    @Arbiter
    public void end(III_Result r) {
        r.r3 = HostMemory.getVolatile64(entry) == Spte.REMOVED ? 1 : 0;
    }
}
