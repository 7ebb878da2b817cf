package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The memory order that guests see, on real threads: guests/litmus. {@code -Dslate.litmus.batches=N} makes it longer; a batch is 2048
 * rounds.
 */
class LitmusTest {
    private static final int BATCHES = Integer.getInteger("slate.litmus.batches", 25);
    /** How often a test is run again that has not shown what it must. */
    private static final int PATIENCE = 40;

    enum Litmus {
        SB(0, 2, true),
        SB_MFENCE(1, 2, false),
        SB_XCHG(2, 2, false),
        SB_FAILING_CMPXCHG(3, 2, false),
        MP(4, 2, false),
        LB(5, 2, false),
        R(6, 2, false),
        R_MFENCE(7, 2, false),
        TWO_PLUS_TWO_W(8, 2, false),
        IRIW(9, 4, false),
        LOCK_ACROSS_LINES(10, 2, false),
        LOCK_ACROSS_PAGES(11, 2, false),
        CMPXCHG16B(12, 2, false),
        LOCK_ACROSS_WORDS(13, 2, false);

        /** What the guest program calls it. */
        final int number;

        final int processors;
        /** The weak outcome must be seen. */
        final boolean weak;

        Litmus(int number, int processors, boolean weak) {
            this.number = number;
            this.processors = processors;
            this.weak = weak;
        }
    }

    @ParameterizedTest
    @EnumSource
    void forbiddenOutcomesAreNeverSeenAndStoresAreSeenToPassLoads(Litmus test) throws Exception {
        long weak = 0;
        for (int i = 0; i == 0 || test.weak && weak == 0 && i < PATIENCE; i++) {
            weak += run(test);
        }
        // It shows that the test can see such a thing. Where no two vCPUs ever run at the same time, nobody can.
        assumeTrue(
                !test.weak || weak > 0, "needs two processors that are free for a moment: run it on a quieter machine");
    }

    private static long run(Litmus test) throws Exception {
        try (GuestProgram g = new GuestProgram("litmus", 16, GuestProgram.IMAGE);
                ExecutorService threads = Executors.newCachedThreadPool()) {
            g.parameters(g.bytes, test.processors, test.number, BATCHES, 0, 0, 0, 0);
            Vcpu first = g.start32();
            assertThat(g.run(first)).isEqualTo(100);
            Sregs sregs = new Sregs();
            first.getSregs(sregs);
            List<Future<Integer>> others = new ArrayList<>();
            for (int i = 1; i < test.processors; i++) {
                Vcpu v = g.vcpu();
                v.setSregs(sregs);
                Regs r = new Regs();
                r.rip = g.parameter(4);
                r.rdi = i;
                // As after a call: 8 below a multiple of 16.
                r.rsp = 0xf0_0000 - i * 0x1_0000L - 8;
                r.rflags = 2;
                v.setRegs(r);
                others.add(threads.submit(() -> g.run(v)));
            }
            assertThat(g.run(first)).isZero();
            for (Future<Integer> other : others) {
                assertThat(other.get()).isZero();
            }
            assertThat(g.parameter(5)).isEqualTo(BATCHES * 2048L);
            System.out.printf(
                    "litmus %s: %,d rounds, %,d weak outcomes or locked operations%n",
                    test, g.parameter(5), g.parameter(6));
            assertThat(g.parameter(7)).as("forbidden outcomes").isZero();
            return g.parameter(6);
        }
    }
}
