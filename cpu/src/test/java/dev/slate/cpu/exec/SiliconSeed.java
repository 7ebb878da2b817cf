package dev.slate.cpu.exec;

import java.util.List;

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
        SiliconTest.Run run = new SiliconTest.Run(Long.parseLong(arguments[0]), false);
        List<String> failures = run.run(Long.parseLong(arguments[1]));
        System.out.println("silicon: " + run.line());
        System.exit(failures.isEmpty() ? 0 : 1);
    }
}
