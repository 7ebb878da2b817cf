package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;

import dev.slate.device.abi.Abi;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.MsrRange;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import org.jspecify.annotations.Nullable;

/** MSRs between the client and Java: lists, values, filters. */
final class Msrs {
    /** {@code MAX_IO_MSRS}, exclusive. */
    private static final int MAX_IO_MSRS = 256;
    /** {@code KVM_MSR_FILTER_MAX_BITMAP_SIZE}. */
    private static final int MAX_BITMAP_BYTES = 0x600;

    private static final long LIST_HEADER = Abi.MSR_LIST.bytes();
    private static final long HEADER = Abi.MSRS.bytes();
    private static final long ENTRY = Abi.MSR_ENTRY.bytes();
    private static final long INDEX = Abi.MSR_ENTRY.at("index");
    private static final long DATA = Abi.MSR_ENTRY.at("data");

    private Msrs() {}

    /** Gives a list of MSR numbers to the client. */
    static long list(int[] indices, long arg, long scratch) {
        UserMemory.read(scratch, arg, LIST_HEADER);
        boolean fits = Integer.compareUnsigned(get32(scratch), indices.length) >= 0;
        put32(scratch, indices.length);
        UserMemory.write(arg, scratch, LIST_HEADER);
        if (!fits) {
            throw Errno.E2BIG.raise();
        }
        for (int i = 0; i < indices.length; i++) {
            put32(scratch + 4L * i, indices[i]);
        }
        UserMemory.write(arg + LIST_HEADER, scratch, 4L * indices.length);
        return 0;
    }

    private static int read(long arg, long scratch) {
        UserMemory.read(scratch, arg, HEADER);
        int n = get32(scratch);
        if (Integer.compareUnsigned(n, MAX_IO_MSRS) >= 0) {
            throw Errno.E2BIG.raise();
        }
        UserMemory.read(scratch, arg + HEADER, n * ENTRY);
        return n;
    }

    /** {@code KVM_GET_MSRS}: the number of those read; the first refused one ends it. With no vCPU, feature MSRs. */
    static long get(Kvm kvm, @Nullable Vcpu vcpu, long arg, long scratch) {
        int n = read(arg, scratch);
        long[] value = new long[1];
        int i = 0;
        while (i < n) {
            long at = scratch + i * ENTRY;
            int index = get32(at + INDEX);
            if (!(vcpu == null ? kvm.getFeatureMsr(index, value) : vcpu.getMsr(index, value))) {
                break;
            }
            put64(at + DATA, value[0]);
            i++;
        }
        UserMemory.write(arg + HEADER, scratch, n * ENTRY);
        return i;
    }

    /** {@code KVM_SET_MSRS}: the number of those written. */
    static long set(Vcpu vcpu, long arg, long scratch) {
        int n = read(arg, scratch);
        int i = 0;
        while (i < n && vcpu.setMsr(get32(scratch + i * ENTRY + INDEX), get64(scratch + i * ENTRY + DATA))) {
            i++;
        }
        return i;
    }

    /** {@code KVM_X86_SET_MSR_FILTER}. */
    static long filter(Vm vm, long arg, long scratch) {
        long bytes = Abi.MSR_FILTER.bytes();
        UserMemory.read(scratch, arg, bytes);
        int flags = get32(scratch + Abi.MSR_FILTER.at("flags"));
        long first = scratch + Abi.MSR_FILTER.at("ranges");
        long buffer = scratch + (bytes + 7 & ~7L);
        MsrRange[] ranges = new MsrRange[16];
        for (int i = 0; i < 16; i++) {
            long at = first + i * Abi.MSR_FILTER_RANGE.bytes();
            int count = get32(at + Abi.MSR_FILTER_RANGE.at("nmsrs"));
            long[] bitmap = {};
            if (count != 0) {
                long bitmapBytes = (Integer.toUnsignedLong(count) + 63 >>> 6) * Long.BYTES;
                if (bitmapBytes > MAX_BITMAP_BYTES) {
                    throw Errno.EINVAL.raise();
                }
                UserMemory.read(buffer, get64(at + Abi.MSR_FILTER_RANGE.at("bitmap")), bitmapBytes);
                bitmap = new long[(int) bitmapBytes / Long.BYTES];
                for (int w = 0; w < bitmap.length; w++) {
                    bitmap[w] = get64(buffer + 8L * w);
                }
            }
            ranges[i] = new MsrRange(
                    get32(at + Abi.MSR_FILTER_RANGE.at("flags")),
                    get32(at + Abi.MSR_FILTER_RANGE.at("base")),
                    count,
                    bitmap);
        }
        vm.setMsrFilter(flags, ranges);
        return 0;
    }
}
