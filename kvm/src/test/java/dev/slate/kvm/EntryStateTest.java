package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.CpuState;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/**
 * The illegal states of APM 2 15.5.1, each of them: KVM_SET_SREGS and its kin refuse it, as in KVM 6.1, or the entry fails with
 * KVM_EXIT_FAIL_ENTRY for as long as it stands.
 */
class EntryStateTest {
    /** SVM_EXIT_ERR in the 32 bits of the VMCB's exit code. */
    private static final long SVM_EXIT_ERR = 0xffff_ffffL;

    /** What becomes of a state: EINVAL at once, a failed entry, or the guest runs. */
    enum Outcome {
        REFUSED,
        FAILS,
        RUNS
    }

    record State(String name, Outcome outcome, Consumer<Guest64> set) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static State sregs(String name, Outcome outcome, Consumer<Sregs> change) {
        return new State(name, outcome, g -> {
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            change.accept(s);
            g.vcpu.setSregs(s);
        });
    }

    /** As a debugger sets it, past every check of KVM's. */
    private static State inside(String name, Outcome outcome, Consumer<CpuState> change) {
        return new State(name, outcome, g -> {
            try {
                g.vcpu.inspect(1000, change);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        });
    }

    private static void real(Sregs s) {
        s.cr0 = CpuState.CR0_ET;
        s.cr4 = 0;
        s.efer = 0;
        s.cs.l = 0;
    }

    static List<State> states() {
        List<State> all = new ArrayList<>();
        all.add(sregs("nothing changed", Outcome.RUNS, s -> {}));
        all.add(sregs("CS.L and CS.D in long mode", Outcome.FAILS, s -> s.cs.db = 1));
        all.add(sregs("CS.D without CS.L in long mode", Outcome.RUNS, s -> {
            s.cs.l = 0;
            s.cs.db = 1;
        }));
        all.add(sregs("CS.L outside long mode", Outcome.REFUSED, s -> {
            real(s);
            s.cs.l = 1;
        }));
        all.add(sregs("CR0.NW without CR0.CD", Outcome.REFUSED, s -> s.cr0 |= CpuState.CR0_NW));
        all.add(sregs("CR0.NW with CR0.CD", Outcome.RUNS, s -> s.cr0 |= CpuState.CR0_NW | CpuState.CR0_CD));
        for (int bit = 32; bit < 64; bit++) {
            long b = 1L << bit;
            all.add(sregs("CR0 bit " + bit, Outcome.REFUSED, s -> s.cr0 |= b));
            all.add(inside("CR0 bit " + bit + ", inside", Outcome.FAILS, s -> s.cr0 |= b));
            all.add(new State("DR6 bit " + bit, Outcome.REFUSED, g -> debug(g, d -> d.dr6 |= b)));
            all.add(new State("DR7 bit " + bit, Outcome.REFUSED, g -> debug(g, d -> d.dr7 |= b)));
            all.add(inside("DR6 bit " + bit + ", inside", Outcome.FAILS, s -> s.dr6 |= b));
            all.add(inside("DR7 bit " + bit + ", inside", Outcome.FAILS, s -> s.dr7 |= b));
            all.add(sregs("CR4 bit " + bit, Outcome.REFUSED, s -> s.cr4 |= b));
            all.add(inside("CR4 bit " + bit + ", inside", Outcome.FAILS, s -> s.cr4 |= b));
        }
        for (int bit = 0; bit < 64; bit++) {
            long b = 1L << bit;
            boolean reserved = bit == 9 || bit >= 16;
            if (bit != 8 && bit != 10) {
                all.add(sregs("EFER bit " + bit, reserved ? Outcome.FAILS : Outcome.RUNS, s -> s.efer |= b));
            }
        }
        for (int bit = 52; bit < 64; bit++) {
            long b = 1L << bit;
            all.add(sregs("CR3 bit " + bit + " in long mode", Outcome.REFUSED, s -> s.cr3 |= b));
            all.add(inside("CR3 bit " + bit + " in long mode, inside", Outcome.FAILS, s -> s.cr3 |= b));
        }
        all.add(sregs("LME and PG without PAE", Outcome.REFUSED, s -> s.cr4 &= ~CpuState.CR4_PAE));
        all.add(inside("LME and PG without PAE, inside", Outcome.FAILS, s -> s.cr4 &= ~CpuState.CR4_PAE));
        all.add(sregs("LME and PG without PE", Outcome.REFUSED, s -> s.cr0 &= ~CpuState.CR0_PE));
        all.add(inside("LME and PG without PE, inside", Outcome.FAILS, s -> s.cr0 &= ~CpuState.CR0_PE));
        all.add(sregs("LME and PG without LMA", Outcome.REFUSED, s -> s.efer &= ~CpuState.EFER_LMA));
        all.add(sregs("LMA without PG", Outcome.REFUSED, s -> s.cr0 &= ~CpuState.CR0_PG));
        all.add(inside("NW without CD, inside", Outcome.FAILS, s -> s.cr0 |= CpuState.CR0_NW));
        return all;
    }

    private static void debug(Guest64 g, Consumer<DebugRegs> change) {
        DebugRegs d = new DebugRegs();
        g.vcpu.getDebugRegs(d);
        change.accept(d);
        g.vcpu.setDebugRegs(d);
    }

    @Test
    void anIllegalStateIsRefusedOrNeverEntered() {
        List<State> states = states();
        // inc %eax; hlt, the same in compatibility mode
        try (Guest64 g = new Guest64(0xff, 0xc0, 0xf4)) {
            for (State state : states) {
                g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
                debug(g, d -> {
                    d.dr6 = 0xffff_0ff0L;
                    d.dr7 = 0x400;
                });
                check(g, state);
            }
        }
        System.out.println("states that VMRUN refuses, and their neighbours: " + states.size());
    }

    private static void check(Guest64 g, State state) {
        if (state.outcome == Outcome.REFUSED) {
            assertThatThrownBy(() -> state.set.accept(g))
                    .as(state.name)
                    .isInstanceOfSatisfying(
                            KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
            assertThat(g.run()).as(state.name).isEqualTo(new Exit.Halt());
            return;
        }
        state.set.accept(g);
        if (state.outcome == Outcome.RUNS) {
            assertThat(g.run()).as(state.name).isEqualTo(new Exit.Halt());
            return;
        }
        for (int i = 0; i < 2; i++) {
            assertThat(g.run()).as(state.name).isEqualTo(new Exit.Other(VcpuExit.FAIL_ENTRY));
            assertThat(g.vcpu.exit().hardwareReason).isEqualTo(SVM_EXIT_ERR);
            assertThat(g.regs().rip).isEqualTo(Guest64.CODE);
            assertThat(g.regs.rax).isZero();
        }
    }

    @Test
    void aStateThatIsMendedIsEntered() {
        try (Guest64 g = new Guest64(0xf4)) {
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.efer |= 1L << 63;
            g.vcpu.setSregs(s);
            assertThat(g.run()).isEqualTo(new Exit.Other(VcpuExit.FAIL_ENTRY));
            g.vcpu.getSregs(s);
            assertThat(s.efer).as("it can be read").isNegative();
            s.efer &= Long.MAX_VALUE;
            g.vcpu.setSregs(s);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }
}
