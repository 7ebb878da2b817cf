package dev.slate.cpu.mmu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What the walker keeps of its walks, last-level tables and the way to a device: what it finds by that, and when it does not. */
final class TableCacheTest {
    private static final long P_W = 3;
    private static final long W = 2;
    private static final long U = 4;
    private static final long PML4 = 0x1_0000;
    private static final long PDPT = 0x1_1000;
    private static final long PD = 0x1_2000;
    private static final long PT = 0x1_3000;
    private static final long OTHER_PT = 0x1_4000;
    private static final long FRAMES = 0x2_0000;
    private static final long OTHER_FRAMES = 0x3_0000;
    private static final long LA = 1L << 39;

    private final PhysicalMemory memory = new PhysicalMemory(1 << 20);
    private final Cpu cpu = memory.cpu;
    private final CpuState s = cpu.s;

    /** Two last-level tables, of which the directory names the first. */
    @BeforeEach
    void tables() {
        memory.longMode(0x1000);
        memory.mapAll();
        s.cr3 = PML4;
        put(PML4 + 8, PDPT | P_W | U);
        put(PDPT, PD | P_W | U);
        put(PD, PT | P_W | U);
        for (int i = 0; i < 8; i++) {
            put(PT + 8 * i, FRAMES + 4096L * i | P_W | U);
            put(OTHER_PT + 8 * i, OTHER_FRAMES + 4096L * i | P_W | U);
        }
        cpu.flushTlb();
    }

    @AfterEach
    void close() {
        memory.close();
    }

    private void put(long gpa, long v) {
        HostMemory.put64(memory.hva(gpa), v);
    }

    /** Guest physical address of page {@code i} by a walk of its own, for a read. */
    private long frame(int i) {
        return cpu.walker.translate(LA + 4096L * i, Tlb.READ, 0, true) - memory.hva(0);
    }

    @Test
    void another_table_counts_once_any_page_is_invalidated() {
        assertThat(frame(0)).isEqualTo(FRAMES);
        put(PD, OTHER_PT | P_W);
        cpu.invlpg(0x5000);
        assertThat(frame(1)).isEqualTo(OTHER_FRAMES + 4096);
    }

    @Test
    void another_table_counts_once_cr3_is_loaded() {
        assertThat(frame(0)).isEqualTo(FRAMES);
        put(PD, OTHER_PT | P_W);
        cpu.pageTablesLoaded(false);
        assertThat(frame(1)).isEqualTo(OTHER_FRAMES + 4096);
    }

    @Test
    void another_space_has_tables_of_its_own() {
        assertThat(frame(0)).isEqualTo(FRAMES);
        put(PML4 + 0x8000 + 8, PDPT + 0x8000 | P_W);
        put(PDPT + 0x8000, PD + 0x8000 | P_W);
        put(PD + 0x8000, OTHER_PT | P_W);
        s.cr3 = PML4 + 0x8000;
        // Not even where the guest asks that nothing be dropped.
        cpu.pageTablesLoaded(true);
        assertThat(frame(1)).isEqualTo(OTHER_FRAMES + 4096);
    }

    @Test
    void a_page_that_the_old_table_lacks_is_looked_for_in_the_new_one() {
        put(PT + 8, 0);
        assertThat(frame(0)).isEqualTo(FRAMES);
        put(PD, OTHER_PT | P_W);
        assertThat(frame(1)).isEqualTo(OTHER_FRAMES + 4096);
    }

    @Test
    void rights_of_the_levels_above_still_count() {
        put(PDPT, PD | P_W & ~W);
        s.cr0 |= CpuState.CR0_WP;
        assertThat(frame(0)).isEqualTo(FRAMES);
        assertThatThrownBy(() -> cpu.walker.translate(LA + 4096, Tlb.WRITE, 0, true))
                .isInstanceOfSatisfying(
                        GuestFault.class, f -> assertThat(f.errorCode).isEqualTo(GuestWalk.PF_P | GuestWalk.PF_W));
        assertThatThrownBy(() -> cpu.walker.translate(LA + 4096, Tlb.READ, Tlb.USER, true))
                .isInstanceOfSatisfying(
                        GuestFault.class, f -> assertThat(f.errorCode).isEqualTo(GuestWalk.PF_P | GuestWalk.PF_U));
    }

    @Test
    void accessed_and_dirty_bits_of_the_page_are_set() {
        assertThat(frame(0)).isEqualTo(FRAMES);
        cpu.walker.translate(LA + 4096, Tlb.WRITE, 0, true);
        assertThat(HostMemory.get64(memory.hva(PT + 8)) & (GuestWalk.A | GuestWalk.D))
                .isEqualTo(GuestWalk.A | GuestWalk.D);
        assertThat(HostMemory.get64(memory.hva(PT + 16)) & GuestWalk.A).isZero();
    }

    /** The directory is read once for all pages of a table. */
    @Test
    void a_kept_table_is_gone_on_with() {
        assertThat(frame(0)).isEqualTo(FRAMES);
        put(PD, OTHER_PT | P_W);
        assertThat(frame(1)).isEqualTo(FRAMES + 4096);
    }

    private static final long DEVICE = 0x4000_0000L;
    private static final long OTHER_DEVICE = 0x5000_0000L;

    /** Guest physical address of the device that an access of page 0 reaches. */
    private long device(int access, int mode) {
        return ~cpu.walker.translate(LA + 8, access, mode, true);
    }

    @Test
    void the_way_to_a_device_is_kept_until_its_page_is_invalidated() {
        put(PT, DEVICE | P_W);
        assertThat(device(Tlb.WRITE, 0)).isEqualTo(DEVICE + 8);
        put(PT, OTHER_DEVICE | P_W);
        assertThat(device(Tlb.WRITE, 0)).isEqualTo(DEVICE + 8);
        cpu.invlpg(LA);
        assertThat(device(Tlb.WRITE, 0)).isEqualTo(OTHER_DEVICE + 8);
    }

    @Test
    void the_way_to_a_device_is_that_of_one_access_and_mode() {
        s.cr0 |= CpuState.CR0_WP;
        put(PT, DEVICE | 1);
        assertThat(device(Tlb.READ, 0)).isEqualTo(DEVICE + 8);
        assertThatThrownBy(() -> device(Tlb.WRITE, 0)).isInstanceOf(GuestFault.class);
        assertThatThrownBy(() -> device(Tlb.READ, Tlb.USER)).isInstanceOf(GuestFault.class);
        assertThat(device(Tlb.READ, 0)).isEqualTo(DEVICE + 8);
    }

    /** Memory may be put where the device was: the hypervisor is asked each time. */
    @Test
    void memory_in_a_devices_place_is_found() {
        put(PT, DEVICE | P_W);
        assertThat(device(Tlb.READ, 0)).isEqualTo(DEVICE + 8);
        int before = memory.nestedFaults;
        assertThat(device(Tlb.READ, 0)).isEqualTo(DEVICE + 8);
        assertThat(memory.nestedFaults).isEqualTo(before + 1);
    }
}
