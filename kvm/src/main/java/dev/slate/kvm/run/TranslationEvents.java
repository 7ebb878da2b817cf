package dev.slate.kvm.run;

import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.decode.Block;
import dev.slate.kvm.TranslationListener;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.tracepoint.Tracepoints;
import org.jspecify.annotations.Nullable;

/**
 * Tells of a vCPU's translations whoever looks on: a recording, a profiler that wants names for the code, a listing.
 *
 * <p>Under the vCPU's mutex, on the client's thread.
 */
final class TranslationEvents implements TranslationObserver {
    private final HostServices host;
    private final int vcpuId;
    private final boolean names;
    private final Runnable figures;

    private final @Nullable TranslationListener listener;

    private TranslationEvents(
            HostServices host, int vcpuId, TranslationFigures figures, @Nullable TranslationListener listener) {
        this.host = host;
        this.listener = listener;
        this.vcpuId = vcpuId;
        this.names = host.wantsCodeNames();
        this.figures = () -> Tracepoints.translator(vcpuId, figures);
    }

    /** Null where nobody looks on. */
    static @Nullable TranslationEvents of(
            HostServices host, int vcpuId, TranslationFigures figures, @Nullable TranslationListener listener) {
        return Tracepoints.ON || host.wantsCodeNames() || listener != null
                ? new TranslationEvents(host, vcpuId, figures, listener)
                : null;
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
    public void translated(Block block, int[] starts, long code, int bytes, long waysOut, int outBytes, long nanos) {
        long rip = block.rip;
        int guestBytes = block.byteLength;
        if (Tracepoints.ON) {
            Tracepoints.translated(vcpuId, rip, guestBytes, code, bytes + outBytes, nanos);
        }
        if (listener != null) {
            listener.translated(block, starts, code, bytes, waysOut, outBytes);
        }
        if (names) {
            String name = "guest:" + Long.toHexString(rip) + "-" + Long.toHexString(rip + guestBytes);
            host.nameCode(code, bytes, name);
            if (outBytes != 0) {
                host.nameCode(waysOut, outBytes, name + ":ways-out");
            }
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
