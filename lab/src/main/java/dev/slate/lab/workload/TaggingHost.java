package dev.slate.lab.workload;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.host.HostServices;
import dev.slate.lab.lines.LineRecorder;
import org.jspecify.annotations.Nullable;

/** A host that tells the line recorder where the hypervisor's structures lie: the class that asks for memory says what it is for. */
final class TaggingHost implements HostServices {
    private static final StackWalker STACK = StackWalker.getInstance();

    private final ArenaHost host = new ArenaHost();

    @Override
    public long allocate(long bytes, long alignment) {
        long hva = host.allocate(bytes, alignment);
        if (hva != 0 && forStructures()) {
            LineRecorder.region(hva, bytes);
        }
        return hva;
    }

    /** Whether a slab or the rmaps of a slot ask; guest memory, run areas and statistics are none of our business. */
    private static boolean forStructures() {
        String asking = STACK.walk(frames -> frames.skip(2)
                .map(StackWalker.StackFrame::getClassName)
                .findFirst()
                .orElse(""));
        return asking.endsWith(".Slab") || asking.endsWith(".SlotRmaps");
    }

    @Override
    public void free(long hva, long bytes) {
        LineRecorder.forget(hva);
        host.free(hva, bytes);
    }

    @Override
    public int populate(long hva, long bytes, boolean write) {
        return host.populate(hva, bytes, write);
    }

    @Override
    public boolean hugeMapped(long hva) {
        return host.hugeMapped(hva);
    }

    @Override
    public long readTsc() {
        return host.readTsc();
    }

    @Override
    public long tscKhz() {
        return host.tscKhz();
    }

    @Override
    public int @Nullable [] cpuid(int leaf, int subleaf) {
        return host.cpuid(leaf, subleaf);
    }

    @Override
    public void await(long wordHva, int expected, long nanos) {
        host.await(wordHva, expected, nanos);
    }

    @Override
    public void wake(long wordHva) {
        host.wake(wordHva);
    }
}
