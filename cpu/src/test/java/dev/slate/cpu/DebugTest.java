package dev.slate.cpu;

import static dev.slate.cpu.Protected32.CODE;
import static dev.slate.cpu.Protected32.CODE0;
import static dev.slate.cpu.Protected32.STACK;
import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Debug registers, single-stepping and what comes before what (SDM 3B 18.2 and 18.3, 3A 6.8.3 and table 6-2). */
final class DebugTest {
    private static final int DATA = 0x30_0000;
    private static final int COUNTING = 0x22_0000;
    private static final int COUNT = 0x22_8000;
    private static final long IDLE = 0xffff_0ff0L;
    private static final long BS = 1 << 14;

    private final Protected32 p = new Protected32();
    private final CpuState s = p.s;

    @AfterEach
    void close() {
        p.close();
    }

    /** Watches with breakpoint n; kind and length in DR7's encoding. */
    private void watch(int n, long address, int kind, int length) {
        s.dr[n] = address;
        s.dr7 |= 2L << 2 * n | (long) kind << 16 + 4 * n | (long) length << 18 + 4 * n;
    }

    private void traps(long rip, long dr6) {
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(GuestFault.DB);
        assertThat(p.top(0)).isEqualTo((int) rip);
        assertThat(s.dr6).isEqualTo(dr6);
    }

    private void halts(long rip) {
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(rip);
    }

    /** A #DB handler that counts, sets RF in what it returns to, and returns. */
    private void countTraps() {
        p.gate(GuestFault.DB, CODE0, COUNTING, 0x8e);
        p.code(COUNTING, "ff05 00802200 814c2408 00000100 cf");
    }

    // ------------------------------------------------------------------ instruction breakpoints

    @Test
    void anInstructionBreakpointFaultsBeforeItsInstructionWithoutRf() {
        p.start("40 40 40 f4");
        watch(2, CODE + 2, 0, 0);
        traps(CODE + 2, IDLE | 4);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(2);
        assertThat(p.top(2) & CpuState.RF).isZero();
    }

    @Test
    void anInstructionBreakpointStrikesAtEveryTurnOfALoopAndRfLetsItBy() {
        countTraps();
        // mov ecx,5; nop; inc eax; loop; hlt
        p.start("b905000000 90 40 e2fc f4");
        watch(0, CODE + 6, 0, 0);
        watch(1, CODE + 7, 0, 0);
        halts(CODE + 9);
        assertThat(p.get32(COUNT)).isEqualTo(10);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(5);
        assertThat(s.flagsSystem & CpuState.RF).isZero();
    }

    @Test
    void anInstructionBreakpointInTheMiddleOfAnInstructionNeverStrikes() {
        p.start("b905000000 f4");
        watch(0, CODE + 1, 0, 0);
        halts(CODE + 5);
    }

    @Test
    void aBreakpointOnWhatCannotBeFetchedComesBeforeTheFetchsFault() {
        p.start("ea00000000 0000");
        s.rip = 0x7000_0000;
        watch(0, 0x7000_0000, 0, 0);
        traps(0x7000_0000, IDLE | 1);
    }

    @Test
    void aFaultSavesRfSoThatItsInstructionsBreakpointStrikesOnce() {
        countTraps();
        // div by zero whose handler makes the divisor one and returns
        p.code(Protected32.handler(GuestFault.DE), "eb7e");
        p.code(Protected32.handler(GuestFault.DE) + 0x80, "41 cf");
        p.start("f7f1 f4");
        watch(0, CODE, 0, 0);
        s.gpr[CpuState.RAX] = 6;
        s.gpr[CpuState.RCX] = 0;
        halts(CODE + 2);
        assertThat(p.get32(COUNT)).isEqualTo(1);
    }

    // ------------------------------------------------------------------ data breakpoints

    @ParameterizedTest
    @CsvSource({
        // address watched, kind, DR7's length, the access's offset from DATA, and whether a dword store, a dword
        // load there strike
        "0, 1, 0, 0, true, false",
        "0, 3, 0, 0, true, true",
        "0, 3, 0, -3, true, true",
        "0, 3, 0, -4, false, false",
        "0, 3, 0, 1, false, false",
        "2, 3, 1, -1, true, true",
        "3, 3, 1, -2, false, false", // aligned down to 2
        "5, 3, 3, 7, true, true",
        "5, 3, 3, 8, false, false",
        "8, 3, 2, 15, true, true",
        "8, 1, 2, 16, false, false",
        "0, 2, 0, 0, false, false", // a port, or nothing
    })
    void dataBreakpointsWatchTheirBytes(int watched, int kind, int length, int offset, boolean store, boolean load) {
        // mov [eax],ecx; nop; hlt / mov ecx,[eax]; nop; hlt
        for (boolean write : new boolean[] {true, false}) {
            p.start(write ? "8908 90 f4" : "8b08 90 f4");
            s.gpr[CpuState.RAX] = DATA + offset;
            s.gpr[CpuState.RSP] = STACK;
            s.dr6 = IDLE;
            s.dr7 = 0x400;
            watch(3, DATA + watched, kind, length);
            if (write ? store : load) {
                traps(CODE + 2, IDLE | 8);
                assertThat(p.top(2) & CpuState.RF).isZero();
            } else {
                halts(CODE + 3);
            }
        }
    }

    @Test
    void aWatchedPageIsWatchedAgainAfterItsTranslationWasUsed() {
        p.start("8908 8908 90 f4");
        s.gpr[CpuState.RAX] = DATA + 64;
        watch(0, DATA, 1, 0);
        halts(CODE + 5);
        s.gpr[CpuState.RAX] = DATA;
        s.rip = CODE;
        traps(CODE + 2, IDLE | 1);
        // and no longer once it is off
        s.dr7 = 0x400;
        s.rip = CODE;
        s.gpr[CpuState.RSP] = STACK;
        halts(CODE + 5);
        assertThat(p.cpu.tlb.hits(DATA, 4, dev.slate.cpu.mmu.Tlb.WRITE, 0)).isTrue();
    }

    @Test
    void aRepeatedStringTrapsAfterTheIterationWithRfSavedAndGoesOn() {
        countTraps();
        p.gate(GuestFault.DB, CODE0, Protected32.handler(GuestFault.DB), 0x8e);
        // rep stosb; hlt
        p.start("f3aa f4");
        s.gpr[CpuState.RDI] = DATA - 3;
        s.gpr[CpuState.RCX] = 10;
        watch(0, DATA, 1, 0);
        traps(CODE, IDLE | 1);
        assertThat(s.gpr[CpuState.RCX]).isEqualTo(6);
        assertThat(p.top(2) & CpuState.RF).isNotZero();
        countTraps();
        p.start("f3aa f4");
        s.gpr[CpuState.RSP] = STACK;
        s.gpr[CpuState.RDI] = DATA - 3;
        s.gpr[CpuState.RCX] = 10;
        halts(CODE + 2);
        assertThat(p.get32(COUNT)).isEqualTo(1);
        assertThat(s.gpr[CpuState.RDI]).isEqualTo(DATA + 7);
    }

    @Test
    void whatAnInstructionTouchedBeforeItFaultedDoesNotTrap() {
        // movsd whose store lies beyond ES's limit
        p.start("a5 f4");
        s.gpr[CpuState.RSI] = DATA;
        s.gpr[CpuState.RDI] = 0x1000;
        s.segLimit[CpuState.ES] = 0xfff;
        watch(0, DATA, 3, 3);
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(GuestFault.GP);
        assertThat(s.dr6).isEqualTo(IDLE);
    }

    @Test
    void pushesOfAnEventAreAccessesToo() {
        p.start("cd20 f4");
        watch(1, STACK - 8, 1, 3);
        // The trap comes at the handler's first instruction.
        traps(Protected32.handler(0x20), IDLE | 2);
    }

    @Test
    void aTrapOfALoadOfSsWaitsForTheInstructionBehindItEvenIfThatIsAnInterrupt() {
        // mov ss,[eax]; int 0x20
        p.start("8e10 cd20 f4");
        s.gpr[CpuState.RAX] = DATA;
        p.put32(DATA, Protected32.DATA0);
        watch(0, DATA, 3, 1);
        traps(Protected32.handler(0x20), IDLE | 1);
    }

    @Test
    void aLockedInstructionIsAWrite() {
        // lock cmpxchg [ebx],ecx, not equal
        p.start("f00fb10b 90 f4");
        s.gpr[CpuState.RBX] = DATA;
        s.gpr[CpuState.RAX] = 1;
        watch(0, DATA, 1, 3);
        traps(CODE + 4, IDLE | 1);
    }

    // ------------------------------------------------------------------ ports

    @ParameterizedTest
    @CsvSource({"true, 0x80, 1", "true, 0x7f, 0", "true, 0x84, 0", "false, 0x80, 0"})
    void aPortIsWatchedUnderDebugExtensions(boolean de, String port, int hits) {
        // out dx,al
        p.start("ee f4");
        s.gpr[CpuState.RDX] = Integer.decode(port);
        s.cr4 = de ? CpuState.CR4_DE : 0;
        watch(0, 0x80, 2, 3);
        assertThat(p.run()).isEqualTo(CpuExit.IOIO);
        assertThat(p.cpu.debug.pending).isEqualTo(hits);
    }

    // ------------------------------------------------------------------ access of the registers

    @Test
    void generalDetectFaultsBeforeTheAccessAndIsClearInTheHandler() {
        p.start("0f21c0 f4");
        s.dr7 |= 1 << 13;
        traps(CODE, IDLE | 1 << 13);
        assertThat(s.dr7 & 1 << 13).isZero();
        assertThat(p.top(2) & CpuState.RF).isNotZero();
    }

    @Test
    void writesOfDr6AndDr7KeepTheFixedBits() {
        // mov dr6,eax; mov dr7,ecx; mov ebx,dr6; mov edx,dr7
        p.start("0f23f0 0f23f9 0f21f3 0f21fa f4");
        s.gpr[CpuState.RAX] = 0;
        s.gpr[CpuState.RCX] = 0xdc00L;
        halts(CODE + 12);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(IDLE);
        assertThat(s.gpr[CpuState.RDX]).isEqualTo(0x400);
    }

    // ------------------------------------------------------------------ single-stepping

    @Test
    void popfArmsTheTrapForTheInstructionBehindIt() {
        // push 0x102; popf; inc eax; inc eax
        p.start("6802010000 9d 40 40 f4");
        traps(CODE + 7, IDLE | BS);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(1);
        assertThat(p.top(2) & CpuState.TF).isNotZero();
    }

    @Test
    void aLoadOfSsPutsTheTrapOffByOneInstruction() {
        p.start("8ed0 41 41 f4");
        s.gpr[CpuState.RAX] = Protected32.DATA0;
        s.flagsSystem |= CpuState.TF;
        traps(CODE + 3, IDLE | BS);
    }

    @Test
    void stiDoesNot() {
        p.start("fb 41 f4");
        s.flagsSystem |= CpuState.TF;
        traps(CODE + 1, IDLE | BS);
    }

    @Test
    void aSoftwareInterruptTakesTheTrapAway() {
        p.start("cd20 f4");
        s.flagsSystem |= CpuState.TF;
        assertThat(p.run()).isEqualTo(CpuExit.HLT);
        assertThat(p.vector()).isEqualTo(0x20);
        assertThat(p.top(2) & CpuState.TF).isNotZero();
        assertThat(s.dr6).isEqualTo(IDLE);
    }

    @Test
    void everythingThatOneInstructionCausedIsReportedAtOnce() {
        p.start("8908 f4");
        s.gpr[CpuState.RAX] = DATA;
        s.flagsSystem |= CpuState.TF;
        watch(0, DATA, 1, 3);
        watch(2, DATA, 3, 3);
        traps(CODE + 2, IDLE | BS | 5);
    }

    @Test
    void theTrapOfAnInstructionComesBeforeTheBreakpointOnTheNext() {
        p.start("40 40 f4");
        s.flagsSystem |= CpuState.TF;
        watch(0, CODE + 1, 0, 0);
        traps(CODE + 1, IDLE | BS);
    }

    @Test
    void bitsOfEarlierExceptionsStayInDr6ButThoseOfBreakpointsDoNot() {
        p.start("40 f4");
        s.flagsSystem |= CpuState.TF;
        s.dr6 = IDLE | 0x8000 | 3;
        traps(CODE + 1, IDLE | 0x8000 | BS);
    }

    @Test
    void icebpIsATrapThatLeavesDr6AndAsksForNoPrivilege() {
        p.user();
        p.start("f1 f4");
        traps(CODE + 1, IDLE);
        assertThat(s.cpl).isZero();
    }

    @Test
    void sysenterKeepsTfAndTrapsAtTheKernelsFirstInstruction() {
        p.user();
        s.sysenterCs = CODE0;
        s.sysenterEip = 0x23_0000;
        s.sysenterEsp = STACK;
        p.code(0x23_0000, "90 f4");
        p.start("0f34");
        s.flagsSystem |= CpuState.TF;
        traps(0x23_0000, IDLE | BS);
    }

    // ------------------------------------------------------------------ the hypervisor's

    @Test
    void theHypervisorsBreakpointsTakeThePlaceOfTheGuests() {
        p.start("40 40 40 f4");
        watch(0, CODE + 1, 0, 0);
        p.cpu.breakpoints.replace(new long[] {0, CODE + 2, 0, 0}, 0x408);
        p.cpu.controls.interceptedVectors = 1 << GuestFault.DB;
        assertThat(p.run()).isEqualTo(CpuExit.DEBUG);
        assertThat(s.rip).isEqualTo(CODE + 2);
        assertThat(p.cpu.exit.info2).isEqualTo(2);
        assertThat(s.dr6).isEqualTo(IDLE);
        p.cpu.breakpoints.restore();
        p.cpu.controls.interceptedVectors = 0;
        s.rip = CODE;
        traps(CODE + 1, IDLE | 1);
    }

    @Test
    void blocksAreCutAtBreakpointsSetAfterTheyWereDecoded() {
        p.start("40 40 40 f4");
        halts(CODE + 3);
        s.rip = CODE;
        watch(0, CODE + 2, 0, 0);
        traps(CODE + 2, IDLE | 1);
        HostMemory.put32(p.memory.kick, 0);
    }
}
