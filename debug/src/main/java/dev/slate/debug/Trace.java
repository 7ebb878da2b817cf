package dev.slate.debug;

import dev.slate.kvm.Kvm;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The log of executed instructions. A record is one instruction: its number, {@code VM.vCPU}, its address (CS:IP outside 64-bit
 * code), its text, and the registers that it changed; under it, if asked for, its loads and stores, the event that it raised, its
 * exit, and what the exit's handler or the client then changed. Or, with an address of a translation, machine code in place of all that
 * ({@link TranslationTrace}).
 *
 * <p>Thread-safe: the vCPUs of all VMs write into one log, in the order in which their instructions ended.
 */
public final class Trace {
    private final TraceOptions options;
    private final ClientMemory client;
    private final Writer log;
    private final AtomicLong seen = new AtomicLong();
    private final List<Vm> vms = new ArrayList<>();
    private volatile boolean over;
    private @Nullable IOException broken;

    private Trace(TraceOptions options, ClientMemory client, Writer log) {
        this.options = options;
        this.client = client;
        this.log = new BufferedWriter(log, 1 << 16);
    }

    /** Watches every vCPU that {@code kvm} makes from here on. */
    public static Trace start(Kvm kvm, TraceOptions options, ClientMemory client, Writer log) {
        Trace trace = new Trace(options, client, log);
        kvm.observeWith(trace::observe);
        return trace;
    }

    private @Nullable RunObserver observe(Vcpu vcpu) {
        if (options.vcpu() >= 0 && options.vcpu() != vcpu.id()) {
            return null;
        }
        int number;
        synchronized (vms) {
            number = vms.indexOf(vcpu.vm());
            if (number < 0) {
                number = vms.size();
                vms.add(vcpu.vm());
            }
        }
        Long translation = options.translation();
        return translation != null
                ? new TranslationTrace(this, translation, number + "." + vcpu.id())
                : new VcpuTrace(this, vcpu, number);
    }

    TraceOptions options() {
        return options;
    }

    ClientMemory client() {
        return client;
    }

    /** Whether all that was asked for has been logged. */
    boolean over() {
        return over;
    }

    /** Counts an instruction of the range: its number, from 1, or 0 when it is not to be logged. */
    long count() {
        long number = seen.incrementAndGet();
        if (number <= options.skip()) {
            return 0;
        }
        long logged = number - options.skip();
        if (logged >= options.count()) {
            over = true;
        }
        return logged <= options.count() ? number : 0;
    }

    /** At the end of a run: why nothing was logged; null when something was. */
    public @Nullable String nothing() {
        long ran = seen.get();
        if (ran > options.skip()) {
            return null;
        }
        Long translation = options.translation();
        if (translation != null) {
            return "trace: nothing was logged: no code at 0x" + Long.toHexString(translation)
                    + " became machine code. Only 64-bit code does, when it has run often enough; with"
                    + " --set cpu.translator=eager, when it runs first";
        }
        StringBuilder text = new StringBuilder("trace: nothing was logged: ");
        if (ran == 0) {
            text.append("no instruction");
            options.appendRange(text);
            text.append(" ran");
        } else {
            text.append(ran).append(ran == 1 ? " instruction" : " instructions");
            options.appendRange(text);
            text.append(" ran");
        }
        if (options.vcpu() >= 0) {
            text.append(" on vCPU ").append(options.vcpu());
        }
        if (ran > 0) {
            text.append(", and --skip passes over ").append(options.skip());
        }
        return text.toString();
    }

    /** Whether what is not an instruction (an event, an exit) is logged now. */
    boolean running() {
        return !over && seen.get() >= options.skip();
    }

    void write(CharSequence record) {
        synchronized (log) {
            try {
                log.append(record);
            } catch (IOException e) {
                fail(e);
            }
        }
    }

    /** Whatever is logged stands in the file. Called at every exit to the client. */
    public void flush() {
        synchronized (log) {
            try {
                log.flush();
            } catch (IOException e) {
                fail(e);
            }
        }
    }

    /** The first failure ends the log and says so; the guest is not to blame and goes on. */
    private void fail(IOException e) {
        over = true;
        if (broken == null) {
            broken = e;
            throw new UncheckedIOException("the trace can't be written", e);
        }
    }
}
