package dev.slate.kvm.mmu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.kvm.memslot.Memslot;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Entries that say that no memory is there keep 19 bits of the memslots' generation. Half a million changes take a while: nightly. */
@EnabledIfSystemProperty(
        named = "slate.soak.seconds",
        matches = ".+",
        disabledReason = "takes half a minute: nightly profile")
final class MmioGenerationTest {
    private static final long GPA = 1 << 20;

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void anEntryOfAWholeRoundOfGenerationsAgoAnswersNothing(boolean twoDimensional) {
        try (PagedVm vm = new PagedVm(twoDimensional, "")) {
            long memory = vm.ram(8192);
            PagedVcpu v = vm.vcpu();
            v.s.cr0 = CpuState.CR0_PE | CpuState.CR0_ET;
            v.s.segAttr[CpuState.CS] = 0xb | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_DB;
            assertThat(v.access(GPA, Tlb.READ)).isEqualTo(PagedVcpu.OK);
            assertThat(v.hva).isEqualTo(~GPA);
            long then = vm.memory.slots(0).generation;
            vm.memory.setUserMemoryRegion(0, 0, GPA, 4096, memory);
            // Nothing that zaps everything in passing: only the flags of a slot change, on and off.
            int flags = Memslot.LOG_DIRTY_PAGES;
            while ((vm.memory.slots(0).generation - then & Spte.GENERATION) != 0) {
                vm.memory.setUserMemoryRegion(1, flags, 0, 4096, memory + 4096);
                flags ^= Memslot.LOG_DIRTY_PAGES;
            }
            assertThat(v.access(GPA, Tlb.READ)).isEqualTo(PagedVcpu.OK);
            assertThat(v.hva).isEqualTo(memory);
            assertThat(vm.memory.slots(0).generation).isGreaterThan(then);
        }
    }
}
