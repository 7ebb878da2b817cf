package dev.slate.kvm.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.TestHost;
import org.junit.jupiter.api.Test;

class CoalescedZonesTest {
    private final DeviceBus ports = new DeviceBus();
    private final DeviceBus memory = new DeviceBus();
    private final long ring = new TestHost().allocate(4096, 4096);
    private final CoalescedZones zones = new CoalescedZones(ports, memory, ring);

    private int last() {
        return HostMemory.get32(ring + 4);
    }

    @Test
    void aWriteWaitsInTheRingAsKvmLaysItOut() {
        zones.register(0xa0000, 0x20000, 0);
        assertThat(memory.write(0xa0004, 4, 0x12345678)).isTrue();
        assertThat(memory.write(0xbfffe, 4, 0)).as("beyond the zone").isFalse();
        assertThat(memory.read(0xa0004, 4)).isEqualTo(DeviceBus.NOBODY);
        assertThat(last()).isEqualTo(1);
        assertThat(HostMemory.get64(ring + 8)).isEqualTo(0xa0004);
        assertThat(HostMemory.get32(ring + 16)).isEqualTo(4);
        assertThat(HostMemory.get32(ring + 20)).isZero();
        assertThat(HostMemory.get64(ring + 24)).isEqualTo(0x12345678);
        zones.register(0xcf8, 4, 1);
        assertThat(ports.write(0xcf8, 4, 0x80000000L)).isTrue();
        assertThat(HostMemory.get32(ring + 24 + 20)).isEqualTo(1);
    }

    @Test
    void aFullRingSendsTheWriteOutAndRoomMakesItTakeAgain() {
        zones.register(0, 8, 0);
        for (int i = 0; i < CoalescedZones.SLOTS - 1; i++) {
            assertThat(memory.write(0, 1, i)).isTrue();
        }
        assertThat(CoalescedZones.SLOTS).isEqualTo(170);
        assertThat(memory.write(0, 1, 0)).isFalse();
        HostMemory.put32(ring, 1);
        assertThat(memory.write(0, 1, 0)).isTrue();
        assertThat(last()).isZero();
    }

    @Test
    void nonsenseInTheRingsIndicesHarmsNobody() {
        zones.register(0, 8, 0);
        for (int index : new int[] {-1, 170, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            HostMemory.put32(ring + 4, index);
            assertThat(memory.write(0, 8, -1)).isFalse();
        }
        HostMemory.put32(ring + 4, 169);
        HostMemory.put32(ring, -1);
        assertThat(memory.write(0, 8, -1)).isTrue();
        assertThat(last()).isZero();
    }

    @Test
    void takingBackAPartTakesEveryZoneThatHoldsIt() {
        zones.register(0x1000, 0x100, 0);
        zones.register(0x1000, 0x200, 0);
        zones.register(0x1000, 0x200, 1);
        zones.unregister(0x10c0, 0x80, 0);
        assertThat(memory.write(0x1000, 4, 0)).as("the smaller one stays").isTrue();
        zones.unregister(0x1000, 4, 0);
        assertThat(memory.write(0x1000, 4, 0)).isFalse();
        assertThat(ports.write(0x1000, 4, 0)).isTrue();
        assertThatThrownBy(() -> zones.register(0, 1, 2))
                .isInstanceOfSatisfying(
                        KvmException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EINVAL));
    }
}
