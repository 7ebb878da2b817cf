package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.TranslationObserver;
import org.jspecify.annotations.Nullable;

/** The memory that a processor's translations take, and what of the machine's budget it holds for them. Of the processor's thread only. */
final class Holding {
    /** Room that the longest translation cannot fill, and its ways out cannot. */
    static final int LONGEST = 32 << 10;

    /** Sites that the longest translation cannot need. */
    private static final int MOST_SITES = 1024;

    /** In such pieces memory is drawn. */
    private static final int PIECE = 64 << 10;

    /** What a translator takes before it has translated anything. */
    static final long LEAST = StateBlock.BYTES + JumpCache.LEAST + 6L * PIECE & -(long) PIECE;

    private final TranslationBudget budget;
    private final TranslationFigures figures;
    private final @Nullable TranslationObserver observer;

    /** Where the translations go, and where their ways out do: seldom run, they would only keep code that often runs apart. */
    final CodeArea code;

    final CodeArea waysOut;
    final Sites sites;
    private final JumpCache jumps;
    private final TranslatedPages pages;
    private final CodeTlb codeTlb;

    /** What of the budget this processor holds. */
    private long held = LEAST;

    /** @param budget {@link #LEAST} bytes of it have been taken */
    Holding(
            Cpu cpu,
            TranslationBudget budget,
            CodeArea code,
            CodeArea waysOut,
            Sites sites,
            JumpCache jumps,
            TranslatedPages pages,
            CodeTlb codeTlb) {
        this.budget = budget;
        this.figures = cpu.translation;
        this.observer = cpu.observers.translations;
        this.code = code;
        this.waysOut = waysOut;
        this.sites = sites;
        this.jumps = jumps;
        this.pages = pages;
        this.codeTlb = codeTlb;
        figures.memory = held;
    }

    /** Gives all of it back, for good. */
    void leave() {
        budget.leave(held);
    }

    /** Whether others want for what this processor holds beyond an equal part. */
    boolean isAskedBack() {
        // Where there are so many that an equal part is less than the least, nothing is gained by giving up.
        return held > LEAST && budget.asksBack(held);
    }

    /** What all of it takes once one more block of one more page has been translated, in whole pieces. */
    private long needed() {
        long tables = StateBlock.BYTES + JumpCache.LEAST + jumps.more() + codeTlb.bytes();
        long all = tables + code.memory(LONGEST) + waysOut.memory(LONGEST) + sites.memory(MOST_SITES) + pages.bytes();
        return all + PIECE - 1 & -(long) PIECE;
    }

    /** Whether one more block can be translated; if not, what there is may have been given up for others. */
    boolean hasRoom() {
        if (code.room() < LONGEST || waysOut.room() < LONGEST) {
            reset();
            return false;
        }
        long needed = needed();
        if (needed <= held) {
            return true;
        }
        if (budget.take(needed - held)) {
            held = needed;
            figures.memory = held;
            return true;
        }
        if (needed > budget.share()) {
            reset();
        }
        return false;
    }

    /** Everything goes, and its memory back. Never while code is about to go on. */
    void reset() {
        int units = pages.clear();
        sites.clear();
        jumps.clear();
        codeTlb.shrink();
        if (observer != null) {
            observer.reset(units);
        }
        code.clear();
        waysOut.clear();
        long needed = Math.max(needed(), LEAST);
        if (needed < held) {
            budget.give(held - needed);
            held = needed;
        }
        figures.memory = held;
        figures.resets++;
    }

    /** Puts a larger TLB behind that of the state block, if there is room. */
    void takeSecond() {
        if (codeTlb.bytes() == 0 && budget.take(SecondTlb.BYTES)) {
            held += SecondTlb.BYTES;
            figures.memory = held;
            codeTlb.grow();
        }
    }

    /** Makes the jump cache larger, if there is room. */
    void takeJumps() {
        int more = jumps.step();
        if (budget.take(more)) {
            held += more;
            figures.memory = held;
            jumps.grow();
        }
    }
}
