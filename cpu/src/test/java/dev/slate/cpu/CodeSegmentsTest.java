package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * One rip in two code segments is two pieces of code: whatever brings the processor from one to the other, and however short ago it ran
 * the first. Outside 64-bit mode, where CS has a base and a limit.
 */
final class CodeSegmentsTest {
    private static final int OFFSET = 0x100;
    private static final int LAUNCH = 0x200;

    /** Real mode: segment 1000 answers 1 at {@link #OFFSET}, segment 2000 answers 2. */
    @Nested
    final class InRealMode {
        private static final int FIRST = 0x1000;
        private static final int SECOND = 0x2000;

        private final PhysicalMemory memory = new PhysicalMemory(1 << 20);
        private final CpuState s = memory.cpu.s;

        InRealMode() {
            memory.mapAll();
            s.cr0 = CpuState.CR0_ET;
            for (int i = 0; i < 6; i++) {
                s.segSelector[i] = FIRST;
                s.segBase[i] = FIRST << 4;
                s.segLimit[i] = 0xffff;
                s.segAttr[i] = 0x93;
            }
            s.segAttr[CpuState.CS] = 0x9b;
            s.idtLimit = 0x3ff;
            s.gpr[CpuState.RSP] = 0x8000;
            // mov $1,%ax; hlt
            bytes((FIRST << 4) + OFFSET, "b80100 f4");
            bytes((SECOND << 4) + OFFSET, "b80200 f4");
            HostMemory.put32(memory.hva((FIRST << 4) + 0x300), SECOND << 16 | OFFSET);
            HostMemory.put32(memory.hva(4 * 0x40), SECOND << 16 | OFFSET);
            assertThat(answer(OFFSET)).isEqualTo(1);
        }

        @AfterEach
        void close() {
            memory.close();
        }

        private void bytes(int gpa, String hex) {
            byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
            HostMemory.copyIn(bytes, 0, memory.hva(gpa), bytes.length);
        }

        private long answer(int rip) {
            s.rip = rip;
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
            return s.gpr[CpuState.RAX];
        }

        @ParameterizedTest(name = "{0}")
        @CsvSource({
            "JMP ptr16:16, ea 0001 0020",
            "JMP ptr16:32, 66ea 00010000 0020",
            "CALL ptr16:16, 9a 0001 0020",
            "JMP m16:16, ff2e 0003",
            "CALL m16:16, ff1e 0003",
            "RETF, 680020 680001 cb",
            "RETF 4, 680020 680001 ca0400",
            "IRET, 9c 680020 680001 cf",
            "INT 40, cd40"
        })
        void theSameOffsetElsewhereIsOtherCodeAfter(String name, String launcher) {
            bytes((FIRST << 4) + LAUNCH, launcher);
            assertThat(answer(LAUNCH)).as(name).isEqualTo(2);
        }

        @Test
        void aFarReturnComesBackToTheFirst() {
            // lcall 2000:0400; jmp OFFSET, which is relative: the second's OFFSET ran in between
            bytes((FIRST << 4) + LAUNCH, "9a 0004 0020 e9f8fe");
            // call OFFSET+10; lret, and there: inc %bx; ret
            bytes((SECOND << 4) + 0x400, "e80dfd cb");
            bytes((SECOND << 4) + OFFSET + 0x10, "43 c3");
            bytes((FIRST << 4) + OFFSET + 0x10, "4b c3");
            assertThat(answer(LAUNCH)).isEqualTo(1);
            assertThat(s.gpr[CpuState.RBX]).isEqualTo(1);
        }

        @Test
        void anInterruptsHandlerIsFoundInItsOwnSegment() {
            assertThat(memory.cpu.inject(SvmExit.EVENT_INTR, 0x40, false, 0, 0)).isEqualTo(CpuExit.NONE);
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
            assertThat(s.gpr[CpuState.RAX]).isEqualTo(2);
        }

        @Test
        void realModeGoesOnWithTheOperandSizeThatCsBroughtFromProtectedMode() {
            int gdt = 0x5000;
            HostMemory.put64(memory.hva(gdt + 8), 0x00cf_9b01_0000_ffffL);
            s.gdtBase = gdt;
            s.gdtLimit = 15;
            // inc %eax; mov %eax,%cr0; ljmp 8:0400, in 16-bit code; at 0400: dec %eax; mov %eax,%cr0; mov $20002,%eax;
            // ljmp 2000:0500
            bytes((FIRST << 4) + LAUNCH, "0f20c0 6640 0f22c0 ea 0004 0800");
            bytes((FIRST << 4) + 0x400, "48 0f22c0 b802000200 ea 00050000 0020");
            // and there, by a load in real mode: add $10001,%eax; hlt
            bytes((SECOND << 4) + 0x500, "0501000100 f4");
            // Taken for 16-bit code the second jump leads to 0000:0500.
            bytes(0x500, "f4");
            assertThat(answer(LAUNCH)).isEqualTo(0x30003);
            assertThat(s.cr0 & CpuState.CR0_PE).isZero();
        }

        @Test
        void aSegmentThatTheHypervisorLoadsIsLookedAt() {
            s.segBase[CpuState.CS] = SECOND << 4;
            assertThat(answer(OFFSET)).isEqualTo(2);
        }
    }

    /** Segments with a base in protected mode: one is {@link Protected32#CODE}, the other 64 KiB above it. */
    @Nested
    final class InProtectedMode {
        private static final int FIRST = Protected32.FREE;
        private static final int SECOND = Protected32.FREE + 8;
        private static final int GATE = Protected32.FREE + 16;
        private static final int OTHER_TASK = Protected32.FREE + 24;
        private static final int OTHER_TSS = 0x10_3000;
        private static final int SECOND_BASE = Protected32.CODE + 0x8000;

        private final Protected32 p = new Protected32();

        InProtectedMode() {
            p.descriptor(FIRST, Protected32.CODE, 0xffff, 0x9b, 4);
            p.descriptor(SECOND, SECOND_BASE, 0xffff, 0x9b, 4);
            p.put64(Protected32.GDT + GATE, Protected32.gateDescriptor(SECOND, OFFSET, 0x8c));
            p.gate(0x40, SECOND, OFFSET, 0x8e);
            p.descriptor(OTHER_TASK, OTHER_TSS, 0x67, 0x89, 0);
            p.task32(OTHER_TSS, OFFSET, Protected32.STACK0);
            p.put32(OTHER_TSS + 0x48 + 4 * CpuState.CS, SECOND);
            // mov $1,%eax; hlt
            p.code(Protected32.CODE + OFFSET, "b801000000 f4");
            p.code(SECOND_BASE + OFFSET, "b802000000 f4");
            p.put32(Protected32.STACK + 0x100, OFFSET);
            p.put32(Protected32.STACK + 0x104, SECOND);
            first(0xffff);
            assertThat(answer(OFFSET)).isEqualTo(1);
        }

        @AfterEach
        void close() {
            p.close();
        }

        private void first(int limit) {
            p.s.segSelector[CpuState.CS] = FIRST;
            p.s.segBase[CpuState.CS] = Protected32.CODE;
            p.s.segLimit[CpuState.CS] = limit;
            p.s.segAttr[CpuState.CS] = 0x409b;
        }

        private long answer(int rip) {
            p.s.rip = rip;
            assertThat(p.run()).isEqualTo(CpuExit.HLT);
            return p.s.gpr[CpuState.RAX];
        }

        @ParameterizedTest(name = "{0}")
        @CsvSource({
            "JMP ptr16:32, ea 00010000 3800",
            "CALL ptr16:32, 9a 00010000 3800",
            "JMP m16:32, ff2d 00011800",
            "CALL m16:32, ff1d 00011800",
            "RETF, 6a38 6800010000 cb",
            "RETF 8, 6a38 6800010000 ca0800",
            "IRET, 9c 6a38 6800010000 cf",
            "INT 40, cd40",
            "CALL through a gate, 9a 00000000 4000",
            "JMP to a task, ea 00000000 4800"
        })
        void theSameOffsetElsewhereIsOtherCodeAfter(String name, String launcher) {
            p.code(Protected32.CODE + LAUNCH, launcher);
            long answer = answer(LAUNCH);
            assertThat(answer).as(name).isEqualTo(2);
        }

        @ParameterizedTest
        @ValueSource(ints = {0x103, 0x104})
        void codeBeyondALimitThatHasComeDownIsNotRun(int limit) {
            // The block was decoded whole: its first instruction ends at 104, HLT is at 105.
            first(limit);
            p.s.rip = OFFSET;
            assertThat(p.run()).isEqualTo(CpuExit.HLT);
            assertThat(p.vector()).isEqualTo(GuestFault.GP);
            assertThat(p.top(1)).isEqualTo(limit == 0x104 ? OFFSET + 5 : OFFSET);
            assertThat(p.s.gpr[CpuState.RAX]).isEqualTo(1);
        }

        @Test
        void codeBelowALimitThatHasRisenIsRun() {
            first(0x105);
            assertThat(answer(OFFSET)).isEqualTo(1);
            p.s.gpr[CpuState.RAX] = 0;
            first(0xffff);
            assertThat(answer(OFFSET)).isEqualTo(1);
        }
    }
}
