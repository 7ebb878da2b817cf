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

/** Two vCPUs fault on one page, one to read and one to write: W must not be lost, and only the first maps it. */
@JCStressTest
@State
@Outcome(id = "0, 0, 1", expect = Expect.ACCEPTABLE, desc = "The reader mapped it, the writer added W.")
@Outcome(id = "1, 0, 1", expect = Expect.ACCEPTABLE, desc = "The writer mapped it, the reader found it.")
@Outcome(expect = Expect.FORBIDDEN, desc = "W is lost, or the page was mapped twice.")
public class TwoFaults {
    private static final TdpTables TABLES = new TdpTables(Slab.ofPages(Cells.INSTANCE), new VmStats(Cells.INSTANCE));

    private final long entry = Cells.take(8);

    @Actor
    public void read(III_Result r) {
        r.r1 = TABLES.install(entry, 0, 7, 0x7000, 1, 0);
    }

    @Actor
    public void write(III_Result r) {
        r.r2 = TABLES.install(entry, 0, 7, 0x7000, 1, TdpTables.WRITE);
    }

    @Arbiter
    public void end(III_Result r) {
        r.r3 = Spte.writable(HostMemory.getVolatile64(entry)) ? 1 : 0;
    }
}
