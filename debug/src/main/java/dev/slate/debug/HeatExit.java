package dev.slate.debug;

import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import java.util.Arrays;

/** What the exit that is being handled has touched so far. One thread's. */
final class HeatExit {
    /** PFERR_RSVD: KVM marks what is MMIO with a reserved bit. */
    private static final int RESERVED = 1 << 3;

    private static final int TSC_DEADLINE = 0x6e0;

    /** The greatest number of an object that a key holds: all objects of a type from that one on have it. */
    private static final int LAST_OBJECT = 0xffff;

    private final Tally tally = new Tally(512);

    // Objects of the exit, numbered within their type in the order in which it touches them.
    private long[] bases = new long[64];
    private int[] types = new int[64];
    private int[] numbers = new int[64];
    private int objects;

    void begin() {
        tally.clear();
        objects = 0;
    }

    void add(int type, long base, long offset, int bytes, int kind) {
        tally.add((long) type << 52 | (long) number(type, base) << 36 | offset << 5 | (long) bytes << 1 | kind, 1);
    }

    static int type(long key) {
        return (int) (key >>> 52);
    }

    static int object(long key) {
        return (int) (key >>> 36) & LAST_OBJECT;
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
                if (++number == LAST_OBJECT) {
                    return number;
                }
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

    void end(String reason, HeatExits to) {
        long[] keys = tally.numbers();
        int[] times = new int[keys.length];
        for (int i = 0; i < keys.length; i++) {
            times[i] = (int) tally.of(keys[i]);
        }
        to.add(reason, keys, times);
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
