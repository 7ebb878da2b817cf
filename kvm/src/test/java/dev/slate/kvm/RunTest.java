package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.stats.VcpuStats;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** KVM_RUN with small guests. */
class RunTest {
    // in $0x40,%al
    private static final int IN = 0xe4;
    private static final int PORT = 0x40;

    @Test
    void anInStaysOnItsInstructionUntilTheVcpuRunsAgain() {
        try (Guest64 g = new Guest64(IN, PORT, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.PortIn(PORT, 1, 1));
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE);
            HostMemory.put8(g.vcpu.portData(), 0x5a);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rax & 0xff).isEqualTo(0x5a);
        }
    }

    @Test
    void immediateExitCompletesThePortReadAndRunsNothingElse() {
        try (Guest64 g = new Guest64(IN, PORT, 0x48, 0xff, 0xc3, 0xf4)) {
            g.run();
            HostMemory.put8(g.vcpu.portData(), 7);
            assertThat(g.vcpu.run(true)).isEqualTo(Errno.EINTR.number());
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.IO);
            assertThat(g.regs().rax).isEqualTo(7);
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 2);
            assertThat(g.regs().rbx).isZero();
        }
    }

    @Test
    void aPortReadIsNotCompletedWhenTheClientMovedRip() {
        // in $0x40,%al; hlt; mov $1,%ebx; hlt
        try (Guest64 g = new Guest64(IN, PORT, 0xf4, 0xbb, 1, 0, 0, 0, 0xf4)) {
            g.run();
            HostMemory.put8(g.vcpu.portData(), 7);
            g.regs().rip = Guest64.CODE + 3;
            g.vcpu.setRegs(g.regs);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rbx).isEqualTo(1);
            assertThat(g.regs().rax).isZero();
        }
    }

    @Test
    void aFourByteInClearsTheUpperHalfOfRax() {
        // mov $-1,%rax; mov $0x40,%edx; in (%dx),%eax; hlt
        try (Guest64 g = new Guest64(0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xba, 0x40, 0, 0, 0, 0xed, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.PortIn(PORT, 4, 1));
            HostMemory.put32(g.vcpu.portData(), 0x8000_0001);
            g.run();
            assertThat(g.regs().rax).isEqualTo(0x8000_0001L);
        }
    }

    @Test
    void codeThatTheClientWritesBetweenTwoRunsIsTheCodeThatRuns() {
        // mov $1,%ebx; hlt
        try (Guest64 g = new Guest64(0xbb, 1, 0, 0, 0, 0xf4)) {
            g.run();
            g.write(Guest64.CODE + 1, 9);
            g.regs().rip = Guest64.CODE;
            g.vcpu.setRegs(g.regs);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rbx).isEqualTo(9);
        }
    }

    @Test
    void anOutShowsItsDataAndEndsWhenTheVcpuRunsAgain() {
        // mov $0x1234,%eax; out %ax,$0x40; hlt
        try (Guest64 g = new Guest64(0xb8, 0x34, 0x12, 0, 0, 0x66, 0xe7, PORT, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.PortOut(PORT, 2, 1));
            assertThat(HostMemory.get16(g.vcpu.portData())).isEqualTo(0x1234);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void anOutToPort7eHasMovedOnAtItsExitUnlessTheQuirkIsOff() {
        try (Guest64 g = new Guest64(0xe6, 0x7e, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.PortOut(0x7e, 1, 1));
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 2);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
        try (Guest64 g = new Guest64(0xe6, 0x7e, 0xf4)) {
            g.vm.enableCap(Cap.DISABLE_QUIRKS2.number(), 0, new long[] {Quirk.OUT_7E_INC_RIP, 0, 0, 0});
            g.run();
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE);
        }
    }

    @Test
    void aMachineCheckReachesItsHandlerAndASecondOneShutsDown() {
        try (Guest64 g = new Guest64(0xeb, 0xfe)) {
            g.gate(18, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.cr4 |= 1 << 6;
            g.vcpu.setSregs(s);
            g.vcpu.setupMce(32 | 1 << 8);
            long uncorrected = 1L << 63 | 1L << 61 | 1L << 57;
            g.vcpu.setMce(3, uncorrected, 0x1000, 0, 5);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
            long[] value = new long[1];
            g.vcpu.getMsr(0x400 + 3 * 4 + 1, value);
            assertThat(value[0]).isEqualTo(uncorrected);
            g.vcpu.setMce(3, uncorrected, 0x1000, 0, 5);
            assertThat(g.run()).isEqualTo(new Exit.Shutdown());
        }
    }

    @Test
    void repInsAsksForAPageAtMostAndStoresWhatTheCountStillAsksFor() {
        // cld; rep insb; hlt
        try (Guest64 g = new Guest64(0xfc, 0xf3, 0x6c, 0xf4)) {
            Regs r = g.regs();
            r.rdx = PORT;
            r.rdi = Guest64.DATA + 4096 - 3;
            r.rcx = 100;
            g.vcpu.setRegs(r);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(PORT, 1, 3));
            assertThat(g.regs().rcx).isEqualTo(100);
            g.regs.rcx = 2;
            g.vcpu.setRegs(g.regs);
            HostMemory.put32(g.vcpu.portData(), 0x332211);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(HostMemory.get32(g.hva + Guest64.DATA + 4096 - 3)).isEqualTo(0x2211);
            assertThat(g.regs().rcx).isZero();
            assertThat(g.regs.rdi).isEqualTo(Guest64.DATA + 4096 - 1);
        }
    }

    @Test
    void repInsOfWordsAsksForNoMoreThanTheBufferHolds() {
        // rep insl; hlt
        try (Guest64 g = new Guest64(0xf3, 0x6d, 0xf4)) {
            Regs r = g.regs();
            r.rdx = PORT;
            r.rdi = Guest64.DATA;
            r.rcx = 1000;
            g.vcpu.setRegs(r);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(PORT, 4, 256));
            HostMemory.put32(g.vcpu.portData() + 255 * 4, 0x1234);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(PORT, 4, 256));
            assertThat(HostMemory.get32(g.hva + Guest64.DATA + 255 * 4)).isEqualTo(0x1234);
            assertThat(g.regs().rcx).isEqualTo(1000 - 256);
        }
    }

    @Test
    void repOutsSendsOneItemAnExitAndHasMovedOn() {
        // rep outsb; hlt
        try (Guest64 g = new Guest64(0xf3, 0x6e, 0xf4)) {
            Regs r = g.regs();
            r.rdx = PORT;
            r.rsi = Guest64.DATA;
            r.rcx = 2;
            g.vcpu.setRegs(r);
            g.write(Guest64.DATA, 'a', 'b');
            assertThat(g.run()).isEqualTo(new Exit.PortOut(PORT, 1, 1));
            assertThat(HostMemory.get8(g.vcpu.portData())).isEqualTo('a');
            assertThat(g.regs().rcx).isEqualTo(1);
            assertThat(g.run()).isEqualTo(new Exit.PortOut(PORT, 1, 1));
            assertThat(HostMemory.get8(g.vcpu.portData())).isEqualTo('b');
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void anMmioReadIsAnsweredByTheClientAndDoneOnce() {
        // mov NOWHERE,%ebx ; inc %rcx; hlt
        try (Guest64 g = new Guest64(0x8b, 0x1c, 0x25, 0, 0, 0, 0x10, 0x48, 0xff, 0xc1, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE, 4));
            LittleEndian.putInt(g.vcpu.exit().mmioData, 0, 0xcafe);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rbx).isEqualTo(0xcafe);
            assertThat(g.regs().rcx).isEqualTo(1);
        }
    }

    @Test
    void aRepeatedMoveFromMmioReadsEveryItemOnce() {
        // rep movsb; hlt
        try (Guest64 g = new Guest64(0xf3, 0xa4, 0xf4)) {
            Regs r = g.regs();
            r.rsi = Guest64.NOWHERE;
            r.rdi = Guest64.DATA;
            r.rcx = 100;
            g.vcpu.setRegs(r);
            for (int i = 0; i < 100; i++) {
                assertThat(g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + i, 1));
                g.vcpu.exit().mmioData[0] = (byte) (0x10 + i);
            }
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(HostMemory.get32(g.hva + Guest64.DATA)).isEqualTo(0x13121110);
            assertThat(HostMemory.get8(g.hva + Guest64.DATA + 4)).isEqualTo(0x14);
        }
    }

    @Test
    void aRepeatedMoveToMmioWritesEveryItemOnce() {
        // rep movsw; hlt
        try (Guest64 g = new Guest64(0x66, 0xf3, 0xa5, 0xf4)) {
            Regs r = g.regs();
            r.rsi = Guest64.DATA;
            r.rdi = Guest64.NOWHERE;
            r.rcx = 3;
            g.vcpu.setRegs(r);
            g.write(Guest64.DATA, 1, 2, 3, 4, 5, 6);
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 2, 0x201));
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE + 2, 2, 0x403));
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE + 4, 2, 0x605));
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void anMmioReadAcrossAPagesEndIsTwoPieces() {
        // mov NOWHERE + 0xffc,%rbx; hlt
        try (Guest64 g = new Guest64(0x48, 0x8b, 0x1c, 0x25, 0xfc, 0x0f, 0, 0x10, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + 0xffc, 4));
            LittleEndian.putInt(g.vcpu.exit().mmioData, 0, 0x44332211);
            assertThat(g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + 0x1000, 4));
            LittleEndian.putInt(g.vcpu.exit().mmioData, 0, 0x88776655);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rbx).isEqualTo(0x8877665544332211L);
        }
    }

    @Test
    void fxsaveToMmioGoesOutWhole() {
        // fxsave NOWHERE; hlt
        try (Guest64 g = new Guest64(0x0f, 0xae, 0x04, 0x25, 0, 0, 0, 0x10, 0xf4)) {
            int bytes = 0;
            for (Exit e = g.run(); e instanceof Exit.MmioWrite w; e = g.run()) {
                bytes += w.bytes();
            }
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.HLT);
            assertThat(bytes).isGreaterThanOrEqualTo(416);
        }
    }

    @Test
    void immediateExitCompletesAnMmioReadAndNoMore() {
        try (Guest64 g = new Guest64(0x8b, 0x1c, 0x25, 0, 0, 0, 0x10, 0x48, 0xff, 0xc1, 0xf4)) {
            g.run();
            LittleEndian.putInt(g.vcpu.exit().mmioData, 0, 0xcafe);
            assertThat(g.vcpu.run(true)).isEqualTo(Errno.EINTR.number());
            assertThat(g.regs().rbx).isEqualTo(0xcafe);
            assertThat(g.regs().rcx).isZero();
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 7);
        }
    }

    @Test
    void anMmioWriteHasMovedOnAtItsExit() {
        // mov $0x11223344,%eax; mov %rax,NOWHERE; hlt
        try (Guest64 g = new Guest64(0xb8, 0x44, 0x33, 0x22, 0x11, 0x48, 0x89, 0x04, 0x25, 0, 0, 0, 0x10, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 8, 0x11223344));
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 13);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void aReadModifyWriteOfMmioIsAReadAndAWrite() {
        // orl $1,NOWHERE; hlt
        try (Guest64 g = new Guest64(0x83, 0x0c, 0x25, 0, 0, 0, 0x10, 1, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE, 4));
            LittleEndian.putInt(g.vcpu.exit().mmioData, 0, 0x10);
            assertThat(g.run()).isEqualTo(new Exit.MmioWrite(Guest64.NOWHERE, 4, 0x11));
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void aSignalEndsAGuestThatNeverLeaves() throws InterruptedException {
        try (Guest64 g = new Guest64(0xeb, 0xfe)) {
            Thread t = new Thread(() -> {
                while (g.vcpu.mode().mode() == 0) {
                    Thread.onSpinWait();
                }
                g.vcpu.signal();
            });
            t.start();
            assertThat(g.vcpu.run(false)).isEqualTo(Errno.EINTR.number());
            t.join();
            assertThat(g.vcpu.exit().reason).isEqualTo(VcpuExit.INTR);
            assertThat(g.vcpu.stats().get(VcpuStats.SIGNAL_EXITS)).isEqualTo(1);
        }
    }

    @Test
    void aFetchWhereNoMemoryIsIsAnInternalError() {
        // mov $NOWHERE,%eax; jmp *%rax
        try (Guest64 g = new Guest64(0xb8, 0, 0, 0, 0x10, 0xff, 0xe0)) {
            assertThat(g.run()).isEqualTo(new Exit.InternalError(VcpuExit.INTERNAL_ERROR_EMULATION));
            assertThat(g.regs().rip).isEqualTo(Guest64.NOWHERE);
        }
    }

    @Test
    void anInstructionThatIsNotImplementedIsUndefinedWhateverTheClientPromised() {
        // clzero, with CPUID 8000_0008h EBX[0] told; #UD has no handler here
        try (Guest64 g = new Guest64(0x0f, 0x01, 0xfc, 0xf4)) {
            List<CpuidEntry> leaves = new ArrayList<>();
            for (CpuidEntry e : g.kvm.supportedCpuid()) {
                leaves.add(
                        e.function() == 0x8000_0008
                                ? new CpuidEntry(e.function(), 0, 0, e.eax(), e.ebx() | 1, e.ecx(), e.edx())
                                : e);
            }
            g.vcpu.setCpuid(leaves);
            assertThat(g.run()).isEqualTo(new Exit.Shutdown());
        }
    }

    @Test
    void aFaultWithoutAnyHandlerIsAShutdownAndPutsTheVcpuThroughInit() {
        // ud2, with an IDT whose entries are not present
        try (Guest64 g = new Guest64(0x0f, 0x0b)) {
            assertThat(g.run()).isEqualTo(new Exit.Shutdown());
            assertThat(g.regs().rip).isEqualTo(0xfff0);
            assertThat(g.vcpu.setMsr(0xce, 0)).isTrue();
        }
    }

    @Test
    void memoryThatTheHostCannotGiveIsEfault() {
        // mov DATA,%eax
        try (Guest64 g = new Guest64(IN, PORT, 0x8b, 0x04, 0x25, 0, 0, 4, 0)) {
            g.run();
            g.host.populateErrno = Errno.EFAULT.number();
            assertThat(g.vcpu.run(false)).isEqualTo(Errno.EFAULT.number());
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE + 2);
        }
    }

    @Test
    void anUnknownMsrFaultsAndTheClientMayHaveItInstead() {
        // mov $0x12345678,%ecx; rdmsr; hlt
        int[] code = {0xb9, 0x78, 0x56, 0x34, 0x12, 0x0f, 0x32, 0xf4};
        try (Guest64 g = new Guest64(code)) {
            g.gate(13, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
        }
        try (Guest64 g = new Guest64(code)) {
            g.vm.enableCap(Cap.X86_USER_SPACE_MSR.number(), 0, new long[] {VcpuExit.MSR_EXIT_REASON_UNKNOWN, 0, 0, 0});
            assertThat(g.run()).isEqualTo(new Exit.ReadMsr(0x12345678, VcpuExit.MSR_EXIT_REASON_UNKNOWN));
            g.vcpu.exit().msrData = 0x1_0000_0002L;
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rax).isEqualTo(2);
            assertThat(g.regs().rdx).isEqualTo(1);
        }
    }

    @Test
    void aHypercallThatNobodyKnowsAnswersMinusThousand() {
        // mov $99,%eax; vmmcall; hlt
        try (Guest64 g = new Guest64(0xb8, 99, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xf4)) {
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rax).isEqualTo(-1000);
        }
    }

    @Test
    void theOtherVendorsHypercallIsPatchedOrUndefined() {
        int[] code = {0xb8, 99, 0, 0, 0, 0x0f, 0x01, 0xc1, 0xf4};
        try (Guest64 g = new Guest64(code)) {
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rax).isEqualTo(-1000);
            assertThat(HostMemory.get8(g.hva + Guest64.CODE + 7)).isEqualTo(0xd9);
        }
        try (Guest64 g = new Guest64(code)) {
            g.vm.enableCap(Cap.DISABLE_QUIRKS2.number(), 0, new long[] {Quirk.FIX_HYPERCALL_INSN, 0, 0, 0});
            g.gate(6, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            g.run();
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
        }
    }

    @Test
    void anInterruptOfTheClientIsTakenWhenTheGuestAllowsIt() {
        // sti; nop; jmp .
        try (Guest64 g = new Guest64(0xfb, 0x90, 0xeb, 0xfe)) {
            g.gate(0x30, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            g.vcpu.exit().requestInterruptWindow = true;
            assertThat(g.run()).isEqualTo(new Exit.InterruptWindow());
            assertThat(g.vcpu.exit().readyForInterruptInjection).isTrue();
            g.vcpu.exit().requestInterruptWindow = false;
            g.vcpu.interrupt(0x30);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
        }
    }

    @Test
    void anNmiIsDeliveredAndBlocksTheNext() {
        try (Guest64 g = new Guest64(0xeb, 0xfe)) {
            g.gate(2, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            g.vcpu.nmi();
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            VcpuEvents e = new VcpuEvents();
            g.vcpu.getEvents(e);
            assertThat(e.nmiMasked).isEqualTo(1);
        }
    }

    @Test
    void anExceptionThatTheClientPendsIsDeliveredWithItsErrorCode() {
        try (Guest64 g = new Guest64(0xeb, 0xfe)) {
            g.gate(13, Guest64.DATA);
            // pop %rbx; hlt
            g.write(Guest64.DATA, 0x5b, 0xf4);
            VcpuEvents e = new VcpuEvents();
            g.vcpu.getEvents(e);
            e.exceptionInjected = 1;
            e.exceptionNr = 13;
            e.exceptionHasErrorCode = 1;
            e.exceptionErrorCode = 0x18;
            g.vcpu.setEvents(e);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rbx).isEqualTo(0x18);
        }
    }

    @Test
    void anExitAllocatesNothing() {
        // 1: in $0x40,%al; jmp 1b
        try (Guest64 g = new Guest64(IN, PORT, 0xeb, 0xfc)) {
            for (int i = 0; i < 20_000; i++) {
                g.vcpu.run(false);
            }
            Allocations.bytes();
            long before = Allocations.bytes();
            long own = Allocations.bytes() - before;
            before = Allocations.bytes();
            for (int i = 0; i < 10_000; i++) {
                g.vcpu.run(false);
                g.vcpu.getRegs(g.regs);
                g.vcpu.run(true);
            }
            assertThat((Allocations.bytes() - before - own) / 10_000).isZero();
            assertThat(g.vcpu.stats().get(VcpuStats.IO_EXITS)).isEqualTo(30_000);
        }
    }

    @Test
    void aPageFaultPathAllocatesNothing() {
        // 1: mov %rax,NOWHERE; jmp 1b: an MMIO write each round
        try (Guest64 g = new Guest64(0x48, 0x89, 0x04, 0x25, 0, 0, 0, 0x10, 0xeb, 0xf6)) {
            for (int i = 0; i < 20_000; i++) {
                g.vcpu.run(false);
            }
            Allocations.bytes();
            long before = Allocations.bytes();
            long own = Allocations.bytes() - before;
            before = Allocations.bytes();
            for (int i = 0; i < 10_000; i++) {
                g.vcpu.run(false);
            }
            assertThat((Allocations.bytes() - before - own) / 10_000).isZero();
        }
    }
}
