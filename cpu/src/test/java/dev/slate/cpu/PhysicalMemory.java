package dev.slate.cpu;

import dev.slate.cpu.mem.HostMemory;
import java.lang.foreign.Arena;
import java.util.HashMap;
import java.util.Map;

/**
 * The fixture of the processor's tests: some guest RAM from guest physical address 0, mapped by real nested tables, and a hypervisor
 * that counts what is asked of it. Everything above the RAM is MMIO: reads answer from {@link #mmio}, writes are recorded there.
 */
public final class PhysicalMemory implements Hypervisor, AutoCloseable {
    private static final long P_W_U = 7;

    public final long bytes;
    public final long base;
    /** {@link Hypervisor#tscOffset}. */
    public long tscOffset = NO_TSC_OFFSET;

    public final Cpu cpu;
    public final long kick;
    /** Contents of MMIO by gpa; a read of an address that is not here leaves guest mode. */
    public final Map<Long, Long> mmio = new HashMap<>();

    public int nestedFaults;
    public long lastFaultGpa;
    public long lastFaultError;
    /** What the next nested faults on RAM pages answer after mapping the page (RETRY), or not. */
    public boolean mapOnFault = true;

    private final Arena arena = Arena.ofShared();
    private final long root;

    public PhysicalMemory(long bytes) {
        this(bytes, Cpu.FEATURES);
    }

    /** With a processor of those features. */
    public PhysicalMemory(long bytes, long features) {
        this.bytes = bytes;
        base = arena.allocate(bytes, 4096).address();
        kick = arena.allocate(64, 64).address();
        root = table();
        cpu = new Cpu(new CpuState(), this, kick, features);
        cpu.walker.nestedRoot = root;
        // The only processor.
        cpu.controls.ownsBus = true;
    }

    private long table() {
        return arena.allocate(4096, 4096).address();
    }

    /** hva of a guest physical address in RAM. */
    public long hva(long gpa) {
        return base + gpa;
    }

    /** The nested leaf entry's address for {@code gpa}, its tables made on the way. */
    public long nestedEntry(long gpa) {
        long t = root;
        for (int shift = 39; shift > 12; shift -= 9) {
            long at = t + ((gpa >>> shift & 511) << 3);
            if (HostMemory.get64(at) == 0) {
                HostMemory.put64(at, table() | P_W_U);
            }
            t = HostMemory.get64(at) & 0x000f_ffff_ffff_f000L;
        }
        return t + ((gpa >>> 12 & 511) << 3);
    }

    public void mapNested(long gpa, long bits) {
        HostMemory.put64(nestedEntry(gpa), base + (gpa & -4096L) | bits);
    }

    public void mapAll() {
        for (long gpa = 0; gpa < bytes; gpa += 4096) {
            mapNested(gpa, P_W_U);
        }
    }

    @Override
    public int nestedPageFault(long gpa, long errorCode, long gva) {
        nestedFaults++;
        lastFaultGpa = gpa;
        lastFaultError = errorCode;
        if (gpa >= bytes) {
            return (errorCode & NPF_FETCH) != 0 ? LEAVE : MMIO;
        }
        if (!mapOnFault) {
            return LEAVE;
        }
        mapNested(gpa, P_W_U);
        return RETRY;
    }

    @Override
    public boolean mmioRead(long gpa, int n) {
        Long v = mmio.get(gpa);
        if (v == null) {
            return false;
        }
        cpu.answer.mmioData = v;
        return true;
    }

    @Override
    public void mmioWrite(long gpa, int n, long data) {
        mmio.put(gpa, n == 8 ? data : data & (1L << 8 * n) - 1);
        cpu.stopAfterInstruction();
    }

    @Override
    public long readTsc() {
        return System.nanoTime();
    }

    @Override
    public long tscOffset() {
        return tscOffset;
    }

    /** Long mode at CPL 0 with 4-level paging; page tables from guest physical {@code tables}, identity-mapped 2 MiB pages, user. */
    public void longMode(long tables) {
        HostMemory.put64(hva(tables), tables + 4096 | P_W_U);
        HostMemory.put64(hva(tables + 4096), tables + 8192 | P_W_U);
        for (int i = 0; i < 512; i++) {
            HostMemory.put64(hva(tables + 8192) + 8L * i, (long) i << 21 | P_W_U | 0x80);
        }
        CpuState s = cpu.s;
        s.cr0 = CpuState.CR0_PE | CpuState.CR0_PG | CpuState.CR0_NE | CpuState.CR0_WP | CpuState.CR0_ET;
        s.cr3 = tables;
        s.cr4 = CpuState.CR4_PAE | CpuState.CR4_OSFXSR;
        s.efer = CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_NX;
        s.segAttr[CpuState.CS] = 0xb | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_L | CpuState.ATTR_G;
        s.segSelector[CpuState.CS] = 8;
        for (int seg : new int[] {CpuState.DS, CpuState.ES, CpuState.SS, CpuState.FS, CpuState.GS}) {
            s.segAttr[seg] = 3 | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_DB | CpuState.ATTR_G;
            s.segSelector[seg] = 16;
            s.segLimit[seg] = -1;
        }
        s.segLimit[CpuState.CS] = -1;
        s.cpl = 0;
        cpu.modeChanged();
    }

    @Override
    public void close() {
        arena.close();
    }
}
