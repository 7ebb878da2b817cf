package dev.slate.kvm.memslot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.host.ArenaHost;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class GuestMemoryTest {
    private static final long HVA = 0x7000_0000_0000L;
    private static final long HUGE_HVA = 0x7fff_ffff_f000L;

    private final ArenaHost host = new ArenaHost();
    private final GuestMemory memory = new GuestMemory(host);

    private void set(int slot, int flags, long gpa, long bytes, long hva) {
        memory.setUserMemoryRegion(slot, flags, gpa, bytes, hva);
    }

    private void refused(Errno errno, int slot, int flags, long gpa, long bytes, long hva) {
        Memslots before = memory.slots(0);
        assertThatExceptionOfType(KvmException.class)
                .isThrownBy(() -> set(slot, flags, gpa, bytes, hva))
                .satisfies(e -> assertThat(e.errno()).isEqualTo(errno));
        assertThat(memory.slots(0)).isSameAs(before);
    }

    @ParameterizedTest(name = "slot {0} flags {1} gpa {2} bytes {3} hva {4}")
    @CsvSource({
        "32764, 0, 0x0, 0x1000, 0x7000000000", // beyond KVM_USER_MEM_SLOTS
        "65535, 0, 0x0, 0x1000, 0x7000000000",
        "0x20000, 0, 0x0, 0x1000, 0x7000000000", // a third address space
        "-1, 0, 0x0, 0x1000, 0x7000000000",
        "0, 4, 0x0, 0x1000, 0x7000000000", // KVM_MEM_GUEST_MEMFD is not known
        "0, 0x10000, 0x0, 0x1000, 0x7000000000", // KVM_MEMSLOT_INVALID is KVM's own
        "0, 0, 0x1, 0x1000, 0x7000000000",
        "0, 0, 0x0, 0x1001, 0x7000000000",
        "0, 0, 0x0, 0x1000, 0x7000000001",
        "0, 0, 0x0, 0x1000, 0x7ffffffff000", // the page below 2^47 is nobody's
        "0, 0, 0x0, 0x1000, -4096",
        "0, 0, -4096, 0x1000, 0x7000000000", // gpa wraps
        "0, 0, -4096, 0x2000, 0x7000000000",
        "0, 0, 0x0, 0x80000000000, 0x1000", // 2^31 pages
        "0, 0, 0xfffffffff000, 0x2000, 0x7000000000", // beyond 48 bits
        "0, 0, 0x0, 0x0, 0x7000000000", // deletes what is not there
    })
    void refusesWhatKvmRefusesWithEinval(String slot, String flags, String gpa, String bytes, String hva) {
        refused(
                Errno.EINVAL,
                Integer.decode(slot),
                Integer.decode(flags),
                Long.decode(gpa),
                Long.decode(bytes),
                Long.decode(hva));
    }

    @Test
    void takesTheLastSlotTheLastGfnAndTheLastHva() {
        set(32763, 0, 0xffff_ffff_f000L, 0x1000, HUGE_HVA - 0x1000);
        assertThat(memory.slots(0).find((1L << 36) - 1)).isNotNull();
    }

    @Test
    void overlapIsEexistAndNeighboursAreNot() {
        set(1, 0, 0x10000, 0x4000, HVA);
        refused(Errno.EEXIST, 2, 0, 0x13000, 0x1000, HVA);
        refused(Errno.EEXIST, 2, 0, 0xf000, 0x2000, HVA);
        refused(Errno.EEXIST, 2, 0, 0x0, 0x100000, HVA);
        refused(Errno.EEXIST, 2, 0, 0x11000, 0x1000, HVA);
        set(2, 0, 0x14000, 0x1000, HVA);
        set(3, 0, 0xf000, 0x1000, HVA);
        refused(Errno.EEXIST, 3, 0, 0x12000, 0x1000, HVA);
    }

    @Test
    void theSecondAddressSpaceIsApart() {
        set(1, 0, 0x10000, 0x4000, HVA);
        set(1 << 16 | 1, 0, 0x10000, 0x4000, HVA + 0x10000);
        assertThat(memory.slots(0).find(0x10)).isNotSameAs(memory.slots(1).find(0x10));
        set(1 << 16 | 1, 0, 0, 0, 0);
        assertThat(memory.slots(1).used()).isZero();
        assertThat(memory.slots(0).used()).isOne();
    }

    @Test
    void sizeHvaAndReadonlyCannotChange() {
        set(1, Memslot.READONLY, 0x10000, 0x4000, HVA);
        refused(Errno.EINVAL, 1, Memslot.READONLY, 0x10000, 0x5000, HVA);
        refused(Errno.EINVAL, 1, Memslot.READONLY, 0x10000, 0x3000, HVA);
        refused(Errno.EINVAL, 1, Memslot.READONLY, 0x10000, 0x4000, HVA + 0x1000);
        refused(Errno.EINVAL, 1, 0, 0x10000, 0x4000, HVA);
    }

    @Test
    void sameAgainChangesNothing() {
        set(1, 0, 0x10000, 0x4000, HVA);
        Memslots before = memory.slots(0);
        set(1, 0, 0x10000, 0x4000, HVA);
        assertThat(memory.slots(0)).isSameAs(before);
    }

    @Test
    void aSlotMayMoveOverItself() {
        set(1, 0, 0x10000, 0x4000, HVA);
        set(1, 0, 0x11000, 0x4000, HVA);
        assertThat(memory.slots(0).find(0x10)).isNull();
        assertThat(memory.slots(0).find(0x14)).isNotNull();
    }

    @Test
    void aMoveKeepsTheBitmapAndEndOfLoggingFreesIt() {
        set(1, Memslot.LOG_DIRTY_PAGES, 0x10000, 0x4000, HVA);
        Memslot slot = memory.slot(0, 1);
        slot.markDirty(0x11);
        set(1, Memslot.LOG_DIRTY_PAGES, 0x20000, 0x4000, HVA);
        assertThat(memory.slot(0, 1).dirtyBitmap).isSameAs(slot.dirtyBitmap);
        assertThat(log(1)).containsExactly(0b10L);
        assertThat(host.allocatedBytes()).isPositive();
        set(1, 0, 0x20000, 0x4000, HVA);
        assertThat(host.allocatedBytes()).isZero();
    }

    private long[] log(int slot) {
        List<Long> words = new ArrayList<>();
        memory.getDirtyLog(slot, (from, bytes) -> {
            for (long i = 0; i < bytes; i += 8) {
                words.add(HostMemory.get64(from + i));
            }
            return 0;
        });
        return words.stream().mapToLong(Long::longValue).toArray();
    }

    private Errno logErrno(int slot) {
        return errno(() -> memory.getDirtyLog(slot, (from, bytes) -> 0));
    }

    private Errno clearErrno(int slot, long first, long num) {
        return errno(() -> memory.clearDirtyLog(slot, first, num, (to, bytes) -> {
            HostMemory.fill(to, bytes, 0xff);
            return 0;
        }));
    }

    private static Errno errno(Runnable call) {
        try {
            call.run();
            return null;
        } catch (KvmException e) {
            return e.errno();
        }
    }

    @Test
    void theDirtyLogOfNoSlotIsEnoentAndOfNoNumberEinval() {
        set(1, 0, 0x10000, 0x4000, HVA);
        assertThat(logErrno(1)).isEqualTo(Errno.ENOENT);
        assertThat(logErrno(2)).isEqualTo(Errno.ENOENT);
        assertThat(logErrno(32764)).isEqualTo(Errno.EINVAL);
        assertThat(logErrno(2 << 16)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(2, 0, 64)).isEqualTo(Errno.ENOENT);
        assertThat(clearErrno(2, 1, 64)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(32764, 0, 64)).isEqualTo(Errno.EINVAL);
    }

    @Test
    void aSinkThatFailsIsEfault() {
        set(1, Memslot.LOG_DIRTY_PAGES, 0, 0x4000, HVA);
        assertThat(errno(() -> memory.getDirtyLog(1, (from, bytes) -> 14))).isEqualTo(Errno.EFAULT);
        assertThat(errno(() -> memory.clearDirtyLog(1, 0, 4, (to, bytes) -> 14)))
                .isEqualTo(Errno.EFAULT);
    }

    @Test
    void clearTakesWholeWordsOrTheRestOfTheSlot() {
        memory.manualDirtyLogProtect(GuestMemory.MANUAL_PROTECT_ENABLE);
        set(1, Memslot.LOG_DIRTY_PAGES, 0, 200 << 12, HVA);
        assertThat(clearErrno(1, 0, 64)).isNull();
        assertThat(clearErrno(1, 64, 128)).isNull();
        assertThat(clearErrno(1, 0, 200)).isNull();
        assertThat(clearErrno(1, 192, 8)).isNull();
        assertThat(clearErrno(1, 0, 63)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 0, 199)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 0, 201)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 0, 256)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 32, 64)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 256, 0)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, -64, 64)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 0, -64)).isEqualTo(Errno.EINVAL);
        assertThat(clearErrno(1, 0, 0)).isNull();
    }

    @Test
    void manualProtectionTakesOnlyItsTwoBits() {
        assertThat(errno(() -> memory.manualDirtyLogProtect(2))).isEqualTo(Errno.EINVAL);
        assertThat(errno(() -> memory.manualDirtyLogProtect(4))).isEqualTo(Errno.EINVAL);
        assertThat(errno(() -> memory.manualDirtyLogProtect(7))).isEqualTo(Errno.EINVAL);
        assertThat(errno(() -> memory.manualDirtyLogProtect(3))).isNull();
        assertThat(errno(() -> memory.manualDirtyLogProtect(0))).isNull();
    }

    @Test
    void initiallySetMeansEveryPageOfTheSlotAndNoneBehindIt() {
        memory.manualDirtyLogProtect(3);
        set(1, Memslot.LOG_DIRTY_PAGES, 0, 70 << 12, HVA);
        assertThat(log(1)).containsExactly(-1L, 0x3fL);
        // Reading clears nothing under manual protection.
        assertThat(log(1)).containsExactly(-1L, 0x3fL);
        memory.clearDirtyLog(1, 0, 70, (to, bytes) -> {
            HostMemory.put64(to, 0xf0);
            HostMemory.put64(to + 8, -1);
            return 0;
        });
        assertThat(log(1)).containsExactly(~0xf0L, 0L);
    }

    @Test
    void readingTakesTheBitsWithoutManualProtection() {
        set(1, Memslot.LOG_DIRTY_PAGES, 0, 70 << 12, HVA);
        memory.slot(0, 1).markDirty(69);
        assertThat(log(1)).containsExactly(0L, 0x20L);
        assertThat(log(1)).containsExactly(0L, 0L);
    }

    /** One slot of the model: what a client would write down. */
    private record Model(int id, int flags, long base, long pages, long hva) {}

    @Test
    void behavesAsAListOfSlotsUnderRandomCalls() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("GuestMemoryTest random calls: -Dslate.seed=" + seed);
        Random random = new Random(seed);
        List<Model> model = new ArrayList<>();
        for (int step = 0; step < 6_000; step++) {
            int id = random.nextInt(12);
            int flags = random.nextInt(20) == 0 ? random.nextInt(8) : random.nextInt(2);
            long base = random.nextInt(64);
            long pages = random.nextInt(5) == 0 ? 0 : 1 + random.nextInt(8);
            Model old = model.stream().filter(m -> m.id == id).findFirst().orElse(null);
            long hva = old != null && random.nextInt(4) != 0 ? old.hva : HVA + (random.nextInt(64) << 12);
            if (old != null && pages != 0 && random.nextInt(4) != 0) {
                pages = old.pages;
            }
            Errno expected = apply(model, old, new Model(id, flags, base, pages, hva));
            long p = pages;
            assertThat(errno(() -> set(id, flags, base << 12, p << 12, hva))).isEqualTo(expected);
            check(model);
        }
        for (Model m : model) {
            set(m.id, 0, 0, 0, 0);
        }
        assertThat(host.allocatedBytes()).isZero();
    }

    private static Errno apply(List<Model> model, Model old, Model want) {
        if ((want.flags & ~3) != 0) {
            return Errno.EINVAL;
        }
        if (want.pages == 0) {
            if (old == null) {
                return Errno.EINVAL;
            }
            model.remove(old);
            return null;
        }
        if (old != null
                && (old.pages != want.pages
                        || old.hva != want.hva
                        || ((old.flags ^ want.flags) & Memslot.READONLY) != 0)) {
            return Errno.EINVAL;
        }
        for (Model m : model) {
            if (m != old && m.base < want.base + want.pages && want.base < m.base + m.pages) {
                return Errno.EEXIST;
            }
        }
        model.remove(old);
        model.add(want);
        return null;
    }

    /** Of a vCPU for each form, which lives through all changes with its hint. */
    private final List<SlotLookup> lookups =
            Stream.of(SlotLookup.Form.values()).map(SlotLookup::new).toList();

    private void check(List<Model> model) {
        Memslots slots = memory.slots(0);
        assertThat(slots.used()).isEqualTo(model.size());
        for (long gfn = 0; gfn < 80; gfn++) {
            Model expected = null;
            for (Model m : model) {
                if (gfn >= m.base && gfn < m.base + m.pages) {
                    expected = m;
                }
            }
            Memslot found = slots.find(gfn);
            for (SlotLookup lookup : lookups) {
                assertThat(lookup.find(slots, gfn)).isSameAs(found);
            }
            if (expected == null) {
                assertThat(found).isNull();
            } else {
                assertThat(found.id).isEqualTo(expected.id);
                assertThat(found.flags).isEqualTo(expected.flags);
                assertThat(found.hva(gfn)).isEqualTo(expected.hva + (gfn - expected.base << 12));
                assertThat(found.dirtyBitmap != null).isEqualTo((expected.flags & 1) != 0);
            }
        }
        // By hva: each page that a range touches, in each slot that has it.
        for (int page = 0; page < 76; page += 5) {
            long start = HVA + ((long) page << 12) + 0x800;
            long end = start + 0x1000 * (page % 3);
            List<String> met = new ArrayList<>();
            boolean any = slots.overHva(start, end, (s, first, last) -> {
                for (long gfn = first; gfn < last; gfn++) {
                    met.add(s.id + " " + gfn);
                }
                return s.id == 1;
            });
            List<String> expected = new ArrayList<>();
            for (var m : model) {
                for (int k = 0; k < m.pages; k++) {
                    long at = m.hva + 4096L * k;
                    if (at < end && at + 4096 > start && start < end) {
                        expected.add(m.id + " " + (m.base + k));
                    }
                }
            }
            assertThat(met).containsExactlyInAnyOrderElementsOf(expected);
            assertThat(any).isEqualTo(expected.stream().anyMatch(pageOf -> pageOf.startsWith("1 ")));
        }
    }

    @Test
    void holdsAllSlotsThereAreAndLooksEachUp() {
        for (int i = 0; i < GuestMemory.USER_MEM_SLOTS; i++) {
            set(i, 0, (long) (GuestMemory.USER_MEM_SLOTS - i) << 13, 0x1000, HVA);
        }
        Memslots slots = memory.slots(0);
        assertThat(slots.used()).isEqualTo(32764);
        for (int i = 0; i < GuestMemory.USER_MEM_SLOTS; i++) {
            long gfn = (long) (GuestMemory.USER_MEM_SLOTS - i) << 1;
            assertThat(slots.at(slots.search(gfn)).id).isEqualTo(i);
            assertThat(slots.search(gfn + 1)).isEqualTo(-1);
            for (SlotLookup lookup : lookups) {
                assertThat(lookup.find(slots, gfn).id).isEqualTo(i);
                assertThat(lookup.find(slots, gfn + 1)).isNull();
            }
        }
        // A hint that misses, then 1.44 log2 of the slots at most in the tree, and log2 by binary search.
        for (SlotLookup lookup : lookups) {
            SlotLookup.Counts counts = lookup.counts();
            assertThat(counts.lookups()).isEqualTo(2 * 32764);
            assertThat(counts.hits()).isZero();
            assertThat(counts.probes()).isBetween(2L * 13 * 32764, 2L * 23 * 32764);
        }
    }
}
