package dev.slate.kvm.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class DeviceBusTest {
    private final DeviceBus bus = new DeviceBus();

    /** Answers with its number and the offset; takes writes or leaves them. */
    private static final class Device implements BusDevice {
        final int number;
        final long first;
        final long bytes;
        final boolean takes;
        long written = -1;

        Device(int number, long first, long bytes, boolean takes) {
            this.number = number;
            this.first = first;
            this.bytes = bytes;
            this.takes = takes;
        }

        @Override
        public long read(long offset, int size) {
            return number << 16 | offset;
        }

        @Override
        public boolean write(long offset, int size, long value) {
            written = value;
            return takes;
        }

        boolean holds(long address, int size) {
            return bytes == 0
                    ? address == first
                    : Long.compareUnsigned(address, first) >= 0
                            && address - first + size <= bytes
                            && address - first >= 0;
        }
    }

    private Device add(int number, long first, long bytes, boolean takes) {
        Device d = new Device(number, first, bytes, takes);
        bus.add(first, bytes, d);
        return d;
    }

    @Test
    void aDeviceIsFoundByAnyAccessThatLiesInItAndKnowsOffsetsOnly() {
        add(1, 0x20, 2, true);
        add(2, 0x4d0, 2, true);
        assertThat(bus.read(0x21, 1)).isEqualTo(0x1_0001);
        assertThat(bus.read(0x4d0, 2)).isEqualTo(0x2_0000);
        assertThat(bus.read(0x21, 2)).isEqualTo(DeviceBus.NOBODY);
        assertThat(bus.read(0x1f, 2)).isEqualTo(DeviceBus.NOBODY);
        assertThat(bus.write(0x22, 1, 0)).isFalse();
    }

    @Test
    void aWriteThatOneDeviceLeavesGoesToTheNext() {
        Device leaves = add(1, 0x1000, 0, false);
        Device takes = add(2, 0x1000, 8, true);
        assertThat(bus.write(0x1000, 4, 7)).isTrue();
        assertThat(leaves.written).isEqualTo(7);
        assertThat(takes.written).isEqualTo(7);
        bus.remove(takes);
        assertThat(bus.write(0x1000, 4, 7)).isFalse();
    }

    @Test
    void theTopOfTheAddressesIsNoException() {
        add(1, -4, 4, true);
        add(2, -1, 0, true);
        assertThat(bus.read(-4, 4)).isEqualTo(0x1_0000);
        assertThat(bus.read(-2, 4)).isEqualTo(DeviceBus.NOBODY);
        assertThat(bus.read(-1, 1)).isEqualTo(0x1_0003);
    }

    @Test
    void moreThanAThousandDevicesAreRefused() {
        for (int i = 0; i < DeviceBus.MAX_DEVICES; i++) {
            add(i, i, 1, true);
        }
        assertThatThrownBy(() -> add(0, 5000, 1, true))
                .isInstanceOfSatisfying(
                        KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOSPC));
    }

    @Test
    void overlappingDevicesAreFoundAsALookAtEachOneWouldFindThem() {
        long seed = System.nanoTime();
        SplittableRandom random = new SplittableRandom(seed);
        List<Device> all = new ArrayList<>();
        for (int round = 0; round < 2_000; round++) {
            if (all.size() < 20 || random.nextBoolean()) {
                long bytes = random.nextInt(3) == 0 ? 0 : random.nextInt(1, 40);
                all.add(add(round, random.nextInt(100), bytes, random.nextInt(4) == 0));
            } else {
                bus.remove(all.remove(random.nextInt(all.size())));
            }
            long address = random.nextInt(140);
            int size = 1 << random.nextInt(4);
            Device expected = null;
            for (Device d : all) {
                boolean earlier = expected == null || d.first < expected.first;
                expected = d.holds(address, size) && earlier ? d : expected;
            }
            assertThat(bus.read(address, size))
                    .as("seed %d, round %d", seed, round)
                    .isEqualTo(
                            expected == null
                                    ? DeviceBus.NOBODY
                                    : (long) expected.number << 16 | address - expected.first);
            boolean taken = all.stream().anyMatch(d -> d.takes && d.holds(address, size));
            assertThat(bus.write(address, size, 0))
                    .as("seed %d, round %d", seed, round)
                    .isEqualTo(taken);
        }
    }
}
