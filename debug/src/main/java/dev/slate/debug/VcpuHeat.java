package dev.slate.debug;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Vcpu;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One vCPU's part of {@link Heat}: runs block by block, because objects are learnt where a block begins. What a guest's guest does is not
 * looked at: its linear addresses are its own.
 */
final class VcpuHeat implements RunObserver, CpuObserver {
    private final Heat heat;
    private final Vcpu vcpu;
    private final HeatCounts[] counts;
    private final long[] sizes;
    private @Nullable HeatObjects known;
    private @Nullable Cpu cpu;
    /** What MSR LSTAR was when the kernel was looked for; one that is not the plan's would be looked for at every block. */
    private long lstar;

    // Accesses of the instruction, or of the iteration, that is running: it may yet be undone.
    private long[] pending = new long[16];
    private long[] pendingBases = new long[16];
    private int pendingCount;
    private long pendingRip;
    private long pendingRcx;

    // From #VMEXIT to the next VMRUN.
    private final HeatExit exit = new HeatExit();
    private @Nullable String reason;
    private boolean inNested;
    private boolean counting;

    VcpuHeat(Heat heat, Vcpu vcpu, HeatCounts[] counts) {
        this.heat = heat;
        this.vcpu = vcpu;
        this.counts = counts;
        this.sizes =
                heat.plan().types().stream().mapToLong(HeatPlan.Counted::size).toArray();
        this.counting = heat.plan().fromExit() == 0;
    }

    @Override
    public int run(Cpu processor, boolean one) {
        cpu = processor;
        commit();
        if (inNested) {
            return one ? processor.runOne() : processor.run();
        }
        for (; ; ) {
            if (!one && HostMemory.get32(processor.kickAddress) != 0) {
                return CpuExit.INTR;
            }
            look(processor.s);
            HeatObjects now = heat.known();
            if (now != known && (known != null || now.bases().length > 0)) {
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

    /** At a block's beginning: is it one of the places? */
    private void look(CpuState s) {
        if (s.lstar != lstar && s.cpl == 0 && s.mode64() && !heat.spots().located()) {
            lstar = s.lstar;
            heat.locate(lstar);
        }
        long la = s.mode64() ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        HeatSymbols.Spots spots = heat.spots();
        if ((spots.filter() & HeatSymbols.bit(la)) == 0) {
            return;
        }
        for (HeatSymbols.Spot spot : spots.all()) {
            if (spot.la() == la) {
                heat.reached(spot, s.gpr[spot.register()], vcpu, s);
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
        HeatObjects k = known;
        Cpu processor = cpu;
        if (inNested
                || !counting
                || k == null
                || processor == null
                || !k.pages().contains(la) && !k.pages().contains(la + bytes - 1)) {
            return;
        }
        long[] bases = k.bases();
        for (int i = k.behind(la + bytes - 1) - 1; i >= 0 && bases[i] + k.greatest() > la; i--) {
            int type = k.types()[i];
            long first = Math.max(la, bases[i]);
            long end = Math.min(la + bytes, bases[i] + sizes[type]);
            if (first < end) {
                put(processor, type, bases[i], first - bases[i], (int) (end - first), kind);
            }
        }
    }

    private void put(Cpu processor, int type, long base, long offset, int bytes, int kind) {
        if (processor.observers.own) {
            counts[type].add(offset, bytes, kind + HeatCounts.OWN, 1);
            return;
        }
        long rip = processor.runningRip();
        long rcx = processor.s.gpr[CpuState.RCX];
        if (rip != pendingRip || rcx != pendingRcx) {
            commit();
            pendingRip = rip;
            pendingRcx = rcx;
        }
        if (pendingCount == pending.length) {
            pending = Arrays.copyOf(pending, 2 * pendingCount);
            pendingBases = Arrays.copyOf(pendingBases, 2 * pendingCount);
        }
        pendingBases[pendingCount] = base;
        pending[pendingCount++] = (long) type << 52 | offset << 6 | (long) bytes << 2 | kind;
    }

    private void commit() {
        for (int i = 0; i < pendingCount; i++) {
            long p = pending[i];
            int type = (int) (p >>> 52);
            long offset = p >>> 6 & 0x3fff_ffff_ffffL;
            int bytes = (int) p >>> 2 & 15;
            int kind = (int) p & 3;
            counts[type].add(offset, bytes, kind, 1);
            if (reason != null) {
                exit.add(type, pendingBases[i], offset, bytes, kind);
            }
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
    public void nestedEntered() {
        commit();
        inNested = true;
        if (reason != null) {
            exit.end(reason, heat.exits());
            reason = null;
        }
    }

    @Override
    public void nestedLeft(int code, long info1, long rcx) {
        inNested = false;
        counting = heat.exitBegins();
        if (counting) {
            reason = HeatExit.reason(code, info1, rcx);
            exit.begin();
        }
    }

    @Override
    public void delivered(int vector, boolean hasErrorCode, int errorCode) {}

    @Override
    public void exited(Cpu processor, int code, int outcome) {
        // What handling the exit did. An instruction that is completed only when the client has answered is run()'s.
        commit();
    }

    @Override
    public void close() {
        commit();
    }
}
