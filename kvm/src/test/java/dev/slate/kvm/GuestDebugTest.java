package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.state.GuestDebug;
import org.junit.jupiter.api.Test;

/** KVM_SET_GUEST_DEBUG, and debug traps of instructions that the hypervisor completes. */
class GuestDebugTest {
    private static final long IDLE = 0xffff_0ff0L;
    private static final long BS = 1 << 14;

    private static void debug(Guest64 g, int control, long... registers) {
        long[] all = new long[8];
        System.arraycopy(registers, 0, all, 0, registers.length);
        g.vcpu.setGuestDebug(control, all);
    }

    private static void stops(Guest64 g, int exception, long rip, long dr6) {
        assertThat(g.vcpu.run(false)).isZero();
        VcpuExit e = g.vcpu.exit();
        assertThat(e.reason).isEqualTo(VcpuExit.DEBUG);
        assertThat(e.debugException).isEqualTo(exception);
        assertThat(e.debugPc).isEqualTo(rip);
        assertThat(e.debugDr6).isEqualTo(dr6);
        assertThat(g.regs().rip).isEqualTo(rip);
    }

    @Test
    void stepsGoOverInstructionsThatExitToTheHypervisor() {
        // nop; cpuid; in $0x40,%al; rdmsr of TSC_AUX's neighbour; hlt
        try (Guest64 g = new Guest64(0x90, 0x0f, 0xa2, 0xe4, 0x40, 0x90, 0xf4)) {
            debug(g, GuestDebug.ENABLE | GuestDebug.SINGLESTEP);
            stops(g, 1, Guest64.CODE + 1, IDLE | BS);
            stops(g, 1, Guest64.CODE + 3, IDLE | BS);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            stops(g, 1, Guest64.CODE + 5, IDLE | BS);
            debug(g, 0);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }

    @Test
    void aStoreToMmioUnderSingleStepGoesOutAndThenStops() {
        // mov %al,0x10000000; nop; hlt
        try (Guest64 g = new Guest64(0x88, 0x04, 0x25, 0, 0, 0, 0x10, 0x90, 0xf4)) {
            debug(g, GuestDebug.ENABLE | GuestDebug.SINGLESTEP);
            assertThat(g.run()).isInstanceOf(Exit.MmioWrite.class);
            stops(g, 1, Guest64.CODE + 7, IDLE | BS);
            stops(g, 1, Guest64.CODE + 8, IDLE | BS);
        }
    }

    @Test
    void theClientsBreakpointsHideTheGuestsButNotTheirValues() {
        // mov %dr0,%rax; nop; nop; hlt
        try (Guest64 g = new Guest64(0x0f, 0x21, 0xc0, 0x90, 0x90, 0xf4)) {
            DebugRegs d = new DebugRegs();
            d.db[0] = Guest64.CODE + 3;
            d.dr6 = IDLE;
            d.dr7 = 0x402;
            g.vcpu.setDebugRegs(d);
            debug(g, GuestDebug.ENABLE | GuestDebug.USE_HW_BP, 0, Guest64.CODE + 4, 0, 0, 0, 0, 0, 0x408);
            stops(g, 1, Guest64.CODE + 4, IDLE | 2);
            assertThat(g.regs().rax).isEqualTo(Guest64.CODE + 3);
            assertThat(g.vcpu.exit().debugDr7).isEqualTo(0x408);
            DebugRegs after = new DebugRegs();
            g.vcpu.getDebugRegs(after);
            assertThat(after.dr6).isEqualTo(IDLE);
            assertThat(after.dr7).isEqualTo(0x402);
        }
    }

    @Test
    void blockedInterruptsWaitForTheEndOfStepping() {
        // sti; nop; nop; hlt
        try (Guest64 g = new Guest64(true, 0xfb, 0x90, 0x90, 0xf4)) {
            g.gate(0x20, Guest64.DATA);
            // in $0x40,%al
            g.write(Guest64.DATA, 0xe4, 0x40);
            byte[] lapic = new byte[1024];
            g.vcpu.getLapic(lapic);
            lapic[0xf1] |= 1;
            lapic[0x200 + 0x10] |= 1;
            g.vcpu.setLapic(lapic);
            debug(g, GuestDebug.ENABLE | GuestDebug.SINGLESTEP | GuestDebug.BLOCKIRQ);
            stops(g, 1, Guest64.CODE + 1, IDLE | BS);
            stops(g, 1, Guest64.CODE + 2, IDLE | BS);
            debug(g, GuestDebug.ENABLE | GuestDebug.SINGLESTEP);
            // Taken now, and the step ends behind the handler's first instruction.
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA);
        }
    }

    @Test
    void theGuestsOwnTrapFlagTrapsBehindAnInWithItsPortsBreakpoint() {
        // in $0x40,%al; nop
        try (Guest64 g = new Guest64(0xe4, 0x40, 0x90, 0xf4)) {
            g.gate(1, Guest64.DATA);
            g.write(Guest64.DATA, 0xf4);
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.cr4 |= 8;
            g.vcpu.setSregs(s);
            DebugRegs d = new DebugRegs();
            d.db[3] = 0x40;
            d.dr6 = IDLE;
            d.dr7 = 0x2000_0480;
            g.vcpu.setDebugRegs(d);
            Regs r = g.regs();
            r.rflags |= 0x100;
            g.vcpu.setRegs(r);
            assertThat(g.run()).isEqualTo(new Exit.PortIn(0x40, 1, 1));
            assertThat(g.run()).isEqualTo(new Exit.Halt());
            assertThat(g.regs().rip).isEqualTo(Guest64.DATA + 1);
            assertThat(HostMemory.get64(g.hva + g.regs.rsp)).isEqualTo(Guest64.CODE + 2);
            g.vcpu.getDebugRegs(d);
            assertThat(d.dr6).isEqualTo(IDLE | BS | 8);
        }
    }
}
