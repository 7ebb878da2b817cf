package dev.slate.device;

import dev.slate.cpu.mem.ExecutableMemory;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.Vm;
import dev.slate.kvm.cpuid.CpuidEntry;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;

/**
 * Where the shim comes in: the table of files, and the calls that native/jvm.c makes. Every entry catches what it throws; errors leave
 * as negative errnos.
 */
final class Device {
    /** As SCRATCH_BYTES in native/slate.h. */
    static final int SCRATCH_BYTES = 16384;
    // Where a request and its answer stand: in struct mailbox of native/slate.h, behind the scratch bytes.
    static final int ANSWER = SCRATCH_BYTES + 16;
    private static final int HANDLE = ANSWER + 8;
    private static final int KIND = HANDLE + 4;
    private static final int NUMBER = KIND + 4;
    private static final int ARGUMENT = NUMBER + 8;
    /** Native memory of a thread: the scratch bytes and the mailbox. */
    static final int THREAD_BYTES = ARGUMENT + 8;

    private static @Nullable KvmFile[] files = new KvmFile[64];
    private static @Nullable SystemFile system;

    /** The VMs that live; changed under the write lock, walked under the read lock, which spans a change of the client's memory. */
    private static Vm[] vms = {};

    private static final ReentrantReadWriteLock VMS_LOCK = new ReentrantReadWriteLock();
    /** struct watched of native/slate.h: where memory slots are. */
    private static long watched;

    private static final int WATCHED_END = 8;
    private static final int WATCHED_GRANULES = 16;
    private static final int GRANULE_SHIFT = 21;
    /** First host address that it has no bit for, behind all that a client has. */
    static final long WATCHED_HVAS = 1L << 47;

    private static boolean statistics;

    private Device() {}

    /** Once, when the JVM has started. A knob that is wrong ends the process: it would not run as it was asked to. */
    static void start() {
        Knobs knobs = Knobs.standard();
        String chosen = Native.environment("SLATE_SET");
        try {
            if (chosen != null) {
                knobs = Knobs.parse(chosen);
            }
        } catch (IllegalArgumentException e) {
            say("slate: " + e.getMessage());
            Native.quit(2);
        }
        String recording = Native.environment("SLATE_JFR");
        if (recording != null && !recording.isEmpty()) {
            FlightRecording.start(recording);
        }
        if ("1".equals(Native.environment("SLATE_PERF_MAP"))) {
            PerfMap.start();
        }
        statistics = "1".equals(Native.environment("SLATE_STATS"));
        Kvm kvm = new Kvm(new NativeHost(), knobs);
        try {
            Watching.start(kvm);
        } catch (IllegalArgumentException e) {
            say("slate: " + e.getMessage());
            Native.quit(2);
        }
        start(new SystemFile(kvm));
        if (!"1".equals(Native.environment("SLATE_QUIET"))) {
            say("slate: this is Slate, KVM in user space (" + mode(chosen) + ")");
            if (knobs.on(Knobs.NESTED) && !offersSvm(kvm)) {
                say("slate: nested=on changes nothing while guests have an Intel processor: add --set cpu.vendor=amd");
            }
        }
    }

    /** CPUID 8000_0001h ECX[2]. */
    private static boolean offersSvm(Kvm kvm) {
        for (CpuidEntry entry : kvm.supportedCpuid()) {
            if (entry.function() == 0x8000_0001) {
                return (entry.ecx() & 4) != 0;
            }
        }
        return false;
    }

    /** For training and tests: the same without an environment. */
    static void start(SystemFile answers) {
        watched = Native.watched();
        system = answers;
    }

    private static String mode(@Nullable String chosen) {
        String set = chosen == null ? "" : String.join(", ", chosen.strip().split("\\s*\n\\s*"));
        return set.isEmpty() ? "nested paging in software, no hardware virtualization" : set;
    }

    static SystemFile system() {
        SystemFile s = system;
        if (s == null) {
            throw new IllegalStateException("Device.start has not run");
        }
        return s;
    }

    /**
     * An ioctl on a KVM descriptor, as it stands in the thread's mailbox. What ioctl(2) gives, or a negative errno, stands there afterwards:
     * where nothing was put there this has thrown, and the caller need not ask the JVM each time.
     */
    static void ioctl(long scratch) {
        int kind = HostMemory.get32(scratch + KIND);
        int request = HostMemory.get32(scratch + NUMBER);
        long arg = HostMemory.get64(scratch + ARGUMENT);
        HostMemory.put64(scratch + ANSWER, answer(HostMemory.get32(scratch + HANDLE), kind, request, arg, scratch));
    }

    /**
     * The same without a client.
     *
     * @param kind {@code Native.KIND_*}; the files of /dev/kvm itself share one object
     */
    static long ioctl(int handle, int kind, int request, long arg, long scratch) {
        HostMemory.put32(scratch + HANDLE, handle);
        HostMemory.put32(scratch + KIND, kind);
        HostMemory.put32(scratch + NUMBER, request);
        HostMemory.put64(scratch + ARGUMENT, arg);
        ioctl(scratch);
        return HostMemory.get64(scratch + ANSWER);
    }

    private static long answer(int handle, int kind, int request, long arg, long scratch) {
        try {
            if (kind == Native.KIND_SYSTEM) {
                return system().ioctl(request, arg, scratch);
            }
            if (kind >= Native.KIND_PSEUDO) {
                return -withoutFile(kind).number();
            }
            KvmFile file = files[handle];
            if (file == null) {
                return -Errno.EBADF.number();
            }
            return file.ioctl(request, arg, scratch);
        } catch (KvmException e) {
            return -e.errno().number();
        } catch (OutOfMemoryError e) {
            return -Errno.ENOMEM.number();
        } catch (Throwable e) {
            bug("ioctl 0x" + Integer.toHexString(request), e);
            return -Errno.EIO.number();
        }
    }

    /** What a request gets on a descriptor that has nothing behind it here. */
    private static Errno withoutFile(int kind) {
        return switch (kind) {
            case Native.KIND_PSEUDO -> Errno.ENOTTY;
            case Native.KIND_FOREIGN -> Errno.EIO; // as KVM: a VM is for the process that made it
            default -> Errno.EBADF; // O_PATH
        };
    }

    /** The last descriptor of a file is gone. */
    static void release(int handle) {
        try {
            KvmFile file;
            synchronized (Device.class) {
                file = files[handle];
                files[handle] = null;
            }
            if (file != null) {
                file.release();
            }
        } catch (Throwable e) {
            bug("close", e);
        }
    }

    /** A statistics descriptor is about to be read. */
    static void refresh(int handle) {
        try {
            if (files[handle] instanceof StatsFile file) {
                file.refresh();
            }
        } catch (Throwable e) {
            bug("read of statistics", e);
        }
    }

    /**
     * The client changes its mapping of {@code [startHva, endHva)}: when {@code begin} has returned, no vCPU touches it until the call
     * with {@code begin} false, which comes from the same thread.
     */
    static void invalidate(boolean begin, long startHva, long endHva) {
        if (begin) {
            VMS_LOCK.readLock().lock();
        }
        try {
            for (Vm vm : vms) {
                if (begin) {
                    vm.hostInvalidateBegin(startHva, endHva);
                } else {
                    vm.hostInvalidateEnd(startHva, endHva);
                }
            }
        } catch (Throwable e) {
            bug("change of the client's memory", e);
        }
        if (!begin) {
            VMS_LOCK.readLock().unlock();
        }
    }

    /** Content of a file in /sys/module/kvm* or debugfs; null: there is none. */
    static byte @Nullable [] pseudoFile(String path) {
        try {
            String text = system().pseudoFile(path);
            return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
        } catch (Throwable e) {
            bug("read of " + path, e);
            return null;
        }
    }

    /** Mode bits of such a file; 0: there is none. */
    static int pseudoMode(String path) {
        try {
            return system().pseudoMode(path);
        } catch (Throwable e) {
            bug("look at " + path, e);
            return 0;
        }
    }

    /** A write to such a file: 0 or a negative errno. */
    static int pseudoWrite(String path, byte[] text) {
        try {
            system().pseudoWrite(path, new String(text, StandardCharsets.ISO_8859_1));
            return 0;
        } catch (KvmException e) {
            return -e.errno().number();
        } catch (Throwable e) {
            bug("write of " + path, e);
            return -Errno.EIO.number();
        }
    }

    /** The process ends. */
    static void exit() {
        Watching.exit();
        if (Native.environment("SLATE_JFR") != null) {
            FlightRecording.end();
        }
        system().statistics().close();
        if (statistics) {
            for (Vm vm : vms) {
                StatsReport.add(vm);
            }
            say(StatsReport.text());
        }
    }

    /** The client is about to lose the right to open files, by another root or user. */
    static void confined() {
        try {
            ClassPath.load();
            ExecutableMemory.link();
        } catch (Throwable e) {
            bug("loading its classes", e);
        }
    }

    /** The same by a seccomp filter, under which there can be no files for other processes either. */
    static void filtered() {
        confined();
        system().statistics().stop();
    }

    /** A VM begins. */
    static void open(Vm vm) {
        VMS_LOCK.writeLock().lock();
        try {
            vms = Arrays.copyOf(vms, vms.length + 1);
            vms[vms.length - 1] = vm;
        } finally {
            VMS_LOCK.writeLock().unlock();
        }
    }

    /** The last descriptor of a VM and its vCPUs is gone. */
    static void close(Vm vm) {
        system().statistics().remove(vm);
        if (statistics) {
            StatsReport.add(vm);
        }
        VMS_LOCK.writeLock().lock();
        try {
            Vm[] rest = new Vm[vms.length - 1];
            int n = 0;
            for (Vm other : vms) {
                if (other != vm) {
                    rest[n++] = other;
                }
            }
            vms = rest;
            if (rest.length == 0) {
                HostMemory.putVolatile64(watched + WATCHED_END, 0);
            }
        } finally {
            VMS_LOCK.writeLock().unlock();
        }
    }

    /** The client's memory {@code [startHva, endHva)} is about to become a memory slot: its changes matter from now on. */
    static void watch(long startHva, long endHva) {
        synchronized (Device.class) {
            long last = endHva - 1 >>> GRANULE_SHIFT;
            for (long granule = startHva >>> GRANULE_SHIFT; granule <= last; granule = (granule | 63) + 1) {
                long word = watched + WATCHED_GRANULES + (granule >>> 6 << 3);
                long bits = -1L << granule & (granule >>> 6 == last >>> 6 ? -1L >>> ~last : -1L);
                HostMemory.putVolatile64(word, HostMemory.get64(word) | bits);
            }
            long end = HostMemory.get64(watched + WATCHED_END);
            if (end == 0 || startHva < HostMemory.get64(watched)) {
                HostMemory.putVolatile64(watched, startHva);
            }
            HostMemory.putVolatile64(watched + WATCHED_END, Math.max(end, endHva));
        }
    }

    /** Makes a new file's Java side. The descriptor is not the client's before that is done. */
    @FunctionalInterface
    interface Maker {
        KvmFile make(int handle, int fd);
    }

    /**
     * A new file: native side, Java side, descriptor.
     *
     * @param id of the vCPU, whose name shows it; of a statistics file -1 for the VM's
     * @return the descriptor
     * @throws KvmException the maker's, or what the kernel gave for a descriptor
     */
    static int create(int kind, int id, long bytes, Maker maker) {
        long made = Native.newFile(kind, id, bytes);
        if (made < 0) {
            throw fromKernel((int) -made).raise();
        }
        int handle = (int) made;
        int fd = (int) (made >>> 32);
        KvmFile file;
        try {
            file = maker.make(handle, fd);
        } catch (Throwable e) {
            Native.abandon(handle, fd);
            throw e;
        }
        synchronized (Device.class) {
            if (handle >= files.length) {
                files = Arrays.copyOf(files, Math.max(2 * files.length, handle + 1));
            }
            files[handle] = file;
        }
        int installed = Native.install(handle, fd);
        if (installed < 0) {
            throw fromKernel(-installed).raise();
        }
        return installed;
    }

    static Errno fromKernel(int number) {
        for (Errno e : Errno.values()) {
            if (e.number() == number) {
                return e;
            }
        }
        return Errno.ENOMEM;
    }

    /** One text on standard error. */
    static void say(String text) {
        Native.say((text + "\n").getBytes(StandardCharsets.UTF_8));
    }

    static void bug(String during, Throwable e) {
        try {
            StringWriter trace = new StringWriter();
            e.printStackTrace(new PrintWriter(trace));
            say("slate: a bug of Slate's in " + during + "; the call fails with EIO. Please report this:\n" + trace);
        } catch (Throwable second) {
            Native.say("slate: a bug of Slate's, and no memory to describe it\n".getBytes(StandardCharsets.US_ASCII));
        }
    }
}
