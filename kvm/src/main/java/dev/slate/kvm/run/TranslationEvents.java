package dev.slate.kvm.run;

import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.TranslationObserver;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * Tells of a vCPU's translations whoever looks on: a recording, and a profiler that wants names for the code.
 *
 * <p>Under the vCPU's mutex, on the client's thread.
 */
final class TranslationEvents implements TranslationObserver {
    private final HostServices host;
    private final int vcpuId;
    private final boolean names;
    private final Runnable figures;

    private TranslationEvents(HostServices host, int vcpuId, TranslationFigures figures) {
        this.host = host;
        this.vcpuId = vcpuId;
        this.names = host.wantsCodeNames();
        this.figures = () -> Tracepoints.translator(vcpuId, figures);
    }

    /** Null where nobody looks on. */
    static @Nullable TranslationEvents of(HostServices host, int vcpuId, TranslationFigures figures) {
        return Tracepoints.ON || host.wantsCodeNames() ? new TranslationEvents(host, vcpuId, figures) : null;
    }

    @Override
    public boolean namesCode() {
        return names;
    }

    @Override
    public void common(long code, int bytes) {
        if (Tracepoints.ON) {
            Tracepoints.atEndOfRecording(figures);
        }
        if (names) {
            host.nameCode(code, bytes, "slate:entry-and-exits");
        }
    }

    @Override
    public void translated(long rip, int guestBytes, long code, int bytes, long nanos) {
        if (Tracepoints.ON) {
            Tracepoints.translated(vcpuId, rip, guestBytes, code, bytes, nanos);
        }
        if (names) {
            host.nameCode(code, bytes, "guest:" + Long.toHexString(rip) + "-" + Long.toHexString(rip + guestBytes));
        }
    }

    @Override
    public void invalidated(long page, int regions) {
        if (Tracepoints.ON) {
            Tracepoints.translationInvalidated(vcpuId, page, regions);
        }
    }

    @Override
    public void reset(int regions) {
        if (Tracepoints.ON) {
            Tracepoints.translationsReset(vcpuId, regions);
        }
    }

    /** The vCPU runs no more. */
    void close() {
        if (Tracepoints.ON && Tracepoints.notAtEndOfRecording(figures)) {
            figures.run();
        }
    }
}
