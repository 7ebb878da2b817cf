package dev.slate.kvm.host;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * What the hypervisor needs of the machine and operating system it runs on. {@code device} implements it over its native library;
 * {@code ArenaHost} is the implementation in plain Java.
 *
 * <p>Thread-safe. Addresses are host virtual addresses (hva, bytes).
 */
public interface HostServices {
    /**
     * Makes every page of {@code [hva, hva + bytes)} present, so that touching it cannot fault (docs/decisions/0003). May block while
     * another thread of the process resolves the fault (userfaultfd).
     *
     * @param hva a multiple of 4096
     * @param bytes a multiple of 4096, at least 4096
     * @param write present for writing, copy-on-write broken; else for reading
     * @return 0, or a positive errno number: 14 (EFAULT) for a hole or a page of another protection
     */
    int populate(long hva, long bytes, boolean write);

    /** Whether the 2 MiB region at {@code hva} (a multiple of 2 MiB) is mapped by one huge page. False when that can't be known. */
    boolean hugeMapped(long hva);

    /** The host's time-stamp counter; a counter made of the monotonic clock where there is none. */
    long readTsc();

    /** Whether {@link #readTsc} is what RDTSC reads in this process. */
    default boolean hasTsc() {
        return false;
    }

    /** Frequency of {@link #readTsc} in kHz, more than 0. */
    long tscKhz();

    /** EAX, EBX, ECX, EDX of CPUID on the host; null where the host is no x86. */
    int @Nullable [] cpuid(int leaf, int subleaf);

    /**
     * Waits until {@link #wake} is called on the 32-bit word at {@code wordHva}. Returns at once when the word is not
     * {@code expected}; also returns after a signal, after {@code nanos}, or for no reason.
     *
     * @param wordHva a multiple of 4
     * @param nanos at most this long; {@link Long#MAX_VALUE} for ever
     */
    void await(long wordHva, int expected, long nanos);

    /** Wakes every thread that waits on the word. */
    void wake(long wordHva);

    /**
     * Whether the calling process may load a library now, as the first use of {@link java.lang.foreign.Linker} does: false behind a
     * filter of system calls that the client has installed and that forbids it.
     */
    default boolean mayLoadLibraries() {
        return true;
    }

    /** Much of a guest is machine code from now on: it no longer waits for what a JVM's best compiler makes. Told once a vCPU. */
    default void guestIsMachineCode() {}

    /** How long the calling thread has been ready to run and did not, in nanoseconds; 0 where that can't be known. */
    default long runDelayNanos() {
        return 0;
    }

    /** How much processor time the calling thread has had, in nanoseconds; 0 where that can't be known. */
    default long processorTimeNanos() {
        try {
            String stat = Files.readString(Path.of("/proc/thread-self/schedstat"));
            return Long.parseLong(stat.substring(0, stat.indexOf(' ')));
        } catch (IOException | RuntimeException e) {
            return 0;
        }
    }

    /** Whether two threads can share a core of the host's. */
    default boolean smtPossible() {
        try {
            String control = Files.readString(Path.of("/sys/devices/system/cpu/smt/control"))
                    .strip();
            return !control.equals("forceoff") && !control.equals("notsupported");
        } catch (IOException e) {
            return true;
        }
    }

    /** Whether the process could reboot the machine ({@code capable(CAP_SYS_BOOT)}): KVM asks it before it gives up a protection of the host. */
    default boolean mayReboot() {
        return false;
    }

    /**
     * Lets a fault of the host's within machine code go on elsewhere: whoever runs it may meet memory that has lost its page behind
     * everybody's back. By default nothing is done: where all guest memory is the process's own, that cannot happen.
     *
     * @param start address of the code
     * @param end where it ends
     * @param resume where it goes on, with the faulting instruction's address in RAX
     * @return whether that is so from now on; code of which it is not must not run
     */
    default boolean addCode(long start, long end, long resume) {
        return true;
    }

    /** Forgets the code that begins at {@code start}. */
    default void removeCode(long start) {}

    /** Whether {@link #nameCode} wants to be told of machine code as it is made. */
    default boolean wantsCodeNames() {
        return false;
    }

    /**
     * Tells profilers what machine code stands for.
     *
     * @param start its address, at which other code may have been before
     * @param bytes its size
     * @param name without a line break
     */
    default void nameCode(long start, int bytes, String name) {}

    /** Tells a person, who is not asking, a line that begins with what speaks. */
    default void say(String line) {}

    /**
     * Native memory, zeroed, counted.
     *
     * @param bytes more than 0
     * @param alignment a power of two
     * @return its address; 0 when there is none left
     */
    long allocate(long bytes, long alignment);

    /** Gives back what {@link #allocate} gave, with the same {@code bytes}. */
    void free(long hva, long bytes);

    /** Number of the host's processor on which the calling thread runs; -1 when that can't be known. */
    default int currentCpu() {
        try {
            String stat = Files.readString(Path.of("/proc/thread-self/stat"));
            // Behind the name in parentheses, which may hold anything, it is the 37th word (proc(5)).
            return Integer.parseInt(stat.substring(stat.lastIndexOf(')') + 2).split(" ")[36]);
        } catch (IOException | RuntimeException e) {
            return -1;
        }
    }
}
