package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.mem.HostMemory;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What lockstep finds and what it lets pass: each thing that it compares is made wrong once, and strings are stopped wherever they can be. */
final class LockstepTest {
    private static final int TABLES = 0x1000;
    /** In the TLB its page has the place of page {@code CODE + 4 MiB}. */
    private static final int CODE = 0x20_0000;

    private static final int SAME_PLACE = CODE + (4 << 20);
    private static final int DATA = 0x40_0000;

    private final PhysicalMemory memory = machine();
    private final Cpu cpu = memory.cpu;
    private final CpuState s = cpu.s;

    private static PhysicalMemory machine() {
        PhysicalMemory m = new PhysicalMemory(8 << 20);
        m.mapAll();
        m.longMode(TABLES);
        m.cpu.s.cr4 |= CpuState.CR4_OSFXSR;
        m.cpu.flushTlb();
        return m;
    }

    @AfterEach
    void close() {
        cpu.close();
        memory.close();
    }

    private void code(int... bytes) {
        for (int i = 0; i < bytes.length; i++) {
            HostMemory.put8(memory.hva(CODE + i), bytes[i]);
        }
        s.rip = CODE;
        s.setRflags(2);
        cpu.serialize();
    }

    /** What code can make of a stretch that should have run as the interpreter runs it. */
    enum Fault {
        NONE,
        REGISTER,
        CARRY,
        DIRECTION,
        VECTOR,
        UPPER_HALF,
        MXCSR,
        SHADOW,
        PRIVILEGE,
        STACK_SEGMENT,
        KERNEL_GS,
        MEMORY,
        PLACE
    }

    /** add %rax,%rbx; mov %rbx,DATA; inc %rcx; with whatever the code has made wrong. */
    @ParameterizedTest
    @EnumSource
    void each_thing_that_code_can_make_wrong_is_found(Fault fault) {
        code(0x48, 0x01, 0xc3, 0x48, 0x89, 0x1c, 0x25, 0, 0, 0x40, 0, 0x48, 0xff, 0xc1, 0xf4);
        s.gpr[CpuState.RAX] = 5;
        s.gpr[CpuState.RBX] = 7;
        Lockstep lockstep = new Lockstep(cpu, new StateBlock(s, cpu.kickAddress));
        lockstep.begin();
        assertThat(lockstep.stores(DATA, memory.hva(DATA))).isTrue();
        for (int i = 0; i < 3; i++) {
            assertThat(cpu.forTranslator.interpretOne()).isEqualTo(CpuExit.NONE);
        }
        switch (fault) {
            case REGISTER -> s.gpr[9]++;
            case CARRY -> s.setRflags(s.rflags() ^ CpuState.CF);
            case DIRECTION -> s.flagsSystem ^= CpuState.DF;
            case VECTOR -> s.xmm[4 * 7]++;
            case UPPER_HALF -> s.xmm[4 * 7 + 3]++;
            case MXCSR -> s.mxcsr ^= 1;
            case SHADOW -> s.interruptShadow = CpuState.SHADOW_STI;
            case PRIVILEGE -> s.cpl = 3;
            case STACK_SEGMENT -> s.segSelector[CpuState.SS]++;
            case KERNEL_GS -> s.kernelGsBase++;
            case MEMORY -> HostMemory.put8(memory.hva(DATA + 4095), 1);
            case PLACE -> s.rip = CODE + 100;
            default -> {}
        }
        if (fault == Fault.NONE) {
            lockstep.end(false);
            assertThat(cpu.translation.compared).isEqualTo(3);
            assertThat(s.gpr[CpuState.RBX]).isEqualTo(12);
            assertThat(HostMemory.get64(memory.hva(DATA))).isEqualTo(12);
            assertThat(s.rip).isEqualTo(CODE + 14);
        } else {
            assertThatThrownBy(() -> lockstep.end(false))
                    .hasMessageContaining("does not do what the interpreter does")
                    .hasMessageContaining(
                            switch (fault) {
                                case REGISTER -> "register 9 is 1 and not 0";
                                case CARRY, DIRECTION, SHADOW -> "flags are ";
                                case VECTOR -> "vector register 7 has 1 and not 0 in its part 0";
                                case UPPER_HALF -> "vector register 7 has 1 and not 0 in its part 3";
                                case MXCSR -> "MXCSR is ";
                                case PRIVILEGE, STACK_SEGMENT, KERNEL_GS -> "CPL, GS's bases, CS and SS are ";
                                case MEMORY -> "memory at 400ff8 is ";
                                default -> "the interpreter leaves with " + CpuExit.HLT;
                            });
        }
    }

    /** Code that leaves where it began has done nothing, or is found. */
    @Test
    void code_that_leaves_at_its_first_instruction_has_changed_nothing() {
        code(0x90, 0xf4);
        Lockstep lockstep = new Lockstep(cpu, new StateBlock(s, cpu.kickAddress));
        lockstep.begin();
        lockstep.end(false);
        lockstep.begin();
        s.xmm[0]++;
        assertThatThrownBy(() -> lockstep.end(false)).hasMessageContaining("vector register 0 has 1 and not 0");
    }

    /** imul $24,%rdx,%rdx; pushf; pop %r9: ZF is left undefined, and CF is not. */
    @ParameterizedTest
    @ValueSource(ints = {CpuState.ZF, CpuState.ZF | CpuState.SF, CpuState.CF})
    void flags_that_are_left_undefined_need_not_be_the_interpreters_wherever_they_stand(int flags) {
        code(0x48, 0x6b, 0xd2, 0x18, 0x9c, 0x41, 0x59, 0xf4);
        s.gpr[CpuState.RDX] = 0;
        s.gpr[CpuState.RSP] = DATA + 8;
        Lockstep lockstep = new Lockstep(cpu, new StateBlock(s, cpu.kickAddress));
        lockstep.begin();
        assertThat(lockstep.stores(DATA, memory.hva(DATA))).isTrue();
        for (int i = 0; i < 3; i++) {
            assertThat(cpu.forTranslator.interpretOne()).isEqualTo(CpuExit.NONE);
        }
        s.setRflags(s.rflags() ^ flags);
        s.gpr[9] ^= flags;
        HostMemory.put64(memory.hva(DATA), HostMemory.get64(memory.hva(DATA)) ^ flags);
        long made = s.rflags();
        if (flags != CpuState.CF) {
            lockstep.end(false);
            assertThat(s.rflags()).isEqualTo(made);
            assertThat(s.gpr[9]).isEqualTo(made);
            assertThat(HostMemory.get64(memory.hva(DATA))).isEqualTo(made);
            assertThat(cpu.translation.compared).isEqualTo(3);
        } else {
            assertThatThrownBy(() -> lockstep.end(false)).hasMessageContaining("register 9 is");
        }
    }

    /** Of a string code has done {@code wrong} bytes too many or too few. */
    @ParameterizedTest
    @ValueSource(ints = {-8, 0, 8})
    void a_part_of_a_string_is_compared(int wrong) {
        code(0xf3, 0x48, 0xab, 0xf4);
        s.gpr[CpuState.RDI] = DATA;
        s.gpr[CpuState.RAX] = -1;
        s.gpr[CpuState.RCX] = 100;
        HostMemory.fill(memory.hva(DATA), 4096, 0);
        Lockstep lockstep = new Lockstep(cpu, new StateBlock(s, cpu.kickAddress));
        lockstep.begin();
        assertThat(lockstep.stores(DATA, memory.hva(DATA))).isTrue();
        HostMemory.fill(memory.hva(DATA), 40 * 8 + wrong, -1);
        s.gpr[CpuState.RDI] += 40 * 8;
        s.gpr[CpuState.RCX] -= 40;
        if (wrong == 0) {
            lockstep.end(true);
            assertThat(s.gpr[CpuState.RCX]).isEqualTo(60);
            assertThat(s.rip).isEqualTo(CODE);
        } else {
            assertThatThrownBy(() -> lockstep.end(true))
                    .hasMessageContaining("memory at " + Integer.toHexString(DATA + 40 * 8 + Math.min(wrong, 0)));
        }
    }

    private X64Translator translate() {
        X64Translator translator = NoFaults.translator(cpu, 1, new TranslationBudget(1 << 20), true);
        assumeTrue(translator != null, "this host allows no executable memory");
        cpu.translator(translator);
        return translator;
    }

    /** A loop of 40 rounds: a read, and a string over eight pages. */
    private void strings(boolean moves) {
        code(
                0x48,
                0x8b,
                0x04,
                0x25,
                SAME_PLACE & 0xff,
                SAME_PLACE >> 8 & 0xff,
                SAME_PLACE >> 16 & 0xff,
                0, // mov
                0xbf,
                0,
                0,
                0x40,
                0, // mov $DATA,%edi
                0xbe,
                0,
                0,
                0x50,
                0, // mov $0x500000,%esi
                0xb9,
                0,
                0x10,
                0,
                0, // mov $0x1000,%ecx
                0xf3,
                0x48,
                moves ? 0xa5 : 0xab, // rep movsq, rep stosq
                0x41,
                0xff,
                0xcf, // dec %r15d
                0x75,
                0xe1, // jne the start
                0xf4);
        s.gpr[15] = 40;
        for (int i = 0; i < 1 << 15; i += 8) {
            HostMemory.put64(memory.hva(0x50_0000 + i), i * 0x1234_5678_9abcL);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void a_string_that_leaves_between_two_pages_goes_on_while_the_tlb_has_lost_its_code(boolean moves) {
        strings(moves);
        translate();
        assertThat(cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(cpu.translation.compared).isGreaterThan(40 * 5);
        assertThat(s.gpr[CpuState.RDI]).isEqualTo(DATA + 0x8000);
        assertThat(s.gpr[CpuState.RCX]).isZero();
    }

    /** Whoever kicks stops the interpreter's strings between two pages, those too that are done again. */
    @Test
    void strings_go_on_however_often_the_processor_is_kicked() throws InterruptedException {
        translate();
        AtomicBoolean done = new AtomicBoolean();
        long word = cpu.kickAddress;
        Thread kicks = new Thread(() -> {
            while (!done.get()) {
                HostMemory.put32(word, 1);
                // So that it comes somewhere between two.
                LockSupport.parkNanos(30_000);
            }
        });
        kicks.start();
        try {
            for (int round = 0; round < 20; round++) {
                strings((round & 1) != 0);
                int exit;
                do {
                    HostMemory.put32(word, 0);
                    exit = cpu.run();
                } while (exit == CpuExit.INTR);
                assertThat(exit).isEqualTo(CpuExit.HLT);
                assertThat(s.gpr[CpuState.RDI]).isEqualTo(DATA + 0x8000);
            }
        } finally {
            done.set(true);
            kicks.join();
        }
    }
}
