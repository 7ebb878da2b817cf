package dev.slate.kvm.mmu.shadow;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.mmu.PagedVcpu;
import dev.slate.kvm.mmu.PagedVm;
import dev.slate.kvm.stats.ShadowFigures;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** A 64-bit guest whose tables are shadowed; it edits them by its own stores, through an identity mapping. */
abstract class ShadowGuest {
    static final long P = 1;
    static final long W = 2;
    static final long A = 1 << 5;
    static final long D = 1 << 6;

    static final long RAM = 8 << 20;
    static final long TABLES = 0x10_0000;
    static final long DATA = 0x40_0000;
    /** Where the guest maps what a test is about; the first GiB is mapped one to one. */
    static final long LA = 1L << 39;

    PagedVm vm;
    PagedVcpu v;
    long hva;
    long next = TABLES;
    long pml4;
    /** The guest's last-level table for {@link #LA}. */
    long pt;

    @BeforeEach
    void boot() {
        boot("");
    }

    final void boot(String knobs) {
        vm = new PagedVm(false, knobs);
        hva = vm.ram(RAM);
        vm.memory.setUserMemoryRegion(0, 0, 0, RAM, hva);
        v = vm.vcpu();
        next = TABLES;
        pml4 = space();
        pt = tableFor(pml4, LA);
        CpuState s = v.s;
        s.cr0 = CpuState.CR0_PE | CpuState.CR0_PG | CpuState.CR0_WP | CpuState.CR0_ET;
        s.cr4 = CpuState.CR4_PAE;
        s.efer = CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_NX;
        s.segAttr[CpuState.CS] = 0xb | CpuState.ATTR_S | CpuState.ATTR_P | CpuState.ATTR_L;
        s.cr3 = pml4;
    }

    @AfterEach
    void close() {
        ShadowAudit.run(vm);
        vm.close();
    }

    long table() {
        next += 4096;
        return next - 4096;
    }

    /** An address space: the memory one to one by small pages, and an empty last-level table for {@link #LA}. */
    long space() {
        long top = table();
        for (long at = 0; at < RAM; at += 4096) {
            HostMemory.put64(hva + tableFor(top, at) + (at >>> 12 & 511) * 8, at | P | W | A | D);
        }
        tableFor(top, LA);
        return top;
    }

    /** gpa of the last-level table for {@code la}, made if need be. */
    long tableFor(long top, long la) {
        return tableFor(top, la, 1);
    }

    /** gpa of the table at a level for {@code la}, made if need be. */
    long tableFor(long top, long la, int goal) {
        long t = top;
        for (int level = 4; level > goal; level--) {
            long at = hva + t + (la >>> 12 + 9 * (level - 1) & 511) * 8;
            if (HostMemory.get64(at) == 0) {
                HostMemory.put64(at, table() | P | W | A);
            }
            t = HostMemory.get64(at) & 0xffff_f000L;
        }
        return t;
    }

    static long la(int page) {
        return LA + ((long) page << 12);
    }

    static long data(int page) {
        return DATA + ((long) page << 12);
    }

    /** The guest enters a page of its data, by a store. */
    void map(int page, int to, long bits) {
        v.store64(pt + 8L * page, data(to) | bits);
    }

    ShadowFigures figures() {
        return vm.shadow == null ? null : vm.shadow.figures();
    }
}
