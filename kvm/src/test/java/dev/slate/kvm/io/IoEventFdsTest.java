package dev.slate.kvm.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.host.FakeEventFd;
import org.junit.jupiter.api.Test;

class IoEventFdsTest {
    private final DeviceBus ports = new DeviceBus();
    private final DeviceBus memory = new DeviceBus();
    private final IoEventFds fds = new IoEventFds(ports, memory);

    private static void fails(Errno errno, Runnable call) {
        assertThatThrownBy(call::run)
                .isInstanceOfSatisfying(
                        KvmException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void aWriteOfThatSizeIsASignalAndNoExit() {
        FakeEventFd target = new FakeEventFd(1);
        fds.assign(target, 0x1000, 4, 0, 0);
        assertThat(memory.write(0x1000, 4, 99)).isTrue();
        assertThat(memory.write(0x1000, 2, 99)).isFalse();
        assertThat(memory.write(0x1004, 4, 99)).isFalse();
        assertThat(memory.read(0x1000, 4)).as("reads are the client's").isEqualTo(DeviceBus.NOBODY);
        assertThat(ports.write(0x1000, 4, 99)).isFalse();
        assertThat(target.count).isEqualTo(1);
    }

    @Test
    void onlyTheValueThatWasAskedForMatches() {
        FakeEventFd one = new FakeEventFd(1);
        FakeEventFd two = new FakeEventFd(2);
        fds.assign(one, 0xc000, 2, IoEventFds.PIO | IoEventFds.DATAMATCH, 1);
        fds.assign(two, 0xc000, 2, IoEventFds.PIO | IoEventFds.DATAMATCH, 0x1_0002);
        assertThat(ports.write(0xc000, 2, 1)).isTrue();
        assertThat(ports.write(0xc000, 2, 2)).as("of the size that is written").isTrue();
        assertThat(ports.write(0xc000, 2, 3)).isFalse();
        assertThat(one.count).isEqualTo(1);
        assertThat(two.count).isEqualTo(1);
    }

    @Test
    void anyLengthTakesAnyWriteThatBeginsThere() {
        FakeEventFd target = new FakeEventFd(1);
        fds.assign(target, 0x1000, 0, 0, 0);
        for (int size = 1; size <= 8; size *= 2) {
            assertThat(memory.write(0x1000, size, 0)).isTrue();
        }
        assertThat(memory.write(0x1001, 1, 0)).isFalse();
        assertThat(target.count).isEqualTo(4);
    }

    @Test
    void argumentsAreCheckedAsKvmDoes() {
        fails(Errno.EINVAL, () -> IoEventFds.check(0, 3, 0));
        fails(Errno.EINVAL, () -> IoEventFds.check(0, 16, 0));
        fails(Errno.EINVAL, () -> IoEventFds.check(-1, 2, 0));
        fails(Errno.EINVAL, () -> IoEventFds.check(0, 4, 16));
        fails(Errno.EINVAL, () -> IoEventFds.check(0, 0, IoEventFds.DATAMATCH));
        IoEventFds.check(0, 0, 0);
        IoEventFds.check(-8, 4, IoEventFds.DATAMATCH);
    }

    @Test
    void twoThatCouldTakeTheSameWriteExcludeEachOther() {
        fds.assign(new FakeEventFd(1), 0x1000, 4, 0, 0);
        fails(Errno.EEXIST, () -> fds.assign(new FakeEventFd(2), 0x1000, 4, 0, 0));
        fails(Errno.EEXIST, () -> fds.assign(new FakeEventFd(2), 0x1000, 4, IoEventFds.DATAMATCH, 5));
        fails(Errno.EEXIST, () -> fds.assign(new FakeEventFd(2), 0x1000, 0, 0, 0));
        fds.assign(new FakeEventFd(2), 0x1000, 2, 0, 0);
        fds.assign(new FakeEventFd(3), 0x1000, 4, IoEventFds.PIO, 0);
        fds.assign(new FakeEventFd(4), 0x1000, 8, IoEventFds.DATAMATCH, 1);
        fds.assign(new FakeEventFd(4), 0x1000, 8, IoEventFds.DATAMATCH, 2);
        fails(Errno.EEXIST, () -> fds.assign(new FakeEventFd(4), 0x1000, 8, IoEventFds.DATAMATCH, 2));
    }

    @Test
    void whatIsTakenBackMustBeNamedAsItWasGiven() {
        FakeEventFd target = new FakeEventFd(1);
        fds.assign(target, 0x1000, 8, IoEventFds.DATAMATCH, 1);
        fails(Errno.ENOENT, () -> fds.deassign(2, 0x1000, 8, IoEventFds.DATAMATCH, 1));
        fails(Errno.ENOENT, () -> fds.deassign(1, 0x1000, 4, IoEventFds.DATAMATCH, 1));
        fails(Errno.ENOENT, () -> fds.deassign(1, 0x1000, 8, 0, 1));
        fails(Errno.ENOENT, () -> fds.deassign(1, 0x1000, 8, IoEventFds.DATAMATCH, 2));
        fails(Errno.ENOENT, () -> fds.deassign(1, 0x1000, 8, IoEventFds.DATAMATCH | IoEventFds.PIO, 1));
        fds.deassign(1, 0x1000, 8, IoEventFds.DATAMATCH, 1);
        assertThat(target.closed).isTrue();
        assertThat(memory.isEmpty()).isTrue();
    }
}
