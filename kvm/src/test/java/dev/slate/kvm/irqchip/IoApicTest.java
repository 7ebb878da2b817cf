package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.io.DeviceBus;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class IoApicTest {
    private static final long LEVEL = 1 << 15;
    private static final long MASKED = 1 << 16;
    private static final long REMOTE_IRR = 1 << 14;

    private final ManualTimers timers = new ManualTimers();
    private final ApicBus bus = new ApicBus();
    private final Owner owner = new Owner();
    private final IoApic ioApic = new IoApic(bus, timers, owner);
    private final DeviceBus memory = new DeviceBus();
    private final TestApics apics = new TestApics(bus, 2);

    private static final class Owner implements IoApic.Owner {
        int acknowledged;
        int watched;

        @Override
        public void ioApicMaskChanged(int pin, boolean masked) {}

        @Override
        public void ioApicAcknowledged(int pin) {
            acknowledged |= 1 << pin;
        }

        @Override
        public boolean watchesIoApic(int pin) {
            return (watched >>> pin & 1) != 0;
        }
    }

    @BeforeEach
    void onTheBus() {
        ioApic.attach(memory);
        bus.tellEnds((apic, vector, level) -> {
            if (ioApic.watches(vector)) {
                ioApic.ended(apic, vector, level);
            }
        });
    }

    private void write(int register, int value) {
        memory.write(IoApic.BASE, 4, register);
        memory.write(IoApic.BASE + 0x10, 4, value & 0xffff_ffffL);
    }

    private int read(int register) {
        memory.write(IoApic.BASE, 4, register);
        return (int) memory.read(IoApic.BASE + 0x10, 4);
    }

    private void entry(int pin, long value) {
        write(0x11 + 2 * pin, (int) (value >>> 32));
        write(0x10 + 2 * pin, (int) value);
    }

    private long entry(int pin) {
        return read(0x10 + 2 * pin) & 0xffff_ffffL | (long) read(0x11 + 2 * pin) << 32;
    }

    private int up(int pin) {
        return ioApic.setIrq(pin, 0, true, false);
    }

    private void down(int pin) {
        ioApic.setIrq(pin, 0, false, false);
    }

    @Test
    void itSaysVersionElevenWithTwentyFourInputsAndKeepsItsId() {
        assertThat(read(1)).isEqualTo(0x0017_0011);
        write(0, 0xf5ff_ffff);
        assertThat(read(0)).isEqualTo(0x0500_0000);
        assertThat(read(2)).isEqualTo(0x0500_0000);
        assertThat(read(0x40)).as("no such register").isEqualTo(-1);
        assertThat(entry(23)).isEqualTo(MASKED);
    }

    @Test
    void anEdgeIsSentOnceToTheApicThatTheEntryNames() {
        entry(4, 1L << 56 | 0x45);
        assertThat(up(4)).isEqualTo(1);
        assertThat(up(4)).as("still up").isZero();
        assertThat(apics.take(1)).isEqualTo(0x45);
        down(4);
        assertThat(up(4)).isEqualTo(1);
        assertThat(apics.pending(0)).isEqualTo(-1);
    }

    @Test
    void aMaskedInputIsNotSentAndAnEdgeOfItIsLost() {
        entry(4, MASKED | 0x45);
        assertThat(up(4)).isEqualTo(-1);
        entry(4, 0x45);
        assertThat(apics.pending(0)).isEqualTo(-1);
    }

    @Test
    void aLevelIsSentWhenItsEntryIsUnmasked() {
        entry(9, LEVEL | MASKED | 0x59);
        up(9);
        entry(9, LEVEL | 0x59);
        assertThat(apics.pending(0)).isEqualTo(0x59);
    }

    @Test
    void aLevelWaitsForItsEndAndComesAgainWhileTheLineIsUp() {
        entry(9, LEVEL | 0x59);
        up(9);
        assertThat(entry(9) & REMOTE_IRR).isNotZero();
        assertThat(up(9)).as("not ended").isEqualTo(-1);
        assertThat(apics.take(0)).isEqualTo(0x59);
        apics.end(0);
        assertThat(apics.take(0)).as("the line is still up").isEqualTo(0x59);
        down(9);
        apics.end(0);
        assertThat(apics.pending(0)).isEqualTo(-1);
        assertThat(entry(9) & REMOTE_IRR).isZero();
        assertThat(owner.acknowledged).isEqualTo(1 << 9);
    }

    @Test
    void makingAnEntryEdgeTriggeredEndsItsInterrupt() {
        entry(9, LEVEL | 0x59);
        up(9);
        entry(9, MASKED | 0x59);
        entry(9, LEVEL | MASKED | 0x59);
        assertThat(entry(9) & REMOTE_IRR).isZero();
    }

    @Test
    void readOnlyBitsOfAnEntryStay() {
        entry(7, REMOTE_IRR | LEVEL | MASKED | 0x1000);
        assertThat(entry(7)).isEqualTo(LEVEL | MASKED);
    }

    @Test
    void anEndComesOnlyForVectorsThatSomebodyWaitsFor() {
        entry(3, 0x43);
        assertThat(ioApic.watches(0x43)).isFalse();
        owner.watched = 1 << 3;
        ioApic.watch();
        assertThat(ioApic.watches(0x43)).isTrue();
        up(3);
        apics.take(0);
        apics.end(0);
        assertThat(owner.acknowledged).isEqualTo(1 << 3);
        assertThat(ioApic.watches(0)).as("the RTC's, whose entry has vector 0").isTrue();
    }

    @Test
    void aClockTickThatComesBeforeTheLastOneHasEndedIsToldToItsSource() {
        entry(8, 0x48);
        assertThat(ioApic.setIrq(8, 0, true, true)).isEqualTo(1);
        ioApic.setIrq(8, 0, false, true);
        assertThat(ioApic.setIrq(8, 0, true, true)).isZero();
        apics.take(0);
        apics.end(0);
        ioApic.setIrq(8, 0, false, true);
        assertThat(ioApic.setIrq(8, 0, true, true)).isEqualTo(1);
    }

    @Test
    void aGuestThatDoesNotQuietADeviceIsLeftToBreatheNowAndThen() {
        entry(9, LEVEL | 0x59);
        up(9);
        int rounds = 0;
        while (apics.pending(0) >= 0 && rounds < 100_000) {
            apics.take(0);
            apics.end(0);
            rounds++;
        }
        assertThat(rounds).isEqualTo(10_000);
        timers.pass(20_000_000);
        assertThat(apics.pending(0)).isEqualTo(0x59);
    }

    @Test
    void logicalLowestPriorityNmiAndSmiAreDelivered() {
        apics.logical(0, 1);
        apics.logical(1, 2);
        entry(5, 3L << 56 | 1 << 11 | 0x65);
        assertThat(up(5)).as("both").isEqualTo(2);
        entry(6, 3L << 56 | 1 << 11 | 1 << 8 | 0x66);
        assertThat(up(6)).as("one of them").isEqualTo(1);
        entry(7, 4 << 8);
        up(7);
        assertThat(apics.nmis(0)).isEqualTo(1);
        entry(10, 2 << 8);
        up(10);
        assertThat(apics.smis(0)).isEqualTo(1);
        entry(11, 9L << 56 | 0x70);
        assertThat(up(11)).as("nobody has that id").isZero();
    }

    @Test
    void aSavedStateSendsAgainWhatIsRequested() {
        entry(9, LEVEL | MASKED | 0x59);
        up(9);
        byte[] state = new byte[IoApic.STATE_BYTES];
        ioApic.get(state, 0);
        assertThat(IoApic.getInt(state, 16)).isEqualTo(1 << 9);
        IoApic.putInt(state, 24 + 8 * 9, (int) LEVEL | 0x59);
        ioApic.set(state, 0);
        assertThat(apics.pending(0)).isEqualTo(0x59);
    }

    @Test
    void garbageInItsRegistersAndStateIsHarmless() {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < 200_000; i++) {
            switch (random.nextInt(6)) {
                case 0 -> memory.write(IoApic.BASE + random.nextInt(0xf8), 1 << random.nextInt(4), random.nextLong());
                case 1 -> memory.read(IoApic.BASE + random.nextInt(0xf8), 1 << random.nextInt(4));
                case 2 -> write(random.nextInt(256), random.nextInt());
                case 3 ->
                    ioApic.setIrq(random.nextInt(24), random.nextInt(3), random.nextBoolean(), random.nextBoolean());
                case 4 -> {
                    byte[] state = new byte[IoApic.STATE_BYTES];
                    random.nextBytes(state);
                    if (random.nextInt(50) == 0) {
                        ioApic.set(state, 0);
                    }
                }
                default -> {
                    int cpu = random.nextInt(2);
                    if (apics.pending(cpu) >= 0) {
                        apics.take(cpu);
                    }
                    apics.end(cpu);
                }
            }
        }
        assertThat(read(1)).as("seed %d", seed).isEqualTo(0x0017_0011);
    }
}
