package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.mem.FaultGuard;
import org.jspecify.annotations.Nullable;

/** For memory of which no page is ever taken away. */
public final class NoFaults implements FaultGuard {
    /** The one there is. */
    public static final FaultGuard GUARD = new NoFaults();

    private NoFaults() {}

    /** A translator of {@code cpu} that draws from {@code budget}; null where the host allows none. */
    public static @Nullable X64Translator translator(Cpu cpu, int threshold, TranslationBudget budget) {
        return translator(cpu, threshold, budget, false);
    }

    /** The same; {@code compares}: everything is done again by the interpreter. */
    public static @Nullable X64Translator translator(
            Cpu cpu, int threshold, TranslationBudget budget, boolean compares) {
        return translator(cpu, threshold, budget, compares, -1);
    }

    /** The same; {@code offered}: which features of the host's are used where it has them. */
    static @Nullable X64Translator translator(
            Cpu cpu, int threshold, TranslationBudget budget, boolean compares, long offered) {
        if (!budget.take(X64Translator.LEAST)) {
            throw new IllegalArgumentException("a translator takes " + X64Translator.LEAST + " bytes");
        }
        budget.join();
        return X64Translator.create(cpu, GUARD, threshold, budget, compares, () -> {}, offered);
    }

    @Override
    public boolean add(long start, long end, long resume) {
        return true;
    }

    @Override
    public void remove(long start) {}
}
