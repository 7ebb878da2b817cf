package dev.slate.cpu.translate;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.Translator;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.FaultGuard;
import dev.slate.cpu.mmu.TlbMirror;
import dev.slate.cpu.translate.x64.X64Translator;
import java.util.Objects;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Stands where a translator will, until the first block is hot: most processors of a test never run long enough, and linking native
 * calls costs some 20 ms once.
 */
public final class LazyTranslator implements Translator {
    private @Nullable Cpu cpu;
    /** It waits for its part of the budget. */
    private boolean joined;

    private final FaultGuard guard;
    private final int threshold;
    private final TranslationBudget budget;
    private final boolean compares;
    private final BooleanSupplier allowed;
    private final Runnable made;
    private final Runnable much;
    private final Runnable refused;

    /**
     * Nothing is translated yet.
     *
     * @param threshold how often a block is entered before it is translated
     * @param budget what the translations of all processors of the machine may take
     * @param compares whether the interpreter does all of it again, see {@link X64Translator#create}
     * @param allowed whether a library may be loaded now, which the first translation does; where not, all code is interpreted from then on
     * @param made told when the first block is about to be translated
     * @param much told when many have been, see {@link X64Translator#create}
     * @param refused told when the host allows no executable memory, so that all code is interpreted
     */
    public LazyTranslator(
            FaultGuard guard,
            int threshold,
            TranslationBudget budget,
            boolean compares,
            BooleanSupplier allowed,
            Runnable made,
            Runnable much,
            Runnable refused) {
        this.guard = guard;
        this.threshold = threshold;
        this.budget = budget;
        this.compares = compares;
        this.allowed = allowed;
        this.made = made;
        this.much = much;
        this.refused = refused;
    }

    /** Stands in {@code c} from now on. */
    public void attach(Cpu c) {
        cpu = c;
        c.translator(this);
    }

    @Override
    public boolean wants(Block b) {
        return ++b.heat >= threshold;
    }

    @Override
    public boolean enters(Block b) {
        if (++b.heat < threshold) {
            return false;
        }
        boolean may = allowed.getAsBoolean();
        if (may && !joined) {
            joined = true;
            budget.join();
        }
        if (may && !budget.take(X64Translator.LEAST)) {
            // The other processors hold all of it; they are asked.
            b.heat = 0;
            return false;
        }
        joined &= !may;
        Cpu c = Objects.requireNonNull(cpu);
        Translator real = may ? X64Translator.create(c, guard, threshold, budget, compares, much) : null;
        c.translator(real);
        if (real == null) {
            refused.run();
            return false;
        }
        made.run();
        return real.enters(b);
    }

    @Override
    public int run(Block b) {
        throw new IllegalStateException("nothing has been translated");
    }

    @Override
    public void codeStored(long hvaPage) {}

    @Override
    public void close() {
        if (joined) {
            joined = false;
            budget.leave(0);
        }
    }

    @Override
    public @Nullable TlbMirror mirror() {
        return null;
    }
}
