package dev.slate.kvm.rmap;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.ArenaHost;
import dev.slate.kvm.mmu.MemoryCache;
import dev.slate.kvm.mmu.Slab;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class PteListsTest {
    private final ArenaHost host = new ArenaHost();
    private final long head = host.allocate(64, 64);

    static Stream<PteListForm> forms() {
        return Stream.of(2, 3, 4, 14, 30)
                .flatMap(n -> Stream.of(
                        new PteListForm(n, true, true),
                        new PteListForm(n, true, false),
                        new PteListForm(n, false, true),
                        new PteListForm(n, false, false)));
    }

    @Test
    void descriptorsHaveTheSizesOfTheOriginals() {
        assertThat(new PteListForm(14, true, true).bytes()).isEqualTo(128);
        assertThat(new PteListForm(2, true, true).bytes()).isEqualTo(32);
        assertThat(new PteListForm(3, false, false).bytes()).isEqualTo(32);
        assertThat(40 * new PteListForm(14, true, true).bytes()).isEqualTo(5120);
        assertThat(40 * new PteListForm(2, true, true).bytes()).isEqualTo(1280);
        assertThatThrownBy(() -> new PteListForm(1, true, true)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theHeadIsTaggedAsInTheOriginal() {
        try (Slab slab = new Slab(host, 128, 64)) {
            PteLists lists = new PteLists(new PteListForm(14, true, true), slab);
            MemoryCache cache = new MemoryCache(slab);
            cache.topUp(1);
            assertThat(lists.add(cache, head, 0x1000)).isZero();
            assertThat(HostMemory.get64(head)).isEqualTo(0x1000);
            assertThat(lists.add(cache, head, 0x2000)).isOne();
            long tagged = HostMemory.get64(head);
            assertThat(tagged & 1).isOne();
            assertThat(HostMemory.get64(tagged - 1)).as("more").isZero();
            assertThat(HostMemory.get64(tagged - 1 + 8)).as("spte_count").isEqualTo(2);
            assertThat(HostMemory.get64(tagged - 1 + 16)).isEqualTo(0x1000);
            assertThat(HostMemory.get64(tagged - 1 + 24)).isEqualTo(0x2000);
            lists.remove(head, 0x1000);
            assertThat(HostMemory.get64(head))
                    .as("a chain of one stays a chain")
                    .isEqualTo(tagged);
            lists.remove(head, 0x2000);
            assertThat(HostMemory.get64(head)).isZero();
        }
    }

    @ParameterizedTest
    @MethodSource("forms")
    void behavesAsAListUnderRandomCallsAndLeaksNothing(PteListForm form) {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("PteListsTest " + form + ": -Dslate.seed=" + seed);
        Random random = new Random(seed);
        Slab slab = new Slab(host, form.bytes(), 8);
        PteLists lists = new PteLists(form, slab);
        MemoryCache cache = new MemoryCache(slab);
        List<Long> model = new ArrayList<>();
        boolean removed = false;
        for (int step = 0; step < 20_000; step++) {
            int what = random.nextInt(100);
            if (what < 55 && model.size() < 100) {
                cache.topUp(1);
                long spte = 0x7000_0000_0000L + 8L * step;
                int onTheWay = lists.add(cache, head, spte);
                if (removed) {
                    assertThat(onTheWay).isBetween(0, model.size());
                } else {
                    assertThat(onTheWay).isEqualTo(model.size());
                }
                model.add(spte);
            } else if (what < 99) {
                if (!model.isEmpty()) {
                    lists.remove(head, model.remove(random.nextInt(model.size())));
                    removed = !model.isEmpty();
                }
            } else {
                List<Long> zapped = new ArrayList<>();
                assertThat(lists.zap(head, zapped::add)).isEqualTo(model.size());
                assertThat(zapped).containsExactlyInAnyOrderElementsOf(model);
                model.clear();
                removed = false;
            }
            if (step % 16 == 0) {
                List<Long> seen = new ArrayList<>();
                lists.forEach(head, seen::add);
                assertThat(seen).containsExactlyInAnyOrderElementsOf(model);
                assertThat(lists.count(head)).isEqualTo(model.size());
            }
        }
        lists.zap(head, spte -> {});
        cache.drain();
        assertThat(slab.used()).isZero();
        slab.close();
    }

    @ParameterizedTest
    @MethodSource("forms")
    void removingWhatIsNotThereIsABugAndSaysSo(PteListForm form) {
        Slab slab = new Slab(host, form.bytes(), 8);
        PteLists lists = new PteLists(form, slab);
        MemoryCache cache = new MemoryCache(slab);
        for (int i = 0; i < form.entries() * 2; i++) {
            assertThatThrownBy(() -> lists.remove(head, 0x8)).hasMessageContaining("0x8");
            cache.topUp(1);
            lists.add(cache, head, 0x1000 + 8L * i);
        }
        lists.zap(head, spte -> {});
        slab.close();
    }

    @Test
    void aCountedDescriptorIsNotSearchedForItsEnd() {
        long[] walked = new long[2];
        for (int i = 0; i < 2; i++) {
            PteListForm form = new PteListForm(14, i == 0, true);
            Slab slab = new Slab(host, form.bytes(), 8);
            PteLists lists = new PteLists(form, slab);
            MemoryCache cache = new MemoryCache(slab);
            for (int n = 0; n < 500; n++) {
                cache.topUp(1);
                lists.add(cache, head, 0x1000 + 8L * n);
            }
            walked[i] = lists.entriesWalked;
            lists.zap(head, spte -> {});
            slab.close();
        }
        assertThat(walked[0]).isZero();
        assertThat(walked[1]).isPositive();
    }

    @Test
    void aSlotHasAHeadForEachFrameOfEachSizeItTouches() {
        SlotRmaps rmaps = new SlotRmaps(host, 511, 514);
        assertThat(rmaps.count(1)).isEqualTo(514);
        assertThat(rmaps.count(2)).isEqualTo(3);
        assertThat(rmaps.count(3)).isOne();
        assertThat(rmaps.head(511, 2)).isNotEqualTo(rmaps.head(512, 2));
        assertThat(rmaps.head(512, 2)).isEqualTo(rmaps.head(1023, 2));
        assertThat(rmaps.head(1024, 1) - rmaps.head(511, 1)).isEqualTo(513 * 8);
        assertThat(rmaps.bytes()).isEqualTo((514 + 3 + 1) * 8);

        Slab slab = new Slab(host, 128, 64);
        PteLists lists = new PteLists(new PteListForm(14, true, true), slab);
        MemoryCache cache = new MemoryCache(slab);
        for (int i = 0; i < 6; i++) {
            cache.topUp(1);
            lists.add(cache, rmaps.head(600, 1), 0x1000 + 8L * i);
        }
        lists.add(cache, rmaps.head(601, 1), 0x2000);
        long[] classes = new long[SlotRmaps.CLASSES];
        rmaps.histogram(lists, 1, classes);
        assertThat(classes).startsWith(512, 1, 0, 1);
        rmaps.close();
        slab.close();
        host.free(head, 64);
        assertThat(host.allocatedBytes()).isZero();
    }
}
