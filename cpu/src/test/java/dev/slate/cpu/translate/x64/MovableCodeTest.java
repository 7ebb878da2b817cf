package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Pages of code that lie at several linear addresses, as programs and libraries do that are executed more than once. */
final class MovableCodeTest extends SmallGuest {
    /** Tables of small pages for all addresses from 3 GiB on: one for those without bit 21, one for those with it. */
    private static final int SMALL_PAGES = 0x6000;

    private static final int OTHER_PAGES = 0x7000;
    private static final int HIGH_TABLES = 0x8000;
    private static final long OTHER = 1 << 21;
    private static final int FUNCTIONS = 0x30_0000;
    private static final long END_OF_LOW = 1L << 32;
    private static final long END_OF_LOWER_HALF = 1L << 47;

    @BeforeEach
    void translator() {
        mapHigh(memory);
        translate(2);
    }

    private static void mapHigh(PhysicalMemory m) {
        for (int i = 0; i < 512; i++) {
            HostMemory.put64(m.hva(HIGH_TABLES + 8 * i), HIGH_TABLES + 4096 | 7);
            HostMemory.put64(m.hva(HIGH_TABLES + 4096 + 8 * i), ((i & 1) == 0 ? SMALL_PAGES : OTHER_PAGES) | 7);
            if (i > 0 && i < 256) {
                HostMemory.put64(m.hva(TABLES + 8 * i), HIGH_TABLES | 7);
            }
        }
        for (int i = 3; i < 512; i++) {
            HostMemory.put64(m.hva(TABLES + 4096 + 8 * i), HIGH_TABLES + 4096 | 7);
        }
        m.cpu.flushTlb();
    }

    private static void map(PhysicalMemory m, int page, int frame) {
        HostMemory.put64(m.hva(SMALL_PAGES + 8 * page), frame | 7);
    }

    private void mapOther(int page, int frame) {
        HostMemory.put64(memory.hva(OTHER_PAGES + 8 * page), frame | 7);
    }

    /** The one has the first two pages of functions, the other the first of them and {@code second}. */
    private void twoPrograms(int second) {
        map(memory, 0, FUNCTIONS);
        mapOther(0, FUNCTIONS);
        map(memory, 1, FUNCTIONS + 0x1000);
        mapOther(1, second);
    }

    private void unmapOther(int page) {
        HostMemory.put64(memory.hva(OTHER_PAGES + 8 * page), 0);
    }

    /** mov $linear,%rax; call *%rax */
    private void call(long linear) {
        bytes(0x48, 0xb8);
        int64(linear);
        bytes(0xff, 0xd0);
    }

    private static long place(int number) {
        return 0x5500_0000_0000L + number * 0x1_2340_0000L;
    }

    @Test
    void one_translation_serves_as_many_places_as_there_are() {
        int places = 40;
        int rounds = 30;
        map(memory, 0, FUNCTIONS);
        map(memory, 1, FUNCTIONS + 4096);
        at = FUNCTIONS;
        // call the next page; lea (%rip),%rcx; sub %rdx,%rcx; add %rcx,%rbx; ret
        bytes(0xe8, 0xfb, 0x0f, 0, 0, 0x48, 0x8d, 0x0d, 0, 0, 0, 0, 0x48, 0x29, 0xd1, 0x48, 0x01, 0xcb, 0xc3);
        at = FUNCTIONS + 4096;
        bytes(0x48, 0x8d, 0x15, 0, 0, 0, 0, 0xc3); // lea (%rip),%rdx; ret
        at = CODE;
        for (int i = 0; i < places; i++) {
            call(place(i));
        }
        repeat(rounds);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo((long) places * rounds * (12 - (4096 + 7)));
        assertThat(memory.cpu.translation.regions)
                .as("of the caller, %d, and of the functions", places + 2)
                .isBetween(places + 2L, places + 10L);
        assertThat(memory.cpu.translation.invalidations).isZero();
    }

    @Test
    void addresses_are_counted_from_the_instruction_wherever_it_is_and_however_far_away_they_are() {
        map(memory, 0, FUNCTIONS);
        at = FUNCTIONS + 0xf80;
        bytes(0x48, 0x8d, 0x0d); // lea 2 GiB less a byte(%rip),%rcx
        int32(Integer.MAX_VALUE);
        bytes(0x48, 0x8d, 0x15); // lea -2 GiB(%rip),%rdx
        int32(Integer.MIN_VALUE);
        bytes(0x8d, 0x35, 4, 0, 0, 0); // lea 4(%rip),%esi
        bytes(0x67, 0x48, 0x8d, 0x3d, 0, 0, 0, 0); // lea (%eip),%rdi
        bytes(
                0x67, 0x44, 0x8b, 0x05, 0xf8, 0xff, 0xff,
                0xff); // mov -8(%eip),%r8d, which is not there: of the lower 4 GiB
        bytes(0xc3);
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < 3; i++) {
                // Its lower 32 bits are where memory lies.
                long place = (long) (i + 3) << 32 | 0xc000_0000L;
                at = CODE;
                call(place + 0xf80);
                bytes(0xf4);
                s.rip = CODE;
                memory.cpu.serialize();
                assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
                assertThat(s.gpr[CpuState.RCX]).isEqualTo(place + 0xf87 + Integer.MAX_VALUE);
                assertThat(s.gpr[CpuState.RDX]).isEqualTo(place + 0xf8e + Integer.MIN_VALUE);
                assertThat(s.gpr[CpuState.RSI]).isEqualTo((int) place + 0xf98 & 0xffff_ffffL);
                assertThat(s.gpr[CpuState.RDI]).isEqualTo((int) place + 0xf9c & 0xffff_ffffL);
                assertThat(s.gpr[8]).isEqualTo(0x058b_4467L);
            }
        }
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /** In turn, and each so often that what leads from the page to the next one is set for it. */
    @Test
    void two_programs_with_a_page_in_common_go_on_in_pages_of_their_own() {
        twoPrograms(FUNCTIONS + 0x2000);
        at = FUNCTIONS;
        bytes(0xe9, 0xfb, 0x0f, 0, 0); // jmp the next page
        at = FUNCTIONS + 0x1000;
        bytes(0x83, 0xc3, 1, 0xc3); // add $1,%ebx; ret
        at = FUNCTIONS + 0x2000;
        bytes(0x83, 0xc3, 100, 0xc3); // add $100,%ebx; ret
        ownPages(place(1));
    }

    @Test
    void two_programs_with_the_beginning_of_an_instruction_in_common_end_it_in_their_own_ways() {
        twoPrograms(FUNCTIONS + 0x2000);
        at = FUNCTIONS + 4094;
        bytes(0x83, 0xc3); // add $1 or $100,%ebx; ret
        at = FUNCTIONS + 0x1000;
        bytes(1, 0xc3);
        at = FUNCTIONS + 0x2000;
        bytes(100, 0xc3);
        ownPages(place(1) + 4094);
    }

    /** The next page is there in the one program and not in the other, which executes the same instruction. */
    @Test
    void an_instruction_whose_end_is_not_there_faults_at_one_place_and_is_executed_at_the_other() {
        twoPrograms(FUNCTIONS + 0x1000);
        at = FUNCTIONS;
        bytes(0xc3);
        at = FUNCTIONS + 4094;
        bytes(0x83, 0xc3, 1, 0xc3); // add $1,%ebx; ret
        long function = place(1) + 4094;
        at = CODE;
        call(function);
        call(place(1) | OTHER);
        call(function | OTHER);
        repeat(50);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(100);
        assertThat(memory.cpu.translation.interpreted).isLessThan(80);
        unmapOther(1);
        memory.cpu.flushTlb();
        memory.cpu.serialize();
        s.rip = CODE;
        s.gpr[15] = 50;
        // There is no handler.
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.SHUTDOWN);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(101);
        assertThat(s.rip).isEqualTo(function | OTHER);
    }

    /** A function in the one program adds 1 to EBX, and in the other 100. */
    private void ownPages(long function) {
        int rounds = 100;
        at = CODE;
        for (int i = 0; i < 4; i++) {
            call(function);
            call(function | OTHER);
            call(function | OTHER);
        }
        repeat(rounds);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds * 4 * 201L);
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /** The code at the first place is known from when it was executed there, which nobody remembers any more. */
    @Test
    void a_store_is_seen_at_a_place_that_has_been_forgotten() {
        map(memory, 0, FUNCTIONS);
        at = FUNCTIONS;
        bytes(0x83, 0xc3, 1, 0xc3); // add $1,%ebx; ret
        at = CODE;
        for (int round = 0; round < 2; round++) {
            call(place(0));
            for (int i = 1; i < 12; i++) {
                call(place(i));
            }
            // movb $5,2(place 0); call place 0; movb $1,2(place 0), each by way of %rax
            store(place(0) + 2, 5);
            call(place(0));
            store(place(0) + 2, 1);
            if (round == 0) {
                // From here on everything is proved once more; the one at the first place is so by code itself.
                bytes(0x0f, 0x01, 0xe8); // serialize
            }
        }
        int rounds = 60;
        repeat(rounds);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds * 2L * (12 + 5));
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /** mov $linear,%rax; movb $v,(%rax) */
    private void store(long linear, int v) {
        bytes(0x48, 0xb8);
        int64(linear);
        bytes(0xc6, 0x00, v);
    }

    /** Code that calls a function as often as RCX says, at RAX first, which RBX counts. */
    private void callsOnePlaceAfterTheOther() {
        map(memory, 0, FUNCTIONS);
        at = FUNCTIONS;
        bytes(0x83, 0xc3, 1, 0xc3); // add $1,%ebx; ret
        at = CODE;
        // mov $1 << 22,%esi; 1: call *%rax; add %rsi,%rax; dec %ecx; jne 1b; hlt
        bytes(0xbe, 0, 0, 0x40, 0, 0xff, 0xd0, 0x48, 0x01, 0xf0, 0xff, 0xc9, 0x75, 0xf7, 0xf4);
    }

    /** As programs that are executed one after the other: nothing new is translated, and what is remembered of their places has an end. */
    @Test
    void places_without_end_take_no_more_than_the_budget() {
        callsOnePlaceAfterTheOther();
        int places = 200_000;
        for (int run = 0; run < 10; run++) {
            s.rip = CODE;
            s.gpr[CpuState.RAX] = place(1) + ((long) run * places << 22);
            s.gpr[CpuState.RBX] = 0;
            s.gpr[CpuState.RCX] = places / 10;
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
            assertThat(s.gpr[CpuState.RBX]).isEqualTo(places / 10);
        }
        // 64 bytes each: more than the budget's 4 MiB.
        assertThat(memory.cpu.translation.resets).isPositive();
        assertThat(memory.cpu.translation.memory).isLessThanOrEqualTo(4 << 20);
    }

    /** However many places there have been: only pages of code can have moved. */
    @Test
    void code_stays_mapped_when_a_page_without_code_is_invalidated() {
        callsOnePlaceAfterTheOther();
        int rounds = 2000;
        s.gpr[CpuState.RAX] = place(1);
        s.gpr[CpuState.RCX] = 30_000;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        at = CODE;
        bytes(0x0f, 0x01, 0x3e, 0x48, 0x81, 0xc6); // invlpg (%rsi); add $4096,%rsi
        int32(4096);
        call(place(1));
        repeat(rounds);
        s.rip = CODE;
        s.gpr[CpuState.RBX] = 0;
        s.gpr[CpuState.RSI] = place(0) + (1L << 40);
        memory.cpu.serialize();
        long[] exits = memory.cpu.translation.exits;
        long before = exits[Exits.CROSS] + exits[Exits.LOOK_UP];
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds);
        assertThat(exits[Exits.CROSS] + exits[Exits.LOOK_UP] - before).isLessThan(rounds / 4);
    }

    /** Each round's store has the function made anew: the call leaves for it then, and not each time from then on. */
    @Test
    void a_link_to_a_page_that_has_died_is_set_anew() {
        map(memory, 0, FUNCTIONS);
        map(memory, 1, FUNCTIONS + 0x1000);
        at = FUNCTIONS;
        // mov $50,%ecx; 1: call the next page; dec %ecx; jne 1b; ret
        bytes(0xb9, 50, 0, 0, 0, 0xe8, 0xf6, 0x0f, 0, 0, 0xff, 0xc9, 0x75, 0xf7, 0xc3);
        at = FUNCTIONS + 0x1000;
        bytes(0x83, 0xc3, 1, 0xc3); // add $1,%ebx; ret
        at = CODE;
        int kinds = 8;
        for (int i = 0; i < kinds; i++) {
            call(place(1));
            store(place(1) + 0x1002, i + 2);
            call(place(1));
        }
        bytes(0xf4);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(50L * kinds * (kinds + 2));
        assertThat(memory.cpu.translation.invalidations).isPositive();
        assertThat(memory.cpu.translation.exits[Exits.CROSS]).isLessThan(10 * kinds);
    }

    /** A function below 4 GiB, whose code names its addresses, jumps to one above, whose code does not. */
    @Test
    void code_that_stays_jumps_to_code_that_moves() {
        map(memory, 511, FUNCTIONS);
        map(memory, 0, FUNCTIONS + 4096);
        at = FUNCTIONS;
        bytes(0xe9, 0xfb, 0x0f, 0, 0); // jmp the next page
        at = FUNCTIONS + 4096;
        bytes(0x48, 0x8d, 0x0d, 0, 0, 0, 0); // lea (%rip),%rcx
        bytes(0x48, 0x01, 0xcb, 0xc3); // add %rcx,%rbx; ret
        at = CODE;
        call(place(1));
        call(END_OF_LOW - 4096);
        mapOther(511, FUNCTIONS);
        call(place(2) - 4096);
        int rounds = 50;
        repeat(rounds);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds * (place(1) + END_OF_LOW + place(2) + 21));
        assertThat(memory.cpu.translation.entries).isLessThan(10);
    }

    @Test
    void what_a_page_ends_with_a_call_of_goes_on_in_the_next_one_of_its_place() {
        map(memory, 0, FUNCTIONS);
        map(memory, 1, FUNCTIONS + 0x1000);
        at = FUNCTIONS + 0x100;
        bytes(0xc3);
        at = FUNCTIONS + 0xffb;
        bytes(0xe8); // call
        int32(0x100 - 0x1000);
        bytes(0x48, 0x8d, 0x0d, 0, 0, 0, 0, 0x48, 0x01, 0xcb, 0xc3); // lea (%rip),%rcx; add %rcx,%rbx; ret
        at = CODE;
        call(place(1) + 0xffb);
        call(place(2) + 0xffb);
        int rounds = 50;
        repeat(rounds);
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds * (place(1) + place(2) + 2 * 0x1007));
        assertThat(memory.cpu.translation.entries).isLessThan(20);
    }

    /** The same bytes lead to the next page elsewhere. */
    @Test
    void a_jump_over_the_end_of_the_lower_half_faults_where_it_stands() {
        try (PhysicalMemory interpreted = new PhysicalMemory(8 << 20)) {
            begin(interpreted);
            mapHigh(interpreted);
            for (PhysicalMemory m : new PhysicalMemory[] {memory, interpreted}) {
                map(m, 0, FUNCTIONS + 4096);
                HostMemory.put64(m.hva(OTHER_PAGES + 8 * 511), FUNCTIONS | 7);
                HostMemory.put32(m.hva(FUNCTIONS + 0xff0), 0x20eb_c3ff); // inc %ebx; jmp
                HostMemory.put8(m.hva(FUNCTIONS + 4096 + 0x14), 0xf4);
                m.cpu.serialize();
                m.cpu.s.gpr[CpuState.RBX] = 0;
                for (int i = 1; i < 5; i++) {
                    m.cpu.s.rip = place(i) - 16;
                    assertThat(m.cpu.run()).isEqualTo(CpuExit.HLT);
                    assertThat(m.cpu.s.rip).isEqualTo(place(i) + 0x14);
                }
                m.cpu.s.rip = END_OF_LOWER_HALF - 16;
                // There is no handler.
                assertThat(m.cpu.run()).isEqualTo(CpuExit.SHUTDOWN);
            }
            assertThat(s.rip).isEqualTo(interpreted.cpu.s.rip);
            assertThat(s.gpr[CpuState.RBX]).isEqualTo(5);
        }
        assertThat(memory.cpu.translation.entries).isPositive();
    }
}
