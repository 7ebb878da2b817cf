package dev.slate.device.stats;

import dev.slate.kvm.Vm;
import dev.slate.kvm.host.Worker;
import dev.slate.kvm.stats.Stat;
import dev.slate.kvm.stats.VcpuStats;
import dev.slate.kvm.stats.VmStats;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.IntSupplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The VMs of this process as folders of files that other processes can read: {@code ROOT/PID-FD/}, with the names and contents that KVM has in
 * debugfs. Counting knows nothing of it: once a second the worker writes the files whose values have changed, of VMs that are older than
 * that. The folder's own time of change says when. The client's own look at debugfs ({@link #text}) is answered without files.
 *
 * <p>Thread-safe; nothing here ever fails the client.
 */
public final class StatsFolder {
    /** Names another root. */
    public static final String ROOT_VARIABLE = "SLATE_STATS_FOLDER";

    private static final String RMAPS = "mmu_rmaps_stat";
    private static final int RMAPS_ROUNDS = 10;
    private static final long PERIOD_NANOS = 1_000_000_000;
    /** A folder that nobody has written for so long belongs to a process that is gone, and whose number another one has. */
    private static final long STALE_MILLIS = 60_000;

    private static final class Published {
        final Vm vm;
        final String name;
        final long since = System.nanoTime();
        int rounds;
        final Map<String, String> written = new HashMap<>();

        Published(Vm vm, String name) {
            this.vm = vm;
            this.name = name;
        }
    }

    /** A class with a name: the cache of a distribution holds no method reference of this one, which resolves more where there are other machines. */
    private final class Publishing implements Worker.Task {
        @Override
        public long run() {
            return publish();
        }
    }

    private final Worker worker;
    private final Consumer<String> say;
    private final @Nullable String chosen;
    private final IntSupplier user;
    private final Worker.Task task = new Publishing();
    private final List<Published> vms = new ArrayList<>();
    private @Nullable Path root;
    private boolean broken;
    /** The publisher leaves at the next file: it may be in the middle of thousands of them. */
    private volatile boolean closing;

    /**
     * @param say takes a line for the user: why there are no files
     * @param chosen what {@link #ROOT_VARIABLE} was when the process started; null: nothing
     * @param user gives the number of the process's real user, who may change
     */
    public StatsFolder(Worker worker, Consumer<String> say, @Nullable String chosen, IntSupplier user) {
        this.worker = worker;
        this.say = say;
        this.chosen = named(chosen);
        this.user = user;
    }

    /**
     * Where the folders of all processes of a user are: {@code $SLATE_STATS_FOLDER}, else {@code $XDG_RUNTIME_DIR/slate/kvm}, else
     * {@code /tmp/slate-UID/kvm}.
     *
     * @throws IOException the user's number can't be told
     */
    public static Path root() throws IOException {
        return root(named(System.getenv(ROOT_VARIABLE)), (Integer) uid(Path.of("/proc/self")));
    }

    private static @Nullable String named(@Nullable String chosen) {
        return chosen == null || chosen.isEmpty() ? null : chosen;
    }

    private static Path root(@Nullable String chosen, int user) {
        if (chosen != null) {
            return Path.of(chosen);
        }
        String runtime = System.getenv("XDG_RUNTIME_DIR");
        if (runtime != null && Files.isWritable(Path.of(runtime))) {
            return Path.of(runtime, "slate", "kvm");
        }
        return Path.of("/tmp", "slate-" + user, "kvm");
    }

    private static Object uid(Path file) throws IOException {
        return Files.getAttribute(file, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    }

    /** Deletes the folders of processes that are gone. What can't be deleted stays. */
    public static void clean(Path root) {
        try (Stream<Path> folders = Files.list(root)) {
            for (Path folder : (Iterable<Path>) folders::iterator) {
                String name = folder.getFileName().toString();
                if (name.matches("\\d+-\\d+") && stale(folder, name.substring(0, name.indexOf('-')))) {
                    delete(folder);
                }
            }
        } catch (IOException e) {
            // Nothing is there, or it goes away under us.
        }
    }

    private static boolean stale(Path folder, String pid) throws IOException {
        return !Files.exists(Path.of("/proc", pid))
                || System.currentTimeMillis()
                                - Files.getLastModifiedTime(folder).toMillis()
                        > STALE_MILLIS;
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                    delete(file);
                } else {
                    Files.delete(file);
                }
            }
        }
        Files.delete(folder);
    }

    /** A VM is there. @param name its folder: process and descriptor, as KVM names it */
    public void add(Vm vm, String name) {
        synchronized (this) {
            vms.add(new Published(vm, name));
        }
        worker.schedule(task, System.nanoTime() + PERIOD_NANOS);
    }

    /** A VM goes away; nobody looks at it when this returns. */
    public synchronized void remove(Vm vm) {
        for (int i = 0; i < vms.size(); i++) {
            if (vms.get(i).vm == vm) {
                withdraw(vms.remove(i));
                return;
            }
        }
    }

    /** The process ends, and does not wait until all files are written. */
    public void close() {
        closing = true;
        synchronized (this) {
            for (Published p : vms) {
                withdraw(p);
            }
            vms.clear();
        }
    }

    /** From now on there are no files: the process is about to lose what it needs for them. */
    public synchronized void stop() {
        for (Published p : vms) {
            withdraw(p);
            p.written.clear();
        }
        broken = true;
    }

    private void withdraw(Published p) {
        Path in = root;
        if (in != null && !p.written.isEmpty()) {
            try {
                delete(in.resolve(p.name));
            } catch (IOException e) {
                // Somebody else has deleted it: all the better.
            }
        }
    }

    private synchronized long publish() {
        long now = System.nanoTime();
        for (Published p : vms) {
            if (!broken && now - p.since >= PERIOD_NANOS) {
                try {
                    publish(p);
                } catch (NoSuchFileException e) {
                    p.written.clear(); // deleted by somebody: all of it again next time
                } catch (IOException | RuntimeException e) {
                    broken = true;
                    say.accept("slate: no statistics for other processes: " + e.getMessage());
                }
            }
        }
        return vms.isEmpty() || broken ? Worker.NEVER : now + PERIOD_NANOS;
    }

    private void publish(Published p) throws IOException {
        Path folder = ownRoot().resolve(p.name);
        for (String name : p.vm.debugFiles().names()) {
            if (closing) {
                return;
            }
            if (name.equals(RMAPS) && p.rounds % RMAPS_ROUNDS != 0) {
                continue; // it looks at every page of the guest, with the MMU's lock held
            }
            String text = p.vm.debugFiles().read(name);
            if (text == null || text.equals(p.written.get(name))) {
                continue;
            }
            Path file = folder.resolve(name);
            if (p.written.put(name, text) == null) {
                Files.createDirectories(file.getParent());
            }
            byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
            // In place: whoever reads meanwhile sees the old text or the new one, never nothing.
            try (var channel =
                    java.nio.channels.FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
                channel.write(java.nio.ByteBuffer.wrap(bytes), 0);
                channel.truncate(bytes.length);
            }
        }
        p.rounds++;
        Files.setLastModifiedTime(folder, FileTime.fromMillis(System.currentTimeMillis()));
    }

    /** The root, made when it was not there; in /tmp nobody else's is taken for it. */
    private Path ownRoot() throws IOException {
        Path r = root;
        if (r == null) {
            r = root(chosen, user.getAsInt());
            Path parent = r.toAbsolutePath().getParent();
            if (parent != null && !Files.isDirectory(parent, LinkOption.NOFOLLOW_LINKS)) {
                Files.createDirectories(
                        parent, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            }
            // One that is named and there must be the user's own, wherever it is. None is made in a folder of
            // somebody else's: the process may have rights that its user has not.
            boolean there = chosen != null && Files.isDirectory(r, LinkOption.NOFOLLOW_LINKS);
            Path own = there ? r : parent;
            if (own != null && !uid(own).equals(user.getAsInt())) {
                throw new IOException(own + " belongs to somebody else");
            }
            Files.createDirectories(r);
            clean(r);
            root = r;
        }
        return r;
    }

    /** The text of a file below {@code /sys/kernel/debug/kvm/}: of a VM, or the sum over all VMs; null: there is none. */
    public synchronized @Nullable String text(String path) {
        int slash = path.indexOf('/');
        if (slash < 0) {
            return sum(path);
        }
        for (Published p : vms) {
            if (p.name.equals(path.substring(0, slash))) {
                return p.vm.debugFiles().read(path.substring(slash + 1));
            }
        }
        return null;
    }

    /** A 0 written to a file that {@link #text} knows: a counter of one VM, or of all, starts again. */
    public synchronized void clear(String path) {
        int slash = path.indexOf('/');
        for (Published p : vms) {
            if (slash < 0 || p.name.equals(path.substring(0, slash))) {
                p.vm.debugFiles().clear(path.substring(slash + 1));
            }
        }
    }

    private @Nullable String sum(String name) {
        if (!isStatistic(name)) {
            return null;
        }
        long sum = 0;
        for (Published p : vms) {
            String text = p.vm.debugFiles().read(name);
            sum += text == null ? 0 : Long.parseLong(text.strip());
        }
        return sum + "\n";
    }

    private static boolean isStatistic(String name) {
        for (Stat s : VmStats.SCHEMA) {
            if (s.name().equals(name)) {
                return true;
            }
        }
        for (Stat s : VcpuStats.SCHEMA) {
            if (s.name().equals(name)) {
                return true;
            }
        }
        return false;
    }
}
