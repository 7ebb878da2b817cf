package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.io.DeviceBus;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class PitTest {
    /** 100 Hz. */
    private static final int COUNT = 11_932;

    private static final long PERIOD = 11_932L * 1_000_000_000 / 1_193_182;

    private final ManualTimers timers = new ManualTimers();
    private int ticks;
    private final Pit pit = new Pit(timers, () -> ticks++);
    private final DeviceBus ports = new DeviceBus();

    @BeforeEach
    void onTheBus() {
        pit.attach(ports, true);
    }

    private void out(int port, int value) {
        assertThat(ports.write(port, 1, value)).isTrue();
    }

    private int in(int port) {
        return (int) ports.read(port, 1);
    }

    private void program(int channel, int mode, int count) {
        out(0x43, channel << 6 | 3 << 4 | mode << 1);
        out(0x40 + channel, count & 0xff);
        out(0x40 + channel, count >>> 8);
    }

    private int count(int channel) {
        out(0x43, channel << 6);
        return in(0x40 + channel) | in(0x40 + channel) << 8;
    }

    @Test
    void aPeriodicChannelZeroTicksOncePerPeriodWhileTheGuestAcknowledges() {
        program(0, 2, COUNT);
        for (int i = 1; i <= 10; i++) {
            timers.pass(PERIOD);
            assertThat(ticks).isEqualTo(i);
            pit.acknowledge();
        }
    }

    @Test
    void aOneShotTicksOnce() {
        program(0, 0, COUNT);
        timers.pass(100 * PERIOD);
        assertThat(ticks).isEqualTo(1);
        assertThat(timers.armed()).isZero();
    }

    @Test
    void ticksThatTheGuestWasTooSlowForComeOneByOneAsItAcknowledges() {
        program(0, 2, COUNT);
        timers.pass(5 * PERIOD);
        assertThat(ticks).as("the first waits for its end").isEqualTo(1);
        for (int i = 2; i <= 5; i++) {
            pit.acknowledge();
            assertThat(ticks).isEqualTo(i);
        }
        pit.acknowledge();
        assertThat(ticks).as("no more are owed").isEqualTo(5);
    }

    @Test
    void withoutReinjectionEveryTickIsRaisedAndNoneIsOwed() {
        pit.reinject(false);
        program(0, 3, COUNT);
        timers.pass(5 * PERIOD);
        assertThat(ticks).isEqualTo(5);
        pit.acknowledge();
        assertThat(ticks).isEqualTo(5);
    }

    @Test
    void ticksThatWereMaskedAreForgottenWhenTheLineIsUnmasked() {
        program(0, 2, COUNT);
        timers.pass(5 * PERIOD);
        pit.unmasked();
        timers.pass(PERIOD);
        assertThat(ticks).isEqualTo(2);
        pit.acknowledge();
        assertThat(ticks).isEqualTo(2);
    }

    @Test
    void noGuestCanHaveItTickMoreThanFiveThousandTimesASecond() {
        pit.reinject(false);
        program(0, 2, 1);
        timers.pass(1_000_000_000);
        assertThat(ticks).isBetween(5_000, 5_002);
    }

    @Test
    void aChannelCountsDownAndALatchedCountStands() {
        program(2, 0, 0xffff);
        timers.pass(1_000_000);
        out(0x43, 2 << 6);
        timers.pass(1_000_000);
        int latched = in(0x42) | in(0x42) << 8;
        assertThat(0xffff - latched).isEqualTo(1193);
        assertThat(0xffff - count(2)).isEqualTo(2386);
    }

    @Test
    void aSquareWaveCountsByTwo() {
        program(2, 3, 10_000);
        timers.pass(1_000_000);
        assertThat(count(2)).isEqualTo(10_000 - 2 * 1193);
    }

    @Test
    void theReadBackCommandLatchesStatusAndCount() {
        program(1, 2, 0x1234);
        out(0x43, 0xc0 | 0x04);
        assertThat(in(0x41)).as("output low at the start, both bytes, mode 2").isEqualTo(0x34);
        assertThat(in(0x41) | in(0x41) << 8).isEqualTo(0x1234);
    }

    @Test
    void oneByteAccessSetsAndReadsThatByteAlone() {
        out(0x43, 2 << 6 | 1 << 4);
        out(0x42, 0x55);
        assertThat(in(0x42)).isEqualTo(0x55);
        out(0x43, 2 << 6 | 2 << 4);
        out(0x42, 0x55);
        assertThat(in(0x42)).isEqualTo(0x55);
        assertThat(count(2)).as("a latched high byte comes alone").isEqualTo(0x5555);
    }

    @Test
    void channelTwosGateRestartsItAndItsOutputShowsInPort61() {
        out(0x61, 0);
        program(2, 0, COUNT);
        out(0x61, 1);
        assertThat(in(0x61) & 0x21).isEqualTo(0x01);
        timers.pass(PERIOD + 1_000);
        assertThat(in(0x61) & 0x21).isEqualTo(0x21);
        program(2, 2, COUNT);
        timers.pass(PERIOD / 2);
        int before = count(2);
        out(0x61, 0);
        out(0x61, 3);
        assertThat(count(2)).isGreaterThan(before).isEqualTo(COUNT);
        assertThat(in(0x61) & 3).isEqualTo(3);
    }

    @Test
    void aNewOneShowsWhatKvmsShows() {
        byte[] state = new byte[Pit.STATE_BYTES];
        pit.get(state);
        for (int i = 0; i < 3; i++) {
            assertThat(IoApic.getInt(state, 24 * i)).isEqualTo(0x10000);
            assertThat(state[24 * i + 13]).isEqualTo((byte) 0xff);
            assertThat(state[24 * i + 15]).isEqualTo((byte) (i == 2 ? 0 : 1));
        }
    }

    @Test
    void aRestoredOneTicksAndTheHpetsReplacementDoesNot() {
        program(0, 2, COUNT);
        byte[] state = new byte[Pit.STATE_BYTES];
        pit.get(state);
        int[] others = new int[1];
        Pit other = new Pit(timers, () -> others[0]++);
        other.set(state, true);
        timers.pass(PERIOD);
        assertThat(others[0]).isEqualTo(1);
        state[72] = 1;
        other.set(state, true);
        timers.pass(10 * PERIOD);
        assertThat(others[0]).isEqualTo(1);
        other.close();
    }

    @Test
    void garbageInItsPortsAndStateIsHarmless() {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        int[] places = {0x40, 0x41, 0x42, 0x43, 0x61};
        for (int i = 0; i < 100_000; i++) {
            int port = places[random.nextInt(places.length)];
            switch (random.nextInt(5)) {
                case 0, 1 -> out(port, random.nextInt(256));
                case 2 -> assertThat(in(port)).as("seed %d", seed).isBetween(0, 255);
                case 3 -> timers.pass(random.nextInt(1_000_000));
                default -> {
                    byte[] state = new byte[Pit.STATE_BYTES];
                    random.nextBytes(state);
                    if (random.nextInt(50) == 0) {
                        pit.set(state, true);
                    }
                }
            }
        }
    }
}
