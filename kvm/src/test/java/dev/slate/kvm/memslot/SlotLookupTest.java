package dev.slate.kvm.memslot;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.TestHost;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class SlotLookupTest {
    private static final long HVA = 0x7000_0000_0000L;

    private final GuestMemory memory = new GuestMemory(new TestHost());

    /** Slot i holds gfns 4i and 4i+1. */
    private Memslots slots(int count) {
        for (int i = 0; i < count; i++) {
            memory.setUserMemoryRegion(i, 0, (long) i << 14, 0x2000, HVA);
        }
        return memory.slots(0);
    }

    @ParameterizedTest
    @EnumSource
    void everyFormFindsTheSameAndHitsWhereItShould(SlotLookup.Form form) {
        Memslots slots = slots(64);
        SlotLookup a = new SlotLookup(form);
        SlotLookup b = new SlotLookup(form);
        for (int gfn = 0; gfn < 256; gfn++) {
            Memslot found = a.find(slots, gfn);
            assertThat(found == null ? -1 : found.id).isEqualTo(gfn % 4 < 2 ? gfn / 4 : -1);
        }
        // Two vCPUs, each in a slot of its own: only its own last slot serves both.
        a.find(slots, 0);
        b.find(slots, 4);
        SlotLookup.Counts before = a.counts();
        a.find(slots, 1);
        boolean own = form == SlotLookup.Form.VCPU || form == SlotLookup.Form.TREE;
        assertThat(a.counts().hits() - before.hits()).isEqualTo(own ? 1 : 0);
        a.find(slots, 1);
        assertThat(a.counts().hits() - before.hits()).isEqualTo(own ? 2 : form == SlotLookup.Form.VM ? 1 : 0);
        assertThat(a.counts().lookups() - before.lookups()).isEqualTo(2);
        // A hit is one probe; a search in 64 slots is six or seven, and one for the hint that missed.
        long probes = a.counts().probes() - before.probes();
        switch (form) {
            case VCPU, TREE -> assertThat(probes).isEqualTo(2);
            case VM -> assertThat(probes).isBetween(8L, 9L);
            case NONE -> assertThat(probes).isBetween(12L, 14L);
        }
    }

    @Test
    void anyLastUsedIndexIsHarmless() {
        Memslots slots = slots(2);
        SlotLookup lookup = new SlotLookup(SlotLookup.Form.VCPU);
        for (int index : new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 2, 1, 0, 32764}) {
            lookup.lastUsedIndex = index;
            assertThat(lookup.find(slots, 5).id).isOne();
            lookup.lastUsedIndex = index;
            assertThat(lookup.find(slots, 3)).isNull();
            assertThat(lookup.lastUsedIndex).as("a miss leaves it").isEqualTo(index);
        }
    }

    @ParameterizedTest
    @EnumSource
    void aSlotThatIsGoneIsNotFoundThroughItsHint(SlotLookup.Form form) {
        SlotLookup lookup = new SlotLookup(form);
        assertThat(lookup.find(slots(3), 8).id).isEqualTo(2);
        memory.setUserMemoryRegion(2, 0, 0, 0, 0);
        assertThat(lookup.find(memory.slots(0), 8)).isNull();
        assertThat(lookup.find(memory.slots(1), 0)).isNull();
        assertThat(lookup.find(memory.slots(0), 4).id).isOne();
    }
}
