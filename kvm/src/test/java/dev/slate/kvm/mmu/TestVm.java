package dev.slate.kvm.mmu;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.TestHost;
import dev.slate.kvm.memslot.GuestMemory;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.mode.GuestModes;
import dev.slate.kvm.stats.VmStats;
import java.util.ArrayList;
import java.util.List;

/** A VM's memory side without processors: memslots, TDP MMU and {@link TestVcpu}s. */
public final class TestVm implements AutoCloseable {
    public final TestHost host = new TestHost();
    public final GuestMemory memory = new GuestMemory(host);
    public final GuestModes modes = new GuestModes();
    public final VmStats stats = new VmStats(host);
    public volatile boolean nxHugePages;
    public final MmuContext context;
    public final TdpMmu mmu;
    private final List<TestVcpu> vcpus = new ArrayList<>();
    private final List<long[]> ram = new ArrayList<>();

    public TestVm() {
        this("");
    }

    public TestVm(String knobs) {
        context = MmuContext.of(host, Knobs.parse(knobs), memory, modes, stats, () -> nxHugePages);
        mmu = TdpMmu.create(context);
    }

    public TestVcpu vcpu() {
        TestVcpu v = new TestVcpu(this);
        vcpus.add(v);
        modes.add(v.mode);
        return v;
    }

    /** Client memory, 2 MiB aligned. */
    public long ram(long bytes) {
        long hva = host.allocate(bytes, 2 << 20);
        ram.add(new long[] {hva, bytes});
        return hva;
    }

    /** Takes everything down; returns the number of table pages that nobody gave back. */
    public long teardown() {
        for (TestVcpu v : vcpus) {
            v.mmu.close();
        }
        mmu.close();
        long left = context.tablePages().used();
        context.tablePages().close();
        memory.close();
        for (TestVcpu v : vcpus) {
            modes.remove(v.mode);
            v.mode.close();
            v.mmu.stats.close();
        }
        stats.close();
        for (long[] r : ram) {
            host.free(r[0], r[1]);
        }
        return left;
    }

    @Override
    public void close() {
        long left = teardown();
        if (left != 0 || host.arena.allocatedBytes() != 0) {
            throw new AssertionError(
                    left + " table pages and " + host.arena.allocatedBytes() + " bytes were not given back");
        }
    }
}
