package dev.slate.cpu.exec;

/** One seed of {@link SiliconTest} as a program, a job of {@code slate sweep}: its arguments are the seed and how many cases. */
final class SiliconSeed {
    private SiliconSeed() {}

    /** Ends with 1 when silicon and the interpreter differ, with 77 where there is no such silicon. */
    public static void main(String[] arguments) throws Exception {
        String missing = SiliconHelper.missing();
        if (!missing.isEmpty()) {
            System.out.println("silicon: " + missing);
            System.exit(77);
        }
        boolean different;
        try (SiliconHelper helper = SiliconHelper.start()) {
            SiliconTest.Run run = new SiliconTest.Run(Long.parseLong(arguments[0]), false, helper);
            different = !run.run(Long.parseLong(arguments[1])).isEmpty();
            System.out.println("silicon: " + run.line());
        }
        System.exit(different ? 1 : 0);
    }
}
