package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.put16;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.kvm.Errno;
import dev.slate.kvm.stats.Stat;
import dev.slate.kvm.stats.StatBlock;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A statistics descriptor (KVM document, KVM_GET_STATS_FD): a file of header, id, descriptors and data, in KVM's places. The values
 * are put in whenever the client reads.
 */
final class StatsFile extends KvmFile {
    /** {@code KVM_STATS_NAME_SIZE}. */
    private static final int NAME_SIZE = 48;

    private static final long HEADER = Abi.STATS_HEADER.bytes();
    private static final long DESC = Abi.STATS_DESC.bytes() + NAME_SIZE;

    private final VmFile vm;
    private final StatBlock block;
    private final long dataHva;

    private StatsFile(int handle, VmFile vm, String id, StatBlock block) {
        super(handle);
        this.vm = vm;
        this.block = block;
        List<Stat> schema = block.schema();
        long area = Native.area(handle);
        long descriptors = HEADER + NAME_SIZE;
        long data = descriptors + schema.size() * DESC;
        put32(area + Abi.STATS_HEADER.at("name_size"), NAME_SIZE);
        put32(area + Abi.STATS_HEADER.at("num_desc"), schema.size());
        put32(area + Abi.STATS_HEADER.at("id_offset"), (int) HEADER);
        put32(area + Abi.STATS_HEADER.at("desc_offset"), (int) descriptors);
        put32(area + Abi.STATS_HEADER.at("data_offset"), (int) data);
        putName(area + HEADER, id);
        long at = area + descriptors;
        for (Stat stat : schema) {
            put32(at + Abi.STATS_DESC.at("flags"), stat.flags());
            put16(at + Abi.STATS_DESC.at("exponent"), stat.exponent());
            put16(at + Abi.STATS_DESC.at("size"), stat.values());
            put32(at + Abi.STATS_DESC.at("offset"), stat.offset());
            putName(at + Abi.STATS_DESC.bytes(), stat.name());
            at += DESC;
        }
        dataHva = area + data;
        vm.retain();
    }

    /** A new descriptor for a block of counters. */
    static int open(VmFile vm, String id, StatBlock block) {
        long bytes = HEADER + NAME_SIZE + block.schema().size() * DESC + block.bytes();
        return Device.create(
                Native.KIND_STATS,
                block == vm.vm().stats() ? -1 : 0,
                bytes,
                (handle, fd) -> new StatsFile(handle, vm, id, block));
    }

    private static void putName(long hva, String name) {
        byte[] bytes = name.getBytes(StandardCharsets.US_ASCII);
        HostMemory.copyIn(bytes, 0, hva, Math.min(bytes.length, NAME_SIZE - 1));
    }

    /** The client is about to read. */
    void refresh() {
        for (int offset = 0; offset < block.bytes(); offset += Long.BYTES) {
            put64(dataHva + offset, block.get(offset));
        }
    }

    @Override
    long ioctl(int request, long arg, long scratch) {
        return -Errno.ENOTTY.number();
    }

    @Override
    void release() {
        vm.drop();
    }
}
