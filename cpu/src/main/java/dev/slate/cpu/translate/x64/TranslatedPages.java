package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mmu.Tlb;
import java.util.Arrays;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** The translated pages of a processor, their units, and what proves them current. */
final class TranslatedPages {
    // What lies on the heap, by the sizes of the fields and of what an array keeps free.
    private static final int UNIT_BYTES = 88;
    private static final int PAGE_BYTES = 320;
    private static final int PLACE_BYTES = 40;

    /** Of {@link #recent}, a power of two. */
    private static final int RECENT = 4096;

    private final Cpu cpu;
    private final StateBlock state;
    private final CodeTlb codeTlb;
    private final @Nullable TranslationObserver observer;

    private final PageRecords records = new PageRecords();
    /** By host page: the first of those that {@link TranslatedPage#sameHva} links. */
    private final LongMap<TranslatedPage> pages = new LongMap<>();
    /** By a hash of linear address and mode: the place found last. */
    private @Nullable Place[] recent = new Place[RECENT];

    private int pageCount;
    private int placeCount;
    /** Of how many places {@link #codeTlb} has been told since it was told anew, and of how many it may be before it is. */
    private int marked;

    private int mostMarked;

    private int unitCount;
    /** Units that only hold a part of another page's instruction. */
    private int partCount;

    TranslatedPages(Cpu cpu, StateBlock state, CodeTlb codeTlb) {
        this.cpu = cpu;
        this.state = state;
        this.codeTlb = codeTlb;
        mostMarked = codeTlb.most();
        this.observer = cpu.observers.translations;
    }

    /** What tells a rip and a mode from others. */
    static long key(long rip, int mode) {
        // The upper bits of a canonical address, seven of them at least, are all the same.
        return rip << X64Translator.MODE_BITS | mode;
    }

    /** The page with code of {@code mode} for {@code linear} when it lies at {@code hva}, if it is alive. */
    private @Nullable TranslatedPage page(long linear, long hva, int mode) {
        boolean movable = TranslatedPage.isMovable(linear);
        for (TranslatedPage p = pages.get(hva); p != null; p = p.sameHva) {
            if (p.mode == mode && !p.dead && (movable ? p.movable : p.linear == linear)) {
                return p;
            }
        }
        return null;
    }

    /**
     * The place of code of {@code mode} at {@code linear}, where {@code hva} lies; null: nothing has been translated that can be executed there.
     */
    @Nullable
    Place find(long linear, long hva, int mode) {
        TranslatedPage page = page(linear, hva, mode);
        return page != null ? at(page, linear) : null;
    }

    /** The same, proved in {@code epoch}; made when there is none. The processor has just found code there. */
    Place current(long linear, long hva, int mode, long epoch) {
        Place place = find(linear, hva, mode);
        if (place != null && proved(place, epoch)) {
            return place;
        }
        TranslatedPage others = pages.get(hva);
        while (others != null && others.dead) {
            others = others.sameHva;
        }
        TranslatedPage page = new TranslatedPage(linear, hva, mode, records.createLines(hva), others);
        pages.put(hva, page);
        pageCount++;
        place = put(page, linear);
        records.prove(place.record, epoch);
        return place;
    }

    /** The place of a page at a linear address; null: its code cannot be executed there. */
    @Nullable
    Place at(TranslatedPage page, long linear) {
        Place place = page.at(linear);
        return place != null || !page.movable || !TranslatedPage.isMovable(linear) ? place : put(page, linear);
    }

    /** A new place of a page. */
    private Place put(TranslatedPage page, long linear) {
        Place place = new Place(page, linear, records.create(page.lines, linear, page.mode));
        Place old = page.add(place);
        if (old != null) {
            // Links and jump caches may have its record as long as there is any code.
            records.forget(old.record);
        } else {
            placeCount++;
        }
        codeTlb.setCode(linear);
        if (++marked > mostMarked) {
            mark();
        }
        return place;
    }

    /** Tells anew where there is code: not where there has been. */
    private void mark() {
        marked = 0;
        forEachPlace(place -> marked++);
        codeTlb.holdsNoCode(2 * marked);
        forEachPlace(place -> codeTlb.setCode(place.linear));
        mostMarked = Math.max(codeTlb.most(), 2 * marked);
    }

    private void forEachPlace(Consumer<Place> action) {
        pages.forEach(first -> {
            for (TranslatedPage p = first; p != null; p = p.sameHva) {
                if (!p.dead) {
                    p.forEachPlace(action);
                }
            }
        });
    }

    private static int recently(long linear, int mode) {
        return (int) (key(linear, mode) * LongMap.SPREAD >>> 32) & RECENT - 1;
    }

    /** The place of code of a mode that is known to be at a linear address now, as far as that can be told without a walk. */
    @Nullable
    Place mapped(long linear, int mode) {
        Place place = recent[recently(linear, mode)];
        if (place != null
                && place.linear == linear
                && place.page.mode == mode
                && !place.page.dead
                && !place.forgotten
                && isMapped(place)) {
            // Code that has been looked for in vain: another page may have taken the place of this one's entry.
            state.place(linear | mode, place.record);
            return place;
        }
        long hva = host(linear, mode);
        place = hva != 0 ? find(linear, hva, mode) : null;
        if (place != null) {
            map(place);
        }
        return place;
    }

    /** Of an instruction that begins on the page before, the bytes {@code part} lie on {@code page}. @param offset where it begins, negative */
    void addPart(TranslatedPage page, Block part, int offset) {
        Unit known = page.unit(offset);
        if (known == null
                || known.block.byteLength != part.byteLength
                || !Arrays.equals(known.block.bytes, part.bytes)) {
            page.add(new Unit(part, offset, page, 0, 0));
            addLines(page, part);
            partCount++;
        }
    }

    /**
     * Whether the instruction of a site with {@link Sites#STRADDLES} may be executed: the page that it goes on in is the one of {@code record}.
     * If it is another one now, the page that it begins on is translated anew.
     *
     * @return the record of that page's place, which is proved, or 0
     */
    long provedSecond(long rip, long record, int mode, long epoch) {
        long linear = rip & -4096L;
        long first = host(linear, mode);
        long second = host(linear + 4096, mode);
        if (first == 0 || second == 0) {
            // The processor looks for the instruction, and the TLB has both next time.
            return 0;
        }
        Place to = find(linear + 4096, second, mode);
        if (to != null && records.areOfOnePage(to.record, record) && proved(to, epoch)) {
            map(to);
            return to.record;
        }
        TranslatedPage from = page(linear, first, mode);
        if (from != null) {
            end(from);
        }
        return 0;
    }

    /** A unit of a page has been made, and stands where all code begins at {@code base}. */
    void add(Unit unit, long base) {
        unitCount++;
        records.addUnit(unit.page.lines, unit.offset, unit.withoutFlags - base);
        addLines(unit.page, unit.block);
    }

    private void addLines(TranslatedPage page, Block b) {
        if (!records.add(page.lines, b)) {
            close(page);
        }
    }

    /** Leaves it to Java to prove a page, from now on. */
    private void close(TranslatedPage page) {
        records.close(page.lines);
        page.forEachPlace(place -> records.unprove(place.record));
    }

    /** Whether the code of a page at a place, where it is, may be entered: its bytes are compared once in an epoch. */
    boolean proved(Place place, long epoch) {
        TranslatedPage page = place.page;
        if (page.dead) {
            return false;
        }
        if (records.isProved(place.record, epoch)) {
            return true;
        }
        if (!records.isMatched(page.lines, epoch) && (!records.isOpen(page.lines) || !records.matches(page.lines))) {
            for (int i = 0; i < page.count; i++) {
                if (!cpu.forTranslator.proves(page.all[i].block)) {
                    end(page);
                    return false;
                }
            }
            records.refresh(page.lines, page.all, page.count);
        }
        records.matched(page.lines, epoch);
        records.prove(place.record, epoch);
        return true;
    }

    /** Nothing enters the page any more. */
    void end(TranslatedPage page) {
        page.dead = true;
        close(page);
        cpu.translation.invalidations++;
        if (observer != null) {
            observer.invalidated(page.linear, page.count);
        }
    }

    /** Whether the page is known to lie at a place still. */
    boolean isMapped(Place place) {
        return records.isMapped(place.record, state);
    }

    /** The page has just been found to lie at a place, whether or not the TLB still has it. */
    void map(Place place) {
        boolean found = host(place.linear, place.page.mode) == place.page.hva;
        records.map(place.record, found && cpu.tlb.isGlobal(place.linear), state);
        recent[recently(place.linear, place.page.mode)] = place;
        state.place(place.linear | place.page.mode, place.record);
    }

    /** The host's address of a page of code as far as the TLB has it; 0: it does not. */
    long host(long linear, int mode) {
        Tlb tlb = cpu.tlb;
        return tlb.hits(linear, 1, Tlb.FETCH, mode & 3) ? tlb.hva(linear) : 0;
    }

    /** A store has met code of a page. */
    void stored(long hva) {
        for (TranslatedPage p = pages.get(hva); p != null; p = p.sameHva) {
            close(p);
        }
    }

    /** Whether places have taken memory since this was asked last, or units have. */
    boolean hasGrown() {
        return records.hasGrown();
    }

    /** Bytes that all of it takes, once one more block and those behind it have been translated. */
    long bytes() {
        return pages.bytes(2)
                + (long) UNIT_BYTES * (unitCount + partCount + Parts.MOST + 1)
                + (long) PAGE_BYTES * (pageCount + 2)
                + (long) PLACE_BYTES * (placeCount + 2)
                + codeTlb.codeBytes()
                + records.bytes();
    }

    /** Nothing is translated any more; returns how many units that were. */
    int clear() {
        pages.forEach(TranslatedPages::kill);
        pages.clear();
        recent = new Place[RECENT];
        state.forgetPlaces();
        records.clear();
        mark();
        int units = unitCount;
        pageCount = 0;
        placeCount = 0;
        unitCount = 0;
        partCount = 0;
        return units;
    }

    private static void kill(TranslatedPage first) {
        for (TranslatedPage p = first; p != null; p = p.sameHva) {
            p.dead = true;
        }
    }
}
