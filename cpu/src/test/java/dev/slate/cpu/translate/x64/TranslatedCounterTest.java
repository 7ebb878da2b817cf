package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.Hypervisor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** RDTSC and RDTSCP as machine code. */
final class TranslatedCounterTest extends SmallGuest {
    private static final int ROUNDS = 1000;
    private static final long FAR = 1L << 60;

    @BeforeEach
    void machine() {
        // stc; rdtsc; setc bl; shl rdx, 32; or rax, rdx; dec rcx; jnz CODE; hlt
        bytes(
                0xf9, 0x0f, 0x31, 0x0f, 0x92, 0xc3, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0xff, 0xc9, 0x75,
                0xee, 0xf4);
        translate(1);
    }

    private long counter(long offset) {
        memory.tscOffset = offset;
        s.rip = CODE;
        s.gpr[CpuState.RCX] = ROUNDS;
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).as("CF, which it leaves").isEqualTo(1);
        assertThat(s.gpr[CpuState.RDX] & 0xffff_ffffL).isZero();
        return s.gpr[CpuState.RAX];
    }

    @Test
    void it_is_the_hosts_and_an_offset_without_the_interpreter() {
        long before = counter(0);
        long far = counter(FAR);
        long after = counter(0);
        assertThat(after).isGreaterThan(before);
        assertThat(far - FAR).isGreaterThan(before).isLessThan(after);
        assertThat(memory.cpu.translation.exits[Exits.INTERPRET]).isLessThan(ROUNDS / 10);
    }

    @Test
    void it_is_the_interpreters_where_it_is_no_such_sum_or_may_fault() {
        long before = memory.readTsc();
        long without = counter(Hypervisor.NO_TSC_OFFSET);
        assertThat(memory.cpu.translation.exits[Exits.INTERPRET]).isGreaterThan(ROUNDS / 2);
        memory.cpu.s.cr4 |= CpuState.CR4_TSD;
        memory.cpu.translationsChanged();
        long disabled = counter(FAR);
        assertThat(memory.cpu.translation.exits[Exits.INTERPRET]).isGreaterThan(ROUNDS * 3 / 2);
        assertThat(without).isBetween(before, memory.readTsc());
        assertThat(disabled).isBetween(without, memory.readTsc());
    }

    @Test
    void rdtscp_brings_the_processors_number_too() {
        long before = counter(0);
        at = CODE;
        // stc; rdtscp; setc bl; add rcx, rsi; dec r15d; jnz CODE; hlt
        bytes(0xf9, 0x0f, 0x01, 0xf9, 0x0f, 0x92, 0xc3, 0x48, 0x01, 0xce);
        repeat(ROUNDS);
        memory.cpu.serialize();
        s.rip = CODE;
        s.tscAux = 0xffff_fff0L;
        s.gpr[CpuState.RBX] = 0;
        s.gpr[CpuState.RCX] = -1;
        s.gpr[CpuState.RSI] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(1);
        assertThat(s.gpr[CpuState.RSI]).isEqualTo(ROUNDS * 0xffff_fff0L);
        assertThat(s.gpr[CpuState.RDX] << 32 | s.gpr[CpuState.RAX]).isBetween(before, before + (1L << 40));
        assertThat(memory.cpu.translation.exits[Exits.INTERPRET]).isLessThan(ROUNDS / 10);
    }
}
