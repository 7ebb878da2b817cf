package dev.slate.debug;

import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import java.util.Arrays;

/** What the exit that is being handled has touched so far. One thread's. */
final class HeatExit {
    /** PFERR_RSVD: KVM marks what is MMIO with a reserved bit. */
    private static final int RESERVED = 1 << 3;

    private static final int TSC_DEADLINE = 0x6e0;

    // Open addressing: the key plus one, 0 where it is free, and the count.
    private long[] keys = new long[512];
    private int[] counts = new int[512];
    private int used;

    // Objects of the exit, numbered within their type in the order in which it touches them.
    private long[] bases = new long[64];
    private int[] types = new int[64];
    private int[] numbers = new int[64];
    private int objects;

    void begin() {
        Arrays.fill(keys, 0);
        Arrays.fill(counts, 0);
        used = 0;
        objects = 0;
    }

    void add(int type, long base, long offset, int bytes, int kind) {
        put((long) type << 52 | (long) number(type, base) << 36 | offset << 5 | (long) bytes << 1 | kind, 1);
    }

    static int type(long key) {
        return (int) (key >>> 52);
    }

    static int object(long key) {
        return (int) (key >>> 36) & 0xffff;
    }

    static long offset(long key) {
        return key >>> 5 & 0x7fff_ffff;
    }

    static int bytes(long key) {
        return (int) key >>> 1 & 15;
    }

    private int number(int type, long base) {
        int number = 0;
        for (int i = 0; i < objects; i++) {
            if (types[i] == type) {
                if (bases[i] == base) {
                    return numbers[i];
                }
                number++;
            }
        }
        if (objects == bases.length) {
            bases = Arrays.copyOf(bases, 2 * objects);
            types = Arrays.copyOf(types, 2 * objects);
            numbers = Arrays.copyOf(numbers, 2 * objects);
        }
        bases[objects] = base;
        types[objects] = type;
        numbers[objects++] = number;
        return number;
    }

    private void put(long key, int times) {
        if (2 * used >= keys.length) {
            long[] oldKeys = keys;
            int[] oldCounts = counts;
            keys = new long[2 * oldKeys.length];
            counts = new int[keys.length];
            used = 0;
            for (int i = 0; i < oldKeys.length; i++) {
                if (oldKeys[i] != 0) {
                    put(oldKeys[i] - 1, oldCounts[i]);
                }
            }
        }
        int mask = keys.length - 1;
        int i = (int) (key * 0x9e37_79b9_7f4a_7c15L >>> 40) & mask;
        while (keys[i] != 0 && keys[i] != key + 1) {
            i = i + 1 & mask;
        }
        if (keys[i] == 0) {
            keys[i] = key + 1;
            used++;
        }
        counts[i] += times;
    }

    void end(String reason, HeatExits to) {
        long[] sorted = new long[used];
        int n = 0;
        for (long key : keys) {
            if (key != 0) {
                sorted[n++] = key - 1;
            }
        }
        Arrays.sort(sorted);
        int[] times = new int[n];
        int mask = keys.length - 1;
        for (int k = 0; k < n; k++) {
            int i = (int) (sorted[k] * 0x9e37_79b9_7f4a_7c15L >>> 40) & mask;
            while (keys[i] != sorted[k] + 1) {
                i = i + 1 & mask;
            }
            times[k] = counts[i];
        }
        to.add(reason, sorted, times);
    }

    /** A reason's name, from what #VMEXIT told. */
    static String reason(int code, long info1, long rcx) {
        if (code == SvmExit.MSR) {
            String index = Integer.toHexString((int) rcx);
            return info1 == 0 ? "RDMSR " + index : (int) rcx == TSC_DEADLINE ? "WRMSR TSC_DEADLINE" : "WRMSR " + index;
        }
        if (code >= SvmExit.EXCEPTION && code < SvmExit.INTR) {
            return code == SvmExit.EXCEPTION + GuestFault.PF ? "#PF" : "exception " + (code - SvmExit.EXCEPTION);
        }
        if (code < SvmExit.DR0_READ && code >= 0) {
            return "CR" + (code & 15) + (code < SvmExit.CR0_WRITE ? " read" : " write");
        }
        return switch (code) {
            case SvmExit.INTR -> "INTR";
            case SvmExit.NMI -> "NMI";
            case SvmExit.VINTR -> "VINTR";
            case SvmExit.CR0_SEL_WRITE -> "CR0 write";
            case SvmExit.CPUID -> "CPUID";
            case SvmExit.HLT -> "HLT";
            case SvmExit.IOIO -> "IO";
            case SvmExit.VMMCALL -> "VMMCALL";
            case SvmExit.PAUSE -> "PAUSE";
            case SvmExit.INVLPG -> "INVLPG";
            case SvmExit.SHUTDOWN -> "SHUTDOWN";
            case SvmExit.XSETBV -> "XSETBV";
            case SvmExit.NPF -> (info1 & RESERVED) != 0 ? "MMIO" : "NPF";
            default -> "exit 0x" + Integer.toHexString(code);
        };
    }
}
