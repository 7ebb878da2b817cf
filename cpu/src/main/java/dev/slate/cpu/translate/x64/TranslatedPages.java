package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.TranslationObserver;
import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mmu.Tlb;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The translated pages of a processor, their units, and what proves them current. */
final class TranslatedPages {
    // What lies on the heap, by the sizes of the fields and of what an array keeps free.
    private static final int UNIT_BYTES = 96;
    private static final int PAGE_BYTES = 256;

    private final Cpu cpu;
    private final StateBlock state;
    private final CodeTlb codeTlb;
    private final @Nullable TranslationObserver observer;

    private final PageRecords records = new PageRecords();
    /** By host page: the first of those that {@link TranslatedPage#sameHva} links. */
    private final LongMap<TranslatedPage> pages = new LongMap<>();
    /** By rip and mode: the one made last. */
    private final LongMap<Unit> unitsAt = new LongMap<>();

    private int pageCount;
    private int unitCount;
    /** Units that only hold a part of another page's instruction. */
    private int partCount;

    TranslatedPages(Cpu cpu, StateBlock state, CodeTlb codeTlb) {
        this.cpu = cpu;
        this.state = state;
        this.codeTlb = codeTlb;
        this.observer = cpu.observers.translations;
    }

    /** What tells a rip and a mode from others. */
    static long key(long rip, int mode) {
        // The upper bits of a canonical address, seven of them at least, are all the same.
        return rip << X64Translator.MODE_BITS | mode;
    }

    /** The unit made last for a rip and a mode, if its page is alive. */
    @Nullable
    Unit last(long rip, int mode) {
        Unit unit = unitsAt.get(key(rip, mode));
        return unit != null && unit.rip == rip && !unit.page.dead ? unit : null;
    }

    /** The page that code of {@code mode} at {@code linear} goes to when it lies at {@code hva}, if it is alive. */
    @Nullable
    TranslatedPage page(long linear, long hva, int mode) {
        for (TranslatedPage p = pages.get(hva); p != null; p = p.sameHva) {
            if (p.linear == linear && p.mode == mode && !p.dead) {
                return p;
            }
        }
        return null;
    }

    /** The same, proved in {@code epoch}; made when there is none. The processor has just found code there. */
    TranslatedPage current(long linear, long hva, int mode, long epoch) {
        TranslatedPage page = page(linear, hva, mode);
        if (page != null && proved(page, epoch)) {
            return page;
        }
        TranslatedPage others = pages.get(hva);
        while (others != null && others.dead) {
            others = others.sameHva;
        }
        page = new TranslatedPage(linear, hva, mode, records.create(linear, hva, mode), others);
        records.prove(page.record, epoch);
        pages.put(hva, page);
        codeTlb.holdsCode(linear);
        pageCount++;
        return page;
    }

    /** Of an instruction at {@code rip} on another page, the bytes {@code part} lie on {@code page}. */
    void addPart(TranslatedPage page, Block part, long rip) {
        Unit known = page.unit(rip);
        if (known == null || !Arrays.equals(known.block.bytes, part.bytes)) {
            page.add(new Unit(part, rip, page, 0, 0));
            records.add(page.record, part);
            partCount++;
        }
    }

    /**
     * Whether the instruction of a site with {@link Sites#STRADDLES} may be executed: the page that it goes on in is the one of {@code record}, and
     * proved. If it is another one now, the page that it begins on is translated anew.
     */
    boolean provedSecond(long rip, long record, int mode, long epoch) {
        long linear = rip & -4096L;
        long first = host(linear, mode);
        long second = host(linear + 4096, mode);
        if (first == 0 || second == 0) {
            // The processor looks for the instruction, and the TLB has both next time.
            return false;
        }
        TranslatedPage to = page(linear + 4096, second, mode);
        if (to != null && to.record == record && proved(to, epoch)) {
            return mapped(to);
        }
        TranslatedPage from = page(linear, first, mode);
        if (from != null) {
            end(from);
        }
        return false;
    }

    /** A unit of a page has been made. */
    void add(Unit unit) {
        unitCount++;
        records.add(unit.page.record, unit.block);
        unitsAt.put(key(unit.rip, unit.page.mode), unit);
    }

    /** Whether the code of a page, which is where it was, may be entered: its bytes are compared once in an epoch. */
    boolean proved(TranslatedPage page, long epoch) {
        if (page.dead) {
            return false;
        }
        long record = page.record;
        if (records.isProved(record, epoch)) {
            return true;
        }
        if (!records.isOpen(record) || !records.matches(record)) {
            for (int i = 0; i < page.count; i++) {
                if (!cpu.forTranslator.proves(page.all[i].block)) {
                    end(page);
                    return false;
                }
            }
            records.refresh(record, page.all, page.count, page.linear);
        }
        records.prove(record, epoch);
        return true;
    }

    /** Nothing enters the page any more. */
    void end(TranslatedPage page) {
        page.dead = true;
        records.close(page.record);
        cpu.translation.invalidations++;
        if (observer != null) {
            observer.invalidated(page.linear, page.count);
        }
    }

    /** Whether a page lies where it did, as far as that can be told without a walk. */
    boolean mapped(TranslatedPage page) {
        if (records.isMapped(page.record, state)) {
            return true;
        }
        if (host(page.linear, page.mode) != page.hva) {
            return false;
        }
        map(page);
        return true;
    }

    /** The page has just been found where it lies, whether or not the TLB still has it. */
    void map(TranslatedPage page) {
        records.map(page.record, host(page.linear, page.mode) == page.hva && cpu.tlb.isGlobal(page.linear), state);
    }

    /** The host's address of a page of code as far as the TLB has it; 0: it does not. */
    long host(long linear, int mode) {
        Tlb tlb = cpu.tlb;
        return tlb.hits(linear, 1, Tlb.FETCH, mode & 3) ? tlb.hva(linear) : 0;
    }

    /** A store has met code of a page. */
    void stored(long hva) {
        for (TranslatedPage p = pages.get(hva); p != null; p = p.sameHva) {
            records.close(p.record);
        }
    }

    /** Bytes that all of it takes, once one more block and those behind it have been translated. */
    long bytes() {
        return pages.bytes(2)
                + unitsAt.bytes(Parts.MOST)
                + (long) UNIT_BYTES * (unitCount + partCount + Parts.MOST + 1)
                + (long) PAGE_BYTES * (pageCount + 2)
                + records.bytes();
    }

    /** Nothing is translated any more; returns how many units that were. */
    int clear() {
        pages.forEach(TranslatedPages::kill);
        pages.clear();
        unitsAt.clear();
        records.clear();
        codeTlb.holdsNoCode();
        int units = unitCount;
        pageCount = 0;
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
