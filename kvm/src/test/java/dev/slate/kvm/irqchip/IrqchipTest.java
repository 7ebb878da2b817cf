package dev.slate.kvm.irqchip;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.Errno;
import dev.slate.kvm.GsiRoute;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.host.FakeEventFd;
import dev.slate.kvm.io.DeviceBus;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class IrqchipTest {
    private final DeviceBus ports = new DeviceBus();
    private final DeviceBus memory = new DeviceBus();
    private final Irqchip irqchip = new Irqchip(new TimerThread(), ports, memory);

    private static void fails(Errno errno, Runnable call) {
        assertThatThrownBy(call::run)
                .isInstanceOfSatisfying(
                        KvmException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    private void entry(int pin, long value) {
        memory.write(IoApic.BASE, 4, 0x11 + 2 * pin);
        memory.write(IoApic.BASE + 0x10, 4, value >>> 32);
        memory.write(IoApic.BASE, 4, 0x10 + 2 * pin);
        memory.write(IoApic.BASE + 0x10, 4, value & 0xffff_ffffL);
    }

    private int picIrr() {
        ports.write(0x20, 1, 0x0a);
        return (int) ports.read(0x20, 1);
    }

    @Test
    void linesAnswerAsKvmsDo() {
        irqchip.create();
        assertThat(irqchip.setLine(3, true)).isEqualTo(1);
        assertThat(irqchip.setLine(3, true)).isEqualTo(1);
        assertThat(irqchip.setLine(20, true)).isEqualTo(-1);
        assertThat(irqchip.setLine(5000, true)).isEqualTo(-1);
        assertThat(irqchip.setLine(-1, true)).isEqualTo(-1);
    }

    @Test
    void messagesAnswerAsKvmsDo() {
        irqchip.create();
        assertThat(irqchip.signalMsi(0xfee0_0000, 0, 0x41)).as("no vCPU").isEqualTo(-1);
        TestApics apics = new TestApics(irqchip.bus(), 1);
        apics.write(0, 0xf0, 0xff);
        assertThat(irqchip.signalMsi(0xfee0_0000, 0, 0x41)).as("off").isZero();
        apics.write(0, 0xf0, 0x1ff);
        assertThat(irqchip.signalMsi(0xfee0_0000, 0, 0x41)).isEqualTo(1);
        assertThat(irqchip.signalMsi(0xfee0_0000, 0, 5)).isEqualTo(1);
        assertThat(irqchip.signalMsi(0xfee0_f000, 0, 0x42)).as("nobody's id").isZero();
        assertThat(irqchip.signalMsi(0, 0, 0x43)).as("no address is looked at").isEqualTo(1);
        assertThat(apics.get(0).requested()).isEqualTo(0x43);
    }

    @Test
    void aPcIsWiredToBothControllersUntilTheClientSaysOtherwise() {
        irqchip.create();
        TestApics apics = new TestApics(irqchip.bus(), 1);
        entry(4, 0x44);
        irqchip.setLine(4, true);
        assertThat(picIrr()).isEqualTo(0x10);
        assertThat(apics.take(0)).isEqualTo(0x44);
        irqchip.setRouting(List.of(GsiRoute.msi(4, 0xfee0_0000L, 0x99), GsiRoute.pin(300, 0, 6)));
        irqchip.setLine(4, true);
        assertThat(apics.take(0)).isEqualTo(0x99);
        assertThat(irqchip.setLine(4, false)).as("a message has no level").isEqualTo(-1);
        irqchip.setLine(300, true);
        assertThat(picIrr()).isEqualTo(0x50);
    }

    @Test
    void routesThatExcludeEachOtherOrNameNothingAreRefusedAndNothingChanges() {
        irqchip.create();
        List<List<GsiRoute>> bad = List.of(
                List.of(GsiRoute.pin(0, 2, 24)),
                List.of(GsiRoute.pin(0, 0, 8)),
                List.of(GsiRoute.pin(0, 3, 0)),
                List.of(GsiRoute.pin(0, -1, 0)),
                List.of(GsiRoute.pin(4096, 2, 1)),
                List.of(GsiRoute.pin(-1, 2, 1)),
                List.of(new GsiRoute(1, 9, 0, 0, 0, 0)),
                List.of(new GsiRoute(1, GsiRoute.IRQCHIP, 1, 0, 0, 0)),
                List.of(new GsiRoute(1, GsiRoute.MSI, 2, 0, 0, 0)),
                List.of(GsiRoute.msi(1, 0, 1), GsiRoute.msi(1, 0, 2)),
                List.of(GsiRoute.pin(1, 2, 1), GsiRoute.msi(1, 0, 2)),
                List.of(GsiRoute.pin(1, 2, 1), GsiRoute.pin(1, 2, 2)));
        for (List<GsiRoute> routes : bad) {
            fails(Errno.EINVAL, () -> irqchip.setRouting(routes));
        }
        assertThat(irqchip.setLine(3, true)).isEqualTo(1);
        irqchip.setRouting(List.of(new GsiRoute(1, GsiRoute.MSI, 1, 0, 0, 0x45)));
        List<GsiRoute> many = new ArrayList<>();
        for (int i = 0; i < 4096; i++) {
            many.add(GsiRoute.msi(i, 0xfee0_0000L, i & 0xff));
        }
        irqchip.setRouting(many);
        many.add(GsiRoute.msi(0, 0, 0));
        fails(Errno.EINVAL, () -> irqchip.setRouting(many));
    }

    @Test
    void theEightyTwoFiftyNinesReachTheProcessorThroughLint0OrWhenItsApicIsOff() {
        irqchip.create();
        TestApics apics = new TestApics(irqchip.bus(), 2);
        assertThat(apics.get(0).acceptsPic())
                .as("the boot processor's, after reset")
                .isTrue();
        assertThat(apics.get(1).acceptsPic()).isFalse();
        int before = apics.events(0);
        irqchip.setLine(3, true);
        assertThat(apics.events(0)).isEqualTo(before + 1);
        assertThat(irqchip.picOutput()).isTrue();
        apics.write(0, 0x350, 0x10700);
        assertThat(apics.get(0).acceptsPic()).isFalse();
        apics.get(1).setBase(0xfee0_0000L);
        assertThat(apics.get(1).acceptsPic()).isTrue();
    }

    @Test
    void anIrqFdPulsesItsLineAndResamplingHoldsItUntilTheEnd() {
        irqchip.create();
        TestApics apics = new TestApics(irqchip.bus(), 1);
        FakeEventFd counter = new FakeEventFd(1);
        entry(4, 0x44);
        irqchip.irqFds().assign(counter, 4, null);
        counter.signal();
        assertThat(apics.take(0)).isEqualTo(0x44);
        fails(Errno.EBUSY, () -> irqchip.irqFds().assign(counter, 5, null));
        irqchip.irqFds().deassign(1, 4);
        counter.signal();
        assertThat(apics.pending(0)).isEqualTo(-1);

        entry(10, 1 << 15 | 0x5a);
        FakeEventFd level = new FakeEventFd(2);
        FakeEventFd again = new FakeEventFd(3);
        irqchip.irqFds().assign(level, 10, again);
        level.signal();
        assertThat(apics.take(0)).isEqualTo(0x5a);
        assertThat(again.count).isZero();
        apics.end(0);
        assertThat(again.count).isEqualTo(1);
        assertThat(apics.pending(0)).as("the line has fallen").isEqualTo(-1);
        irqchip.irqFds().deassign(2, 10);
        assertThat(level.closed && again.closed).isTrue();
    }

    @Test
    void whatStandsInACounterRaisesItsLineAtOnce() {
        irqchip.create();
        FakeEventFd counter = new FakeEventFd(1);
        counter.count = 3;
        irqchip.irqFds().assign(counter, 7, null);
        assertThat(picIrr()).isEqualTo(0x80);
        assertThat(counter.count).isEqualTo(3);
    }

    @Test
    void irqFdsAreRefusedWhereThereAreNoControllersForThem() {
        fails(Errno.EINVAL, () -> irqchip.irqFds().check(0));
        irqchip.irqFds().check(IrqFds.DEASSIGN);
        fails(Errno.EINVAL, () -> irqchip.irqFds().check(4));
        irqchip.createSplit(24);
        irqchip.irqFds().check(0);
        fails(Errno.EINVAL, () -> irqchip.irqFds().check(IrqFds.RESAMPLE));
    }

    @Test
    void theClientOfASplitChipHearsOfTheEndsOfItsPinsLevels() {
        irqchip.createSplit(24);
        TestApics apics = new TestApics(irqchip.bus(), 2);
        fails(Errno.EINVAL, () -> irqchip.setRouting(List.of(GsiRoute.pin(0, 2, 0))));
        irqchip.setRouting(List.of(
                GsiRoute.msi(9, 0xfee0_1000L, 0xc059),
                GsiRoute.msi(10, 0xfee0_0000L, 0x5a),
                GsiRoute.msi(24, 0xfee0_1000L, 0xc05b)));
        for (int gsi : new int[] {9, 24}) {
            irqchip.setLine(gsi, true);
            apics.take(1);
            apics.end(1);
            assertThat(apics.clientEoi(1)).as("GSI 24 is no pin").isEqualTo(0x59);
        }
        irqchip.setLine(10, true);
        apics.take(0);
        apics.end(0);
        assertThat(apics.clientEoi(0)).as("an edge").isEqualTo(-1);
    }

    @Test
    void thirtyTwoBitIdsAreFoundInMessages() {
        irqchip.createSplit(0);
        TestApics apics = new TestApics(irqchip.bus(), 2);
        irqchip.bus().use32BitIds();
        assertThat(irqchip.signalMsi(0xfee0_1000, 0x100, 0x41)).as("id 257").isZero();
        fails(Errno.EINVAL, () -> irqchip.signalMsi(0xfee0_1000, 1, 0x41));
        assertThat(irqchip.signalMsi(0xfee0_1000, 0, 0x41)).isEqualTo(1);
        assertThat(apics.pending(1)).isEqualTo(0x41);
    }

    @Test
    void aBroadcastReachesAnX2ApicUnlessThatQuirkIsOff() {
        irqchip.createSplit(0);
        TestApics apics = new TestApics(irqchip.bus(), 2);
        apics.get(1).setBase(0xfee0_0c00L);
        assertThat(irqchip.signalMsi(0xfeef_f000, 0, 0x41)).isEqualTo(2);
        irqchip.bus().disableBroadcastQuirk();
        assertThat(irqchip.signalMsi(0xfeef_f000, 0, 0x42)).isEqualTo(1);
        assertThat(apics.pending(1)).isEqualTo(0x41);
    }

    @Test
    void chipsAndTimersAreWhereTheyWereMade() {
        byte[] chip = new byte[Irqchip.CHIP_BYTES];
        fails(Errno.ENXIO, () -> irqchip.getChip(0, chip));
        byte[] pit = new byte[Pit.STATE_BYTES];
        fails(Errno.ENXIO, () -> irqchip.getPit(pit));
        fails(Errno.ENXIO, () -> irqchip.reinject(true));
        irqchip.create();
        fails(Errno.EEXIST, irqchip::create);
        fails(Errno.EEXIST, () -> irqchip.createSplit(1));
        fails(Errno.EINVAL, () -> irqchip.getChip(3, chip));
        irqchip.createPit(1);
        fails(Errno.EEXIST, () -> irqchip.createPit(1));
        irqchip.getChip(2, chip);
        assertThat(IoApic.getInt(chip, 0)).isEqualTo(0xfec0_0000);
        irqchip.setChip(2, chip);
        irqchip.getPit(pit);
        irqchip.setPit(pit, true);
        irqchip.close();
    }
}
