package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.Test;

/** System management mode (APM 2 chapter 10). */
class SmmTest {
    private static final int SMBASE = 0x1000_0000;
    private static final int PORT = 0x40;
    private static final int STATE = 0xfe00;

    /** A guest that increments rbx twice and halts, and SMRAM in address space 1 only. */
    private static final class Machine implements AutoCloseable {
        final Guest64 g;
        final long smram;

        Machine(int... guest) {
            g = new Guest64(guest);
            smram = g.host.allocate(0x10000, 4096);
            g.vm.setUserMemoryRegion(1 << 16 | 1, 0, SMBASE, 0x10000, smram);
            assertThat(g.vcpu.setMsr(0x9e, SMBASE)).isTrue();
        }

        void handler(int... bytes) {
            for (int i = 0; i < bytes.length; i++) {
                HostMemory.put8(smram + 0x8000 + i, bytes[i]);
            }
        }

        @Override
        public void close() {
            g.close();
        }
    }

    private static final int[] GUEST = {0x48, 0xff, 0xc3, 0x48, 0xff, 0xc3, 0xf4};
    // in $0x40,%al; rsm
    private static final int[] HANDLER = {0xe4, PORT, 0x0f, 0xaa};

    @Test
    void anSmiRunsItsHandlerInRealModeInTheOtherAddressSpaceAndRsmTakesTheStateBack() {
        try (Machine m = new Machine(GUEST)) {
            m.handler(HANDLER);
            Regs r = m.g.regs();
            r.rax = 0x1122_3344_5566_7788L;
            r.r15 = 15;
            r.rflags = 0x46;
            m.g.vcpu.setRegs(r);
            Sregs before = new Sregs();
            m.g.vcpu.getSregs(before);
            m.g.vcpu.smi();
            assertThat(m.g.run()).isEqualTo(new Exit.PortIn(PORT, 1, 1));
            assertThat(m.g.vcpu.exit().flags).isEqualTo(VcpuExit.RUN_X86_SMM);
            assertThat(m.g.regs().rip).isEqualTo(0x8000);
            assertThat(m.g.regs.rflags).isEqualTo(2);
            Sregs inside = new Sregs();
            m.g.vcpu.getSregs(inside);
            assertThat(inside.cs.base).isEqualTo(SMBASE);
            assertThat(inside.cs.selector).isEqualTo(SMBASE >> 4 & 0xffff);
            assertThat(inside.cs.limit).isEqualTo(-1);
            assertThat(inside.cr0 & 0x8000_0001L).isZero();
            assertThat(inside.cr4).isZero();
            assertThat(inside.efer).isZero();
            assertThat(HostMemory.get64(m.smram + 0xfff8)).isEqualTo(0x1122_3344_5566_7788L);
            assertThat(HostMemory.get64(m.smram + 0xff80)).isEqualTo(15);
            assertThat(HostMemory.get64(m.smram + 0xff78)).isEqualTo(Guest64.CODE);
            assertThat(HostMemory.get32(m.smram + 0xff00)).isEqualTo(SMBASE);
            assertThat(HostMemory.get32(m.smram + 0xfefc)).isEqualTo(0x20064);
            HostMemory.put8(m.g.vcpu.portData(), 1);
            assertThat(m.g.run()).isEqualTo(new Exit.Halt());
            assertThat(m.g.vcpu.exit().flags).isZero();
            assertThat(m.g.regs().rbx).isEqualTo(2);
            assertThat(m.g.regs.rax).isEqualTo(0x1122_3344_5566_7788L);
            Sregs after = new Sregs();
            m.g.vcpu.getSregs(after);
            assertThat(after).usingRecursiveComparison().isEqualTo(before);
            long[] count = new long[1];
            assertThat(m.g.vcpu.getMsr(0x34, count)).isTrue();
            assertThat(count[0]).isEqualTo(1);
        }
    }

    @Test
    void theHandlerMayMoveSmbaseAndWhatRsmLoads() {
        try (Machine m = new Machine(GUEST)) {
            m.handler(HANDLER);
            m.g.vcpu.smi();
            m.g.run();
            HostMemory.put32(m.smram + 0xff00, 0x7000_0000);
            HostMemory.put64(m.smram + 0xff78, Guest64.CODE + 3);
            assertThat(m.g.run()).isEqualTo(new Exit.Halt());
            assertThat(m.g.regs().rbx).isEqualTo(1);
            long[] base = new long[1];
            m.g.vcpu.getMsr(0x9e, base);
            assertThat(base[0]).isEqualTo(0x7000_0000);
        }
    }

    @Test
    void rsmOutOfAnImpossibleStateShutsDown() {
        try (Machine m = new Machine(GUEST)) {
            m.handler(HANDLER);
            m.g.vcpu.smi();
            m.g.run();
            // paging without protection
            HostMemory.put64(m.smram + 0xff58, 0x8000_0000L);
            assertThat(m.g.run()).isEqualTo(new Exit.Shutdown());
        }
    }

    @Test
    void rsmOutsideTheModeIsUndefined() {
        try (Guest64 g = new Guest64(0x0f, 0xaa)) {
            g.gate(6, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
        }
    }

    @Test
    void anotherSmiAndAnNmiWaitForRsm() {
        try (Machine m = new Machine(GUEST)) {
            m.handler(HANDLER);
            m.g.gate(2, Guest64.DATA);
            m.g.write(Guest64.DATA, 0xf4);
            m.g.vcpu.smi();
            m.g.run();
            m.g.vcpu.nmi();
            m.g.vcpu.smi();
            VcpuEvents e = new VcpuEvents();
            m.g.vcpu.getEvents(e);
            assertThat(e.smm).isEqualTo(1);
            assertThat(e.smiPending).isEqualTo(1);
            assertThat(e.nmiMasked).isEqualTo(1);
            // The second SMI comes at once after RSM, and the NMI after that.
            assertThat(m.g.run()).isEqualTo(new Exit.PortIn(PORT, 1, 1));
            m.g.vcpu.getEvents(e);
            assertThat(e.smiPending).isZero();
            assertThat(m.g.run()).isEqualTo(new Exit.Halt());
            assertThat(m.g.regs().rip).isEqualTo(Guest64.DATA + 1);
            assertThat(m.g.regs.rbx).isZero();
        }
    }

    @Test
    void eventsCarryTheModeToAnotherVcpu() {
        try (Machine m = new Machine(GUEST)) {
            m.handler(HANDLER);
            VcpuEvents e = new VcpuEvents();
            m.g.vcpu.getEvents(e);
            e.smiPending = 1;
            m.g.vcpu.setEvents(e);
            m.g.run();
            m.g.vcpu.getEvents(e);
            Sregs s = new Sregs();
            m.g.vcpu.getSregs(s);
            try (Vcpu other = m.g.vm.createVcpu(1)) {
                other.setCpuid(m.g.kvm.supportedCpuid());
                other.setMsr(0x9e, SMBASE);
                other.setSregs(s);
                other.setRegs(m.g.regs());
                other.setEvents(e);
                other.setMpState(MpState.RUNNABLE);
                assertThat(other.run(false)).isZero();
                assertThat(other.exit().value()).isEqualTo(new Exit.PortIn(PORT, 1, 1));
                assertThat(other.run(false)).isZero();
                assertThat(other.exit().value()).isEqualTo(new Exit.Halt());
                Regs r = new Regs();
                other.getRegs(r);
                assertThat(r.rbx).isEqualTo(2);
            }
        }
    }

    @Test
    void aGuestWithoutLongModeHasThe32BitSaveArea() {
        try (Machine m = new Machine(GUEST)) {
            // push $0x5a; pop %ebx; in; hlt in 32-bit code without paging
            m.g.write(Guest64.CODE, 0xbb, 0x5a, 0, 0, 0, 0xf4);
            m.g.vcpu.setCpuid(m.g.kvm.supportedCpuid().stream()
                    .map(e -> e.function() == 0x8000_0001
                            ? new dev.slate.kvm.cpuid.CpuidEntry(
                                    e.function(), e.index(), e.flags(), e.eax(), e.ebx(), e.ecx(), e.edx() & ~(1 << 29))
                            : e)
                    .toList());
            Sregs s = new Sregs();
            m.g.vcpu.getSregs(s);
            s.cr0 = 0x11;
            s.cr4 = 0;
            s.efer = 0;
            s.cs.l = 0;
            s.cs.db = 1;
            m.g.vcpu.setSregs(s);
            m.handler(HANDLER);
            m.g.vcpu.smi();
            assertThat(m.g.run()).isEqualTo(new Exit.PortIn(PORT, 1, 1));
            assertThat(HostMemory.get32(m.smram + 0xfefc)).isEqualTo(0x20000);
            assertThat(HostMemory.get32(m.smram + 0xfff0)).isEqualTo((int) Guest64.CODE);
            assertThat(HostMemory.get32(m.smram + STATE + 0xf8)).isEqualTo(SMBASE);
            assertThat(m.g.run()).isEqualTo(new Exit.Halt());
            assertThat(m.g.regs().rbx).isEqualTo(0x5a);
            Sregs after = new Sregs();
            m.g.vcpu.getSregs(after);
            assertThat(after).usingRecursiveComparison().isEqualTo(s);
        }
    }

    @Test
    void smbaseIsTheClientsOnly() {
        // mov $0x9e,%ecx; rdmsr
        try (Guest64 g = new Guest64(0xb9, 0x9e, 0, 0, 0, 0x0f, 0x32)) {
            g.gate(13, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
        }
    }

    @Test
    void initAndSipiStatesAreRefusedWhileAnSmiWaits() {
        try (Guest64 g = new Guest64(true, GUEST)) {
            g.vcpu.smi();
            assertThatThrownBy(() -> g.vcpu.setMpState(MpState.SIPI_RECEIVED)).isInstanceOf(KvmException.class);
        }
    }
}
