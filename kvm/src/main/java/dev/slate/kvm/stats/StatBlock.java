package dev.slate.kvm.stats;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.host.HostServices;
import java.util.List;

/**
 * A native block of counters laid out as the client reads them. {@link VmStats} and {@link VcpuStats} say who may write.
 */
public abstract sealed class StatBlock implements AutoCloseable permits VmStats, VcpuStats {
    final HostServices host;
    final long hva;
    private final List<Stat> schema;
    private final int bytes;

    /** @throws dev.slate.kvm.KvmException ENOMEM */
    StatBlock(HostServices host, List<Stat> schema) {
        this.host = host;
        this.schema = schema;
        Stat last = schema.getLast();
        this.bytes = last.offset() + last.values() * Long.BYTES;
        this.hva = host.allocate(bytes, 64);
        if (hva == 0) {
            throw Errno.ENOMEM.raise();
        }
    }

    /** The rows, in the order of the descriptors. */
    public List<Stat> schema() {
        return schema;
    }

    /** Size of the data block in bytes. */
    public int bytes() {
        return bytes;
    }

    /** The value at a row's offset. Any thread; a value being counted may be one behind. */
    public long get(int offset) {
        return HostMemory.get64(hva + offset);
    }

    /** Sets a row's first value to 0. Any thread; what its owner counts at that moment may undo it. */
    public void clear(int offset) {
        HostMemory.put64(hva + offset, 0);
    }

    /** Gives the block back. */
    @Override
    public void close() {
        host.free(hva, bytes);
    }

    /** Builds a table, row by row. */
    static final class Table {
        private final java.util.ArrayList<Stat> rows = new java.util.ArrayList<>();
        private int offset;

        Table counter(String name) {
            return row(name, Stat.CUMULATIVE, Stat.UNIT_NONE, 0, 1);
        }

        Table instant(String name) {
            return row(name, Stat.INSTANT, Stat.UNIT_NONE, 0, 1);
        }

        Table peak(String name) {
            return row(name, Stat.PEAK, Stat.UNIT_NONE, 0, 1);
        }

        Table bool(String name) {
            return row(name, Stat.INSTANT, Stat.UNIT_BOOLEAN, 0, 1);
        }

        Table nanos(String name) {
            return row(name, Stat.CUMULATIVE, Stat.UNIT_SECONDS, -9, 1);
        }

        Table logHistogramNanos(String name) {
            return row(name, Stat.LOG_HIST, Stat.UNIT_SECONDS, -9, 32);
        }

        private Table row(String name, int kind, int unit, int exponent, int values) {
            rows.add(new Stat(name, kind, unit, Stat.BASE_POW10, exponent, values, offset));
            offset += values * Long.BYTES;
            return this;
        }

        List<Stat> build() {
            return List.copyOf(rows);
        }
    }

    static int offset(List<Stat> schema, String name) {
        for (Stat s : schema) {
            if (s.name().equals(name)) {
                return s.offset();
            }
        }
        throw new AssertionError(name);
    }
}
