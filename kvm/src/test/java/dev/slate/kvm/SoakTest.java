package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.memslot.Memslot;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * vCPUs write all the time to pages of 16 slots, while the slots' logs are harvested, switched off and on, the slots moved, deleted and made
 * again, and the client's memory invalidated. Each page has a word for each vCPU, so every write shows. A page that differs from what it was at
 * the harvest before must be in this harvest or, if it was written since, in the next; memory of a slot that is gone must not change.
 *
 * <p>Some seconds with few vCPUs in the ordinary build; {@code -Dslate.soak.seconds} of 60 and more has 64 (the profile nightly: ten
 * minutes).
 */
final class SoakTest {
    private static final long SECONDS = Long.getLong("slate.soak.seconds", 3);
    private static final int VCPUS = SECONDS >= 60 ? 64 : 6;
    /** At least so many looks at a log, however slow the machine is. */
    private static final int HARVESTS = 20;

    private static final int VARIANTS = 3;
    private static final int SLOTS = 16;
    private static final int PAGES = 64;
    private static final long SLOT_BYTES = PAGES * 4096L;
    private static final int LOG = Memslot.LOG_DIRTY_PAGES;
    private static final long AWAY = 0x2000_0000L;

    /*
     * 1: imul $1103515245,%esi,%esi; add $12345,%esi       the next random number
     *    mov %esi,%eax; shr $8,%eax; and $0x3ff000,%eax    one of 1024 pages
     *    add %rbx,%rax; inc %rcx; mov %rcx,(%rax,%rdi)     this vCPU's word in it
     *    jmp 1b
     */
    private static final String WRITE_FOR_EVER = "69f66d4ec64181c63930000089f0c1e8082500f03f004801d848ffc148890c38ebde";

    private static int[] code() {
        byte[] bytes = HexFormat.of().parseHex(WRITE_FOR_EVER);
        int[] code = new int[bytes.length];
        for (int i = 0; i < code.length; i++) {
            code[i] = bytes[i] & 0xff;
        }
        return code;
    }

    private static final class Slot {
        final int number;
        final long hva;
        boolean there;
        boolean away;
        boolean logged;
        /** Pages that differed from the snapshot and were not in the log: they must be in the next. */
        long pending;
        /** Each page's words at the time when it was last known to be clean. */
        final long[] snapshot = new long[PAGES * VCPUS];

        Slot(int number, long hva) {
            this.number = number;
            this.hva = hva;
        }

        long gpa() {
            return (away ? AWAY : Guest64.NOWHERE) + (number - 1) * SLOT_BYTES;
        }

        boolean differs(int page) {
            for (int i = 0; i < VCPUS; i++) {
                if (word(page, i) != snapshot[page * VCPUS + i]) {
                    return true;
                }
            }
            return false;
        }

        void remember(int page) {
            for (int i = 0; i < VCPUS; i++) {
                snapshot[page * VCPUS + i] = word(page, i);
            }
        }

        private long word(int page, int i) {
            return HostMemory.getVolatile64(hva + page * 4096L + i * 8L);
        }
    }

    private final List<Slot> slots = new ArrayList<>();
    private Guest64 guest;
    private long harvests;
    private long dirtyPages;
    private volatile boolean stop;

    private void set(Slot s) {
        guest.vm.setUserMemoryRegion(s.number, s.logged ? LOG : 0, s.gpa(), s.there ? SLOT_BYTES : 0, s.hva);
    }

    private void rememberAll(Slot s) {
        for (int page = 0; page < PAGES; page++) {
            s.remember(page);
        }
        s.pending = 0;
    }

    private void harvest(Slot s) {
        long[] log = new long[1];
        guest.vm.getDirtyLog(s.number, (from, bytes) -> {
            log[0] = HostMemory.get64(from);
            return 0;
        });
        harvests++;
        dirtyPages += Long.bitCount(log[0]);
        assertThat(s.pending & ~log[0])
                .as("slot %d: pages written before the harvest and not in it", s.number)
                .isZero();
        s.pending = 0;
        for (int page = 0; page < PAGES; page++) {
            if ((log[0] & 1L << page) != 0) {
                s.remember(page);
            } else if (s.differs(page)) {
                s.pending |= 1L << page;
            }
        }
    }

    private void step(Random random) throws InterruptedException {
        Slot s = slots.get(random.nextInt(SLOTS));
        int what = random.nextInt(100);
        if (!s.there) {
            for (int page = 0; page < PAGES; page++) {
                assertThat(s.differs(page))
                        .as("slot %d is gone and written", s.number)
                        .isFalse();
            }
            s.there = true;
            s.logged = true;
            set(s);
        } else if (what < 70) {
            if (s.logged) {
                harvest(s);
            }
        } else if (what < 82) {
            s.away = !s.away;
            set(s);
        } else if (what < 88) {
            s.there = false;
            set(s);
            rememberAll(s);
        } else if (what < 94) {
            s.logged = !s.logged;
            set(s);
            if (s.logged) {
                rememberAll(s);
            }
        } else {
            long from = s.hva + random.nextInt(PAGES) * 4096L;
            guest.vm.hostInvalidateBegin(from, from + 8192);
            Thread.sleep(0, 100_000);
            guest.vm.hostInvalidateEnd(from, from + 8192);
        }
    }

    private Thread start(Vcpu v, int id, AtomicReference<String> failure) {
        Regs regs = new Regs();
        v.getRegs(regs);
        regs.rip = Guest64.CODE;
        regs.rbx = Guest64.NOWHERE;
        regs.rdi = id * 8L;
        regs.rsi = id * 7919L + 1;
        v.setRegs(regs);
        Thread t = new Thread(() -> {
            while (!stop) {
                int errno = v.run(false);
                if (errno != 0 && errno != Errno.EINTR.number()
                        || errno == 0 && !(v.exit().value() instanceof Exit.MmioWrite)) {
                    failure.compareAndSet(
                            null,
                            "vCPU " + id + ": errno " + errno + ", exit "
                                    + v.exit().value());
                    return;
                }
            }
        });
        t.start();
        return t;
    }

    @ParameterizedTest
    @ValueSource(strings = {"tdp=on", "tdp=on\nmmu.ad-bits=off", "tdp=off"})
    void noDirtyPageIsLost(String knobs) throws InterruptedException {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("SoakTest: -Dslate.seed=" + seed);
        Random random = new Random(seed);
        guest = new Guest64(Knobs.parse(knobs), false, code());
        long memory = guest.host.allocate(SLOTS * SLOT_BYTES, 2 << 20);
        for (int i = 0; i < SLOTS; i++) {
            Slot s = new Slot(i + 1, memory + i * SLOT_BYTES);
            s.there = true;
            s.logged = true;
            slots.add(s);
            set(s);
        }
        AtomicReference<String> failure = new AtomicReference<>();
        List<Vcpu> vcpus = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < VCPUS; i++) {
            Vcpu v = i == 0 ? guest.vcpu : guest.vm.createVcpu(i);
            guest.start(v, Guest64.CODE, Guest64.STACK);
            vcpus.add(v);
            threads.add(start(v, i, failure));
        }
        long end = System.nanoTime() + SECONDS * 1_000_000_000L / VARIANTS;
        try {
            while ((System.nanoTime() - end < 0 || harvests < HARVESTS || dirtyPages == 0) && failure.get() == null) {
                step(random);
            }
        } finally {
            stop = true;
            vcpus.forEach(Vcpu::signal);
            for (Thread t : threads) {
                t.join();
            }
        }
        assertThat(failure.get()).isNull();
        for (Slot s : slots) {
            if (s.there && s.logged) {
                harvest(s);
                assertThat(s.pending)
                        .as("slot %d: written and not in the last log", s.number)
                        .isZero();
            }
        }
        long writes = 0;
        Regs regs = new Regs();
        for (Vcpu v : vcpus) {
            v.getRegs(regs);
            writes += regs.rcx;
        }
        System.out.printf(
                "SoakTest %s: %,d writes, %,d harvests, %,d dirty pages, none lost%n",
                knobs.replace('\n', ' '), writes, harvests, dirtyPages);
        assertThat(writes).isGreaterThan(VCPUS);
        assertThat(dirtyPages).isPositive();
        for (Slot s : slots) {
            if (s.there) {
                guest.vm.setUserMemoryRegion(s.number, 0, 0, 0, s.hva);
            }
        }
        for (int i = 1; i < VCPUS; i++) {
            vcpus.get(i).close();
        }
        guest.host.free(memory, SLOTS * SLOT_BYTES);
        guest.close();
    }
}
