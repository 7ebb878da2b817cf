package dev.slate.lab.workload;

import dev.slate.kvm.host.HostServices;

/**
 * A second memslot of a machine that can be taken away and given again, so that each of its pages faults once more.
 *
 * <p>Of the machine's thread.
 */
public final class Area implements AutoCloseable {
    private static final int SLOT = 1;

    private final Machine machine;
    private final HostServices host;
    private final long gpa;
    private final long bytes;
    private final long hva;

    /** Puts the slot into the machine. @param bytes a multiple of 2 MiB */
    public Area(Machine machine, HostServices host, long gpa, long bytes) {
        this.machine = machine;
        this.host = host;
        this.gpa = gpa;
        this.bytes = bytes;
        hva = host.allocate(bytes, 2 << 20);
        if (hva == 0) {
            throw new IllegalStateException("no memory");
        }
        machine.vm().setUserMemoryRegion(SLOT, 0, gpa, bytes, hva);
    }

    /** Drops every mapping of the slot. */
    public void remap() {
        machine.vm().setUserMemoryRegion(SLOT, 0, gpa, 0, hva);
        machine.vm().setUserMemoryRegion(SLOT, 0, gpa, bytes, hva);
    }

    /** Gives the memory back; the machine is closed by now. */
    @Override
    public void close() {
        host.free(hva, bytes);
    }
}
