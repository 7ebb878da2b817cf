package dev.slate.lab.workload;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.lab.lines.LineRecorder;
import dev.slate.lab.lines.Lines;
import dev.slate.lab.lines.LookupJob;
import java.util.function.Function;

/** Does a {@link LookupJob}. Made by {@link dev.slate.lab.lines.CountingLoader}, since only its copy says what it touches. */
public final class CountedLookups implements Function<LookupJob, Lines> {
    /** No statistic of a vCPU: a lookup ends the interval. */
    private static final int LOOKUP = -1;

    public CountedLookups() {}

    @Override
    public Lines apply(LookupJob job) {
        ArenaHost host = new ArenaHost();
        try (GuestMemory memory = new GuestMemory(host)) {
            SlotLoad.fill(memory, job.slots());
            SlotLoad load = new SlotLoad(memory, job.form(), job.vcpus());
            load.lookUp(job.vcpus(), () -> {});
            LineRecorder.start(LOOKUP);
            load.lookUp(job.faults(), () -> LineRecorder.counted(LOOKUP));
            return LineRecorder.stop();
        }
    }
}
