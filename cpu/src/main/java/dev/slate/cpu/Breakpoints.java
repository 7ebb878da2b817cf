package dev.slate.cpu;

/**
 * What the debug registers watch (SDM 3B 18.2, APM 2 13.1): DR0 to DR3 under DR7 and CR4.DE, the guest's own or, where the hypervisor
 * debugs the guest, its registers in their place.
 *
 * <p>Nothing is paid while nothing is watched. A page with a watched datum has no TLB entry for data, so that every access to it takes
 * the slow path, which asks {@link #accessed}; while code is watched, the run loop asks {@link #code} at every block, and cuts blocks at
 * watched instructions.
 *
 * <p>Of the processor's thread only.
 */
public final class Breakpoints {
    private static final int COUNT = 4;
    private static final int ENABLES = 0xff;
    private static final long GD = 1 << 13;

    private static final int CODE = 0;
    private static final int WRITE = 1;
    private static final int PORT = 2;

    private final Cpu cpu;
    private final CpuState s;

    private final long[] givenAddress = new long[COUNT];
    private long givenControl;
    private boolean given;

    // What is in force.
    private final long[] address = new long[COUNT];
    private long control;
    private boolean portsAllowed;

    /** Some instruction is watched. */
    boolean watchesCode;
    /** Some datum is watched: the slow path of memory accesses must ask {@link #accessed}. */
    public boolean watchesData;
    /** Some port is watched. */
    public boolean watchesPorts;

    Breakpoints(Cpu cpu) {
        this.cpu = cpu;
        this.s = cpu.s;
    }

    /** The hypervisor's registers take the place of the guest's, which keep their values but watch nothing. */
    public void replace(long[] addresses, long dr7) {
        System.arraycopy(addresses, 0, givenAddress, 0, COUNT);
        givenControl = dr7;
        given = true;
        refresh();
    }

    /** The guest's own registers are in force again. */
    public void restore() {
        given = false;
        refresh();
    }

    /** Whether accesses of debug registers raise #DB (DR7.GD). */
    public boolean detectsAccess() {
        return ((given ? givenControl : s.dr7) & GD) != 0;
    }

    /** To be called when a debug register or CR4.DE may have changed. */
    void refresh() {
        long wanted = given ? givenControl : s.dr7;
        if (((wanted | control) & ENABLES) == 0) {
            return;
        }
        long[] from = given ? givenAddress : s.dr;
        boolean ports = (s.cr4 & CpuState.CR4_DE) != 0;
        boolean same = wanted == control && ports == portsAllowed;
        for (int n = 0; n < COUNT; n++) {
            same &= address[n] == from[n];
            address[n] = from[n];
        }
        if (same) {
            return;
        }
        control = wanted;
        portsAllowed = ports;
        boolean watchedData = watchesData;
        watchesCode = false;
        watchesData = false;
        watchesPorts = false;
        for (int n = 0; n < COUNT; n++) {
            if (enabled(n)) {
                switch (kind(n)) {
                    case CODE -> watchesCode = true;
                    // Undefined without CR4.DE: nothing is watched then.
                    case PORT -> watchesPorts |= ports;
                    default -> watchesData = true;
                }
            }
        }
        if (watchesData || watchedData) {
            // Pages lose, or may have again, their entries.
            cpu.flushTlb();
        }
    }

    private boolean enabled(int n) {
        return (control >>> 2 * n & 3) != 0;
    }

    private int kind(int n) {
        return (int) (control >>> 16 + 4 * n) & 3;
    }

    private int bytes(int n) {
        return switch ((int) (control >>> 18 + 4 * n) & 3) {
            case 0 -> 1;
            case 1 -> 2;
            case 2 -> 8;
            default -> 4;
        };
    }

    /** Whether {@code n} watches a byte of {@code bytes} from {@code at}; low bits of its address do not count (SDM 3B 18.2.5). */
    private boolean overlaps(int n, long at, int bytes) {
        int watched = bytes(n);
        long first = address[n] & -watched;
        return at - first < watched && first - at < bytes;
    }

    /** DR6 bits of the breakpoints on the instruction at linear address {@code la}. */
    int code(long la) {
        int hits = 0;
        for (int n = 0; n < COUNT; n++) {
            if (enabled(n) && kind(n) == CODE && address[n] == la) {
                hits |= 1 << n;
            }
        }
        return hits;
    }

    /** Whether data on the page of {@code la} are watched. */
    boolean watchesPage(long la) {
        for (int n = 0; n < COUNT; n++) {
            if (enabled(n) && (kind(n) & WRITE) != 0 && (address[n] ^ la) >>> 12 == 0) {
                return true;
            }
        }
        return false;
    }

    /** A data access has been made: a hit traps when the instruction, or the iteration of a string, is over. */
    public void accessed(long la, int bytes, boolean write) {
        for (int n = 0; n < COUNT; n++) {
            if (enabled(n) && (kind(n) == WRITE ? write : kind(n) > PORT) && overlaps(n, la, bytes)) {
                cpu.debug.pending |= 1L << n;
                cpu.stop = true;
            }
        }
    }

    /** A port is accessed. */
    public void port(int port, int bytes) {
        for (int n = 0; n < COUNT; n++) {
            if (enabled(n) && kind(n) == PORT && overlaps(n, port, bytes)) {
                cpu.debug.pending |= 1L << n;
            }
        }
    }
}
