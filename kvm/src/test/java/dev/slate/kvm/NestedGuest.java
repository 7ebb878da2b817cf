package dev.slate.kvm;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.msr.Msr;
import java.util.HexFormat;

/**
 * A hypervisor of four instructions, and its guest: VMLOAD, VMRUN, then HLT. The guest's code lies at {@link #L2}, in 64-bit mode with the
 * hypervisor's page tables, or in 32-bit protected mode without paging.
 */
final class NestedGuest implements AutoCloseable {
    static final long VMCB = 0x5_0000;
    static final long HSAVE = 0x5_1000;
    static final long IOPM = 0x5_4000;
    static final long MSRPM = 0x5_8000;
    static final long L2 = 0x6_0000;
    static final long L2_STACK = 0x6_8000;
    /** A TSS that L2 can switch to, and the one that it has. */
    static final long TASK = 0x6_9000;

    static final long OLD_TASK = 0x6_a000;
    /** Four pages of nested tables. */
    static final long NESTED = 0x10_0000;

    private static final long GDT = 0x5000;
    /** Where L1's HLT ends. */
    static final long DONE = Guest64.CODE + 14;

    final Guest64 g;

    NestedGuest(String knobs) {
        this(knobs, false);
    }

    NestedGuest(String knobs, boolean irqchip) {
        g = new Guest64(
                Knobs.parse("nested=on\ncpu.vendor=amd\n" + knobs),
                irqchip,
                // mov rax, VMCB; vmload rax; vmrun rax; hlt
                0x48,
                0xc7,
                0xc0,
                0,
                0,
                5,
                0,
                0x0f,
                1,
                0xda,
                0x0f,
                1,
                0xd8,
                0xf4);
        start();
    }

    /** Back to the hypervisor's first instruction, with a legal VMCB. */
    void start() {
        g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
        Sregs s = new Sregs();
        g.vcpu.getSregs(s);
        s.efer |= 1 << 12;
        g.vcpu.setSregs(s);
        if (!g.vcpu.setMsr(Msr.VM_HSAVE_PA, HSAVE)) {
            throw new AssertionError("VM_HSAVE_PA");
        }
        HostMemory.put64(g.hva + GDT + 0x18, 0x00cf_1300_0000_ffffL);
        HostMemory.put64(g.hva + GDT + 0x20, 0x0000_8906_9000_0067L);
        HostMemory.put64(g.hva + GDT + 0x28, 0x0000_8b06_a000_0067L);
        HostMemory.put64(g.hva + GDT + 0x30, 0x00cf_9b00_0000_ffffL);
        HostMemory.fill(g.hva + VMCB, 4096, 0);
        HostMemory.fill(g.hva + IOPM, 0x3000, 0);
        HostMemory.fill(g.hva + MSRPM, 0x2000, 0);
        put64(0x40, IOPM);
        put64(0x48, MSRPM);
        put32(0x58, 1);
        put32(0x70, 0xdead);
        intercept(0x80);
        intercept(0x81);
        segment(0x400, 0x10, 0xc93, 0, -1);
        segment(0x410, 8, 0xa9b, 0, -1);
        segment(0x420, 0x10, 0xc93, 0, -1);
        segment(0x430, 0x10, 0xc93, 0, -1);
        segment(0x460, 0, 0, GDT, 0x37);
        segment(0x480, 0, 0, Guest64.IDT, 0xfff);
        segment(0x490, 0x28, 0x8b, OLD_TASK, 0x67);
        put64(0x4d0, 0x1d00);
        put64(0x548, 0x4_0620);
        put64(0x550, 0x1000);
        put64(0x558, 0x8000_0031L);
        put64(0x560, 0x400);
        put64(0x568, 0xffff_0ff0L);
        put64(0x570, 2);
        put64(0x578, L2);
        put64(0x5d8, L2_STACK);
    }

    /** The guest runs below tables of the hypervisor's at {@link #NESTED}, in long mode's format, that map its memory one to one. */
    void nestedPaging() {
        oneToOne(NESTED);
        HostMemory.put64(g.hva + NESTED + 0x1008, 0x4000_00e7L);
        for (long i = 1; i < 512; i++) {
            HostMemory.put64(g.hva + NESTED + 0x2000 + 8 * i, i << 21 | 0xe7);
        }
        put64(0x90, 1);
        put64(0xb0, NESTED);
        put64(0x668, 0x0007_0406_0007_0406L);
    }

    /** L2 has page tables of its own, of four pages, for the first 2 MiB. @return gpa of the one that has the pages' entries */
    long ownPaging(long at) {
        oneToOne(at);
        put64(0x550, at);
        return at + 0x3000;
    }

    private void oneToOne(long at) {
        HostMemory.fill(g.hva + at, 0x4000, 0);
        for (long table = at; table < at + 0x3000; table += 0x1000) {
            HostMemory.put64(g.hva + table, table + 0x1000 | 0x27);
        }
        for (long i = 0; i < 512; i++) {
            HostMemory.put64(g.hva + at + 0x3000 + 8 * i, i << 12 | 0x67);
        }
    }

    /** Each VMRUN finds no old translations: for hypervisors that change tables in between. */
    void flushAtEntry() {
        put32(0x5c, 1);
    }

    /** Flat 32-bit protected mode without paging. */
    void legacy() {
        segment(0x410, 0x30, 0xc9b, 0, -1);
        put64(0x4d0, 0x1000);
        put64(0x548, 0x620);
        put64(0x558, 0x31);
    }

    void code(String hex) {
        code(L2, hex);
    }

    void code(long gpa, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, g.hva + gpa, bytes.length);
    }

    void segment(int at, int selector, int attr, long base, int limit) {
        put32(at, selector | attr << 16);
        put32(at + 4, limit);
        put64(at + 8, base);
    }

    void intercept(int exitCode) {
        int at = (exitCode >>> 5) * 4;
        put32(at, get32(at) | 1 << exitCode);
    }

    void put32(int at, int v) {
        HostMemory.put32(g.hva + VMCB + at, v);
    }

    void put64(int at, long v) {
        HostMemory.put64(g.hva + VMCB + at, v);
    }

    int get32(int at) {
        return HostMemory.get32(g.hva + VMCB + at);
    }

    long get64(int at) {
        return HostMemory.get64(g.hva + VMCB + at);
    }

    long exitCode() {
        return get64(0x70);
    }

    /** KVM's file of rmaps. */
    String rmapsStat() {
        return g.vm.debugFiles().read("mmu_rmaps_stat");
    }

    /** The nested state of a vCPU on which no guest's guest runs. */
    static NestedState idle() {
        NestedState none = new NestedState();
        none.flags = NestedState.GIF_SET;
        none.size = NestedState.HEADER_BYTES;
        return none;
    }

    byte[] vmcb() {
        byte[] bytes = new byte[4096];
        HostMemory.copyOut(g.hva + VMCB, bytes, 0, bytes.length);
        return bytes;
    }

    @Override
    public void close() {
        g.close();
    }
}
