package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.Hypervisor;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** RDTSC as machine code. */
final class TranslatedCounterTest {
    private static final int TABLES = 0x1000;
    private static final int CODE = 0x20_0000;
    private static final int ROUNDS = 1000;
    private static final long FAR = 1L << 60;

    private final PhysicalMemory m = new PhysicalMemory(8 << 20);

    @BeforeEach
    void translate() {
        m.mapAll();
        m.longMode(TABLES);
        // stc; rdtsc; setc bl; shl rdx, 32; or rax, rdx; dec rcx; jnz CODE; hlt
        int[] code = {
            0xf9, 0x0f, 0x31, 0x0f, 0x92, 0xc3, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0xff, 0xc9, 0x75, 0xee,
            0xf4
        };
        for (int i = 0; i < code.length; i++) {
            HostMemory.put8(m.hva(CODE + i), code[i]);
        }
        m.cpu.flushTlb();
        X64Translator translator = NoFaults.translator(m.cpu, 1, new TranslationBudget(1 << 20));
        assumeTrue(translator != null, "this host allows no executable memory");
        m.cpu.translator(translator);
    }

    @AfterEach
    void close() {
        m.cpu.close();
        m.close();
    }

    private long counter(long offset) {
        m.tscOffset = offset;
        CpuState s = m.cpu.s;
        s.rip = CODE;
        s.gpr[CpuState.RCX] = ROUNDS;
        s.gpr[CpuState.RBX] = 0;
        assertThat(m.cpu.run()).isEqualTo(CpuExit.HLT);
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
        assertThat(m.cpu.translation.exits[Exits.INTERPRET]).isLessThan(ROUNDS / 10);
    }

    @Test
    void it_is_the_interpreters_where_it_is_no_such_sum_or_may_fault() {
        long before = m.readTsc();
        long without = counter(Hypervisor.NO_TSC_OFFSET);
        assertThat(m.cpu.translation.exits[Exits.INTERPRET]).isGreaterThan(ROUNDS / 2);
        m.cpu.s.cr4 |= CpuState.CR4_TSD;
        m.cpu.translationsChanged();
        long disabled = counter(FAR);
        assertThat(m.cpu.translation.exits[Exits.INTERPRET]).isGreaterThan(ROUNDS * 3 / 2);
        assertThat(without).isBetween(before, m.readTsc());
        assertThat(disabled).isBetween(without, m.readTsc());
    }
}
