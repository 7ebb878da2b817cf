package dev.slate.debug;

import dev.slate.cpu.CpuState;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Vcpu;
import java.io.IOException;
import java.io.Writer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;

/**
 * Counts the accesses that a guest makes to objects of chosen types, by place in the object. Objects are learnt where the plan says that
 * a register holds one, and counted from there on until a place says that they end. Told apart are reads and writes, and of each the
 * processor's own (descriptor tables, the stacks of deliveries). A walk of page tables, and what the hypervisor or the client reads, is
 * no access of the guest's; what VMRUN and #VMEXIT read and write is none either.
 *
 * <p>An access counts when its instruction, or its iteration of a string instruction, is over: what a fault undoes does not. One of more
 * than eight bytes counts as its parts of eight, one that modifies as a read and a write. A locked comparison that fails counts as a read.
 *
 * <p>Of a guest that has guests of its own, what it touches from #VMEXIT to the next VMRUN of the same vCPU is one exit.
 *
 * <p>Only the pages of known objects lose the processor's fast path. Thread-safe: a vCPU counts for itself.
 */
public final class Heat {
    private static final int LINE = 64;

    private final HeatPlan plan;
    private final ClientMemory client;
    private final HeatExits exits;
    private final List<HeatCounts[]> counts = new ArrayList<>();
    private final long[] learnt;
    private final AtomicLong begun = new AtomicLong();
    private volatile HeatObjects known = HeatObjects.NONE;
    /** A place was reached, with 0 in its register. */
    private volatile boolean reachedEmpty;

    /** Changed under this object's lock. */
    private final HeatSymbols symbols;

    private volatile HeatSymbols.Spots spots;

    private Heat(HeatPlan plan, ClientMemory client) {
        this.plan = plan;
        this.client = client;
        this.exits = new HeatExits(plan.mostExits());
        this.learnt = new long[plan.types().size()];
        this.symbols = new HeatSymbols(plan);
        this.spots = symbols.spots();
    }

    /**
     * Counts for every vCPU that {@code kvm} makes from here on.
     *
     * @param client reads what the guest's kernel says of its modules
     */
    public static Heat start(Kvm kvm, HeatPlan plan, ClientMemory client) {
        Heat heat = new Heat(plan, client);
        kvm.observeWith(vcpu -> new VcpuHeat(heat, vcpu, heat.counter()));
        return heat;
    }

    private HeatCounts[] counter() {
        HeatCounts[] fresh = new HeatCounts[plan.types().size()];
        for (int i = 0; i < fresh.length; i++) {
            fresh[i] = new HeatCounts();
        }
        synchronized (counts) {
            counts.add(fresh);
        }
        return fresh;
    }

    HeatPlan plan() {
        return plan;
    }

    HeatObjects known() {
        return known;
    }

    HeatSymbols.Spots spots() {
        return spots;
    }

    HeatExits exits() {
        return exits;
    }

    /** Whether the exit that begins now is counted. */
    boolean exitBegins() {
        return begun.incrementAndGet() > plan.fromExit();
    }

    synchronized void locate(long lstar) {
        symbols.locate(lstar);
        spots = symbols.spots();
    }

    /** A vCPU stands at a place, with this value in its register. */
    void reached(HeatSymbols.Spot spot, long value, Vcpu vcpu, CpuState s) {
        switch (spot.type()) {
            case HeatPlan.END -> {
                if (known.learntWith(value)) {
                    synchronized (this) {
                        known = known.without(value, plan);
                    }
                }
            }
            case HeatSymbols.MODULE_BEGINS, HeatSymbols.MODULE_ENDS ->
                module(spot, value, new LinearMemory(vcpu.vm(), s, client));
            default -> {
                if (value == 0) {
                    reachedEmpty = true;
                } else if (!known.has(value + spot.offset(), spot.type())) {
                    learn(spot.type(), value, value + spot.offset());
                }
            }
        }
    }

    private synchronized void learn(int type, long origin, long base) {
        HeatObjects more = known.with(base, type, origin, plan);
        if (more != known) {
            known = more;
            learnt[type]++;
        }
    }

    private synchronized void module(HeatSymbols.Spot spot, long la, LinearMemory memory) {
        if (spot.type() == HeatSymbols.MODULE_BEGINS) {
            symbols.moduleBegins(memory, la);
        } else {
            symbols.moduleEnds(memory, la);
        }
        spots = symbols.spots();
    }

    /** How many objects have been learnt, of all types. */
    public synchronized long objects() {
        long sum = 0;
        for (long n : learnt) {
            sum += n;
        }
        return sum;
    }

    private HeatCounts sum(int type) {
        HeatCounts sum = new HeatCounts();
        synchronized (counts) {
            for (HeatCounts[] one : counts) {
                one[type].addTo(sum);
            }
        }
        return sum;
    }

    /** Writes the file that {@code slate heat report} and {@code slate layout} read; docs/debugging.md has its format. */
    public void write(Writer to) throws IOException {
        to.write("# slate heat 1: type BYTES OBJECTS NAME; field OFFSET BYTES MEMBER;\n");
        to.write("# COUNT FIRST-LAST  # reads writes, the processor's own reads writes, member;\n");
        to.write("# exits COUNT REASON; set EXITS TYPE.OBJECT.FIRST-LAST:READS/WRITES...\n");
        for (int type = 0; type < plan.types().size(); type++) {
            HeatPlan.Counted t = plan.types().get(type);
            to.write("type " + t.size() + " " + learnt[type] + " " + t.name() + "\n");
            for (HeatPlan.Field f : t.fields()) {
                to.write("field " + f.offset() + " " + f.bytes() + " " + f.path() + "\n");
            }
            HeatCounts sum = sum(type);
            for (long place : sum.places()) {
                long offset = place >>> 4;
                int bytes = (int) place & 15;
                long reads = sum.of(offset, bytes, HeatCounts.READ);
                long writes = sum.of(offset, bytes, HeatCounts.WRITE);
                long ownReads = sum.of(offset, bytes, HeatCounts.READ + HeatCounts.OWN);
                long ownWrites = sum.of(offset, bytes, HeatCounts.WRITE + HeatCounts.OWN);
                to.write((reads + writes + ownReads + ownWrites) + " " + offset + "-" + (offset + bytes - 1) + "  # "
                        + reads + " " + writes + ", " + ownReads + " " + ownWrites + ", " + field(t, offset) + "\n");
            }
        }
        exits.write(to);
    }

    /** The innermost member that holds the byte at {@code offset}; empty where none does. */
    private static String field(HeatPlan.Counted type, long offset) {
        String found = "";
        for (HeatPlan.Field f : type.fields()) {
            if (offset >= f.offset() && offset < f.offset() + f.bytes()) {
                found = f.path();
            }
        }
        return found;
    }

    /** A line for each type on what was counted, or on why nothing was and what to do. */
    public synchronized String summary() {
        String trouble = symbols.trouble();
        List<String> said = new ArrayList<>();
        for (int type = 0; type < learnt.length; type++) {
            String name = plan.types().get(type).name();
            said.add(learnt[type] == 0 ? unseen(type, name, trouble) : seen(type, name));
        }
        if (exits.exits() > 0) {
            said.add(exits.exits() + " exits of its guests");
        }
        String text = "heat: " + String.join("; ", said);
        return objects() == 0 ? text : text + (trouble.isEmpty() ? "" : "; " + trouble) + ": " + plan.output();
    }

    private String unseen(int type, String name, String trouble) {
        String places = plan.places().stream()
                .filter(p -> p.type() == type)
                .map(p -> p.name() + (p.module() == null ? " (0x" + Long.toHexString(p.la()) + ")" : ""))
                .collect(Collectors.joining(", "));
        return "no " + name + " was seen: "
                + (reachedEmpty
                        ? "the register held 0 whenever " + places + " was reached"
                        : places + " was never reached. "
                                + (trouble.isEmpty()
                                        ? "Take the symbols of that very kernel (one that moves itself, as any with"
                                                + " KASLR, must have entry_SYSCALL_64 among them, or be booted with"
                                                + " nokaslr), and name a function that is called. An address is met only"
                                                + " where a block of code begins: a function's first instruction, where"
                                                + " a branch goes, or what stands behind one"
                                        : trouble));
    }

    private String seen(int type, String name) {
        HeatCounts sum = sum(type);
        long size = plan.types().get(type).size();
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
        return learnt[type] + (learnt[type] == 1 ? " object of " : " objects of ") + name + ": " + reads + " reads and "
                + writes + " writes, in " + lines + " of its " + (size + LINE - 1) / LINE + " lines";
    }
}
