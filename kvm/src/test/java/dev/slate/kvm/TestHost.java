package dev.slate.kvm;

import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.host.HostServices;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/** {@link ArenaHost} with a host's moods: huge pages, failing population, a hook before each. */
public final class TestHost implements HostServices {
    public final ArenaHost arena = new ArenaHost();
    /** Says that every region is one huge page. */
    public volatile boolean huge;
    /** As {@link HostServices#mayReboot}. */
    public volatile boolean mayReboot;
    /** As {@link HostServices#hasTsc}. */
    public volatile boolean hasTsc;
    /** When not 0, what every population fails with. */
    public volatile int populateErrno;
    /** A page that is never there: each population of it fails, and so is asked for again. */
    public volatile long refused;
    /** A range that is there though {@link #arena} does not know it. */
    public volatile long alsoPopulatesFrom;

    public volatile long alsoPopulatesTo;
    /** Runs in each population, outside guest mode. */
    public volatile @Nullable Runnable onPopulate;

    public volatile int populations;
    public volatile boolean populatedForWrite;

    /** What it was told to say. */
    public final List<String> said = new CopyOnWriteArrayList<>();

    public TestHost() {}

    @Override
    public boolean hasTsc() {
        return hasTsc;
    }

    @Override
    public void say(String line) {
        said.add(line);
    }

    @Override
    public int populate(long hva, long bytes, boolean write) {
        populations++;
        populatedForWrite = write;
        Runnable hook = onPopulate;
        if (hook != null) {
            hook.run();
        }
        if (hva == refused) {
            return Errno.EFAULT.number();
        }
        if (hva >= alsoPopulatesFrom && hva + bytes <= alsoPopulatesTo) {
            return 0;
        }
        return populateErrno != 0 ? populateErrno : arena.populate(hva, bytes, write);
    }

    @Override
    public boolean hugeMapped(long hva) {
        return huge;
    }

    @Override
    public boolean mayReboot() {
        return mayReboot;
    }

    @Override
    public long readTsc() {
        return arena.readTsc();
    }

    @Override
    public long tscKhz() {
        return arena.tscKhz();
    }

    @Override
    public int @Nullable [] cpuid(int leaf, int subleaf) {
        return null;
    }

    @Override
    public void await(long wordHva, int expected, long nanos) {
        arena.await(wordHva, expected, nanos);
    }

    @Override
    public void wake(long wordHva) {
        arena.wake(wordHva);
    }

    @Override
    public long allocate(long bytes, long alignment) {
        return arena.allocate(bytes, alignment);
    }

    @Override
    public void free(long hva, long bytes) {
        arena.free(hva, bytes);
    }
}
