package dev.slate.kvm.irqchip;

/** What controllers and local APICs know of a paravirtual interrupt controller beside them (Hyper-V's SynIC, Xen's event
 * channels). */
public final class SyntheticSources {
    /** What a local APIC asks about its own vectors. */
    public interface Vectors {
        /** Nobody has any. */
        Vectors NONE = new Vectors() {
            @Override
            public boolean endsItself(int vector) {
                return false;
            }

            @Override
            public void ended(int vector) {}
        };

        /** Whether an interrupt of the vector is over when it is taken: it never is in service. */
        boolean endsItself(int vector);

        /** The guest has ended an interrupt. On its vCPU's thread. */
        void ended(int vector);
    }

    /** Where a GSI can be routed to. From any thread. */
    public interface Targets {
        /** Raises a source of a virtual processor: 1, 0 when it became one with another, or -1 for nobody. */
        int raiseSource(int vpIndex, int source);

        /** A route leads there. */
        void sourceRouted(int vpIndex, int source, int gsi);
    }

    /** Where a GSI can be routed to with Xen: an event channel. From any thread. */
    public interface Channels {
        /** Raises a port of a vCPU: 1, 0 when it was raised already, or negative for nobody. */
        int raiseChannel(int port, int vcpuId);
    }

    private SyntheticSources() {}
}
