package dev.slate.lab.workload;

import dev.slate.kvm.rmap.PteListForm;
import dev.slate.lab.lines.LineRecorder;
import dev.slate.lab.lines.ListJob;
import dev.slate.lab.lines.ListLines;
import java.util.function.Consumer;
import java.util.function.Function;

/** Does a {@link ListJob}. Made by {@link dev.slate.lab.lines.CountingLoader}, since only its copy says what it touches. */
public final class CountedLists implements Function<ListJob, ListLines> {
    /** No statistic of a vCPU: an operation on a list ends the interval. */
    private static final int OPERATION = -1;

    public CountedLists() {}

    @Override
    public ListLines apply(ListJob job) {
        PteListForm form = new PteListForm(job.entries(), job.counted(), true);
        try (ListLoad load = new ListLoad(new TaggingHost(), form, job.lists())) {
            LineRecorder.region(load.heads(), load.lists() * (long) Long.BYTES);
            while (load.length() < job.length() - 1) {
                load.add(() -> {});
            }
            return new ListLines(count(load::add), count(load::walk), count(load::remove));
        }
    }

    private static double count(Consumer<Runnable> operations) {
        LineRecorder.start(OPERATION);
        operations.accept(() -> LineRecorder.counted(OPERATION));
        var lines = LineRecorder.stop();
        return lines.perExit(lines.rmap());
    }
}
