package dev.slate.kvm.mmu;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.TestHost;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.mmu.shadow.ShadowMmu;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stats.VmStats;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A VM's memory side with real processors ({@link PagedVcpu}), over either MMU. */
public final class PagedVm implements AutoCloseable {
    public final TestHost host = new TestHost();
    public final GuestMemory memory = new GuestMemory(host);
    public final GuestModes modes = new GuestModes();
    public final VmStats stats = new VmStats(host);
    public volatile boolean nxHugePages;
    public final MmuContext context;
    public final @Nullable TdpMmu tdp;
    public final @Nullable ShadowMmu shadow;
    private final List<PagedVcpu> vcpus = new ArrayList<>();
    private final List<long[]> ram = new ArrayList<>();

    public PagedVm(boolean twoDimensional, String knobs) {
        Knobs chosen = Knobs.parse("tdp=" + (twoDimensional ? "on\n" : "off\n") + knobs);
        context = MmuContext.of(host, chosen, memory, modes, stats, () -> nxHugePages);
        tdp = twoDimensional ? TdpMmu.create(context) : null;
        shadow = twoDimensional ? null : ShadowMmu.create(context);
    }

    public Mmu mmu() {
        return tdp != null ? tdp : shadow;
    }

    public PagedVcpu vcpu() {
        PagedVcpu v = new PagedVcpu(this);
        vcpus.add(v);
        modes.add(v.mode);
        return v;
    }

    /** Client memory, 4 MiB aligned. */
    public long ram(long bytes) {
        long hva = host.allocate(bytes, 4 << 20);
        ram.add(new long[] {hva, bytes});
        return hva;
    }

    public long stat(int offset) {
        return stats.get(offset);
    }

    @Override
    public void close() {
        for (PagedVcpu v : vcpus) {
            v.close();
        }
        mmu().close();
        context.tablePages().close();
        memory.close();
        for (PagedVcpu v : vcpus) {
            modes.remove(v.mode);
            v.free();
        }
        stats.close();
        for (long[] r : ram) {
            host.free(r[0], r[1]);
        }
        if (host.arena.allocatedBytes() != 0) {
            throw new AssertionError(host.arena.allocatedBytes() + " bytes were not given back");
        }
    }
}
