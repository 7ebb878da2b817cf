package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.io.DeviceBus;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class PicTest {
    private static final int MASTER = 0x20;
    private static final int SLAVE = 0xa0;

    private final Owner owner = new Owner();
    private final Pic pic = new Pic(owner);
    private final DeviceBus ports = new DeviceBus();

    private static final class Owner implements Pic.Owner {
        int raised;
        int acknowledged;
        int maskChanges;

        @Override
        public void picRaised() {
            raised++;
        }

        @Override
        public void picAcknowledged(int pins) {
            acknowledged |= pins;
        }

        @Override
        public void picMaskChanged(int pin, boolean masked) {
            maskChanges |= 1 << pin;
        }
    }

    @BeforeEach
    void initialized() {
        pic.attach(ports);
        initialize(MASTER, 0x30, 0x04, 0x01);
        initialize(SLAVE, 0x38, 0x02, 0x01);
    }

    private void initialize(int port, int icw2, int icw3, int icw4) {
        out(port, 0x11);
        out(port + 1, icw2);
        out(port + 1, icw3);
        out(port + 1, icw4);
        out(port + 1, 0);
    }

    private void out(int port, int value) {
        assertThat(ports.write(port, 1, value)).isTrue();
    }

    private int in(int port) {
        return (int) ports.read(port, 1);
    }

    private void pulse(int pin) {
        pic.setIrq(pin, 0, true);
        pic.setIrq(pin, 0, false);
    }

    @Test
    void anEdgeIsOneInterruptHoweverLongTheLineStaysUp() {
        assertThat(pic.setIrq(3, 0, true)).isEqualTo(1);
        assertThat(pic.output()).isTrue();
        assertThat(pic.acknowledge()).isEqualTo(0x33);
        assertThat(pic.output()).isFalse();
        out(MASTER, 0x20);
        assertThat(pic.setIrq(3, 0, true)).isEqualTo(1);
        assertThat(pic.output()).isFalse();
        pic.setIrq(3, 0, false);
        pic.setIrq(3, 0, true);
        assertThat(pic.output()).isTrue();
    }

    @Test
    void aSecondEdgeBeforeTheFirstIsTakenBecomesOneWithIt() {
        pic.setIrq(4, 0, true);
        pic.setIrq(4, 0, false);
        assertThat(pic.setIrq(4, 0, true)).isZero();
        out(MASTER + 1, 0x10);
        assertThat(pic.setIrq(4, 0, true)).as("masked").isEqualTo(-1);
    }

    @Test
    void aLevelTriggeredLineAsksAgainUntilItFalls() {
        out(0x4d1, 0xff);
        assertThat(in(0x4d1)).as("lines 8 and 13 have no level").isEqualTo(0xde);
        pic.setIrq(10, 0, true);
        assertThat(pic.acknowledge()).isEqualTo(0x3a);
        out(SLAVE, 0x20);
        out(MASTER, 0x20);
        assertThat(pic.output()).isTrue();
        assertThat(pic.acknowledge()).isEqualTo(0x3a);
        pic.setIrq(10, 0, false);
        out(SLAVE, 0x20);
        out(MASTER, 0x20);
        assertThat(pic.output()).isFalse();
    }

    @Test
    void aLineStaysUpWhileAnySourceHoldsIt() {
        out(0x4d0, 0x20);
        pic.setIrq(5, 0, true);
        pic.setIrq(5, 1, true);
        pic.setIrq(5, 0, false);
        assertThat(pic.output()).isTrue();
        pic.setIrq(5, 1, false);
        assertThat(pic.output()).isFalse();
    }

    @Test
    void theHigherPriorityComesFirstAndTheLowerWaitsForTheEnd() {
        pulse(6);
        pulse(1);
        assertThat(pic.acknowledge()).isEqualTo(0x31);
        assertThat(pic.output()).isFalse();
        pulse(0);
        assertThat(pic.output()).as("nested").isTrue();
        assertThat(pic.acknowledge()).isEqualTo(0x30);
        out(MASTER, 0x20);
        out(MASTER, 0x20);
        assertThat(pic.acknowledge()).isEqualTo(0x36);
    }

    @Test
    void aRequestThatIsGoneIsTheSpuriousSeventh() {
        out(0x4d0, 0x20);
        pic.setIrq(5, 0, true);
        pic.setIrq(5, 0, false);
        assertThat(pic.acknowledge()).isEqualTo(0x37);
        out(MASTER, 0x0b);
        assertThat(in(MASTER)).as("nothing is in service").isZero();
        out(0x4d1, 0x04);
        pic.setIrq(10, 0, true);
        pic.setIrq(10, 0, false);
        assertThat(pic.acknowledge())
                .as("the slave's, for the master has its request")
                .isEqualTo(0x3f);
    }

    @Test
    void rotationMakesTheOneJustServedTheLast() {
        pulse(2 + 1);
        pic.acknowledge();
        out(MASTER, 0xa0); // rotate on non-specific end
        pulse(3);
        pulse(4);
        assertThat(pic.acknowledge()).isEqualTo(0x34);
        out(MASTER, 0x20);
        out(MASTER, 0xc0 | 3); // 3 is the lowest now
        out(MASTER, 0x60 | 3); // specific end of what was never taken
        assertThat(pic.acknowledge()).isEqualTo(0x33);
    }

    @Test
    void theSpecialMaskLetsLowerLevelsThroughAMaskedOneInService() {
        pulse(1);
        pic.acknowledge();
        pulse(6);
        assertThat(pic.output()).isFalse();
        out(MASTER + 1, 0x02);
        assertThat(pic.output()).isFalse();
        out(MASTER, 0x68);
        assertThat(pic.output()).isTrue();
        assertThat(pic.acknowledge()).isEqualTo(0x36);
        out(MASTER, 0x48);
        out(MASTER, 0x0b);
        assertThat(in(MASTER)).isEqualTo(0x42);
    }

    @Test
    void anAutomaticEndLeavesNothingInService() {
        initialize(MASTER, 0x30, 0x04, 0x03);
        pulse(4);
        assertThat(pic.acknowledge()).isEqualTo(0x34);
        out(MASTER, 0x0b);
        assertThat(in(MASTER)).isZero();
        assertThat(owner.acknowledged).isEqualTo(0x10);
    }

    @Test
    void theFullyNestedMasterTakesAHigherInterruptOfTheSameSlave() {
        initialize(MASTER, 0x30, 0x04, 0x11);
        pulse(12);
        assertThat(pic.acknowledge()).isEqualTo(0x3c);
        pulse(9);
        assertThat(pic.output()).isTrue();
        assertThat(pic.acknowledge()).isEqualTo(0x39);
    }

    @Test
    void aPollAnswersAndEndsTheInterrupt() {
        pulse(12);
        out(SLAVE, 0x0c);
        assertThat(in(SLAVE)).isEqualTo(4);
        assertThat(pic.output()).isFalse();
        out(MASTER, 0x0c);
        assertThat(in(MASTER)).as("nothing").isEqualTo(7);
        assertThat(owner.acknowledged).isEqualTo(1 << 12);
    }

    @Test
    void theOutputIsToldWhenItRisesAndEndsByPin() {
        int before = owner.raised;
        pulse(5);
        pulse(5);
        assertThat(owner.raised).isEqualTo(before + 1);
        pic.acknowledge();
        assertThat(owner.acknowledged).isZero();
        out(MASTER, 0x65);
        assertThat(owner.acknowledged).isEqualTo(0x20);
        owner.maskChanges = 0;
        out(SLAVE + 1, 0x81);
        assertThat(owner.maskChanges).isEqualTo(0x8100);
    }

    @Test
    void aSavedStateGoesOnElsewhere() {
        pulse(6);
        pulse(12);
        pic.acknowledge();
        out(SLAVE + 1, 0x40);
        byte[] master = new byte[Pic.STATE_BYTES];
        byte[] slave = new byte[Pic.STATE_BYTES];
        pic.get(false, master, 0);
        pic.get(true, slave, 0);
        Pic other = new Pic(owner);
        other.set(false, master, 0);
        other.set(true, slave, 0);
        byte[] again = new byte[Pic.STATE_BYTES];
        other.get(true, again, 0);
        assertThat(again).isEqualTo(slave);
        assertThat(master[15]).as("which lines can be level-triggered").isEqualTo((byte) 0xf8);
    }

    @Test
    void onlyBytesReachARegister() {
        out(MASTER + 1, 0x5a);
        assertThat(ports.write(MASTER, 2, 0xffff)).isTrue();
        assertThat(ports.read(MASTER, 2)).isZero();
        assertThat(in(MASTER + 1)).isEqualTo(0x5a);
        assertThat(ports.read(MASTER, 4)).as("more than the device").isEqualTo(DeviceBus.NOBODY);
    }

    @Test
    void whateverIsWrittenToItTheControllersStayInBounds() {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        int[] places = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
        for (int i = 0; i < 200_000; i++) {
            int port = places[random.nextInt(places.length)];
            switch (random.nextInt(5)) {
                case 0 -> out(port, random.nextInt(256));
                case 1 -> in(port);
                case 2 -> pic.setIrq(random.nextInt(16), random.nextInt(3), random.nextBoolean());
                case 3 -> {
                    byte[] state = new byte[16];
                    random.nextBytes(state);
                    if (random.nextInt(100) == 0) {
                        pic.set(random.nextBoolean(), state, 0);
                    }
                }
                default -> {
                    int vector = pic.acknowledge();
                    assertThat(vector).as("seed %d", seed).isBetween(0, 255);
                }
            }
        }
    }
}
