package dev.slate.kvm;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * A VM of 64 KiB that runs one random instruction stream after another: memory, page tables, descriptor tables, registers, pending
 * events and code follow from the case's number and the seed alone, whatever ran before.
 *
 * <p>With {@code cpu.translator=eager} half of the streams are 64-bit code, which runs as machine code. That counts no instructions, so a
 * stay in the guest that lasts is ended by a signal.
 *
 * <p>Pages: 0 real mode's vectors, 1 GDT, 2 IDT, 3 TSS, 4-7 page tables, 8-9 code, 10-13 data, 14-15 stacks.
 */
final class GarbageStream implements RunObserver, CpuObserver, AutoCloseable {
    private static final long MEMORY = 0x10000;
    private static final long GDT = 0x1000;
    private static final long IDT = 0x2000;
    private static final long TSS = 0x3000;
    private static final long TABLES = 0x4000;
    private static final long CODE = 0x8000;
    private static final long DATA = 0xa000;
    private static final long STACK = 0xe000;
    /** Mapped in part, in no slot. */
    private static final long NOWHERE = 0x12000;

    private static final int INSTRUCTIONS = 100;
    private static final int RUNS = 6;
    /** How long a stay in machine code may last. */
    private static final long STAY_NANOS = 500_000;

    static final String[] MODES = {
        "real",
        "virtual-8086",
        "protected 16",
        "protected 32",
        "PAE 32",
        "compatibility 16",
        "compatibility 32",
        "long",
        "long, five levels",
        "anything"
    };
    static final int LONG = 7;
    static final int FIVE_LEVELS = 8;
    static final int ANYTHING = 9;

    // ---- what happened, for the report ----
    final long[] cases = new long[MODES.length];
    final long[] refused = new long[MODES.length];
    final long[] exits = new long[64];
    final long[] vectors = new long[256];
    long interrupted;
    long instructions;

    private final long seed;
    private final TestHost host = new TestHost();
    private final Kvm kvm;
    private final Vm vm;
    private final Vcpu vcpu;
    private final long hva;
    private final long noise;
    private final EncodingPool[] pools = new EncodingPool[3];
    private int budget;
    private int entries;

    private final boolean eager;
    /** Counts entries into machine code and exits from it: odd is inside. */
    private volatile long stays;

    private volatile boolean closed;

    GarbageStream(long seed, String knobs) {
        this.seed = seed;
        this.kvm = new Kvm(host, Knobs.parse(knobs));
        kvm.observeWith(v -> this);
        this.vm = kvm.createVm(0);
        SplittableRandom random = new SplittableRandom(seed);
        this.hva = host.allocate(MEMORY, 4096);
        this.noise = host.allocate(MEMORY, 4096);
        for (long at = 0; at < MEMORY; at += 8) {
            HostMemory.put64(noise + at, random.nextLong());
        }
        pools[Mode.BITS16] = new EncodingPool(Mode.BITS16, random);
        pools[Mode.BITS32] = new EncodingPool(Mode.BITS32, random);
        pools[Mode.BITS64] = new EncodingPool(Mode.BITS64, random);
        vm.setUserMemoryRegion(0, 0, 0, MEMORY, hva);
        vcpu = vm.createVcpu(0);
        vcpu.setCpuid(kvm.supportedCpuid());
        eager = "eager".equals(kvm.knobs().value(Knobs.TRANSLATOR));
        if (eager) {
            Thread thread = new Thread(this::endLongStays);
            thread.setDaemon(true);
            thread.start();
        }
    }

    private void endLongStays() {
        for (long last = 0; !closed; ) {
            LockSupport.parkNanos(STAY_NANOS);
            long now = stays;
            if (now == last && (now & 1) != 0) {
                vcpu.signal();
            }
            last = now;
        }
    }

    /** Whether the host let anything run as machine code; true where that was not asked for. */
    boolean translates() {
        return !eager || vcpu.translation() != null;
    }

    /** How often machine code was entered. */
    long translatedEntries() {
        return vcpu.translation() == null ? 0 : vcpu.translation().entries;
    }

    int operations() {
        return pools[Mode.BITS64].operations();
    }

    /** Runs a case; what KVM_RUN may not give is an AssertionError. */
    void run(long number) {
        SplittableRandom random = new SplittableRandom(seed * 0x9e37_79b9_7f4a_7c15L + number);
        HostMemory.copy(noise, hva, MEMORY);
        vcpu.parts().reset.reset(false);
        vcpu.setMpState(MpState.RUNNABLE);
        int mode = eager && random.nextBoolean() ? LONG : random.nextInt(MODES.length);
        cases[mode]++;
        int codeMode = prepare(mode, random);
        code(codeMode, random);
        for (int k = 0; k < RUNS; k++) {
            budget = INSTRUCTIONS;
            entries = INSTRUCTIONS;
            int errno = vcpu.run(random.nextInt(32) == 0);
            if (errno == 0) {
                VcpuExit exit = vcpu.exit();
                if (exit.reason == VcpuExit.FAIL_ENTRY) {
                    // A state that VMRUN refuses: it stands for as long as the client leaves it.
                    return;
                }
                if (exit.value() instanceof Exit.Other) {
                    throw new AssertionError("exit reason " + exit.reason);
                }
                exits[exit.reason]++;
                random.nextBytes(exit.mmioData);
                HostMemory.put64(vcpu.portData(), random.nextLong());
                if (exit.reason == VcpuExit.SHUTDOWN || exit.reason == VcpuExit.INTERNAL_ERROR) {
                    return;
                }
            } else if (errno == Errno.EINTR.number()) {
                if (vcpu.exit().reason == VcpuExit.INTR) {
                    interrupted++;
                    return;
                }
            } else if (errno != Errno.EINVAL.number()) {
                throw new AssertionError("KVM_RUN failed with errno " + errno);
            }
        }
    }

    // ------------------------------------------------------------------ the guest

    /** Registers and tables; returns the {@link Mode} that code is made for. */
    private int prepare(int mode, SplittableRandom random) {
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        Regs r = new Regs();
        int cpl = mode == 0 ? 0 : mode == 1 ? 3 : random.nextInt(2) * 3;
        descriptors(mode >= 5 && mode <= FIVE_LEVELS, random);
        s.gdtBase = GDT;
        s.gdtLimit = random.nextInt(8) == 0 ? random.nextInt(0x200) : 0x1ff;
        s.idtBase = mode == 0 ? 0 : IDT;
        s.idtLimit = random.nextInt(8) == 0 ? random.nextInt(0x1000) : 0xfff;
        s.cr4 = (random.nextInt()
                        & (CpuState.CR4_DE
                                | CpuState.CR4_TSD
                                | CpuState.CR4_PGE
                                | CpuState.CR4_PCE
                                | CpuState.CR4_UMIP))
                | CpuState.CR4_OSFXSR
                | CpuState.CR4_OSXMMEXCPT;
        if (random.nextInt(3) == 0) {
            s.cr4 |= random.nextInt() & (CpuState.CR4_SMEP | CpuState.CR4_SMAP | CpuState.CR4_VME | CpuState.CR4_PVI);
        }
        s.cr0 = CpuState.CR0_ET
                | CpuState.CR0_NE
                | random.nextInt() & (CpuState.CR0_WP | CpuState.CR0_AM | CpuState.CR0_MP);
        if (random.nextInt(10) == 0) {
            s.cr0 |= random.nextInt() & (CpuState.CR0_EM | CpuState.CR0_TS);
        }
        s.cr3 = TABLES;
        boolean wide = mode >= 7 && mode <= FIVE_LEVELS;
        boolean big = wide || mode == 3 || mode == 4 || mode == 6;
        r.rflags = random.nextInt() & 0x4cd5 | 2 | (random.nextInt(4) == 0 ? random.nextInt() & 0x40300 : 0);
        if (mode >= 1 && mode != ANYTHING) {
            s.cr0 |= CpuState.CR0_PE;
            boolean paging = mode >= 5 || random.nextInt(4) != 0;
            if (paging) {
                s.cr0 |= CpuState.CR0_PG;
                pageTables(mode >= 5 ? mode == FIVE_LEVELS ? 5 : 4 : mode == 4 ? 3 : 2, random);
            }
            if (mode >= 4) {
                s.cr4 |= CpuState.CR4_PAE;
            } else {
                s.cr4 |= random.nextInt() & CpuState.CR4_PSE;
            }
        }
        if (mode >= 5 && mode <= FIVE_LEVELS) {
            s.efer = CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_SCE | random.nextInt() & CpuState.EFER_NX;
            s.cr4 |= mode == FIVE_LEVELS ? CpuState.CR4_LA57 : 0;
        }
        if (mode == ANYTHING) {
            s.cr0 = random.nextInt() & 0xe005_003fL | 0x10;
            s.cr4 = random.nextInt() & 0x7707ff;
            s.efer = random.nextInt() & 0xd01;
            pageTables(2 + random.nextInt(4), random);
        }
        if (mode == 1) {
            r.rflags |= CpuState.VM | random.nextInt(4) << 12;
        }
        int codeType = cpl == 3 && random.nextInt(8) == 0 ? 15 : 11;
        if (mode == 0 || mode == 1) {
            for (Segment g : new Segment[] {s.cs, s.ds, s.es, s.fs, s.gs, s.ss}) {
                int selector = random.nextInt(4) == 0 ? random.nextInt(0x1000) : 0;
                flat(g, selector, 3, 3 * mode, false, false);
                g.base = selector << 4;
                g.limit = 0xffff;
                g.g = 0;
            }
            s.cs.selector = 0;
            s.cs.base = 0;
            s.cs.type = mode == 0 ? 11 : 3;
        } else {
            flat(s.cs, 8 * (1 + (cpl == 3 ? 1 : 0)) | cpl, codeType, cpl, big && !wide, wide);
            for (Segment g : new Segment[] {s.ds, s.es, s.fs, s.gs, s.ss}) {
                flat(g, 0x18 | cpl, 3, cpl, big || random.nextBoolean(), false);
            }
            if (!wide && random.nextInt(4) == 0) {
                s.ds.limit = random.nextInt(0x10000);
                s.ds.type = random.nextInt(8);
            }
            s.fs.base = wide && random.nextInt(4) == 0 ? random.nextLong() >> 17 : 0;
        }
        if (mode == ANYTHING && random.nextBoolean()) {
            s.cs.l = random.nextInt(2);
            s.cs.db = random.nextInt(2);
            s.cs.type = random.nextInt(16);
            s.ss.dpl = random.nextInt(4);
        }
        flat(s.tr, 0x28, mode >= 5 || random.nextBoolean() ? 11 : 3, 0, false, false);
        s.tr.s = 0;
        s.tr.base = TSS;
        s.tr.limit = random.nextInt(4) == 0 ? random.nextInt(0x200) : 0xfff;
        r.rip = CODE + random.nextInt(8);
        if (random.nextInt(16) == 0) {
            r.rip = CODE + 0x1000 - random.nextInt(24);
        }
        r.rsp = STACK + 0x800 + (random.nextInt(8) == 0 ? random.nextInt(0x1000) : 0);
        r.rax = value(random);
        r.rbx = value(random);
        r.rcx = value(random);
        r.rdx = value(random);
        r.rsi = value(random);
        r.rdi = value(random);
        r.rbp = value(random);
        r.r8 = value(random);
        r.r9 = value(random);
        r.r10 = random.nextLong();
        r.r15 = value(random);
        try {
            vcpu.setSregs(s);
        } catch (KvmException e) {
            if (e.errno() != Errno.EINVAL) {
                throw e;
            }
            refused[mode]++;
        }
        vcpu.setRegs(r);
        if (random.nextInt(8) == 0) {
            events(random);
        }
        return wide ? Mode.BITS64 : big ? Mode.BITS32 : mode == ANYTHING ? random.nextInt(3) : Mode.BITS16;
    }

    private static void flat(Segment g, int selector, int type, int dpl, boolean db, boolean l) {
        g.base = 0;
        g.limit = -1;
        g.selector = selector;
        g.type = type;
        g.present = 1;
        g.dpl = dpl;
        g.s = 1;
        g.db = db ? 1 : 0;
        g.l = l ? 1 : 0;
        g.g = 1;
        g.unusable = 0;
    }

    /** A number, an address in memory, one beyond, or anything. */
    private static long value(SplittableRandom random) {
        return switch (random.nextInt(6)) {
            case 0 -> random.nextInt(64);
            case 1, 2 -> DATA + random.nextInt(0x4000);
            case 3 -> NOWHERE + random.nextInt(0x2000);
            case 4 -> TABLES - 0x3000 + random.nextInt(0x7000);
            default -> random.nextLong();
        };
    }

    /** Descriptors and gates that are mostly good: bad ones differ in a bit. */
    private void descriptors(boolean longMode, SplittableRandom random) {
        HostMemory.put64(hva + GDT, 0);
        long[] good = {
            longMode ? 0x00af_9b00_0000_ffffL : 0x00cf_9b00_0000_ffffL,
            longMode ? 0x00af_fb00_0000_ffffL : 0x00cf_fb00_0000_ffffL,
            0x00cf_f300_0000_ffffL,
            0x00cf_9300_0000_ffffL,
            0x0000_8b00_3000_0fffL,
            0,
            0x0000_8900_3000_0fffL, // another TSS, over the same memory
            0x0000_8500_0028_0000L, // a task gate
            0x0000_ec00_0008_8000L, // a call gate to the code
            0x0000_8200_1000_01ffL // an LDT
        };
        for (int i = 0; i < good.length; i++) {
            long d = good[i];
            if (random.nextInt(12) == 0) {
                d ^= 1L << random.nextInt(64);
            }
            HostMemory.put64(hva + GDT + 8 + 8L * i, d);
        }
        int step = longMode ? 16 : 8;
        for (int v = 0; v < 0x1000 / step; v++) {
            int type = random.nextInt(8) == 0 ? random.nextInt(16) : random.nextBoolean() ? 14 : 15;
            long offset = CODE + random.nextInt(0x800);
            int selector = random.nextInt(8) == 0 ? random.nextInt(0x60) : 8;
            long gate = offset & 0xffff | (long) selector << 16 | (long) (0x80 | random.nextInt(4) << 5 | type) << 40;
            HostMemory.put64(
                    hva + IDT + (long) v * step, gate | (longMode ? (long) (random.nextInt(8) == 0 ? 1 : 0) << 32 : 0));
            if (longMode) {
                HostMemory.put64(hva + IDT + (long) v * step + 8, 0);
            }
        }
        // Stacks of the TSS: in its 32-bit form ESP0 and SS0 (4, 8), in its 64-bit form RSP0 and IST1 (4, 36).
        HostMemory.put64(hva + TSS + 4, STACK + 0x1000 | (longMode ? 0 : 0x20L << 32));
        HostMemory.put64(hva + TSS + 36, STACK + 0x400);
    }

    /** The first 128 KiB one to one, through four pages of tables, with bits that are not what they should be here and there. */
    private void pageTables(int levels, SplittableRandom random) {
        int entryBytes = levels == 2 ? 4 : 8;
        int tables = Math.min(levels, 4);
        long leaf = TABLES + (tables - 1) * 0x1000L;
        for (int i = 0; i < tables - 1; i++) {
            long next = TABLES + (i + 1) * 0x1000L;
            long table = TABLES + i * 0x1000L;
            long entry = next | (levels == 3 && i == 0 ? 1 : 7);
            put(table, entryBytes, random.nextInt(20) == 0 ? flip(entry, entryBytes, random) : entry);
        }
        if (levels == 5) {
            // Five levels over four pages: the root points at itself.
            HostMemory.put64(hva + TABLES, TABLES | 7);
        }
        for (int i = 0; i < 32; i++) {
            long entry = i * 0x1000L | (random.nextInt(6) == 0 ? random.nextInt(8) | 0x60 : 7);
            if (random.nextInt(16) == 0) {
                entry = flip(entry, entryBytes, random);
            }
            put(leaf + (long) i * entryBytes, entryBytes, entry);
        }
    }

    private static long flip(long entry, int bytes, SplittableRandom random) {
        return entry ^ 1L << random.nextInt(bytes * 8);
    }

    private void put(long gpa, int bytes, long entry) {
        if (bytes == 4) {
            HostMemory.put32(hva + gpa, (int) entry);
        } else {
            HostMemory.put64(hva + gpa, entry);
        }
    }

    /** Instructions of the table, random bytes, or both. */
    private void code(int codeMode, SplittableRandom random) {
        int random256 = random.nextInt(256);
        if (random256 < 40) {
            return; // the noise is as good as any
        }
        // Only what may be reached is written: the start, and the end of the page.
        fill(CODE, CODE + 256, codeMode, random, random256);
        fill(CODE + 0x1000 - 32, CODE + 0x1000 + 64, codeMode, random, random256);
    }

    private void fill(long from, long end, int codeMode, SplittableRandom random, int garbage) {
        long at = from;
        while (at < end) {
            if (random.nextInt(256) < garbage / 8) {
                HostMemory.put32(hva + at, random.nextInt());
                at += 1 + random.nextInt(4);
                continue;
            }
            byte[] encoding = pools[codeMode].any(random);
            HostMemory.copyIn(encoding, 0, hva + at, encoding.length);
            at += encoding.length;
        }
    }

    private void events(SplittableRandom random) {
        VcpuEvents e = new VcpuEvents();
        e.exceptionInjected = random.nextInt(2);
        e.exceptionNr = random.nextInt(40);
        e.exceptionHasErrorCode = random.nextInt(2);
        e.interruptInjected = random.nextInt(2);
        e.interruptNr = random.nextInt(256);
        e.nmiInjected = random.nextInt(2);
        e.nmiMasked = random.nextInt(2);
        try {
            vcpu.setEvents(e);
        } catch (KvmException expected) {
            if (expected.errno() != Errno.EINVAL) {
                throw expected;
            }
        }
    }

    // ------------------------------------------------------------------ the processor, so many instructions long

    @Override
    public boolean mayRun() {
        if (entries-- <= 0) {
            // An event whose delivery never ends, for which no instruction runs: only a signal ends it, as on silicon.
            vcpu.signal();
        }
        return true;
    }

    @Override
    public int run(Cpu cpu, boolean one) {
        cpu.observers.deliveries = this;
        if (eager && !one) {
            stays++;
            try {
                return cpu.run();
            } finally {
                stays++;
            }
        }
        // A repeated instruction looks at the kick word, and is cut short by this.
        vcpu.signal();
        while (budget-- > 0) {
            instructions++;
            int code = (budget & 3) == 0 ? cpu.runBlock() : cpu.runOne();
            if (one || code != CpuExit.NONE) {
                return code;
            }
        }
        return CpuExit.INTR;
    }

    @Override
    public void exited(Cpu cpu, int code, int outcome) {
        if (budget > 0 && entries > 0 && code != CpuExit.INTR) {
            // Not the end yet: the signal was for string instructions alone.
            vcpu.mode().takeSignal();
        }
    }

    @Override
    public void close() {
        closed = true;
    }

    @Override
    public void loaded(long la, int bytes, long value) {}

    @Override
    public void stored(long la, int bytes, long value) {}

    @Override
    public void delivered(int vector, boolean hasErrorCode, int errorCode) {
        vectors[vector & 255]++;
    }

    /** What the code of a case is, for a report: the bytes at its start. */
    String describe() {
        StringBuilder out = new StringBuilder("code at 8000h:");
        for (int i = 0; i < 48; i++) {
            out.append(String.format(" %02x", HostMemory.get8(hva + CODE + i)));
        }
        return out.toString();
    }
}
