package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Host services over the shim: memory is the client's own address space, the clock is the processor's. */
final class NativeHost implements HostServices {
    private static final long CHUNK = 1 << 20;
    /** Larger requests get pages of their own. */
    private static final int LARGE = 1 << 15;

    private static final int CAP_SYS_BOOT = 22;

    private static final int CLASSES = 10; // 64 bytes to 32 KiB

    private final long scratch;
    private final long tscKhz;
    /** Free blocks of each power-of-two size, chained through their first word. */
    private final long[] free = new long[CLASSES];

    /** Next block never used of each size; a multiple of CHUNK: there is none. */
    private final long[] next = new long[CLASSES];

    NativeHost() {
        long nanos = System.nanoTime();
        long tsc = Native.readTsc();
        scratch = allocate(64, 64);
        if (scratch == 0) {
            throw new OutOfMemoryError();
        }
        tscKhz = findTscKhz(nanos, tsc);
    }

    @Override
    public int populate(long hva, long bytes, boolean write) {
        return Native.populate(hva, bytes, write);
    }

    @Override
    public void say(String line) {
        Device.say(line);
    }

    @Override
    public boolean wantsCodeNames() {
        return PerfMap.isOn();
    }

    @Override
    public void nameCode(long start, int bytes, String name) {
        PerfMap.add(start, bytes, name);
    }

    @Override
    public boolean addCode(long start, long end, long resume) {
        return Native.addCode(start, end, resume) == 0;
    }

    @Override
    public void removeCode(long start) {
        Native.removeCode(start);
    }

    @Override
    public boolean hugeMapped(long hva) {
        return Native.hugeMapped(hva);
    }

    @Override
    public long readTsc() {
        return Native.readTsc();
    }

    @Override
    public boolean hasTsc() {
        return true;
    }

    @Override
    public long tscKhz() {
        return tscKhz;
    }

    /** In the first user namespace, as the kernel's capable() wants it. */
    @Override
    public boolean mayReboot() {
        try {
            boolean first =
                    Files.readString(Path.of("/proc/self/uid_map")).strip().matches("0\\s+0\\s+4294967295");
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("CapEff:")) {
                    long capabilities = Long.parseUnsignedLong(line.substring(7).strip(), 16);
                    return first && (capabilities & 1L << CAP_SYS_BOOT) != 0;
                }
            }
        } catch (IOException e) {
            // No /proc: nobody can tell, so it may not.
        }
        return false;
    }

    /** CPUID leaf 15h where it is complete, else measured against the monotonic clock since a moment that the caller took, for 2 ms at least. */
    private long findTscKhz(long nanos, long tsc) {
        int[] max = cpuid(0, 0);
        if (max[0] >= 0x15) {
            int[] ratio = cpuid(0x15, 0);
            if (ratio[0] != 0 && ratio[1] != 0 && ratio[2] != 0) {
                return Integer.toUnsignedLong(ratio[2])
                        * Integer.toUnsignedLong(ratio[1])
                        / Integer.toUnsignedLong(ratio[0])
                        / 1000;
            }
        }
        long end = nanos + 2_000_000;
        long now;
        do {
            now = System.nanoTime();
        } while (now < end);
        long khz = (Native.readTsc() - tsc) * 1_000_000 / (now - nanos);
        return Math.max(khz, 1);
    }

    @Override
    public synchronized int[] cpuid(int leaf, int subleaf) {
        Native.cpuid(leaf, subleaf, scratch);
        return new int[] {
            HostMemory.get32(scratch),
            HostMemory.get32(scratch + 4),
            HostMemory.get32(scratch + 8),
            HostMemory.get32(scratch + 12)
        };
    }

    @Override
    public void await(long wordHva, int expected, long nanos) {
        Native.await(wordHva, expected, nanos);
    }

    @Override
    public void wake(long wordHva) {
        Native.wake(wordHva);
    }

    /**
     * Small blocks are powers of two, each in a chunk of its size, which lies at a multiple of {@link #CHUNK} and says its size at its
     * start; a block is aligned to its size.
     */
    @Override
    public synchronized long allocate(long bytes, long alignment) {
        if (Math.max(bytes, alignment) > LARGE) {
            if (bytes <= LARGE) {
                throw new IllegalArgumentException(
                        bytes + " bytes aligned to " + alignment + ": ask for more than " + LARGE);
            }
            long at = Native.map(bytes, alignment);
            return at < 0 ? 0 : at;
        }
        int c = Math.max(0, Long.SIZE - Long.numberOfLeadingZeros(Math.max(bytes, alignment) - 1) - 6);
        long size = 64L << c;
        long block = free[c];
        if (block != 0) {
            free[c] = HostMemory.get64(block);
            HostMemory.fill(block, size, 0);
            return block;
        }
        block = next[c];
        if ((block & CHUNK - 1) == 0) {
            long at = Native.map(CHUNK, CHUNK);
            if (at < 0) {
                return 0;
            }
            HostMemory.put64(at, c);
            block = at + size;
        }
        next[c] = block + size;
        return block;
    }

    @Override
    public boolean mayLoadLibraries() {
        return Native.mayLoadLibraries();
    }

    @Override
    public void guestIsMachineCode() {
        Native.putC2Behind();
    }

    @Override
    public long runDelayNanos() {
        return Native.runDelay();
    }

    @Override
    public synchronized void free(long hva, long bytes) {
        if (bytes > LARGE) {
            Native.unmap(hva, bytes);
            return;
        }
        int c = (int) HostMemory.get64(hva & -CHUNK);
        HostMemory.put64(hva, free[c]);
        free[c] = hva;
    }
}
