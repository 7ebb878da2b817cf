package dev.slate.debug;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Vm;
import dev.slate.kvm.memslot.Memslot;

/**
 * A guest's memory at linear addresses, as a debugger sees it: translated by the guest's own page tables (SDM 3A chapter 4) with no
 * regard to permissions, and without setting a bit in them. What lies in no memory slot is not there.
 */
public final class LinearMemory {
    /** What {@link #physical} says of an address that the tables do not map. */
    public static final long NOT_MAPPED = -1;

    private static final long FRAME = 0x000f_ffff_ffff_f000L;
    private static final int PRESENT = 1;
    private static final int LARGE = 1 << 7;

    private final Vm vm;
    private final CpuState s;
    private final ClientMemory client;
    private final byte[] word = new byte[8];

    /** @param s whose translation: the state of one of the VM's vCPUs, which does not run while this is used */
    public LinearMemory(Vm vm, CpuState s, ClientMemory client) {
        this.vm = vm;
        this.s = s;
        this.client = client;
    }

    /** Reads; returns how many of the bytes could be read. */
    public int read(long la, byte[] to, int bytes) {
        int done = 0;
        while (done < bytes) {
            long at = la + done;
            int part = part(at, bytes - done);
            long hva = hva(at, false);
            if (hva == 0 || !client.read(hva, to, done, part)) {
                break;
            }
            done += part;
        }
        return done;
    }

    /** Writes; returns how many of the bytes could be written. Dirty logs hear of it. */
    public int write(long la, byte[] from, int bytes) {
        int done = 0;
        while (done < bytes) {
            long at = la + done;
            int part = part(at, bytes - done);
            long hva = hva(at, true);
            if (hva == 0 || !client.write(hva, from, done, part)) {
                break;
            }
            done += part;
        }
        return done;
    }

    private static int part(long la, int bytes) {
        return Math.min(bytes, 4096 - ((int) la & 4095));
    }

    /** Host address of a linear one; 0: there is none. */
    private long hva(long la, boolean write) {
        long gpa = physical(la);
        return gpa == NOT_MAPPED ? 0 : hvaOf(gpa, write);
    }

    private long hvaOf(long gpa, boolean write) {
        long gfn = gpa >>> 12;
        Memslot slot = vm.memory().slots(0).find(gfn);
        if (slot == null) {
            return 0;
        }
        if (write && slot.logsDirty()) {
            slot.markDirty(gfn);
        }
        return slot.hva(gfn) + (gpa & 4095);
    }

    /** Guest physical address of a linear one, or {@link #NOT_MAPPED}. */
    public long physical(long la) {
        if ((s.cr0 & CpuState.CR0_PG) == 0) {
            return la & 0xffff_ffffL;
        }
        if ((s.cr4 & CpuState.CR4_PAE) == 0) {
            return twoLevels(la & 0xffff_ffffL);
        }
        if (!s.longMode()) {
            long pdpte = s.pdptr[(int) (la >>> 30) & 3];
            return (pdpte & PRESENT) == 0 ? NOT_MAPPED : walk(la & 0xffff_ffffL, pdpte & FRAME, 2);
        }
        int levels = (s.cr4 & CpuState.CR4_LA57) != 0 ? 5 : 4;
        int unused = 64 - (12 + 9 * levels);
        return la << unused >> unused == la ? walk(la, s.cr3 & FRAME, levels) : NOT_MAPPED;
    }

    private long walk(long la, long table, int levels) {
        for (int level = levels; ; level--) {
            int shift = 12 + 9 * (level - 1);
            long entry = entry(table + (la >>> shift & 511) * 8, 8);
            if ((entry & PRESENT) == 0) {
                return NOT_MAPPED;
            }
            if (level == 1 || level <= 3 && (entry & LARGE) != 0) {
                long within = (1L << shift) - 1;
                return entry & FRAME & ~within | la & within;
            }
            table = entry & FRAME;
        }
    }

    private long twoLevels(long la) {
        long pde = entry((s.cr3 & 0xffff_f000L) + (la >>> 22) * 4, 4);
        if ((pde & PRESENT) == 0) {
            return NOT_MAPPED;
        }
        if ((pde & LARGE) != 0 && (s.cr4 & CpuState.CR4_PSE) != 0) {
            // PSE-36: bits 13-20 are address bits 32-39.
            return pde & 0xffc0_0000L | (pde >>> 13 & 0xff) << 32 | la & 0x3f_ffff;
        }
        long pte = entry((pde & 0xffff_f000L) + (la >>> 12 & 1023) * 4, 4);
        return (pte & PRESENT) == 0 ? NOT_MAPPED : pte & 0xffff_f000L | la & 4095;
    }

    /** A table's entry; 0, which is not present, where no memory is. */
    private long entry(long gpa, int bytes) {
        long hva = hvaOf(gpa, false);
        if (hva == 0 || !client.read(hva, word, 0, bytes)) {
            return 0;
        }
        long v = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            v = v << 8 | word[i] & 0xff;
        }
        return v;
    }
}
