package dev.slate.kvm.run;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.mem.FaultGuard;
import dev.slate.cpu.translate.LazyTranslator;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.TranslationListener;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.host.Worker;
import dev.slate.kvm.mode.GuestMode;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * A vCPU's translator, if it has one, and the look at how long translated code stays in the guest.
 *
 * <p>Under the vCPU's mutex, on the client's thread; the look is the worker's.
 */
final class VcpuTranslation {
    /** A process says it once. */
    private static final AtomicBoolean SAID_INTERPRETED = new AtomicBoolean();

    /** How often a block is entered before it is translated. */
    private static final int HOT = 8;

    /**
     * Translated code looks at nothing but the kick word. So that it does not run for ever when the memory it was made from has gone
     * behind everybody's back, it is kicked when it has not left for so long.
     */
    private static final long PATIENCE_NANOS = 100_000_000;

    private final HostServices host;
    private final Worker worker;
    private final GuestMode mode;
    private final @Nullable LazyTranslator translator;

    private final Worker.Task patience = this::kickWhoStays;
    private long seen;

    // The worker looks, or will. Dekker, with GuestMode.enter as the vCPU's barrier: the worker takes it back before it
    // looks at the mode a last time; the vCPU reads it in guest mode.
    private volatile boolean patient;

    private boolean translates;

    private final int vcpuId;
    private @Nullable TranslationEvents observer;
    /** Who is shown the code; set before {@link #attach}. */
    @Nullable
    TranslationListener listener;

    /** Made with the vCPU: a client that forbids itself to open files before it runs has loaded these classes then. */
    VcpuTranslation(VmParts vm, int vcpuId, GuestMode mode) {
        this.vcpuId = vcpuId;
        this.host = vm.host();
        this.worker = vm.worker();
        this.mode = mode;
        String when = vm.knobs().value(Knobs.TRANSLATOR);
        translator = when.equals("off")
                ? null
                : new LazyTranslator(
                        new HostFaults(host),
                        when.equals("on") ? HOT : 1,
                        vm.translations(),
                        when.equals("lockstep"),
                        host::mayLoadLibraries,
                        this::translates,
                        host::guestIsMachineCode,
                        this::sayInterpreted);
    }

    /** Translates for a processor from now on, if anything does. */
    void attach(Cpu c) {
        if (translator != null) {
            observer = TranslationEvents.of(host, vcpuId, c.translation, listener);
            c.observers.translations = observer;
            translator.attach(c);
        }
    }

    /** The first block is about to be translated: from now on the worker looks how long the vCPU stays in the guest. */
    private void translates() {
        translates = true;
        bePatient();
    }

    /** The vCPU is in guest mode: with a translator the worker looks from now on how long it stays there. */
    void entered() {
        if (translates) {
            bePatient();
        }
    }

    private void bePatient() {
        if (!patient) {
            patient = true;
            worker.schedule(patience, System.nanoTime() + PATIENCE_NANOS);
        }
    }

    private long kickWhoStays() {
        long before = seen;
        seen = mode.passes();
        if (seen == before && GuestMode.wasOutside(seen)) {
            patient = false;
            if (mode.passes() == seen) {
                // Who comes in now sees that nobody looks.
                return Worker.NEVER;
            }
            patient = true;
        } else if (seen == before) {
            mode.kick();
        }
        return System.nanoTime() + PATIENCE_NANOS;
    }

    private void sayInterpreted() {
        if (!SAID_INTERPRETED.getAndSet(true)) {
            host.say(
                    host.mayLoadLibraries()
                            ? "slate: this host gives no memory for machine code, so guest code is interpreted: a seccomp filter or a security module forbids it,"
                                    + " or the process is at its limit (ulimit -v)."
                            : "slate: the program's seccomp filter came before any guest code was hot and forbids to load libraries, so guest code is interpreted.");
        }
    }

    /** Nobody looks any more. The vCPU runs no more. */
    void close() {
        worker.cancel(patience);
        if (observer != null) {
            observer.close();
        }
    }

    /** The processor's border to the host's faults. */
    private record HostFaults(HostServices host) implements FaultGuard {
        @Override
        public boolean add(long start, long end, long resume) {
            return host.addCode(start, end, resume);
        }

        @Override
        public void remove(long start) {
            host.removeCode(start);
        }
    }
}
