package dev.slate.kvm.mmu.tdp;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.KvmException;
import dev.slate.kvm.memslot.Memslot;
import dev.slate.kvm.mmu.TestVcpu;
import dev.slate.kvm.mmu.TestVm;
import dev.slate.kvm.stats.VmStats;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** vCPUs that fault without a lock, against everything that takes memory away. Each test has an outcome that must not happen. */
final class TdpStressTest {
    private static final int PAGES = 1024;
    private static final long BYTES = (long) PAGES << 12;
    private static final long POISON = 0xdead_dead_dead_deadL;
    private static final long MILLIS = Long.getLong("slate.stress.millis", 1500);

    private final TestVm vm = new TestVm();
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private volatile boolean stop;

    private interface Guest {
        void step(TestVcpu vcpu, SplittableRandom random);
    }

    private List<Thread> start(int vcpus, Guest guest) {
        // Now and then a fault takes long, as populating a page does: room for a change between look-up and commit.
        vm.host.onPopulate = () -> {
            if (ThreadLocalRandom.current().nextInt(8) == 0) {
                Thread.yield();
            }
        };
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < vcpus; i++) {
            TestVcpu vcpu = vm.vcpu();
            SplittableRandom random = new SplittableRandom(i);
            Thread t = new Thread(() -> {
                vcpu.enter();
                try {
                    while (!stop) {
                        guest.step(vcpu, random);
                        vcpu.edge();
                    }
                } catch (Throwable e) {
                    failure.compareAndSet(null, e);
                    stop = true;
                } finally {
                    vcpu.leave();
                }
            });
            t.setDaemon(true);
            threads.add(t);
        }
        threads.forEach(Thread::start);
        return threads;
    }

    private void finish(List<Thread> threads) throws InterruptedException {
        stop = true;
        for (Thread t : threads) {
            t.join();
        }
        assertThat(failure.get()).isNull();
        vm.close();
    }

    private static void fill(long hva, long value) {
        for (long at = hva; at < hva + BYTES; at += 8) {
            HostMemory.put64(at, value);
        }
    }

    /** After a move or a delete has returned, no vCPU reads what lay there before. */
    @Test
    void memoryOfASlotThatIsGoneIsNeverReadAgain() throws InterruptedException {
        long a = vm.ram(BYTES);
        long b = vm.ram(BYTES);
        fill(a, 1);
        fill(b, 1);
        vm.memory.setUserMemoryRegion(1, 0, 0, BYTES, a);
        List<Thread> threads = start(6, (vcpu, random) -> {
            long gpa = (long) random.nextInt(PAGES) << 12 | random.nextInt(512) << 3;
            long hva = vcpu.access(gpa, random.nextBoolean());
            if (hva > 0 && HostMemory.get64(hva) == POISON) {
                throw new AssertionError("read memory that had been taken away, gpa 0x%x".formatted(gpa));
            }
        });
        vm.host.huge = true;
        long end = System.currentTimeMillis() + MILLIS;
        int rounds = 0;
        while ((System.currentTimeMillis() < end || rounds < 4) && !stop) {
            long now = rounds % 2 == 0 ? a : b;
            long next = rounds % 2 == 0 ? b : a;
            vm.memory.setUserMemoryRegion(1, 0, 0, 0, 0);
            fill(now, POISON);
            fill(next, 1);
            vm.memory.setUserMemoryRegion(1, rounds % 3 == 0 ? Memslot.LOG_DIRTY_PAGES : 0, 0, BYTES, next);
            rounds++;
            Thread.sleep(1);
        }
        finish(threads);
    }

    /** Between begin and end of an invalidation no vCPU touches the range, whatever it had mapped and however it is mapping it. */
    @Test
    void nobodyTouchesClientMemoryBetweenBeginAndEnd() throws InterruptedException {
        long ram = vm.ram(BYTES);
        vm.host.huge = true;
        vm.memory.setUserMemoryRegion(1, 0, 0, BYTES, ram);
        vm.memory.setUserMemoryRegion(2, Memslot.LOG_DIRTY_PAGES, BYTES, BYTES, ram);
        List<Thread> threads = start(6, (vcpu, random) -> {
            long gpa = (long) random.nextInt(2 * PAGES) << 12;
            long hva = vcpu.access(gpa, true);
            if (hva == TestVcpu.LEFT) {
                return;
            }
            if (hva <= 0) {
                throw new AssertionError("outcome " + hva);
            }
            if (HostMemory.get64(hva) == POISON) {
                throw new AssertionError("touched memory that was being taken away, gpa 0x%x".formatted(gpa));
            }
        });
        SplittableRandom random = new SplittableRandom(7);
        long end = System.currentTimeMillis() + MILLIS;
        int rounds = 0;
        while ((System.currentTimeMillis() < end || rounds < 4) && !stop) {
            int first = random.nextInt(PAGES);
            int count = 1 + random.nextInt(Math.min(PAGES - first, 64));
            long from = ram + ((long) first << 12);
            long to = from + ((long) count << 12);
            vm.mmu.hostInvalidateBegin(from, to);
            for (long at = from; at < to; at += 4096) {
                HostMemory.put64(at, POISON);
            }
            Thread.onSpinWait();
            for (long at = from; at < to; at += 4096) {
                HostMemory.put64(at, 0);
            }
            vm.mmu.hostInvalidateEnd(from, to);
            rounds++;
        }
        System.out.println(rounds + " rounds");
        finish(threads);
    }

    /** Live migration in small: copying what each harvest reports gives the memory itself in the end; no write is lost. */
    @Test
    void aReplicaMadeFromTheDirtyLogEqualsTheMemory() throws InterruptedException {
        replicate(0);
    }

    @Test
    void aReplicaMadeUnderManualProtectionEqualsTheMemory() throws InterruptedException {
        replicate(1);
    }

    @Test
    void aReplicaMadeFromALogInitiallySetEqualsTheMemory() throws InterruptedException {
        replicate(3);
    }

    private void replicate(int manual) throws InterruptedException {
        long ram = vm.ram(BYTES);
        long replica = vm.ram(BYTES);
        vm.host.huge = true;
        vm.memory.manualDirtyLogProtect(manual);
        vm.memory.setUserMemoryRegion(1, 0, 0, BYTES, ram);
        List<Thread> threads = start(4, (vcpu, random) -> {
            // Writes of the guest, and now and then one of the hypervisor for the guest.
            long gpa = (long) random.nextInt(PAGES) << 12 | random.nextInt(512) << 3;
            if (random.nextInt(64) == 0) {
                vcpu.leave();
                vcpu.mmu.serveTlbFlush();
                byte[] bytes = new byte[8];
                random.nextBytes(bytes);
                vcpu.mmu.write(gpa, bytes, 0, 8);
                vcpu.enter();
            } else {
                HostMemory.put64(vcpu.access(gpa, true), random.nextLong());
            }
        });
        for (int pass = 0; pass < 2; pass++) {
            Thread.sleep(20);
            vm.memory.setUserMemoryRegion(1, Memslot.LOG_DIRTY_PAGES, 0, BYTES, ram);
            HostMemory.copy(ram, replica, BYTES);
            long end = System.currentTimeMillis() + MILLIS / 2;
            while (System.currentTimeMillis() < end && !stop) {
                copyReported(manual, ram, replica);
            }
            if (pass == 0) {
                vm.memory.setUserMemoryRegion(1, 0, 0, BYTES, ram);
            }
        }
        stop = true;
        for (Thread t : threads) {
            t.join();
        }
        copyReported(manual, ram, replica);
        for (long at = 0; at < BYTES; at += 8) {
            if (HostMemory.get64(ram + at) != HostMemory.get64(replica + at)) {
                throw new AssertionError("a write to page %d was lost".formatted(at >>> 12));
            }
        }
        finish(threads);
    }

    private void copyReported(int manual, long ram, long replica) {
        long[] words = new long[PAGES / 64];
        vm.memory.getDirtyLog(1, (from, bytes) -> {
            for (int i = 0; i < words.length; i++) {
                words[i] = HostMemory.get64(from + (long) i * 8);
            }
            return 0;
        });
        if (manual != 0) {
            for (int half = 0; half < 2; half++) {
                int first = half * PAGES / 2;
                vm.memory.clearDirtyLog(1, first, PAGES / 2, (to, bytes) -> {
                    for (int i = 0; i < PAGES / 2 / 64; i++) {
                        HostMemory.put64(to + (long) i * 8, words[first / 64 + i]);
                    }
                    return 0;
                });
            }
        }
        for (int page = 0; page < PAGES; page++) {
            if ((words[page / 64] >>> page & 1) != 0) {
                HostMemory.copy(ram + ((long) page << 12), replica + ((long) page << 12), 4096);
            }
        }
    }

    /** Slots come, go, move and are logged, memory is invalidated, all at once from several threads; the books balance in the end. */
    @Test
    void everythingAtOnceLeavesNothingBehind() throws InterruptedException {
        long ram = vm.ram(BYTES);
        vm.host.huge = true;
        List<Thread> threads = start(4, (vcpu, random) -> {
            long hva = vcpu.access((long) random.nextInt(4 * PAGES) << 12, random.nextBoolean());
            if (hva > 0) {
                HostMemory.put64(hva, 1);
            }
        });
        for (int n = 0; n < 3; n++) {
            SplittableRandom random = new SplittableRandom(n);
            Thread t = new Thread(() -> {
                try {
                    while (!stop) {
                        change(random, ram);
                    }
                } catch (Throwable e) {
                    failure.compareAndSet(null, e);
                    stop = true;
                }
            });
            threads.add(t);
            t.start();
        }
        Thread.sleep(MILLIS);
        stop = true;
        for (Thread t : threads) {
            t.join();
        }
        for (int slot = 0; slot < 4; slot++) {
            if (vm.memory.slot(0, slot) != null) {
                vm.memory.setUserMemoryRegion(slot, 0, 0, 0, 0);
            }
        }
        assertThat(vm.stats.get(VmStats.PAGES_4K)).isZero();
        assertThat(vm.stats.get(VmStats.PAGES_2M)).isZero();
        finish(threads);
    }

    private void change(SplittableRandom random, long ram) {
        int slot = random.nextInt(4);
        long gpa = (long) random.nextInt(4) * BYTES;
        try {
            switch (random.nextInt(6)) {
                case 0 -> vm.memory.setUserMemoryRegion(slot, 0, 0, 0, 0);
                case 1, 2 -> vm.memory.setUserMemoryRegion(slot, random.nextInt(2), gpa, BYTES, ram);
                case 3 -> vm.memory.getDirtyLog(slot, (from, bytes) -> 0);
                case 4 -> {
                    long from = ram + ((long) random.nextInt(PAGES) << 12);
                    vm.mmu.hostInvalidateBegin(from, from + 4096);
                    vm.mmu.hostInvalidateEnd(from, from + 4096);
                }
                default -> vm.mmu.zapAll();
            }
        } catch (KvmException refused) {
            // No such slot, or another one is there: as it should.
            assertThat(refused.errno()).isIn(Errno.EINVAL, Errno.EEXIST, Errno.ENOENT);
        }
    }

    /** Sixty-four vCPUs inside the guest: an invalidation ends, and does so without waiting for a time slice of each. */
    @Test
    void manyMoreVcpusThanCoresStillGetOut() throws InterruptedException {
        long ram = vm.ram(BYTES);
        vm.memory.setUserMemoryRegion(1, 0, 0, BYTES, ram);
        List<Thread> threads = start(64, (vcpu, random) -> {
            long hva = vcpu.access((long) random.nextInt(PAGES) << 12, true);
            if (hva > 0) {
                HostMemory.put64(hva, 1);
            }
        });
        Thread.sleep(200);
        long nanos = 0;
        int rounds = 20;
        for (int i = 0; i < rounds; i++) {
            Thread.sleep(5);
            long start = System.nanoTime();
            vm.mmu.hostInvalidateBegin(ram, ram + BYTES);
            vm.mmu.hostInvalidateEnd(ram, ram + BYTES);
            nanos += System.nanoTime() - start;
        }
        System.out.printf("invalidation under 64 running vCPUs: %.2f ms each%n", nanos / 1e6 / rounds);
        finish(threads);
    }
}
