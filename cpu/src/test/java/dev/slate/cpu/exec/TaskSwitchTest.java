package dev.slate.cpu.exec;

import static dev.slate.cpu.Protected32.CODE;
import static dev.slate.cpu.Protected32.CODE0;
import static dev.slate.cpu.Protected32.DATA0;
import static dev.slate.cpu.Protected32.FREE;
import static dev.slate.cpu.Protected32.GDT;
import static dev.slate.cpu.Protected32.STACK;
import static dev.slate.cpu.Protected32.TASK;
import static dev.slate.cpu.Protected32.TSS;
import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.Protected32;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Hardware task switches (SDM 3A chapter 7). Every new task begins with {@code 90 f4}: a fault before it would be seen elsewhere. */
final class TaskSwitchTest {
    private static final int B = FREE;
    private static final int TSS_B = 0x10_4000;
    private static final int GATE = FREE + 8;
    private static final int BAD = FREE + 16;
    private static final int LDT = FREE + 24;
    private static final int CODE_B = 0x22_0000;
    private static final int STACK_B = 0x1a_0000;

    private static final String JUMP_B = "ea 00000000 3000";
    private static final String CALL_B = "9a 00000000 3000";
    private static final String JUMP_GATE = "ea 00000000 3800";
    private static final String HALT = "f4";

    private final Protected32 p = new Protected32();
    private final CpuState s = p.s;

    @BeforeEach
    void twoTasks() {
        p.descriptor(B, TSS_B, 0x67, 0x89, 0);
        p.put64(GDT + GATE, Protected32.gateDescriptor(B, 0, 0x85));
        p.task32(TSS_B, CODE_B, STACK_B);
        p.code(CODE_B, "90 f4");
    }

    @AfterEach
    void close() {
        p.close();
    }

    private void reachesTheNewTask() {
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(CODE_B + 1);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(B);
    }

    private void faults(int vector, int errorCode) {
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(vector);
        assertThat(p.top(0)).isEqualTo(errorCode);
    }

    private int access(int selector) {
        return p.get8(GDT + selector + 5);
    }

    @Test
    void aJumpSavesTheOldTaskAndLoadsTheNewOne() {
        p.start(JUMP_B);
        s.gpr[CpuState.RBX] = 0x1234_5678;
        s.setRflags(0x4c7);
        s.dr7 = 0x7ff;
        reachesTheNewTask();
        assertThat(p.get32(TSS + 0x20)).isEqualTo(CODE + 7);
        assertThat(p.get32(TSS + 0x24)).isEqualTo(0x4c7);
        assertThat(p.get32(TSS + 0x34)).isEqualTo(0x1234_5678);
        assertThat(p.get32(TSS + 0x38)).isEqualTo(STACK);
        assertThat(p.get16(TSS + 0x4c)).isEqualTo(CODE0);
        assertThat(p.get16(TSS + 0x5c)).isEqualTo(DATA0);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(0x1000_0003);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK_B);
        assertThat(s.rflags()).isEqualTo(2);
        assertThat(s.cr0 & CpuState.CR0_TS).isNotZero();
        assertThat(s.dr7).isEqualTo(0x6aa);
        assertThat(access(TASK)).isEqualTo(0x89);
        assertThat(access(B)).isEqualTo(0x8b);
        assertThat(s.segAttr[CpuState.TR]).isEqualTo(0x8b);
    }

    @Test
    void aCallLinksBackAndIretReturns() {
        p.code(CODE_B, "90 cf");
        p.start(CALL_B + HALT);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(CODE + 7);
        assertThat(p.get16(TSS_B)).isEqualTo(TASK);
        // NT was set in the called task, and is cleared in what it leaves behind.
        assertThat(p.get32(TSS_B + 0x24)).isEqualTo(2);
        assertThat(p.get32(TSS_B + 0x20)).isEqualTo(CODE_B + 2);
        assertThat(access(TASK)).isEqualTo(0x8b);
        assertThat(access(B)).isEqualTo(0x89);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK);
    }

    @Test
    void aCalledTaskRunsWithNtAndBothTasksBusy() {
        p.start(CALL_B);
        reachesTheNewTask();
        assertThat(s.rflags()).isEqualTo(CpuState.NT | 2);
        assertThat(access(TASK)).isEqualTo(0x8b);
        assertThat(access(B)).isEqualTo(0x8b);
    }

    @Test
    void aTaskGateNamesTheTask() {
        p.start(JUMP_GATE);
        reachesTheNewTask();
    }

    @Test
    void privilegeThreeReachesATaskThroughAGateOfItsOwnOnly() {
        p.user();
        p.start(JUMP_GATE);
        faults(GuestFault.GP, GATE);
        p.put64(GDT + GATE, Protected32.gateDescriptor(B, 0, 0xe5));
        p.user();
        p.start(JUMP_GATE);
        reachesTheNewTask();
        assertThat(s.cpl).isZero();
    }

    @Test
    void a16BitTaskHas16BitRegistersAndNoFsAndGs() {
        p.descriptor(B, TSS_B, 0x2b, 0x81, 0);
        for (int i = 0; i < 32; i++) {
            p.put16(TSS_B + 2 * i, 0);
        }
        p.descriptor(BAD, CODE_B, 0xffff, 0x9b, 0);
        p.put16(TSS_B + 0x10, 2);
        p.put16(TSS_B + 0x12, 0x8765);
        p.put16(TSS_B + 0x22, DATA0);
        p.put16(TSS_B + 0x24, BAD);
        p.put16(TSS_B + 0x26, DATA0);
        p.put16(TSS_B + 0x28, DATA0);
        p.start(CALL_B + HALT);
        // iret of a 16-bit task
        p.code(CODE_B, "90 cf");
        s.gpr[CpuState.RAX] = -1L >>> 32;
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(CODE + 7);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(0xffff_ffffL);
        assertThat(p.get16(TSS_B + 0xe)).isEqualTo(2);
        assertThat(p.get16(TSS_B + 0x12)).isEqualTo(0x8765);
        p.start(JUMP_B);
        p.code(CODE_B, "90 f4");
        p.put16(TSS_B + 0xe, 0);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(0x8765);
        assertThat(s.segSelector[CpuState.FS]).isZero();
        assertThat(s.segAttr[CpuState.GS] & CpuState.ATTR_UNUSABLE).isNotZero();
    }

    @Test
    void anExceptionThroughATaskGatePushesItsErrorCodeOnTheNewStackAndSavesRf() {
        p.gate(GuestFault.GP, B, 0, 0x85);
        // mov ds, 0xfff8
        p.start("b8 f8ff0000 8ed8");
        reachesTheNewTask();
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK_B - 4);
        assertThat(p.top(0)).isEqualTo(0xfff8);
        assertThat(p.get32(TSS + 0x20)).isEqualTo(CODE + 5);
        assertThat(p.get32(TSS + 0x24) & CpuState.RF).isNotZero();
        assertThat(s.rflags() & CpuState.NT).isNotZero();
    }

    @Test
    void anInterruptThroughATaskGateSavesTheNextInstruction() {
        p.gate(0x21, B, 0, 0xe5);
        p.user();
        p.start("cd21");
        reachesTheNewTask();
        assertThat(p.get32(TSS + 0x20)).isEqualTo(CODE + 2);
        assertThat(p.get16(TSS + 0x4c)).isEqualTo(Protected32.CODE3);
        assertThat(s.cpl).isZero();
    }

    @Test
    void anInterruptFromOutsideSetsExtInTheErrorCodeOfABadTask() {
        p.gate(0x21, BAD, 0, 0x85);
        p.descriptor(BAD, TSS_B, 0x67, 0x8b, 0);
        s.rip = CODE;
        assertThat(p.cpu.inject(SvmExit.EVENT_INTR, 0x21, false, 0, 0)).isEqualTo(CpuExit.NONE);
        faults(GuestFault.GP, BAD | 1);
    }

    @Test
    void theTrapBitRaisesADebugExceptionBeforeTheFirstInstruction() {
        p.put16(TSS_B + 0x64, 1);
        p.start(JUMP_B);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(GuestFault.DB);
        assertThat(p.top(0)).isEqualTo(CODE_B);
        assertThat(s.dr6).isEqualTo(0xffff_8ff0L);
    }

    @Test
    void aNewTaskInVirtual8086ModeLoadsItsSegmentsAsParagraphs() {
        p.put32(TSS_B + 0x24, CpuState.VM | 2 | CpuState.IOPL);
        p.put32(TSS_B + 0x20, 0x10);
        for (int i = 0; i < 6; i++) {
            p.put32(TSS_B + 0x48 + 4 * i, 0xf000);
        }
        p.code(0xf_0010, "90 cd03");
        p.gate(3, CODE0, Protected32.handler(3), 0xee);
        p.put32(TSS_B + 4, Protected32.STACK0);
        p.put32(TSS_B + 8, DATA0);
        p.start(JUMP_B);
        // INT n with IOPL 3 goes through the IDT to privilege 0.
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(3);
        assertThat(p.top(0)).isEqualTo(0x13);
        assertThat(p.top(1)).isEqualTo(0xf000);
        assertThat(p.top(2) & CpuState.VM).isNotZero();
    }

    @Test
    void aNewLocalDescriptorTableIsInForceForTheNewSelectors() {
        p.descriptor(LDT, 0x10_6000, 0xff, 0x82, 0);
        p.put64(0x10_6000 + 8, 0x00cf_9300_0000_ffffL | 0x40L << 16);
        p.put16(TSS_B + 0x60, LDT);
        p.put16(TSS_B + 0x54, 0xc);
        p.start(JUMP_B);
        reachesTheNewTask();
        assertThat(s.segSelector[CpuState.LDTR]).isEqualTo(LDT);
        assertThat(s.segBase[CpuState.DS]).isEqualTo(0x40);
    }

    @Test
    void pagingTasksBringTheirOwnPageTables() {
        // Two directories of 4 MiB pages; the second maps the 4 MiB behind the first two as well.
        for (int dir : new int[] {0x30_0000, 0x30_1000}) {
            p.put32(dir, 0x83);
            p.put32(dir + 4, 0x40_0083);
        }
        p.put32(0x30_1000 + 8, 0x83);
        s.cr3 = 0x30_0000;
        s.cr4 |= CpuState.CR4_PSE;
        s.cr0 |= CpuState.CR0_PG;
        p.cpu.flushTlb();
        p.put32(TSS_B + 0x1c, 0x30_1000);
        p.put32(TSS_B + 0x20, 0x80_0000 + CODE_B);
        p.start(JUMP_B);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(0x80_0000 + CODE_B + 1);
        assertThat(s.cr3).isEqualTo(0x30_1000);
        // CR3 is not saved.
        assertThat(p.get32(TSS + 0x1c)).isZero();
    }

    // ------------------------------------------------------------------ faults of the old task: nothing has happened

    @ParameterizedTest
    @CsvSource({
        // access byte of the TSS descriptor, its limit, vector
        "0x8b, 0x67, 13", // busy
        "0x09, 0x67, 11", // absent
        "0x89, 0x66, 10", // short
        "0x81, 0x2a, 10", // short, 16-bit
        "0x8f, 0x67, 13", // no TSS
    })
    void aTaskThatCannotBeSwitchedToFaultsInTheOldOne(String access, String limit, int vector) {
        p.descriptor(B, TSS_B, Integer.decode(limit), Integer.decode(access), 0);
        p.start(JUMP_B);
        faults(vector, B);
        assertThat(p.top(1)).isEqualTo(CODE);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(TASK);
        assertThat(access(TASK)).isEqualTo(0x8b);
    }

    @Test
    void aGateToATaskInTheLocalTableIsRefused() {
        p.put64(GDT + GATE, Protected32.gateDescriptor(B | 4, 0, 0x85));
        p.start(JUMP_GATE);
        faults(GuestFault.GP, B | 4);
    }

    @Test
    void anAbsentTaskGateIsReportedByItsOwnSelector() {
        p.put64(GDT + GATE, Protected32.gateDescriptor(B, 0, 0x05));
        p.start(JUMP_GATE);
        faults(GuestFault.NP, GATE);
    }

    @Test
    void aReturnToATaskThatIsNotBusyIsAnInvalidTss() {
        p.put16(TSS, B);
        p.start("cf");
        s.flagsSystem |= CpuState.NT;
        faults(GuestFault.TS, B);
        assertThat(p.top(1)).isEqualTo(CODE);
    }

    @Test
    void aPageFaultOnTheNewTssLeavesTheOldTaskAsItWas() {
        p.put32(0x30_0000, 0x83);
        p.put32(0x30_0004, 0x40_0083);
        s.cr3 = 0x30_0000;
        s.cr4 |= CpuState.CR4_PSE;
        s.cr0 |= CpuState.CR0_PG;
        p.cpu.flushTlb();
        p.descriptor(B, 0x7f_ffe0, 0x67, 0x89, 0);
        p.start(JUMP_B);
        faults(GuestFault.PF, 0);
        assertThat(s.cr2).isEqualTo(0x80_0000);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(TASK);
        assertThat(access(B)).isEqualTo(0x89);
    }

    // ------------------------------------------------------------------ faults of the new task

    @ParameterizedTest
    @CsvSource({
        // offset in the TSS, selector there, descriptor's access byte for it, vector
        "0x60, 0x40, 0x93, 10", // LDT: not one
        "0x60, 0x40, 0x02, 10", // LDT absent
        "0x60, 0x44, 0x82, 10", // LDT in the LDT
        "0x4c, 0x40, 0x93, 10", // CS: data
        "0x4c, 0x40, 0xfb, 10", // CS: DPL is not RPL
        "0x4c, 0x40, 0x1b, 11", // CS absent
        "0x4c, 0x00, 0x9b, 10", // CS null
        "0x50, 0x40, 0x91, 10", // SS: read-only
        "0x50, 0x40, 0x13, 12", // SS absent
        "0x50, 0x40, 0xf3, 10", // SS: DPL
        "0x50, 0x43, 0x93, 10", // SS: RPL
        "0x50, 0x00, 0x93, 10", // SS null
        "0x54, 0x40, 0x98, 10", // DS: execute-only
        "0x54, 0x40, 0x13, 11", // DS absent
        "0x5c, 0x40, 0x89, 10", // GS: a system descriptor
        "0x48, 0x7fe8, 0x93, 10", // ES: beyond the table
    })
    void aBadSelectorOfTheNewTaskFaultsInTheNewTask(String offset, String selector, String access, int vector) {
        p.descriptor(BAD, 0, 0xfffff, Integer.decode(access), 0xc);
        p.put16(TSS_B + Integer.decode(offset), Integer.decode(selector));
        // Faults of CS and SS need a task of their own.
        int handler = FREE + 32;
        p.descriptor(handler, 0x10_5000, 0x67, 0x89, 0);
        p.task32(0x10_5000, 0x23_0000, 0x1b_0000);
        p.code(0x23_0000, "90 f4");
        p.gate(vector, handler, 0, 0x85);
        p.start(JUMP_B);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(0x23_0001);
        assertThat(p.top(0)).isEqualTo(Integer.decode(selector) & 0xfffc);
        assertThat(p.get16(0x10_5000)).isEqualTo(B);
        assertThat(p.get32(TSS_B + 0x20)).isEqualTo(CODE_B);
        assertThat(access(TASK)).isEqualTo(0x89);
    }

    @Test
    void aSoftwareInterruptIntoABadTaskIsFoundByTheNewTasksFaultToo() {
        p.gate(0x21, B, 0, 0x85);
        p.put16(TSS_B + 0x54, 0x7fe8);
        p.start("cd21");
        faults(GuestFault.TS, 0x7fe8);
        assertThat(p.top(1)).isEqualTo(CODE_B);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(B);
    }

    @Test
    void anInstructionPointerBeyondTheNewCodeSegmentIsAGeneralProtectionFaultThere() {
        p.descriptor(BAD, 0, 0xfff, 0x9b, 0x4);
        p.put16(TSS_B + 0x4c, BAD);
        p.start(JUMP_B);
        faults(GuestFault.GP, 0);
        assertThat(p.top(1)).isEqualTo(CODE_B);
        assertThat(p.top(2)).isEqualTo(BAD);
    }

    @Test
    void aSwitchThatTheHypervisorInterruptsHalfWayStartsAgain() {
        // The new task's descriptors lie in a local table in memory that is not there yet.
        p.descriptor(LDT, 0x70_0000, 0xff, 0x82, 0);
        p.put64(0x70_0000 + 8, 0x00cf_9300_0000_ffffL);
        p.put16(TSS_B + 0x60, LDT);
        p.put16(TSS_B + 0x54, 0xc);
        HostMemory.put64(p.memory.nestedEntry(0x70_0000), 0);
        p.memory.mapOnFault = false;
        p.start(CALL_B);
        s.gpr[CpuState.RBX] = 77;
        assertThat(p.run()).isEqualTo(CpuExit.NPF);
        assertThat(s.rip).isEqualTo(CODE);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(77);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(TASK);
        assertThat(s.segSelector[CpuState.DS]).isEqualTo(DATA0);
        assertThat(s.cr0 & CpuState.CR0_TS).isZero();
        assertThat(access(B)).isEqualTo(0x89);
        p.memory.mapOnFault = true;
        reachesTheNewTask();
        assertThat(p.get16(TSS_B)).isEqualTo(TASK);
    }

    @Test
    void longModeHasNoTaskSwitches() {
        p.start(JUMP_B);
        p.memory.longMode(0x40_0000);
        s.segAttr[CpuState.CS] = 0xc09b;
        p.cpu.modeChanged();
        HostMemory.put64(p.memory.hva(Protected32.IDT + 16 * 13), 0);
        s.idtLimit = 0;
        assertThat(p.run()).isEqualTo(CpuExit.SHUTDOWN);
        assertThat(s.segSelector[CpuState.TR]).isEqualTo(TASK);
        assertThat(access(B)).isEqualTo(0x89);
    }
}
