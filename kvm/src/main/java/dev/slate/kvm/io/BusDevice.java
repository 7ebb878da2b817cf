package dev.slate.kvm.io;

/**
 * A device that the hypervisor answers for itself, without the client. It knows offsets from where it sits, never addresses.
 *
 * <p>Called on vCPUs' threads, several at once; allocates nothing, waits for nobody.
 */
public interface BusDevice {
    /** Whether reads are answered here; those of a device that only watches writes go to the client. */
    default boolean answersReads() {
        return true;
    }

    /**
     * A read.
     *
     * @param bytes 1, 2, 4 or 8
     * @return the answer, at most 32 bits of it, zero-extended; or {@link DeviceBus#NOBODY}
     */
    default long read(long offset, int bytes) {
        return DeviceBus.NOBODY;
    }

    /**
     * A write.
     *
     * @param bytes 1, 2, 4 or 8
     * @param value zero-extended
     * @return false: not for this device after all; the next one at the place, or the client, gets it
     */
    boolean write(long offset, int bytes, long value);
}
