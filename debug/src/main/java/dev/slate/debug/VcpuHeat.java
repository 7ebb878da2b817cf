package dev.slate.debug;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.RunObserver;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** One vCPU's part of {@link Heat}: runs block by block, because objects are learnt where a block begins. */
final class VcpuHeat implements RunObserver, CpuObserver {
    private final Heat heat;
    private final HeatCounts counts;
    private final long size;
    private final long[] entries;
    private final int[] registers;
    private Heat.@Nullable Known known;
    private @Nullable Cpu cpu;

    // Accesses of the instruction, or of the iteration, that is running: it may yet be undone.
    private long[] pending = new long[16];
    private int pendingCount;
    private long pendingRip;
    private long pendingRcx;

    VcpuHeat(Heat heat, HeatCounts counts) {
        this.heat = heat;
        this.counts = counts;
        HeatPlan plan = heat.plan();
        this.size = plan.size();
        this.entries = plan.entries().stream().mapToLong(HeatPlan.Entry::la).toArray();
        this.registers =
                plan.entries().stream().mapToInt(HeatPlan.Entry::register).toArray();
    }

    @Override
    public boolean mayRun() {
        return true;
    }

    @Override
    public int run(Cpu processor, boolean one) {
        cpu = processor;
        commit();
        for (; ; ) {
            if (!one && HostMemory.get32(processor.kickAddress) != 0) {
                return CpuExit.INTR;
            }
            learn(processor.s);
            Heat.Known now = heat.known();
            if (now != known && now.bases().length > 0) {
                known = now;
                processor.observers.memory = this;
                processor.observers.pages = now.pages();
                processor.flushTlb();
            }
            int code = one ? processor.runOne() : processor.runBlock();
            commit();
            if (one || code != CpuExit.NONE) {
                return code;
            }
        }
    }

    private void learn(CpuState s) {
        long la = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        for (int i = 0; i < entries.length; i++) {
            if (entries[i] == la) {
                heat.learn(s.gpr[registers[i]]);
            }
        }
    }

    @Override
    public void loaded(long la, int bytes, long value) {
        accessed(la, bytes, HeatCounts.READ);
    }

    @Override
    public void stored(long la, int bytes, long value) {
        accessed(la, bytes, HeatCounts.WRITE);
    }

    /** The part of an access in each object that it touches. */
    private void accessed(long la, int bytes, int kind) {
        Heat.Known k = known;
        Cpu processor = cpu;
        if (k == null
                || processor == null
                || !k.pages().contains(la) && !k.pages().contains(la + bytes - 1)) {
            return;
        }
        long[] bases = k.bases();
        int at = Arrays.binarySearch(bases, la + bytes - 1);
        for (int i = at >= 0 ? at : -at - 2; i >= 0; i--) {
            long first = Math.max(la, bases[i]);
            long end = Math.min(la + bytes, bases[i] + size);
            if (first >= end) {
                return;
            }
            if (processor.observers.own) {
                counts.add(first - bases[i], (int) (end - first), kind + HeatCounts.OWN, 1);
            } else {
                put(processor, first - bases[i], (int) (end - first), kind);
            }
        }
    }

    private void put(Cpu processor, long offset, int bytes, int kind) {
        long rip = processor.runningRip();
        long rcx = processor.s.gpr[CpuState.RCX];
        if (rip != pendingRip || rcx != pendingRcx) {
            commit();
            pendingRip = rip;
            pendingRcx = rcx;
        }
        if (pendingCount == pending.length) {
            pending = Arrays.copyOf(pending, 2 * pendingCount);
        }
        pending[pendingCount++] = offset << 6 | (long) bytes << 2 | kind;
    }

    private void commit() {
        for (int i = 0; i < pendingCount; i++) {
            long p = pending[i];
            counts.add(p >>> 6, (int) p >>> 2 & 15, (int) p & 3, 1);
        }
        pendingCount = 0;
    }

    @Override
    public void undone(long rip) {
        Cpu processor = cpu;
        if (processor != null && rip == pendingRip && processor.s.gpr[CpuState.RCX] == pendingRcx) {
            pendingCount = 0;
        }
    }

    @Override
    public void delivered(int vector, boolean hasErrorCode, int errorCode) {}

    @Override
    public void exited(Cpu processor, int code, int outcome) {
        commit();
    }

    @Override
    public void close() {
        commit();
    }
}
