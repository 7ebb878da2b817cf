package dev.slate.kvm.nested;

import dev.slate.kvm.mmu.VcpuMmu;
import java.util.Arrays;
import java.util.function.BooleanSupplier;

/**
 * The hypervisor's maps of the ports and MSRs whose accesses by its guest it wants, which lie in its memory. A map that is not there intercepts
 * everything. Under the vCPU's mutex, outside guest mode.
 */
final class PermissionMaps {
    /** The map of MSRs, as far as it has a meaning. */
    private static final int MSR_BYTES = 0x1800;

    /** Of {@link Vmcb#ENLIGHTENMENTS}: the bit below says whether the map of MSRs has changed. */
    private static final int MSR_BITMAP = 1 << 1;
    /** Of {@link Vmcb#CLEAN}: it has not, since the last VMRUN. */
    private static final int MSR_BITMAP_CLEAN = 1 << 31;

    private static final long NOBODY = -1;

    private final VcpuMmu mmu;
    private final BooleanSupplier enlightenments;
    private final byte[] small = new byte[2];

    private long iopm;
    private long msrpm;

    /** The map of MSRs at the last VMRUN that did not call it clean; made by the first that may. */
    private byte[] kept = {};
    /** Whose it is, by the VMCB's gpa; nobody's while what memory has counts. */
    private long keptOf = NOBODY;

    /** @param enlightenments see {@link NestedSvm} */
    PermissionMaps(VcpuMmu mmu, BooleanSupplier enlightenments) {
        this.mmu = mmu;
        this.enlightenments = enlightenments;
    }

    /** VMRUN of this VMCB. */
    void begin(Vmcb v, long vmcbGpa) {
        iopm = v.get64(Vmcb.IOPM_BASE) & ~0xfffL;
        msrpm = v.get64(Vmcb.MSRPM_BASE) & ~0xfffL;
        if ((v.get32(Vmcb.ENLIGHTENMENTS) & MSR_BITMAP) == 0 || !enlightenments.getAsBoolean()) {
            keptOf = NOBODY;
            return;
        }
        if (keptOf == vmcbGpa && (v.get32(Vmcb.CLEAN) & MSR_BITMAP_CLEAN) != 0) {
            return;
        }
        if (kept.length == 0) {
            kept = new byte[MSR_BYTES];
        }
        if (!mmu.read(msrpm, kept, 0, MSR_BYTES)) {
            Arrays.fill(kept, (byte) -1);
        }
        keptOf = vmcbGpa;
    }

    /** What was kept may be another's: a state was put back. */
    void forget() {
        keptOf = NOBODY;
    }

    /** Whether an access to these ports is the hypervisor's: its map has a bit for each (APM 2 15.10.1). */
    boolean wantsPorts(int port, int bytes) {
        if (!mmu.read(iopm + (port >>> 3), small, 0, 2)) {
            return true;
        }
        int bits = (small[0] & 0xff | (small[1] & 0xff) << 8) >>> (port & 7);
        return (bits & (1 << bytes) - 1) != 0;
    }

    /** Whether an access to an MSR is: two bits each, three ranges, and everything outside them (APM 2 15.11). */
    boolean wantsMsr(int index, boolean write) {
        int range = switch (index >>> 13) {
            case 0 -> 0;
            case 0xc000_0000 >>> 13 -> 0x800;
            case 0xc001_0000 >>> 13 -> 0x1000;
            default -> -1;
        };
        if (range < 0) {
            return true;
        }
        int bit = (index & 0x1fff) * 2 + (write ? 1 : 0);
        int at = range + (bit >>> 3);
        if (keptOf != NOBODY) {
            return (kept[at] >>> (bit & 7) & 1) != 0;
        }
        return !mmu.read(msrpm + at, small, 0, 1) || (small[0] >>> (bit & 7) & 1) != 0;
    }
}
