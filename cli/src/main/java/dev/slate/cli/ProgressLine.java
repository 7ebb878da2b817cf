package dev.slate.cli;

import dev.slate.lab.Progress;
import java.time.Duration;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.jspecify.annotations.Nullable;

/** A run's progress as a bar on the terminal's last line, with the time that is left and the trial that runs. */
final class ProgressLine implements Progress {
    private @Nullable ProgressBar bar;
    private boolean started;

    @Override
    public void begin(String experiment, int steps) {
        bar = new ProgressBarBuilder()
                .setTaskName(experiment)
                .setInitialMax(steps)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(500)
                .startsFrom(0, Duration.ZERO)
                .build();
    }

    @Override
    public void step(String what) {
        if (bar != null) {
            if (started) {
                bar.step();
            }
            started = true;
            bar.setExtraMessage(what);
        }
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
            bar = null;
        }
    }
}
