package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CountDownLatch;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LocalApicTest {
    private static final long PAGE = 0xfee0_0000L;
    private static final int SPIV = 0xf0;
    private static final int ICR = 0x300;
    private static final int ICR2 = 0x310;
    private static final int TPR = 0x80;
    private static final int EOI = 0xb0;
    private static final int LVTT = 0x320;
    private static final int TMICT = 0x380;

    /** A counter of 1 GHz. */
    private static final LongSupplier TSC = System::nanoTime;

    private final ApicBus bus = new ApicBus();
    private final TimerThread timers = new TimerThread();
    private final Owner[] owners = {new Owner(), new Owner(), new Owner()};
    private final LocalApic[] apics = new LocalApic[3];

    private static final class Owner implements LocalApic.Owner {
        volatile int events;
        volatile @Nullable Thread by;
        int nmis;
        int smis;
        int unhalts;
        final CountDownLatch arrived = new CountDownLatch(1);

        @Override
        public void eventArrived() {
            by = Thread.currentThread();
            events++;
            arrived.countDown();
        }

        @Override
        public void nmiArrived() {
            nmis++;
        }

        @Override
        public void smiArrived() {
            smis++;
        }

        @Override
        public void unhalt() {
            unhalts++;
        }

        @Override
        public void clientIoApicEoi(int vector) {}

        @Override
        public void switchedOn() {}

        @Override
        public void taskPriorityAccessed(boolean write) {}
    }

    @BeforeEach
    void apicsAreOn() {
        for (int i = 0; i < 3; i++) {
            apics[i] = new LocalApic(i, i == 0, owners[i], bus, timers, TSC, () -> 1_000_000);
            apics[i].reset(false, true);
            write(i, SPIV, 0x1ff);
            bus.add(apics[i]);
        }
    }

    private void write(int apic, int register, long value) {
        apics[apic].writePage(PAGE + register, 4, value);
    }

    private long read(int apic, int register) {
        return apics[apic].readPage(PAGE + register, 4);
    }

    @Test
    void anIpiReachesTheApicWithThatIdAndIsServedByPriority() {
        write(0, ICR2, 1L << 24);
        write(0, ICR, 0x4000 | 0x31);
        write(0, ICR, 0x4000 | 0x55);
        assertThat(apics[2].pendingVector()).isEqualTo(-1);
        assertThat(apics[1].pendingVector()).isEqualTo(0x55);
        assertThat(apics[1].acknowledge()).isEqualTo(0x55);
        assertThat(apics[1].pendingVector())
                .as("31h waits behind 55h in service")
                .isEqualTo(-1);
        write(1, EOI, 0);
        assertThat(apics[1].acknowledge()).isEqualTo(0x31);
        assertThat(apics[1].acknowledge()).as("nothing waits any more").isEqualTo(-1);
    }

    @Test
    void theTaskPriorityHoldsBackItsClassAndThoseBelow() {
        write(0, TPR, 0x50);
        write(0, ICR, 0x4000 | 1 << 18 | 0x5f);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
        assertThat(apics[0].cr8()).isEqualTo(5);
        apics[0].setCr8(4);
        assertThat(apics[0].pendingVector()).isEqualTo(0x5f);
    }

    @Test
    void shorthandsReachSelfAllAndOthers() {
        write(1, ICR, 0x4000 | 2 << 18 | 0x40);
        for (LocalApic a : apics) {
            assertThat(a.pendingVector()).isEqualTo(0x40);
        }
        write(1, ICR, 0x4000 | 3 << 18 | 0x50);
        assertThat(apics[0].pendingVector()).isEqualTo(0x50);
        assertThat(apics[1].pendingVector()).isEqualTo(0x40);
    }

    @Test
    void logicalDestinationsAreMasksInTheFlatModel() {
        for (int i = 0; i < 3; i++) {
            write(i, 0xd0, 1L << 24 + i);
        }
        write(0, ICR2, 5L << 24);
        write(0, ICR, 0x4000 | 1 << 11 | 0x60);
        assertThat(apics[0].pendingVector()).isEqualTo(0x60);
        assertThat(apics[1].pendingVector()).isEqualTo(-1);
        assertThat(apics[2].pendingVector()).isEqualTo(0x60);
    }

    @Test
    void aDisabledApicTakesNoInterruptButInitSipiAndNmi() {
        write(1, SPIV, 0xff);
        write(0, ICR2, 1L << 24);
        write(0, ICR, 0x4000 | 0x60);
        assertThat(apics[1].pendingVector()).isEqualTo(-1);
        write(0, ICR, 0x4000 | 4 << 8);
        assertThat(owners[1].nmis).isEqualTo(1);
        write(0, ICR, 0x4000 | 5 << 8);
        write(0, ICR, 0x4000 | 6 << 8 | 0x9f);
        assertThat(apics[1].takeInit()).isTrue();
        assertThat(apics[1].takeSipi()).isEqualTo(0x9f);
        assertThat(apics[1].hasPendingInitOrSipi()).isFalse();
    }

    @Test
    void theBusyBitNeverShowsAndTheRestOfIcrDoes() {
        write(0, ICR2, 0x0700_0000L);
        write(0, ICR, 0x4000 | 1 << 12 | 0x77);
        assertThat(read(0, ICR)).isEqualTo(0x4077);
        assertThat(read(0, ICR2)).isEqualTo(0x0700_0000L);
    }

    @Test
    void x2apicHasMsrsFullIdsAndNoPage() {
        apics[2].setBase(apics[2].base() | LocalApic.BASE_X2APIC);
        assertThat(apics[2].canReadMsr(2)).isTrue();
        assertThat(apics[2].readMsr(2)).isEqualTo(2);
        assertThat(apics[2].canReadMsr(0xe)).as("no DFR").isFalse();
        assertThat(apics[2].readPage(PAGE + 0x20, 4)).isEqualTo(0xffff_ffffL);
        assertThat(apics[2].writeMsr(0x30, 1L << 20)).as("reserved bit").isFalse();
        assertThat(apics[2].writeMsr(0x30, 1L << 32 | 0x4000 | 0x44)).isTrue();
        assertThat(apics[1].pendingVector()).isEqualTo(0x44);
        assertThat(apics[2].readMsr(0x30)).isEqualTo(1L << 32 | 0x4044);
        assertThat(apics[2].writeMsr(0x3f, 0x45)).as("self IPI").isTrue();
        assertThat(apics[2].pendingVector()).isEqualTo(0x45);
        assertThat(apics[0].writeMsr(0x3f, 0x45)).as("xAPIC has no MSRs").isFalse();
    }

    @Test
    void aClientSavesAndRestoresEveryRegister() {
        write(0, TPR, 0x20);
        write(0, LVTT, 0x1_0031);
        write(0, ICR2, 0x0300_0000L);
        write(0, ICR, 0x4000 | 0x77);
        byte[] state = new byte[LocalApic.STATE_BYTES];
        apics[0].get(state);
        LocalApic other = new LocalApic(0, true, new Owner(), new ApicBus(), timers, TSC, () -> 1_000_000);
        other.reset(false, true);
        other.set(state);
        byte[] again = new byte[LocalApic.STATE_BYTES];
        other.get(again);
        assertThat(again).isEqualTo(state);
    }

    @Test
    void aKickOfAParavirtualLockReachesOneVcpu() {
        bus.kick(2);
        assertThat(owners[2].unhalts).isEqualTo(1);
        assertThat(owners[0].unhalts + owners[1].unhalts).isZero();
    }

    @Test
    void aOneShotTimerInterruptsOnce() throws InterruptedException {
        write(0, LVTT, 0x31);
        write(0, TMICT, 1000);
        owners[0].arrived.await();
        assertThat(apics[0].pendingVector()).isEqualTo(0x31);
        assertThat(read(0, 0x390)).isZero();
    }

    @Test
    void aPeriodicTimerInterruptsAgainAndStopsWhenMasked() throws InterruptedException {
        write(0, LVTT, 1 << 17 | 0x31);
        write(0, TMICT, 1_000_000);
        while (owners[0].events < 3) {
            Thread.sleep(1);
        }
        write(0, TMICT, 0);
        assertThat(read(0, 0x390)).isZero();
    }

    @Test
    void theTscDeadlineExpiresAtItsValueAndReadsZeroThen() throws InterruptedException {
        apics[0].tscDeadlineOffered(true);
        write(0, LVTT, 2 << 17 | 0x32);
        long deadline = TSC.getAsLong() + 1_000_000;
        apics[0].setTscDeadline(deadline);
        owners[0].arrived.await();
        assertThat(apics[0].tscDeadline()).isZero();
        assertThat(apics[0].pendingVector()).isEqualTo(0x32);
    }

    @Test
    void aLowestPriorityInterruptReachesOneOfThoseAddressed() {
        write(0, ICR, 0x4000 | 2 << 18 | 1 << 8 | 0x61);
        int taken = 0;
        for (LocalApic a : apics) {
            taken += a.pendingVector() == 0x61 ? 1 : 0;
        }
        assertThat(taken).isEqualTo(1);
    }

    @Test
    void anSmiReachesItsDestination() {
        apics[0].writeMsr(0x30, 0);
        bus.send(apics[0], 2 << 8 | 1 << 14, 1 << 24);
        assertThat(owners[1].smis).isEqualTo(1);
        assertThat(owners[0].smis + owners[2].smis).isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 1000, Long.MAX_VALUE, -1})
    void aDeadlineThatIsOverIsPendingWhenTheWriteIs(long ago) {
        apics[0].tscDeadlineOffered(true);
        write(0, LVTT, 2 << 17 | 0x32);
        // The last two lie in the future: deadlines are unsigned.
        boolean over = ago > 0 && ago < Long.MAX_VALUE;
        apics[0].setTscDeadline(over ? TSC.getAsLong() - ago : ago);
        assertThat(apics[0].pendingVector()).isEqualTo(over ? 0x32 : -1);
        assertThat(owners[0].by).isSameAs(over ? Thread.currentThread() : null);
        assertThat(apics[0].tscDeadline()).isEqualTo(over ? 0 : ago);
    }

    @Test
    void aDeadlineThatIsOverComesOnceAndMaskedNotAtAll() {
        apics[0].tscDeadlineOffered(true);
        write(0, LVTT, 1 << 16 | 2 << 17 | 0x32);
        apics[0].setTscDeadline(1);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
        assertThat(apics[0].tscDeadline()).isZero();
        write(0, LVTT, 2 << 17 | 0x32);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
        apics[0].setTscDeadline(0);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
        apics[0].setTscDeadline(1);
        assertThat(apics[0].acknowledge()).isEqualTo(0x32);
        write(0, EOI, 0);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
    }

    @Test
    void anInitialCountOfZeroStopsTheTimerAndOneOfOneIsOverAtOnce() {
        write(0, LVTT, 0x31);
        write(0, TMICT, 0);
        assertThat(apics[0].pendingVector()).isEqualTo(-1);
        write(0, TMICT, 1);
        long until = System.nanoTime() + 100_000_000_000L;
        while (apics[0].pendingVector() < 0 && System.nanoTime() < until) {
            Thread.onSpinWait();
        }
        assertThat(apics[0].pendingVector()).isEqualTo(0x31);
    }

    /** What was saved may be of the moment between a timer's end and its interrupt. */
    @Test
    void aOneShotTimerRestoredWithNothingLeftInterrupts() {
        write(0, LVTT, 0x31);
        byte[] state = new byte[LocalApic.STATE_BYTES];
        apics[0].get(state);
        // TMICT 1,000,000, TMCCT 0
        state[0x380] = 0x40;
        state[0x381] = 0x42;
        state[0x382] = 0x0f;
        apics[0].set(state);
        assertThat(apics[0].pendingVector()).isEqualTo(0x31);
        assertThat(read(0, 0x390)).isZero();
    }
}
