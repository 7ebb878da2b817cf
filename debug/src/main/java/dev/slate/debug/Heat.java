package dev.slate.debug;

import dev.slate.cpu.WatchedPages;
import dev.slate.kvm.Kvm;
import java.io.IOException;
import java.io.Writer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Counts the accesses that a guest makes to objects of one type, by place in the object. Objects are learnt where the plan says that a
 * register holds one, and counted from there on. Told apart are reads and writes, and of each the processor's own (descriptor tables,
 * the stacks of deliveries). A walk of page tables, and what the hypervisor or the client reads, is no access of the guest's.
 *
 * <p>An access counts when its instruction, or its iteration of a string instruction, is over: what a fault undoes does not. One of more
 * than eight bytes counts as its parts of eight, one that modifies as a read and a write. A locked comparison that fails counts as a read.
 *
 * <p>Only the pages of known objects lose the processor's fast path. Thread-safe: a vCPU counts for itself.
 */
public final class Heat {
    /** What is known at one time; a vCPU looks at one for as long as it runs a block. */
    record Known(long[] bases, WatchedPages pages) {}

    private static final int LINE = 64;

    private final HeatPlan plan;
    private final List<HeatCounts> counts = new ArrayList<>();
    private volatile Known known = new Known(new long[0], new WatchedPages(new long[0]));
    /** A place was reached, with 0 in its register. */
    private volatile boolean reached;

    private Heat(HeatPlan plan) {
        this.plan = plan;
    }

    /** Counts for every vCPU that {@code kvm} makes from here on. */
    public static Heat start(Kvm kvm, HeatPlan plan) {
        Heat heat = new Heat(plan);
        kvm.observeWith(vcpu -> new VcpuHeat(heat, heat.counter()));
        return heat;
    }

    private HeatCounts counter() {
        HeatCounts fresh = new HeatCounts();
        synchronized (counts) {
            counts.add(fresh);
        }
        return fresh;
    }

    HeatPlan plan() {
        return plan;
    }

    Known known() {
        return known;
    }

    synchronized void learn(long base) {
        Known now = known;
        if (base == 0) {
            reached = true;
            return;
        }
        if (Arrays.binarySearch(now.bases, base) >= 0) {
            return;
        }
        long[] bases = Arrays.copyOf(now.bases, now.bases.length + 1);
        bases[now.bases.length] = base;
        Arrays.sort(bases);
        int perObject = (int) (plan.size() + 4095 >>> 12) + 1;
        long[] pages = new long[bases.length * perObject];
        for (int i = 0; i < pages.length; i++) {
            long at = bases[i / perObject] + 4096L * (i % perObject);
            pages[i] = Math.min(at, bases[i / perObject] + plan.size() - 1);
        }
        known = new Known(bases, new WatchedPages(pages));
    }

    /** How many objects have been learnt. */
    public int objects() {
        return known.bases.length;
    }

    private HeatCounts sum() {
        HeatCounts sum = new HeatCounts();
        synchronized (counts) {
            for (HeatCounts one : counts) {
                one.addTo(sum);
            }
        }
        return sum;
    }

    /**
     * Writes what {@code slate layout density --heat} reads: COUNT FIRST-LAST for each place and width; behind a # reads, writes, the
     * processor's own of both, and the member.
     */
    public void write(Writer to) throws IOException {
        HeatCounts sum = sum();
        to.write("# slate heat: " + plan.type() + ", " + plan.size() + " bytes, objects: " + objects() + "\n");
        to.write("# count first-last  # reads writes, the processor's own reads writes, member\n");
        for (long place : sum.places()) {
            long offset = place >>> 4;
            int bytes = (int) place & 15;
            long reads = sum.of(offset, bytes, HeatCounts.READ);
            long writes = sum.of(offset, bytes, HeatCounts.WRITE);
            long ownReads = sum.of(offset, bytes, HeatCounts.READ + HeatCounts.OWN);
            long ownWrites = sum.of(offset, bytes, HeatCounts.WRITE + HeatCounts.OWN);
            to.write((reads + writes + ownReads + ownWrites) + " " + offset + "-" + (offset + bytes - 1) + "  # "
                    + reads + " " + writes + ", " + ownReads + " " + ownWrites + ", " + plan.field(offset) + "\n");
        }
    }

    /** One line on what was counted, or on why nothing was and what to do. */
    public String summary() {
        if (objects() == 0) {
            String places = plan.entries().stream()
                    .map(e -> e.name() + " (0x" + Long.toHexString(e.la()) + ")")
                    .collect(Collectors.joining(", "));
            return "heat: no " + plan.type() + " was seen: "
                    + (reached
                            ? "the register held 0 whenever " + places + " was reached"
                            : places
                                    + " was never reached. Boot the guest's kernel with nokaslr, take the System.map of that"
                                    + " very kernel, and name a function that is called. An address is met only where a block of"
                                    + " code begins: a function's first instruction, where a branch goes, or what stands behind one");
        }
        HeatCounts sum = sum();
        long reads = 0;
        long writes = 0;
        long lastLine = -1;
        int lines = 0;
        for (long place : sum.places()) {
            long offset = place >>> 4;
            int bytes = (int) place & 15;
            reads += sum.of(offset, bytes, HeatCounts.READ) + sum.of(offset, bytes, HeatCounts.READ + HeatCounts.OWN);
            writes +=
                    sum.of(offset, bytes, HeatCounts.WRITE) + sum.of(offset, bytes, HeatCounts.WRITE + HeatCounts.OWN);
            long from = Math.max(lastLine + 1, offset / LINE);
            long to = (offset + bytes - 1) / LINE;
            lines += (int) Math.max(0, to - from + 1);
            lastLine = Math.max(lastLine, to);
        }
        return "heat: " + objects() + (objects() == 1 ? " object of " : " objects of ") + plan.type() + ": " + reads
                + " reads and " + writes + " writes, in " + lines + " of its " + (plan.size() + LINE - 1) / LINE
                + " lines: " + plan.output();
    }
}
