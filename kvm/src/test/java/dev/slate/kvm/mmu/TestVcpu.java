package dev.slate.kvm.mmu;

import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.stats.VcpuStats;
import java.util.Arrays;

/** The least that a processor is to the MMU: a TLB, a nested walk, and a kick word that it looks at between accesses. */
public final class TestVcpu {
    public static final long MMIO = -1;
    public static final long LEFT = -2;

    private static final int ENTRIES = 256;

    private final TestVm vm;
    public final GuestMode mode;
    public final VcpuMmu mmu;
    private final long[] tlbGfn = new long[ENTRIES];
    private final long[] tlbHva = new long[ENTRIES];
    private final boolean[] tlbWritable = new boolean[ENTRIES];
    public int lastOutcome;

    TestVcpu(TestVm vm) {
        this.vm = vm;
        mode = new GuestMode(vm.host);
        mmu = new VcpuMmu(vm.context, mode, new VcpuStats(vm.host), () -> Arrays.fill(tlbGfn, -1));
        Arrays.fill(tlbGfn, -1);
    }

    public void enter() {
        mmu.enterGuest();
    }

    public void leave() {
        mmu.leaveGuest();
    }

    /** A block edge: out and in again when kicked. */
    public void edge() {
        if (mode.kicked()) {
            mmu.leaveGuest();
            mode.clearKick();
            mmu.serveTlbFlush();
            mmu.enterGuest();
        }
    }

    /** hva of a load or store, in guest mode; {@link #MMIO} or {@link #LEFT}. */
    public long access(long gpa, boolean write) {
        return access(gpa, write, false);
    }

    private long access(long gpa, boolean write, boolean fetch) {
        for (; ; ) {
            long gfn = gpa >>> 12;
            int i = (int) gfn & ENTRIES - 1;
            if (tlbGfn[i] == gfn && (!write || tlbWritable[i]) && !fetch) {
                return tlbHva[i] | gpa & 4095;
            }
            long spte = walk(gpa);
            long error = write ? Hypervisor.NPF_WRITE : fetch ? Hypervisor.NPF_FETCH : 0;
            if ((spte & Spte.PRESENT) == 0) {
                // Nothing is there.
            } else if ((spte & Spte.RESERVED) != 0) {
                error |= Hypervisor.NPF_PRESENT | Hypervisor.NPF_RESERVED;
            } else if (write && (spte & Spte.WRITABLE) == 0 || fetch && (spte & Spte.NO_EXECUTE) != 0) {
                error |= Hypervisor.NPF_PRESENT;
            } else if (fetch) {
                return Spte.frame(spte) | gpa & 4095;
            } else {
                tlbGfn[i] = gfn;
                tlbHva[i] = Spte.frame(spte);
                tlbWritable[i] = (spte & Spte.WRITABLE) != 0;
                continue;
            }
            lastOutcome = vm.mmu.fault(mmu, gpa, error | Hypervisor.NPF_FINAL, 0);
            if (lastOutcome == Hypervisor.MMIO || lastOutcome == Hypervisor.READ_ONLY) {
                return MMIO;
            }
            if (lastOutcome == Hypervisor.LEAVE) {
                return LEFT;
            }
        }
    }

    /** The leaf entry for gpa as the processor finds it, with the frame of its 4 KiB page, or 0. */
    public long walk(long gpa) {
        long table = vm.mmu.root(mmu);
        for (int level = 4; ; level--) {
            long e = HostMemory.get64(table + Spte.offset(gpa >>> 12, level));
            if ((e & Spte.PRESENT) == 0) {
                return 0;
            }
            if (Spte.leaf(e, level)) {
                return e + (gpa & (Spte.gfns(level) << 12) - 4096);
            }
            table = Spte.frame(e);
        }
    }

    /** An instruction fetch from outside. */
    public long fetch(long gpa) {
        enter();
        try {
            return access(gpa, false, true);
        } finally {
            leave();
        }
    }

    /** One access from outside, for tests that have one thread. */
    public long touch(long gpa, boolean write) {
        enter();
        try {
            return access(gpa, write);
        } finally {
            leave();
        }
    }
}
