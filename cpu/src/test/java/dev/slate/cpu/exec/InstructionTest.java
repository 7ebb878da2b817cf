package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.Retirement;
import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Instructions that silicon's comparison in user mode cannot reach: privilege, exits, events. */
final class InstructionTest {
    private static final int CODE = 0x20_0000;
    private static final int STACK = 0x18_0000;
    private static final int GDT = 0x10_0000;
    private static final int IDT = 0x10_1000;
    private static final int TSS = 0x10_2000;
    private static final int HANDLERS = 0x21_0000;

    private final PhysicalMemory memory = new PhysicalMemory(8 << 20);
    private final CpuState s = memory.cpu.s;

    InstructionTest() {
        memory.mapAll();
        memory.longMode(0x1000);
        put64(GDT + 8, 0x00af_9b00_0000_ffffL);
        put64(GDT + 16, 0x00cf_9300_0000_ffffL);
        put64(GDT + 24, 0x00cf_f300_0000_ffffL);
        put64(GDT + 32, 0x00af_fb00_0000_ffffL);
        put64(GDT + 40, 0x0000_8910_2000_0067L);
        s.gdtBase = GDT;
        s.gdtLimit = 55;
        s.idtBase = IDT;
        s.idtLimit = 0xfff;
        for (int v = 0; v < 64; v++) {
            gate(v, HANDLERS + v, 0x8e, 0);
            HostMemory.put8(memory.hva(HANDLERS + v), 0xf4);
        }
        s.segBase[CpuState.TR] = TSS;
        s.segLimit[CpuState.TR] = 0x67;
        s.segAttr[CpuState.TR] = 0x8b;
        put64(TSS + 4, STACK + 0x1000);
        s.gpr[CpuState.RSP] = STACK;
    }

    private void put64(long gpa, long v) {
        HostMemory.put64(memory.hva(gpa), v);
    }

    private long get64(long gpa) {
        return HostMemory.get64(memory.hva(gpa));
    }

    private void gate(int vector, long target, int access, int ist) {
        put64(
                IDT + 16L * vector,
                target & 0xffff | 8 << 16 | (long) ist << 32 | (long) access << 40 | (target >>> 16 & 0xffff) << 48);
        put64(IDT + 16L * vector + 8, target >>> 32);
    }

    private void code(String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, memory.hva(CODE), bytes.length);
        s.rip = CODE;
    }

    private int run() {
        return memory.cpu.run();
    }

    private void user() {
        s.cpl = 3;
        s.segSelector[CpuState.CS] = 35;
        s.segAttr[CpuState.CS] |= 0x60;
        s.segSelector[CpuState.SS] = 27;
        s.segAttr[CpuState.SS] |= 0x60;
    }

    @AfterEach
    void close() {
        memory.close();
    }

    @Test
    void inLeavesWithThePortAndComesBackBehindItself() {
        code("66ba e803 ec 90");
        assertThat(run()).isEqualTo(CpuExit.IOIO);
        assertThat(memory.cpu.io.port).isEqualTo(1000);
        assertThat(memory.cpu.io.size).isEqualTo(1);
        assertThat(memory.cpu.io.in).isTrue();
        assertThat(s.rip).isEqualTo(CODE + 4);
        assertThat(memory.cpu.exit.nextRip).isEqualTo(CODE + 5);
    }

    @Test
    void hltOutsideLevelZeroIsAGeneralProtectionFault() {
        code("f4");
        user();
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.GP);
        assertThat(s.cpl).isZero();
        // SS, RSP, RFLAGS, CS, RIP and the error code on the stack of the TSS.
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK + 0x1000 - 48);
        assertThat(get64(STACK + 0x1000 - 48)).isZero();
        assertThat(get64(STACK + 0x1000 - 40)).isEqualTo(CODE);
        assertThat(get64(STACK + 0x1000 - 32)).isEqualTo(35);
        assertThat(get64(STACK + 0x1000 - 16)).isEqualTo(STACK);
        assertThat(get64(STACK + 0x1000 - 8)).isEqualTo(27);
    }

    @Test
    void divideByZeroIsDeliveredAtTheDivision() {
        code("31c9 f7f1");
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS);
        assertThat(get64(s.gpr[CpuState.RSP])).isEqualTo(CODE + 2);
    }

    @Test
    void iretqReturnsFromAHandler() {
        code("cd20 f4");
        HostMemory.put8(memory.hva(HANDLERS + 0x20), 0x48);
        HostMemory.put8(memory.hva(HANDLERS + 0x21), 0xcf);
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(CODE + 2);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK);
    }

    @Test
    void aFaultInTheDeliveryOfAFaultBecomesADoubleFaultAndThenAShutdown() {
        code("31c9 f7f1");
        gate(0, HANDLERS, 0x0e, 0);
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.DF);
        gate(GuestFault.DF, HANDLERS, 0x0e, 0);
        code("31c9 f7f1");
        assertThat(run()).isEqualTo(CpuExit.SHUTDOWN);
        assertThat(s.rip).isEqualTo(CODE + 2);
    }

    @Test
    void anInterruptStackTableEntryGivesTheStack() {
        code("0f0b");
        gate(GuestFault.UD, HANDLERS + GuestFault.UD, 0x8e, 1);
        put64(TSS + 0x24, 0x17_0000);
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(0x17_0000 - 40);
    }

    // SDM 2B, RDPMC: with CR4.PCE clear for level 0 only. Which counters there are the hypervisor knows.
    @Test
    void aPerformanceCounterIsReadByTheHypervisorIfThePrivilegeAllowsIt() {
        code("0f33");
        assertThat(run()).isEqualTo(CpuExit.RDPMC);
        assertThat(memory.cpu.exit.nextRip).isEqualTo(s.rip + 2);
        user();
        s.cr4 |= CpuState.CR4_PCE;
        assertThat(run()).isEqualTo(CpuExit.RDPMC);
        s.cr4 &= ~CpuState.CR4_PCE;
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.GP);
        assertThat(get64(s.gpr[CpuState.RSP])).isZero();
    }

    @Test
    void whatIsRetiredIsCountedByKindAndPrivilege() {
        Retirement r = memory.cpu.retired;
        r.counting = true;
        s.efer |= CpuState.EFER_SCE;
        s.star = 0x0013_0008_0000_0000L;
        s.lstar = HANDLERS + 0x40;
        // mov ecx,3; dec ecx; jnz; mov ecx,5; rep stosb; call; ret; syscall
        code("b903000000 ffc9 75fc b905000000 bf00001800 f3aa e802000000 eb01 c3 0f05");
        // sysret goes back to ud2
        HostMemory.copyIn(new byte[] {0x48, 0x0f, 0x07}, 0, memory.hva(HANDLERS + 0x40), 3);
        HostMemory.copyIn(new byte[] {0x0f, 0x0b}, 0, memory.hva(CODE + 31), 2);
        user();
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.UD);
        // Of the user: 1, 3, 3, 1, 1, 1 however often it repeats, call, ret, jmp, syscall; ud2 is not done, but its
        // exception is a transfer.
        assertThat(r.count(Retirement.INSTRUCTIONS, false, true)).isEqualTo(14);
        assertThat(r.count(Retirement.BRANCHES, false, true)).isEqualTo(3 + 4 + 1);
        assertThat(r.count(Retirement.CONDITIONAL_BRANCHES, false, true)).isEqualTo(3);
        assertThat(r.count(Retirement.NEAR_RETURNS, false, true)).isEqualTo(1);
        assertThat(r.count(Retirement.FAR_TRANSFERS, false, true)).isEqualTo(2);
        // The kernel's sysret; hlt is the hypervisor's to do.
        assertThat(r.count(Retirement.INSTRUCTIONS, true, false)).isEqualTo(1);
        assertThat(r.count(Retirement.BRANCHES, true, true)).isEqualTo(9);
        assertThat(r.count(Retirement.FAR_TRANSFERS, true, false)).isEqualTo(1);
    }

    @Test
    void softwareInterruptsAreHeldToTheGatesPrivilege() {
        code("cd20");
        user();
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.GP);
        assertThat(get64(s.gpr[CpuState.RSP])).isEqualTo(0x20 * 8 + 2);
    }

    @Test
    void syscallAndSysretGoToTheKernelAndBack() {
        s.efer |= CpuState.EFER_SCE;
        s.star = 0x0013_0008_0000_0000L;
        s.lstar = HANDLERS + 0x40;
        s.sfmask = 0x200;
        HostMemory.put8(memory.hva(HANDLERS + 0x40), 0x48);
        HostMemory.put8(memory.hva(HANDLERS + 0x41), 0x0f);
        HostMemory.put8(memory.hva(HANDLERS + 0x42), 0x07);
        code("0f05 f4");
        user();
        s.setRflags(0x202);
        // Back at CPL 3, HLT faults.
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.GP);
        assertThat(get64(s.gpr[CpuState.RSP] + 8)).isEqualTo(CODE + 2);
        assertThat(get64(s.gpr[CpuState.RSP] + 16)).isEqualTo(0x23);
        assertThat(get64(s.gpr[CpuState.RSP] + 24) & 0x200).isEqualTo(0x200);
    }

    @Test
    void reservedControlRegisterBitsAreRefused() {
        for (String attempt : new String[] {"0f22e0", "0f22c0", "440f22c0"}) {
            code(attempt);
            s.gpr[CpuState.RAX] = 1L << 40;
            s.gpr[CpuState.RSP] = STACK;
            assertThat(run()).as(attempt).isEqualTo(CpuExit.HLT);
            assertThat(s.rip).as(attempt).isEqualTo(HANDLERS + GuestFault.GP);
        }
    }

    @Test
    void singleStepTrapsAfterTheInstruction() {
        code("90 90 f4");
        s.setRflags(CpuState.TF);
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(HANDLERS + GuestFault.DB);
        assertThat(get64(s.gpr[CpuState.RSP])).isEqualTo(CODE + 1);
        assertThat(s.dr6 & 1 << 14).isNotZero();
    }

    @Test
    void repStosCanBeInterruptedAndGoesOn() {
        code("f3aa f4");
        s.gpr[CpuState.RDI] = 0x30_0000;
        s.gpr[CpuState.RCX] = 5000;
        s.gpr[CpuState.RAX] = 0xab;
        HostMemory.put32(memory.kick, 0);
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RDI]).isEqualTo(0x30_0000 + 5000);
        assertThat(HostMemory.get8(memory.hva(0x30_0000 + 4999))).isEqualTo(0xab);
        assertThat(HostMemory.get8(memory.hva(0x30_0000 + 5000))).isZero();
    }

    @Test
    void realModeCodeReachesProtectedMode() {
        // mov sp; push; pop bx; lgdtl; mov cr0; ljmp to 32-bit code; load DS, SS; push; pop ecx; call; hlt
        byte[] code = HexFormat.of()
                .parseHex(
                        "bc00706834125b660f0116007f0f20c00c010f22c066ea1d100000080066b810008ed88ed0bc00600000687856341259"
                                + "e801000000f4ba03000000c3");
        HostMemory.copyIn(code, 0, memory.hva(0x1000), code.length);
        HostMemory.put16(memory.hva(0x7f00), 23);
        HostMemory.put32(memory.hva(0x7f02), 0x8000);
        put64(0x8008, 0x00cf_9b00_0000_ffffL);
        put64(0x8010, 0x00cf_9300_0000_ffffL);
        s.cr0 = CpuState.CR0_ET;
        s.cr4 = 0;
        s.efer = 0;
        for (int seg = 0; seg < 6; seg++) {
            s.segSelector[seg] = 0;
            s.segBase[seg] = 0;
            s.segLimit[seg] = 0xffff;
            s.segAttr[seg] = 0x93;
        }
        memory.cpu.flushTlb();
        s.rip = 0x1000;
        assertThat(run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(0x1035);
        assertThat(s.gpr[CpuState.RBX] & 0xffff).isEqualTo(0x1234);
        assertThat(s.gpr[CpuState.RCX]).isEqualTo(0x1234_5678);
        assertThat(s.gpr[CpuState.RDX]).isEqualTo(3);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(0x6000);
        assertThat(s.segSelector[CpuState.CS]).isEqualTo(8);
    }
}
