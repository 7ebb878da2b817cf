package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.stats.VcpuStats;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Guest memory that goes away under a running guest. */
final class LostMemoryTest {
    private static final long EFAULT = 14;
    private static final long GPA = 4 << 20;

    @TempDir
    private Path folder;

    /** {@code mov rbx, GPA; 1: inc qword [rbx]; out 0x10, al; jmp 1b} */
    private static final int[] LOOP = {
        0x48, 0xbb, 0, 0, 0x40, 0, 0, 0, 0, 0, 0x48, 0xff, 0x03, 0xe6, 0x10, 0xeb, 0xf9,
    };

    @Test
    void aFileCutShortUnderItsMappingEndsRunWithEfaultAndNothingElse() throws IOException {
        Path path = Files.write(folder.resolve("ram"), new byte[4096]);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw");
                Arena arena = Arena.ofShared();
                Guest64 guest = new Guest64(LOOP)) {
            MemorySegment ram = file.getChannel().map(MapMode.READ_WRITE, 0, 4096, arena);
            guest.host.alsoPopulatesFrom = ram.address();
            guest.host.alsoPopulatesTo = ram.address() + 4096;
            guest.vm.setUserMemoryRegion(1, 0, GPA, 4096, ram.address());
            assertThat(guest.run()).isInstanceOf(Exit.PortOut.class);
            file.setLength(0);
            assertThat(guest.vcpu.run(false)).isEqualTo((int) EFAULT);
            assertThat(guest.vcpu.run(false)).isEqualTo((int) EFAULT);
            // Nobody waits for the vCPU now, and with the file whole again it goes on.
            guest.vm.hostInvalidateBegin(ram.address(), ram.address() + 4096);
            guest.vm.hostInvalidateEnd(ram.address(), ram.address() + 4096);
            file.setLength(4096);
            assertThat(guest.run()).isInstanceOf(Exit.PortOut.class);
            guest.vm.setUserMemoryRegion(1, 0, 0, 0, 0);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"cpu.translator=off", "tdp=off", "cpu.translator=on"})
    void codeCutAwayUnderASpinningGuestEndsRunWithEfault(String knobs) throws Exception {
        Path path = Files.write(folder.resolve("code"), new byte[4096]);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw");
                Arena arena = Arena.ofShared();
                // mov rax, GPA; jmp rax
                Guest64 guest =
                        new Guest64(Knobs.parse(knobs), false, 0x48, 0xb8, 0, 0, 0x40, 0, 0, 0, 0, 0, 0xff, 0xe0)) {
            MemorySegment ram = file.getChannel().map(MapMode.READ_WRITE, 0, 4096, arena);
            // out 0x10, al; jmp here
            ram.copyFrom(MemorySegment.ofArray(new byte[] {(byte) 0xe6, 0x10, (byte) 0xeb, (byte) 0xfe}));
            guest.host.alsoPopulatesFrom = ram.address();
            guest.host.alsoPopulatesTo = ram.address() + 4096;
            guest.vm.setUserMemoryRegion(1, 0, GPA, 4096, ram.address());
            assertThat(guest.run()).isInstanceOf(Exit.PortOut.class);
            FutureTask<Integer> spin = new FutureTask<>(() -> guest.vcpu.run(false));
            Thread thread = Thread.ofPlatform().start(spin);
            Thread.sleep(200);
            assertThat(spin.isDone()).isFalse();
            file.setLength(0);
            assertThat(spin.get()).isEqualTo((int) EFAULT);
            thread.join();
            guest.vm.setUserMemoryRegion(1, 0, 0, 0, 0);
        }
    }

    @Test
    void machineCodeIsMadeToLeaveNowAndThenAlsoWhenTheVcpuWasAwayForLong() throws Exception {
        // jmp here
        try (Guest64 guest = new Guest64(Knobs.parse("cpu.translator=on"), false, 0xeb, 0xfe)) {
            for (int turn = 0; turn < 2; turn++) {
                long left = guest.vcpu.stats().get(VcpuStats.IRQ_EXITS);
                FutureTask<Integer> spin = new FutureTask<>(() -> guest.vcpu.run(false));
                Thread.ofPlatform().start(spin);
                while (guest.vcpu.stats().get(VcpuStats.IRQ_EXITS) == left) {
                    Thread.onSpinWait();
                }
                guest.vcpu.signal();
                assertThat(spin.get()).isEqualTo(Errno.EINTR.number());
                // Nobody looks after a vCPU that stays away.
                Thread.sleep(300);
            }
        }
    }

    @Test
    void memoryTheClientTookAwayEndsRunWithEfault() {
        try (Guest64 guest = new Guest64(LOOP)) {
            long ram = guest.host.allocate(4096, 4096);
            guest.vm.setUserMemoryRegion(1, 0, GPA, 4096, ram);
            assertThat(guest.run()).isInstanceOf(Exit.PortOut.class);
            guest.vm.hostInvalidateBegin(ram, ram + 4096);
            guest.host.free(ram, 4096);
            guest.vm.hostInvalidateEnd(ram, ram + 4096);
            assertThat(guest.vcpu.run(false)).isEqualTo((int) EFAULT);
        }
    }
}
