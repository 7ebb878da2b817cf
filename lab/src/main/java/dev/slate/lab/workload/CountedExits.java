package dev.slate.lab.workload;

import dev.slate.kvm.stats.VcpuStats;
import dev.slate.lab.lines.ExitJob;
import dev.slate.lab.lines.LineRecorder;
import dev.slate.lab.lines.Lines;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Does an {@link ExitJob}. Made by {@link dev.slate.lab.lines.CountingLoader}, since only its copy says what it touches. */
public final class CountedExits implements Function<ExitJob, Lines> {
    public CountedExits() {}

    @Override
    public Lines apply(ExitJob job) {
        TaggingHost host = new TaggingHost();
        Area area = null;
        try (Machine machine = new Machine(host, job.knobs(), job.image(), job.memoryBytes(), job.parameters())) {
            if (job.areaBytes() != 0) {
                area = new Area(machine, host, job.areaGpa(), job.areaBytes());
            }
            run(machine, job.remap() ? area : null, job.warmups());
            LineRecorder.start(job.faults() ? VcpuStats.PF_TAKEN : VcpuStats.EXITS);
            run(machine, job.remap() ? area : null, job.batches());
            return LineRecorder.stop();
        } finally {
            if (area != null) {
                area.close();
            }
        }
    }

    private static void run(Machine machine, @Nullable Area remapped, int marks) {
        for (int i = 0; i < marks; i++) {
            if (remapped != null) {
                remapped.remap();
                LineRecorder.discard();
            }
            machine.run();
        }
    }
}
