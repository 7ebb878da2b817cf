package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Blocks that became code with the one before them, entered from elsewhere: with the flags where the way from the block before does not have them.
 * Each guest puts CF, as the block found it, into a byte: 0 when it came from the block before, and then 1.
 */
final class PartsTest extends SmallGuest {
    private static final int DATA = 0x40_0000;

    /** cmp %rbx,%rax, which borrows nothing. */
    private static final String CLEAR = "4839d8";
    /** cmp %rdi,%rax, which borrows. */
    private static final String SET = "4839f8";
    /** mov (%rsi),%rcx: the flags are put away before it. */
    private static final String LOAD = "488b0e";
    /** mov 8(%rsi),%rdx; setb %dl; lea -1(%r12),%r12; mov %rdx,(%rsi,%r12,8); test %r12,%r12. */
    private static final String TELL_BEHIND_LOAD = "488b5608" + "0f92c2" + "4d8d6424ff" + "4a8914e6" + "4d85e4";
    /** The same without the load. */
    private static final String TELL = "0f92c2" + "4d8d6424ff" + "4a8914e6" + "4d85e4";

    private static final String HLT = "f4";

    @BeforeEach
    void translator() {
        translate(1);
    }

    private void carriesAreTold(String code) {
        byte[] bytes = HexFormat.of().parseHex(code);
        HostMemory.copyIn(bytes, 0, memory.hva(CODE), bytes.length);
        s.gpr[CpuState.RAX] = 5;
        s.gpr[CpuState.RBX] = 5;
        s.gpr[CpuState.RDI] = 6;
        s.gpr[CpuState.RSI] = DATA;
        s.gpr[12] = 3;
        s.setRflags(2);
        s.rip = CODE;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(HostMemory.get8(memory.hva(DATA + 16))).isZero();
        assertThat(HostMemory.get8(memory.hva(DATA + 8))).isOne();
        assertThat(HostMemory.get8(memory.hva(DATA))).isOne();
        assertThat(memory.cpu.translation.entries).isOne();
    }

    @Test
    void flags_that_come_in_EFLAGS_are_put_away_where_a_part_has_them_in_memory() {
        // 1: clear; load; jmp 3; 2: set; jb 3; hlt; 3: tell; jne 2; hlt
        carriesAreTold(CLEAR + LOAD + "eb06" + SET + "7201" + HLT + TELL_BEHIND_LOAD + "75e5" + HLT);
    }

    @Test
    void flags_that_come_in_EFLAGS_are_put_away_where_a_part_has_them_in_both_places() {
        // clear; load; jb 2; 1: tell; je 2; set; jb 1; 2: hlt
        carriesAreTold(CLEAR + LOAD + "721a" + TELL_BEHIND_LOAD + "7405" + SET + "72e6" + HLT);
    }

    @Test
    void flags_that_come_in_memory_are_fetched_where_a_part_has_them_in_EFLAGS() {
        // clear; jb 2; 1: tell; je 2; set; load; jmp 1; 2: hlt
        carriesAreTold(CLEAR + "7219" + TELL + "7408" + SET + LOAD + "ebe7" + HLT);
    }
}
