package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Machine code on pages that move, accesses that miss the TLB however often they are tried, and runs that end at once. */
final class TranslatedMappingsTest extends SmallGuest {
    private static final int SMALL_PAGES = 0x6000;
    private static final int FUNCTIONS = 0x30_0000;
    /** Where small pages lie. */
    private static final int LINEAR = 100 << 21;

    /** How far pages lie apart that share an entry of the first TLB. */
    private static final int SPAN = StateBlock.TLB_ENTRIES * 4096;

    private static final int ROUNDS = 200;

    private X64Translator translator;

    @BeforeEach
    void machine() {
        HostMemory.put64(memory.hva(TABLES + 8192 + 8 * 100), SMALL_PAGES | 7);
        memory.cpu.flushTlb();
        s.gpr[15] = ROUNDS;
        translator = translate(2);
    }

    private void map(int page, int frame) {
        HostMemory.put64(memory.hva(SMALL_PAGES + 8 * page), frame | 7);
    }

    private void repeat() {
        repeat(ROUNDS);
    }

    /** Two functions take turns on one page of code; INVLPG says so each time, and of another page, too. */
    @Test
    void code_on_a_page_that_invlpg_has_moved_is_not_gone_on_with() {
        for (int f = 0; f < 2; f++) {
            at = FUNCTIONS + f * 4096;
            bytes(0x83, 0xc3, 1 + f, 0xc3); // add $1 or $2,%ebx; ret
        }
        map(0, FUNCTIONS);
        at = CODE;
        bytes(0xe8);
        int32(LINEAR - (at + 4));
        bytes(0x0f, 0x01, 0x3c, 0x25); // invlpg another page
        int32(LINEAR + 4096);
        bytes(0xe8);
        int32(LINEAR - (at + 4));
        bytes(0x81, 0x34, 0x25); // xorl $0x1000,entry
        int32(SMALL_PAGES);
        int32(0x1000);
        bytes(0x0f, 0x01, 0x3c, 0x25);
        int32(LINEAR);
        repeat();
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(ROUNDS * 3L);
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /** One page of code at two addresses: what follows the block that becomes code at the second is executed at the first, until the end. */
    @Test
    void a_block_that_was_executed_elsewhere_does_not_become_code_with_the_one_before_it() {
        at = FUNCTIONS;
        bytes(0x85, 0xdb, 0x75, 0x07); // test %ebx,%ebx; jne 1
        bytes(0x48, 0x8d, 0x0d, 0, 0, 0, 0); // lea (%rip),%rcx
        bytes(0xc3); // 1: ret
        map(0, FUNCTIONS);
        map(1, FUNCTIONS);
        at = CODE;
        for (int page = 0; page < 2; page++) {
            bytes(0xbb, page, 0, 0, 0, 0xe8); // mov $page,%ebx; call
            int32(LINEAR + page * 4096 - (at + 4));
        }
        bytes(0x41, 0xff, 0xcf, 0x0f, 0x85); // dec %r15d; jne the start
        int32(CODE - (at + 4));
        bytes(0x31, 0xdb, 0xe8); // xor %ebx,%ebx; call
        int32(LINEAR + 4096 - (at + 4));
        bytes(0xf4);
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RCX]).isEqualTo(LINEAR + 4096 + 11);
    }

    /** A jump begins on one page and ends on the next, of which there are two: where it leads adds to EBX. */
    @Test
    void an_instruction_on_two_pages_is_machine_code_and_changes_with_the_second() {
        int rest = FUNCTIONS + 0x2000;
        at = FUNCTIONS + 4096 - 3;
        bytes(0xe9, 0, 0x10);
        for (int f = 0; f < 4; f++) {
            at = rest + (f & 1) * 4096;
            bytes(1 + f, 0);
            at = rest + (2 + f) * 4096 + 2;
            bytes(0x83, 0xc3, 1 + f, 0xc3); // add $1+f,%ebx; ret
            map(0x12 + 0x10 * f, at - 6);
        }
        map(0, FUNCTIONS);
        at = CODE;
        bytes(0xe8);
        int32(LINEAR + 4096 - 3 - (at + 4));
        repeat();
        // The page is another one, is changed where it lies, and is the first one again.
        int[][] steps = {{0, 1}, {1, 2}, {1, 3}, {1, 4}, {0, 1}};
        for (int[] step : steps) {
            map(1, rest + step[0] * 4096);
            HostMemory.put8(memory.hva(rest + step[0] * 4096), step[1]);
            memory.cpu.flushTlb();
            memory.cpu.serialize();
            s.gpr[CpuState.RBX] = 0;
            s.gpr[15] = ROUNDS;
            s.rip = CODE;
            long interpreted = memory.cpu.translation.interpreted;
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
            assertThat(s.gpr[CpuState.RBX])
                    .as("page %d with %d", step[0], step[1])
                    .isEqualTo((long) ROUNDS * step[1]);
            assertThat(memory.cpu.translation.interpreted - interpreted).isLessThan(ROUNDS / 4);
        }
    }

    /** As many functions as the jump cache has no room for at first are called in turn, by one call. */
    @Test
    void a_call_of_many_functions_finds_them_in_a_larger_jump_cache() {
        int functions = 4096;
        for (int f = 0; f < functions; f++) {
            at = FUNCTIONS + 16 * f;
            bytes(0xff, 0xc3, 0xc3); // inc %ebx; ret
        }
        at = CODE;
        bytes(0xb8); // mov $FUNCTIONS,%eax
        int32(FUNCTIONS);
        bytes(0xb9); // mov $functions,%ecx
        int32(functions);
        bytes(0xff, 0xd0); // call *%rax
        bytes(0x48, 0x83, 0xc0, 16); // add $16,%rax
        bytes(0xff, 0xc9, 0x75, -10); // dec %ecx; jnz the call
        repeat();
        s.gpr[CpuState.RBX] = 0;
        s.gpr[15] = 2;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        long before = memory.cpu.translation.exits[Exits.LOOK_UP];
        long held = memory.cpu.translation.memory;
        assertThat(before).isGreaterThan(functions);
        s.gpr[15] = 8;
        s.rip = CODE;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(10L * functions);
        assertThat(memory.cpu.translation.exits[Exits.LOOK_UP] - before).isLessThan(functions / 8);
        assertThat(memory.cpu.translation.memory - held).isGreaterThan(functions << JumpCache.ENTRY_SHIFT);
    }

    /** Two of six words lie on one page and four on another, which lies elsewhere. */
    @Test
    void pushes_and_pops_in_a_row_go_over_the_end_of_a_page() {
        map(0, FUNCTIONS + 0x3000);
        map(1, FUNCTIONS);
        bytes(0x41, 0x57, 0x6a, 2, 0x6a, 3, 0x6a, 4, 0x6a, 5, 0x6a, 6); // push %r15, which ends as 1, and $2 to $6
        bytes(0x5e, 0x5f, 0x5b, 0x5a, 0x41, 0x58, 0x41, 0x59); // pop %rsi, %rdi, %rbx, %rdx, %r8, %r9
        repeat();
        s.gpr[CpuState.RSP] = LINEAR + 4096 + 16;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(LINEAR + 4096 + 16);
        assertThat(new long[] {s.gpr[6], s.gpr[7], s.gpr[3], s.gpr[2], s.gpr[8], s.gpr[9]})
                .containsExactly(6, 5, 4, 3, 2, 1);
        for (int k = 0; k < 6; k++) {
            int at = k < 2 ? FUNCTIONS + 8 - 8 * k : FUNCTIONS + 0x4000 - 8 * (k - 1);
            assertThat(HostMemory.get64(memory.hva(at))).as("word %d", k).isEqualTo(k + 1);
        }
        assertThat(memory.cpu.translation.entries).isBetween(1L, 10L);
    }

    /** PUSH of memory whose page takes the stack's place in the TLB, which takes its. */
    @Test
    void accesses_that_take_each_others_place_in_the_tlb_get_done() {
        int rival = LINEAR + (STACK - 4096 & SPAN - 1);
        map(rival - LINEAR >>> 12, FUNCTIONS);
        HostMemory.put64(memory.hva(FUNCTIONS), 5);
        bytes(0xff, 0x34, 0x25); // push rival
        int32(rival);
        bytes(0x58, 0x48, 0x01, 0xc3); // pop %rax; add %rax,%rbx
        repeat();
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(ROUNDS * 5L);
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /** How often code leaves for a page while it makes so many accesses to two that have one place in every TLB. */
    private long missesOfRivals(int... loop) {
        int distance = SecondTlb.ENTRIES * 4096;
        HostMemory.put64(memory.hva(TABLES + 8192 + 8 * (100 + (distance >> 21))), SMALL_PAGES | 7);
        memory.cpu.flushTlb();
        map(0, FUNCTIONS);
        HostMemory.put64(memory.hva(FUNCTIONS), 5);
        translator.takeSecond();
        at = CODE;
        bytes(loop);
        repeat();
        s.gpr[CpuState.RBX] = 0;
        s.gpr[CpuState.RSI] = LINEAR;
        s.gpr[CpuState.RDI] = LINEAR + distance;
        s.gpr[CpuState.RSP] = LINEAR + distance + 0x800;
        s.gpr[15] = 10 * ROUNDS;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(10 * ROUNDS * 10L);
        return memory.cpu.translation.exits[Exits.MISS];
    }

    @Test
    void pages_that_have_one_place_in_every_tlb_do_not_have_each_access_leave() {
        // add (%rsi),%rbx; add (%rdi),%rbx
        assertThat(missesOfRivals(0x48, 0x03, 0x1e, 0x48, 0x03, 0x1f)).isLessThan(50);
        assertThat(memory.cpu.translation.interpreted).isLessThan(100);
    }

    @Test
    void nor_do_such_pages_of_one_instruction() {
        // push (%rsi); pop %rax; add %rax,%rbx; push (%rsi); add (%rsp),%rbx; pop %rax
        assertThat(missesOfRivals(0xff, 0x36, 0x58, 0x48, 0x01, 0xc3, 0xff, 0x36, 0x48, 0x03, 0x1c, 0x24, 0x58))
                .isLessThan(50);
        assertThat(memory.cpu.translation.interpreted).isLessThan(100);
    }

    /** A push of memory whose place is on the stack's page, where that ends. */
    @Test
    void the_second_access_of_an_instruction_may_go_over_the_end_of_a_page() {
        map(2, FUNCTIONS + 4096);
        map(3, FUNCTIONS + 0x5000);
        at = CODE;
        bytes(0xff, 0x36, 0x58, 0x48, 0x01, 0xc3); // push (%rsi); pop %rax; add %rax,%rbx
        repeat();
        HostMemory.put64(memory.hva(FUNCTIONS + 0x5100), 7);
        s.gpr[CpuState.RBX] = 0;
        s.gpr[CpuState.RSI] = LINEAR + 0x3100;
        s.gpr[CpuState.RSP] = LINEAR + 0x3003;
        translator.takeSecond();
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(7L * ROUNDS);
        assertThat(HostMemory.get8(memory.hva(FUNCTIONS + 0x1ffb))).isEqualTo(7);
    }

    /** Bytes change behind the processor's back, and what is made of the new ones shares a line with what was made of the old. */
    @Test
    void code_made_of_other_bytes_of_a_line_is_not_taken_for_proved_by_that_line() {
        at = FUNCTIONS;
        bytes(0x83, 0xc3, 1, 0x83, 0xc3, 1, 0xc3); // add $1,%ebx; add $1,%ebx; ret
        map(0, FUNCTIONS);
        at = CODE;
        bytes(0xe8);
        int32(LINEAR - (at + 4));
        repeat();
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2L * ROUNDS);
        HostMemory.put8(memory.hva(FUNCTIONS + 5), 10);
        // The second instruction by itself.
        at = CODE + 0x100;
        bytes(0xe8);
        int32(LINEAR + 3 - (at + 4));
        bytes(0x41, 0xff, 0xcf, 0x75, 0xf6, 0xf4); // dec %r15d; jne; hlt
        s.rip = CODE + 0x100;
        s.gpr[15] = ROUNDS;
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(10L * ROUNDS);
        memory.cpu.serialize();
        s.rip = CODE;
        s.gpr[15] = ROUNDS;
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(11L * ROUNDS);
    }

    /** A loop that goes over many pages misses at one instruction each time, which stays machine code. */
    @Test
    void an_instruction_that_misses_on_one_page_after_the_other_is_not_left_to_the_interpreter() {
        for (int page = 0; page < ROUNDS; page++) {
            map(page, FUNCTIONS + page * 4096);
            HostMemory.put64(memory.hva(FUNCTIONS + page * 4096), page);
        }
        bytes(0x48, 0x03, 0x1e); // add (%rsi),%rbx
        bytes(0x48, 0x81, 0xc6); // add $4096,%rsi
        int32(4096);
        repeat();
        s.gpr[CpuState.RBX] = 0;
        s.gpr[CpuState.RSI] = LINEAR;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(ROUNDS * (ROUNDS - 1L) / 2);
        assertThat(memory.cpu.translation.exits[Exits.MISS]).isGreaterThan(ROUNDS - 10);
        assertThat(memory.cpu.translation.entries).isLessThan(10);
    }

    /** How often code was entered in so many runs to HLT, behind which stand {@code rest} and a jump back. */
    private long entriesOf(int runs, int... rest) {
        bytes(0xf4);
        bytes(rest);
        bytes(0xe9);
        int32(CODE - (at + 4));
        s.gpr[CpuState.RBX] = 0;
        for (int i = 0; i < runs; i++) {
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
            s.rip = CODE + 1;
        }
        return memory.cpu.translation.entries;
    }

    /** To take the guest's registers over is more work than what stands there. */
    @Test
    void what_comes_to_an_exit_at_once_is_interpreted() {
        assertThat(entriesOf(3000, 0xff, 0xc3)).isBetween(16L, 150L); // inc %ebx
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2999);
    }

    @Test
    void a_loop_before_each_exit_is_machine_code() {
        // mov $20,%ecx; inc %ebx; dec %ecx; jnz
        assertThat(entriesOf(3000, 0xb9, 20, 0, 0, 0, 0xff, 0xc3, 0xff, 0xc9, 0x75, 0xfa))
                .isGreaterThan(2900);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2999 * 20);
        assertThat(memory.cpu.translation.interpreted).as("HLT alone").isLessThan(3100);
    }
}
