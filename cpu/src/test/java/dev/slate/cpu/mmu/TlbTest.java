package dev.slate.cpu.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TlbTest {
    private final Tlb tlb = new Tlb();

    private static final long PAGE = 0x7f12_3456_7000L;
    private static final long HOST = 0x5555_0000_3000L;

    @Test
    void anEmptyTlbHitsNothingNotEvenAddressZero() {
        assertThat(tlb.hits(0, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(-1, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(-4096, 8, Tlb.WRITE, Tlb.USER | Tlb.SMAP)).isFalse();
    }

    @Test
    void aFilledPageHitsForEveryByteOfItAndNoOther() {
        tlb.fill(PAGE + 5, 0, HOST + 5, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 8, Tlb.READ, 0)).isTrue();
        assertThat(tlb.hits(PAGE + 4095, 1, Tlb.READ, 0)).isTrue();
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE - 1, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hva(PAGE + 123)).isEqualTo(HOST + 123);
    }

    @Test
    void anAccessOverThePagesEndNeverHits() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        assertThat(tlb.hits(PAGE + 4088, 8, Tlb.READ, 0)).isTrue();
        for (int i = 1; i < 8; i++) {
            assertThat(tlb.hits(PAGE + 4088 + i, 8, Tlb.READ, 0))
                    .as("offset %d", i)
                    .isFalse();
            assertThat(tlb.hits(PAGE + 4088 + i, 8, Tlb.WRITE, 0)).isFalse();
        }
    }

    @Test
    void aRightThatWasNotGivenIsNotThere() {
        tlb.fill(PAGE, Tlb.USER, HOST, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, Tlb.USER)).isTrue();
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, Tlb.USER)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.FETCH, Tlb.USER)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, Tlb.USER | Tlb.SMAP)).isFalse();
    }

    @Test
    void theSamePageGainsRightsAndKeepsThoseItHad() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE);
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.FETCHABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isTrue();
        assertThat(tlb.hits(PAGE, 1, Tlb.FETCH, 0)).isTrue();
    }

    @Test
    void anotherPageInTheSamePlaceInheritsNoRight() {
        long alias = PAGE + 4096L * Tlb.ENTRIES;
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        tlb.fill(alias, 0, HOST + 0x10000, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.WRITE, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.FETCH, 0)).isFalse();
        assertThat(tlb.hits(alias, 1, Tlb.READ, 0)).isTrue();
    }

    @Test
    void theSamePageOnAnotherFrameInheritsNoRight() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE, 0, HOST + 0x10000, Tlb.READABLE);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isFalse();
    }

    @Test
    void invlpgOfOnePieceDropsAllPiecesOfALargePage() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.LARGE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE | Tlb.LARGE);
        tlb.flushPage(PAGE);
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isFalse();
    }

    @Test
    void invlpgOfASmallPageLeavesItsNeighbours() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(PAGE + 4096, 0, HOST + 4096, Tlb.READABLE | Tlb.WRITABLE);
        tlb.flushPage(PAGE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(PAGE + 4096, 1, Tlb.READ, 0)).isTrue();
    }

    @Test
    void aPageWithDecodedCodeLosesItsFastStoreUnderEveryNameItHas() {
        long other = PAGE + 7 * 4096;
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.fill(other, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.protectCode(HOST);
        for (long page : new long[] {PAGE, other}) {
            assertThat(tlb.hits(page, 1, Tlb.WRITE, 0)).isFalse();
            assertThat(tlb.hitsCode(page + 17, 8, 0)).isTrue();
            assertThat(tlb.hits(page, 1, Tlb.READ, 0)).isTrue();
        }
    }

    @Test
    void aStoreOfAPageThatIsEnteredWithCodeTakesTheSlowPath() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE | Tlb.HOLDS_CODE);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isFalse();
        assertThat(tlb.hitsCode(PAGE, 1, 0)).isTrue();
    }

    @Test
    void invlpgOfASmallPageLeavesLargePagesElsewhere() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE);
        long far = PAGE + (8 << 20) + 4096;
        tlb.fill(far, 0, HOST, Tlb.READABLE | Tlb.LARGE);
        long near = PAGE ^ 3 << 22;
        tlb.fill(near + 8192, 0, HOST, Tlb.READABLE | Tlb.LARGE);
        tlb.flushPage(PAGE);
        assertThat(tlb.hits(PAGE, 1, Tlb.READ, 0)).isFalse();
        assertThat(tlb.hits(far, 1, Tlb.READ, 0)).isTrue();
        assertThat(tlb.hits(near + 8192, 1, Tlb.READ, 0)).isTrue();
    }

    @Test
    void codeIsProtectedInEverySpace() {
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.WRITABLE);
        tlb.enter(7);
        tlb.protectCode(HOST);
        tlb.enter(0);
        assertThat(tlb.hits(PAGE, 1, Tlb.WRITE, 0)).isFalse();
        assertThat(tlb.hitsCode(PAGE, 1, 0)).isTrue();
    }

    private static int anySpace(Random random) {
        return Tlb.space(random.nextInt(12), random.nextInt(2));
    }

    /** Where a page may lie: as the space has it, or as any of its world has it that calls it global. */
    private static List<Long> known(Map<Integer, Map<Long, Entered>> live, int space, long page, boolean global) {
        List<Long> hvas = new ArrayList<>();
        live.forEach((other, map) -> {
            Entered e = map.get(page);
            if (e != null && (other == space || global && e.global && other >> 12 == space >> 12)) {
                hvas.add(e.hva);
            }
        });
        return hvas;
    }

    /** What translated code keeps: pages of one space of each world. */
    private static final class Copies implements TlbMirror {
        private final List<Map<Long, Long>> pages = List.of(new HashMap<>(), new HashMap<>());
        private final List<Set<Long>> global = List.of(new HashSet<>(), new HashSet<>());

        Map<Long, Long> of(int world) {
            return pages.get(world);
        }

        Set<Long> global(int world) {
            return global.get(world);
        }

        void put(int world, long page, long hva, boolean isGlobal) {
            pages.get(world).put(page, hva);
            if (isGlobal) {
                global.get(world).add(page);
            } else {
                global.get(world).remove(page);
            }
        }

        @Override
        public void flushed(int world, boolean globalToo) {
            pages.get(world)
                    .keySet()
                    .removeIf(page -> globalToo || !global.get(world).contains(page));
        }

        @Override
        public void entered(int world) {}

        @Override
        public void pageFlushed(int world, long la) {
            pages.get(world).remove(la >>> 12);
        }

        @Override
        public boolean holdsCode(long la) {
            return isCode(la >>> 12);
        }

        static boolean isCode(long page) {
            return (page & 1) == 0;
        }

        @Override
        public void codeProtected(long hvaPage) {}
    }

    /** Which pages are pieces of a large one is known by the space that was filled; a copy of a global piece may outlive that. */
    @Test
    void aPieceOfALargeGlobalPageGoesByAnyAddressOfItThoughItsSpaceIsGone() {
        Copies copies = new Copies();
        tlb.mirror = copies;
        tlb.fill(PAGE, 0, HOST, Tlb.READABLE | Tlb.GLOBAL | Tlb.LARGE);
        copies.put(0, PAGE >>> 12, HOST, true);
        long stamp = tlb.globalCodeStamp();
        for (int pcid = 1; pcid <= Tlb.SPACES; pcid++) {
            tlb.enter(pcid);
        }
        tlb.flushPage(PAGE ^ 0x10_0000);
        assertThat(copies.of(0)).isEmpty();
        assertThat(tlb.globalCodeStamp()).isNotEqualTo(stamp);
    }

    /** A translation as the manual sees it. */
    private record Entered(long page, long hva, boolean global, int shift) {
        boolean covers(long la) {
            return (page << 12 ^ la) >>> shift == 0;
        }
    }

    /** By kind: of all, of code, of global code. */
    private long[] stamps() {
        return new long[] {tlb.stamp(), tlb.codeStamp(), tlb.globalCodeStamp()};
    }

    /**
     * Random fills and invalidations in two worlds against a model (SDM 3A 4.10.4.1): whatever the TLB hits must be a translation that no
     * invalidation has taken since; so must what a mirror still has, and what was found under a stamp that stands. They may forget; that they do
     * not do so too often, the counts at the end show.
     */
    @Test
    void noTranslationOutlivesAnInvalidationThatMustTakeIt() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        Random random = new Random(seed);
        Copies copies = new Copies();
        tlb.mirror = copies;
        // By kind: any page by the stamp, one of code by that of code, a global one by that of global code.
        List<Map<Long, Map<Long, Long>>> found = List.of(new HashMap<>(), new HashMap<>(), new HashMap<>());
        int mirrored = 0;
        int[] stamped = new int[3];
        Map<Integer, Map<Long, Entered>> live = new HashMap<>();
        int pcid = 0;
        int hits = 0;
        int misses = 0;
        int[] shifts = {12, 12, 12, 21, 22, 30};
        for (int step = 0; step < 400_000; step++) {
            // Large pages of every size, in both halves of the address space; now and then places in the
            // TLB are shared.
            int gigabyte = random.nextInt(3);
            int four = random.nextInt(4);
            int high = random.nextInt(2);
            int place = random.nextInt(16) == 0 ? 0 : 512 * high + 128 * gigabyte + 16 * four;
            long page = (high == 0 ? 0 : 0xf_ffff_8000_0000L)
                    + gigabyte * 0x4_0000L
                    + four * 0x400L
                    + place
                    + random.nextInt(6);
            long la = page << 12 | random.nextInt(4096);
            switch (random.nextInt(40)) {
                case 0 -> {
                    tlb.flushPage(la);
                    int current = pcid;
                    live.forEach((space, map) -> map.values()
                            .removeIf(e ->
                                    e.covers(la) && (space == current || e.global && space >> 12 == current >> 12)));
                }
                case 1 -> {
                    int space = anySpace(random);
                    tlb.flushPage(space, la);
                    live.getOrDefault(space, new HashMap<>()).values().removeIf(e -> e.covers(la) && !e.global);
                }
                case 2 -> {
                    int space = anySpace(random);
                    tlb.flushSpace(space);
                    live.getOrDefault(space, new HashMap<>()).values().removeIf(e -> !e.global);
                }
                case 3 -> {
                    if (random.nextInt(8) == 0) {
                        tlb.flushLocal();
                        int world = pcid >> 12;
                        live.forEach((space, map) -> map.values().removeIf(e -> !e.global && space >> 12 == world));
                    } else if (random.nextInt(8) == 0) {
                        int world = random.nextInt(2);
                        tlb.flushWorld(world);
                        live.keySet().removeIf(space -> space >> 12 == world);
                    } else if (random.nextInt(8) == 0) {
                        tlb.flush();
                        live.clear();
                    }
                }
                case 4, 5 -> {
                    pcid = anySpace(random);
                    tlb.enter(pcid);
                }
                case 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 -> {
                    Map<Long, Entered> mine = live.computeIfAbsent(pcid, p -> new HashMap<>());
                    if (!mine.containsKey(page)) {
                        boolean global = random.nextBoolean();
                        // Once there has been a large page, any may be a piece of one.
                        int shift = step < 200_000 ? 12 : shifts[random.nextInt(shifts.length)];
                        long hva = 1L << 40 | (long) random.nextInt(1 << 20) << 12;
                        int what = Tlb.READABLE << random.nextInt(3)
                                | (global ? Tlb.GLOBAL : 0)
                                | (shift == 30 ? Tlb.HUGE : shift > 12 ? Tlb.LARGE : 0);
                        tlb.fill(la, 0, hva | la & 4095, what);
                        mine.put(page, new Entered(page, hva, global, shift));
                    }
                }
                default -> {
                    boolean hit = false;
                    for (int access = Tlb.READ; access <= Tlb.FETCH; access++) {
                        hit |= tlb.hits(la, 1, access, 0);
                    }
                    Entered e = live.getOrDefault(pcid, Map.of()).get(page);
                    String where = "seed " + seed + ", step " + step + ": ";
                    int world = pcid >> 12;
                    Long copy = copies.of(world).get(page);
                    if (copy != null) {
                        mirrored++;
                        assertThat(known(live, pcid, page, copies.global(world).contains(page)))
                                .as(where + "a stale copy")
                                .contains(copy);
                    }
                    if (hit) {
                        long hva = tlb.hva(la) & -4096L;
                        copies.put(world, page, hva, tlb.isGlobal(la));
                        long[] stamps = stamps();
                        for (int kind = 0; kind < stamps.length; kind++) {
                            if (kind == 0
                                    ? !tlb.isGlobal(la)
                                    : Copies.isCode(page) && tlb.isGlobal(la) == (kind == 2)) {
                                found.get(kind)
                                        .computeIfAbsent(stamps[kind], k -> new HashMap<>())
                                        .put(page, hva);
                            }
                        }
                        hits++;
                        assertThat(e)
                                .as("seed %d, step %d: stale %x", seed, step, la)
                                .isNotNull();
                        assertThat(tlb.hva(la))
                                .as("seed %d, step %d", seed, step)
                                .isEqualTo(e.hva | la & 4095);
                    } else if (e != null) {
                        misses++;
                    }
                }
            }
            long[] stamps = stamps();
            for (int kind = 0; kind < stamps.length; kind++) {
                Long hva = found.get(kind).getOrDefault(stamps[kind], Map.of()).get(page);
                if (hva != null) {
                    stamped[kind]++;
                    assertThat(known(live, pcid, page, kind == 2))
                            .as("seed %d, step %d: stale by stamp", seed, step)
                            .contains(hva);
                }
            }
        }
        assertThat(hits).as("seed %d", seed).isGreaterThan(misses);
        assertThat(mirrored).as("seed %d", seed).isGreaterThan(100);
        for (int kind : stamped) {
            assertThat(kind).as("seed %d, %s", seed, Arrays.toString(stamped)).isGreaterThan(100);
        }
        System.out.printf("TlbTest: 400,000 steps, %,d hits, %,d forgotten, seed %d%n", hits, misses, seed);
    }

    @Test
    void aFlushDropsEverything() {
        for (int i = 0; i < Tlb.ENTRIES; i++) {
            tlb.fill(PAGE + 4096L * i, 0, HOST + 4096L * i, Tlb.READABLE | Tlb.WRITABLE | Tlb.FETCHABLE);
        }
        tlb.flush();
        for (int i = 0; i < Tlb.ENTRIES; i++) {
            assertThat(tlb.hits(PAGE + 4096L * i, 1, Tlb.READ, 0)).isFalse();
        }
    }
}
