package dev.slate.debug;

import dev.slate.cpu.mem.HostMemory;

/** Copies between the client's memory, which it may unmap at any time, and Java's. */
public interface ClientMemory {
    /** Copies {@code bytes} at {@code hva} out; false: not all of it is readable. */
    boolean read(long hva, byte[] to, int offset, int bytes);

    /** Copies {@code bytes} to {@code hva}; false: not all of it is writable. */
    boolean write(long hva, byte[] from, int offset, int bytes);

    /** For memory that stays mapped, as that of a program which uses the hypervisor as a library. */
    ClientMemory PLAIN = new ClientMemory() {
        @Override
        public boolean read(long hva, byte[] to, int offset, int bytes) {
            HostMemory.copyOut(hva, to, offset, bytes);
            return true;
        }

        @Override
        public boolean write(long hva, byte[] from, int offset, int bytes) {
            HostMemory.copyIn(from, offset, hva, bytes);
            return true;
        }
    };
}
