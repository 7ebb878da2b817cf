package dev.slate.kvm;

import java.util.Arrays;

/** One seed of {@link GarbageStreamsTest} as a program, a job of {@code slate sweep}: the seed, how many cases, and knobs. */
final class GarbageSeed {
    private GarbageSeed() {}

    /** Ends with 1 after the first case that ends in a bug; says which. One that hangs is killed by the sweep's limit. */
    public static void main(String[] arguments) {
        long seed = Long.parseLong(arguments[0]);
        long cases = Long.parseLong(arguments[1]);
        String knobs = String.join("\n", Arrays.copyOfRange(arguments, 2, arguments.length));
        GarbageStream stream = new GarbageStream(seed, knobs);
        for (long i = 0; i < cases; i++) {
            try {
                stream.run(i);
            } catch (RuntimeException | AssertionError | StackOverflowError e) {
                System.out.println(
                        "garbage: " + (i + 1) + " cases, 1 differ; number " + i + " of seed " + seed + ": " + e);
                System.exit(1);
            }
        }
        System.out.println(
                "garbage: " + cases + " cases, 0 differ, digest " + (Arrays.hashCode(stream.exits) & 0xffff_ffffL));
        System.exit(0);
    }
}
