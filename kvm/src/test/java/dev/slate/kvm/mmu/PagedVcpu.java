package dev.slate.kvm.mmu;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.LeaveGuest;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.mmu.shadow.ShadowVcpu;
import dev.slate.kvm.mode.GuestMode;
import dev.slate.kvm.mode.Request;
import dev.slate.kvm.stats.VcpuStats;
import org.jspecify.annotations.Nullable;

/** A processor whose accesses a test makes one by one, with what a vCPU's run loop does around them. */
public final class PagedVcpu implements Hypervisor {
    /** {@link #access}: translated, to {@link #hva}. */
    public static final int OK = -1;
    /** {@link #access}: the vCPU left, with {@code mmu.errno}. */
    public static final int LEFT = -2;
    /** {@link #access}: MMIO at {@link #gpa}. */
    public static final int MMIO = -3;

    private final PagedVm vm;
    public final GuestMode mode;
    public final VcpuStats stats;
    public final VcpuMmu mmu;
    public final CpuState s = new CpuState();
    public final Cpu cpu;
    public final @Nullable ShadowVcpu shadow;

    public long hva;
    public long gpa;

    PagedVcpu(PagedVm vm) {
        this.vm = vm;
        mode = new GuestMode(vm.host);
        stats = new VcpuStats(vm.host);
        mmu = new VcpuMmu(vm.context, mode, stats, this::flush);
        s.cr0 = CpuState.CR0_PE | CpuState.CR0_ET;
        cpu = new Cpu(s, this, mode.kickWordHva(), Cpu.FEATURES);
        shadow = vm.shadow == null ? null : vm.shadow.vcpu(mmu, s, gpa -> false);
        if (shadow != null) {
            shadow.attach(cpu);
        }
    }

    private void flush() {
        cpu.flushTlb();
    }

    /** What runs in the guest. */
    public interface Guest {
        void run();
    }

    /** Runs accesses in guest mode, again when the vCPU had to leave for a request. @return an error code, {@link #OK} or {@link #LEFT} */
    public int guest(Guest body) {
        for (; ; ) {
            if (mode.pending() || mode.kicked()) {
                mode.clearKick();
                mmu.serveTlbFlush();
                if (mode.check(Request.MMU_FREE_OBSOLETE_ROOTS) && shadow != null) {
                    shadow.freeObsoleteRoots();
                }
            }
            if (shadow != null) {
                int error = shadow.load();
                if (error != 0) {
                    mmu.errno = error;
                    return LEFT;
                }
            }
            mmu.enterGuest();
            if (vm.tdp != null) {
                cpu.walker.nestedRoot = vm.tdp.root(mmu);
            }
            cpu.modeChanged();
            try {
                body.run();
                return OK;
            } catch (GuestFault f) {
                if (f.vector != GuestFault.PF) {
                    throw new AssertionError("vector " + f.vector);
                }
                return f.errorCode;
            } catch (LeaveGuest e) {
                if (mmu.errno != 0) {
                    return LEFT;
                }
            } finally {
                mmu.leaveGuest();
            }
        }
    }

    /** Translates for one access at the present privilege, TLB first. */
    public int access(long la, int access) {
        return guest(() -> {
            int m = cpu.tlbMode & (Tlb.USER | Tlb.SMAP);
            hva = cpu.tlb.hits(la, 1, access, m) ? cpu.tlb.hva(la) : cpu.walker.translate(la, access, m, true);
            if (hva < 0) {
                gpa = ~hva;
            }
        });
    }

    /** A store of the guest's; must succeed. */
    public void store64(long la, long value) {
        check(guest(() -> cpu.store64(CpuState.DS, la, value)), la);
    }

    public void store32(long la, int value) {
        check(guest(() -> cpu.store32(CpuState.DS, la, value)), la);
    }

    public long load64(long la) {
        long[] value = new long[1];
        check(guest(() -> value[0] = cpu.load64(CpuState.DS, la)), la);
        return value[0];
    }

    private static void check(int outcome, long la) {
        if (outcome != OK) {
            throw new AssertionError("access at 0x%x: outcome %d".formatted(la, outcome));
        }
    }

    /** MOV to CR0, CR3 or CR4, or another change that the processor tells of: the registers are set already. */
    public void changed() {
        check(guest(cpu::translationsChanged), 0);
    }

    public void invlpg(long la) {
        check(guest(() -> cpu.invlpg(la)), la);
    }

    @Override
    public int nestedPageFault(long gpa, long errorCode, long gva) {
        return vm.tdp == null ? LEAVE : vm.tdp.fault(mmu, gpa, errorCode, gva);
    }

    @Override
    public int pageFault(long la, long errorCode) {
        return shadow().fault(cpu, la, errorCode);
    }

    @Override
    public void watchedWrite(long gpa, int bytes) {
        shadow().watchedWrite(gpa, bytes);
    }

    @Override
    public void translationsChanged() {
        shadow().guestChangedTranslations();
    }

    @Override
    public void invalidatePage(long la) {
        shadow().invalidatePage(la);
    }

    @Override
    public boolean readPhysical(long gpa, long[] into) {
        return shadow().readPhysical(gpa, into);
    }

    private ShadowVcpu shadow() {
        if (shadow == null) {
            throw new AssertionError("shadow paging is off");
        }
        return shadow;
    }

    @Override
    public boolean mmioRead(long gpa, int bytes) {
        throw new AssertionError("MMIO at 0x%x".formatted(gpa));
    }

    @Override
    public void mmioWrite(long gpa, int bytes, long data) {
        throw new AssertionError("MMIO at 0x%x".formatted(gpa));
    }

    @Override
    public long readTsc() {
        return 0;
    }

    void close() {
        if (shadow != null) {
            shadow.close();
        }
        mmu.close();
    }

    void free() {
        mode.close();
        stats.close();
    }
}
