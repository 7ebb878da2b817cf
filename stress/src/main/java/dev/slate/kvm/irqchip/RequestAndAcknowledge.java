package dev.slate.kvm.irqchip;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;

/**
 * A vCPU acknowledges an interrupt while it is requested again, and another one whose bit lies in the same word. None is lost, and the second
 * request of the first one either merges with it or comes once more.
 */
@JCStressTest
@State
@Outcome(id = "81, 64, -1", expect = Expect.ACCEPTABLE, desc = "Merged: it was not yet acknowledged.")
@Outcome(id = "81, 81, 64", expect = Expect.ACCEPTABLE, desc = "Once more: it was in service.")
@Outcome(expect = Expect.FORBIDDEN, desc = "An interrupt is lost, or comes too often.")
public class RequestAndAcknowledge {
    private static final int FIRST = 81;
    private static final int OTHER = 64;
    /** Of x2APIC: MSR 80Fh. */
    private static final int SPURIOUS = 0xf;

    private static final TimerThread TIMERS = new TimerThread();

    private final LocalApic apic = new LocalApic(0, true, new Deaf(), new ApicBus(), TIMERS, () -> 0, () -> 1_000_000);

    public RequestAndAcknowledge() {
        apic.reset(false, true);
        apic.setBase(apic.base() | 0xc00);
        apic.writeMsr(SPURIOUS, 0x1ff);
        apic.request(FIRST);
    }

    @Actor
    public void vcpu(III_Result r) {
        r.r1 = apic.acknowledge();
    }

    @Actor
    public void device() {
        apic.request(FIRST);
        apic.request(OTHER);
    }

    @Arbiter
    public void end(III_Result r) {
        apic.end();
        r.r2 = apic.pendingVector();
        apic.acknowledge();
        apic.end();
        r.r3 = apic.pendingVector();
    }

    private static final class Deaf implements LocalApic.Owner {
        @Override
        public void eventArrived() {}

        @Override
        public void nmiArrived() {}

        @Override
        public void smiArrived() {}

        @Override
        public void unhalt() {}

        @Override
        public void clientIoApicEoi(int vector) {}

        @Override
        public void taskPriorityAccessed(boolean write) {}

        @Override
        public void switchedOn() {}
    }
}
