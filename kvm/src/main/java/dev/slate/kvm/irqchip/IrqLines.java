package dev.slate.kvm.irqchip;

/**
 * Interrupt lines on which several sources meet: a line is up while any of them holds it up (a wired or). Guarded by its controller's
 * lock.
 */
final class IrqLines {
    /** {@code KVM_IRQ_LINE} and irqfds without resampling. */
    static final int SOURCE_CLIENT = 0;
    /** Irqfds with resampling. */
    static final int SOURCE_RESAMPLE = 1;
    /** The interval timer. */
    static final int SOURCE_PIT = 2;

    private final int[] sources;

    IrqLines(int pins) {
        sources = new int[pins];
    }

    /** One source sets its level; whether the line is up now. */
    boolean set(int pin, int source, boolean level) {
        if (level) {
            sources[pin] |= 1 << source;
        } else {
            sources[pin] &= ~(1 << source);
        }
        return sources[pin] != 0;
    }
}
