package dev.slate.benchmarks.speed;

/**
 * Something to measure: rounds of a guest of guests/, which writes B before the first, E behind the last, its answer in hexadecimal and a
 * line feed.
 *
 * @param guest name of its folder
 * @param memory bytes that it needs; its first parameter
 * @param parameters those between the memory and the number of rounds, which is the last
 * @param operations of what is counted, in a round
 * @param limit what Slate's time may be of TCG's
 */
record Work(String name, String guest, long memory, long[] parameters, long operations, double limit) {
    private static final long MIB = 1 << 20;

    private static final double KERNEL_LIMIT = 1.2;

    private static final String[] LOOP_NAMES = {
        "sieve",
        "hash-scatter",
        "memcpy",
        "crc32",
        "float",
        "indirect-call",
        "quicksort",
        "pointer-chase",
        "bytecode",
        "sha256",
        "matrix",
        "strings"
    };

    /** The loops of guests/cpu-loops, in the order of their numbers. */
    static Work[] loops() {
        Work[] all = new Work[LOOP_NAMES.length];
        for (int i = 0; i < all.length; i++) {
            String name = LOOP_NAMES[i];
            boolean vectors = name.equals("float") || name.equals("matrix") || name.equals("strings");
            all[i] = new Work(name, "cpu-loops", 72 * MIB, new long[] {i}, 0, vectors ? 0.15 : 1);
        }
        return all;
    }

    /** What kernels do. A round of the fork is one child of 256 pages, of which it writes to one in 16, and its end. */
    static Work[] kernel() {
        return new Work[] {
            kernelWork("syscall", 0, 10_000),
            kernelWork("page-fault", 1, 1024),
            new Work("fork", "rmap-fork", 16 * MIB, new long[] {1, 256, 16}, 1, KERNEL_LIMIT),
            kernelWork("switch", 2, 1000),
            kernelWork("interrupt", 3, 1000),
            kernelWork("new-code", 4, 1024),
        };
    }

    private static Work kernelWork(String name, int number, long operations) {
        return new Work(name, "kernel-work", 16 * MIB, new long[] {number}, operations, KERNEL_LIMIT);
    }

    /** All parameters for so many rounds. */
    long[] parameters(long rounds) {
        long[] all = new long[parameters.length + 2];
        all[0] = memory;
        System.arraycopy(parameters, 0, all, 1, parameters.length);
        all[all.length - 1] = rounds;
        return all;
    }
}
