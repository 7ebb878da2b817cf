package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationFigures;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.ExecutableMemory;
import org.jspecify.annotations.Nullable;

/** Makes units of blocks: has the code emitted, places it, and enters it where it is looked for. */
final class UnitMaker {
    /** A block becomes code with one that leads to it when it has a fourth of the heat with which it would by itself. */
    private static final int WARM = 4;

    /** Blocks that have become code when {@code much} is told: more than programs have that do little but leave the guest. */
    private static final int MUCH = 16;

    private final Cpu cpu;
    private final Emitter emitter;
    private final ExecutableMemory memory;
    private final Holding holding;
    private final TranslatedPages pages;
    private final TranslationFigures figures;
    private final @Nullable TranslationObserver observer;
    /** How often a block has been entered that is translated along with one that leads to it; 0: whatever it leads to is. */
    private final int warm;
    /** Told once that much of what the guest does is machine code. */
    private final Runnable much;

    /** @param threshold how often a block is entered before it becomes code by itself */
    UnitMaker(
            Cpu cpu,
            Emitter emitter,
            ExecutableMemory memory,
            Holding holding,
            TranslatedPages pages,
            int threshold,
            Runnable much) {
        this.cpu = cpu;
        this.emitter = emitter;
        this.memory = memory;
        this.holding = holding;
        this.pages = pages;
        this.figures = cpu.translation;
        this.observer = cpu.observers.translations;
        this.warm = threshold == 1 ? 0 : Math.max(1, threshold / WARM);
        this.much = much;
    }

    /**
     * The unit of a block under its present rip and mode, made when there is none.
     *
     * @param hva of the page on which it begins
     * @param now what code of the mode is proved under
     * @return null: it gains nothing as code, there is no room, or the page that it goes on in is not to be had
     */
    @Nullable
    Unit find(Block b, long hva, int mode, long now) {
        int offset = (int) b.rip & 4095;
        long linear = b.rip & -4096L;
        Place place = pages.find(linear, hva, mode);
        Unit unit = place != null ? place.page.unit(offset) : null;
        if (unit != null) {
            return unit;
        }
        if (!emitter.isWorthIt(b, mode)) {
            b.heat = Integer.MIN_VALUE;
            return null;
        }
        if (!holding.hasRoom()) {
            b.heat = 0;
            return null;
        }
        if (b.hva != 0) {
            place = pages.current(linear, hva, mode, now);
            unit = place.page.unit(offset);
            return unit != null ? unit : translate(b, place, null, b);
        }
        long secondHva = pages.host(linear + 4096, mode);
        if (secondHva == 0) {
            return null;
        }
        int here = 4096 - offset;
        Place second = pages.current(linear + 4096, secondHva, mode, now);
        place = pages.current(linear, hva, mode, now);
        unit = place.page.unit(offset);
        if (unit == null) {
            unit = translate(b, place, second, b.part(0, here, hva + offset));
            pages.addPart(second.page, b.part(here, b.byteLength, secondHva), -here);
        }
        return unit;
    }

    /** @param own what of the block lies at {@code place}; the rest does at {@code second} */
    private Unit translate(Block b, Place place, @Nullable Place second, Block own) {
        TranslatedPage page = place.page;
        long began = System.nanoTime();
        int known = holding.sites.count();
        Assembler a = emitter.a;
        long start = 0;
        long out;
        boolean made = false;
        try {
            emitter.translate(
                    place, second, b, own, rip -> ahead(page, rip), holding.code.next(), holding.waysOut.next());
            start = holding.code.add(a.buffer, 0, a.split());
            out = holding.waysOut.add(a.buffer, a.split(), a.at);
            for (int part = 0; part < emitter.count(); part++) {
                Unit unit = emitter.unit(part);
                pages.add(unit, memory.address());
                page.arrived(unit, memory);
                if (part > 0) {
                    unit.block.translation = unit;
                }
                if (++figures.regions == MUCH) {
                    much.run();
                }
            }
            made = true;
        } finally {
            if (!made) {
                // Memory has gone that the guest's code was read from: nothing may lead to what is made in part.
                pages.end(page);
                if (start == 0) {
                    holding.sites.forget(known);
                }
            }
        }
        figures.bytes += a.at;
        long nanos = System.nanoTime() - began;
        figures.nanos += nanos;
        if (observer != null) {
            for (int part = 0; part < emitter.count(); part++) {
                emitter.tell(
                        observer, part, part == 0 ? b : emitter.unit(part).block, start, out, part == 0 ? nanos : 0);
            }
        }
        return emitter.unit(0);
    }

    /** What {@link Emitter.Ahead} is, on a page that is proved. */
    private @Nullable Block ahead(TranslatedPage page, long rip) {
        return cpu.forTranslator.ahead(rip, page.hva | rip & 4095, warm);
    }
}
