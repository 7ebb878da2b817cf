package dev.slate.benchmarks.speed;

import java.io.IOException;
import java.time.Duration;

/** Where work is done. */
interface Side {
    /** Guest address of the image and of its parameters (guests/README.md; reset-rom has them, too). */
    long IMAGE = 0x100000;

    long PARAMETERS = 0x8000;
    /** Port of the guest's characters. */
    int CHARACTER = 0xe9;

    /**
     * Does so many rounds.
     *
     * @throws IllegalStateException they did not end as they should
     */
    Took run(Work work, long rounds) throws IOException, InterruptedException;

    /**
     * What rounds took, and what came out of them.
     *
     * @param seconds processor time, user's and system's, of the whole process
     */
    record Took(double seconds, String answer) {}

    /** Processor time of a process so far, in seconds; the kernel counts it in hundredths. */
    static double processorTime(ProcessHandle process) {
        Duration time = process.info()
                .totalCpuDuration()
                .orElseThrow(() -> new IllegalStateException(
                        "the kernel does not say what processor time process " + process.pid() + " took"));
        return time.toNanos() / 1e9;
    }
}
