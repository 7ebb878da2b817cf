package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.cpuid.CpuidTable;
import dev.slate.kvm.cpuid.Feature;
import dev.slate.kvm.msr.Msr;
import dev.slate.kvm.stats.VmStats;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** A guest's guest below nested tables, and what happens to its memory meanwhile. */
final class NestedMemoryTest {
    private static final long L2 = NestedGuest.L2;
    /** An address of L2's that {@link #map} leads somewhere. */
    private static final long PAGE = 0x18_0000;

    private static final long FAULT = 1L << 32;

    private static NestedGuest guest() {
        NestedGuest n = new NestedGuest("tdp=on");
        n.nestedPaging();
        return n;
    }

    /** The entry of {@link #PAGE}. */
    private static void map(NestedGuest n, long entry) {
        HostMemory.put64(n.g.hva + NestedGuest.NESTED + 0x3000 + (PAGE >>> 12) * 8, entry);
    }

    /** R8 of L2, whose code uses it for {@link #PAGE}. */
    private static void page(NestedGuest n) {
        Regs r = n.g.regs();
        r.r8 = PAGE;
        n.g.vcpu.setRegs(r);
    }

    private static void runToL1(NestedGuest n) {
        assertThat(n.g.run()).isEqualTo(new Exit.Halt());
        assertThat(n.g.regs().rip).isEqualTo(NestedGuest.DONE);
    }

    @Test
    void nestedPagingIsOfferedUnderTwoDimensionalPagingOnly() {
        for (String paging : new String[] {"tdp=on", "tdp=off"}) {
            boolean there = paging.equals("tdp=on");
            try (NestedGuest n = new NestedGuest(paging)) {
                CpuidTable table = new CpuidTable();
                table.set(n.g.kvm.supportedCpuid());
                assertThat(table.has(Feature.NPT)).isEqualTo(there);
                n.nestedPaging();
                n.code("0f01d9");
                runToL1(n);
                assertThat(n.exitCode()).isEqualTo(there ? 0x81 : -1);
            }
        }
    }

    @Test
    void theClientHearsOfAnAccessByTheHypervisorsAddress() {
        try (NestedGuest n = guest()) {
            map(n, Guest64.NOWHERE | 0x67);
            page(n);
            n.code("418b5810 45895804 0f01d9");
            assertThat(n.g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + 0x10, 4));
            n.g.vcpu.exit().mmioData[0] = 0x5a;
            assertThat(n.g.run()).isInstanceOf(Exit.MmioWrite.class);
            assertThat(n.g.vcpu.exit().mmioPhysAddr).isEqualTo(Guest64.NOWHERE + 4);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(n.g.regs().rbx & 0xff).isEqualTo(0x5a);
        }
        // Not for writing, when the hypervisor's tables say so.
        try (NestedGuest n = guest()) {
            map(n, Guest64.NOWHERE | 0x65);
            page(n);
            n.code("418b5810 418b5810 45895804 0f01d9");
            assertThat(n.g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + 0x10, 4));
            assertThat(n.g.run()).isEqualTo(new Exit.MmioRead(Guest64.NOWHERE + 0x10, 4));
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x400);
            assertThat(n.get64(0x78)).isEqualTo(7 | FAULT);
            assertThat(n.get64(0x80)).isEqualTo(PAGE + 4);
        }
    }

    @Test
    void directoryPointersThatLieInNoMemoryMapNothing() {
        try (NestedGuest n = guest()) {
            n.legacy();
            n.put64(0x548, 0x20); // CR4.PAE
            n.put64(0x550, Guest64.NOWHERE);
            n.put64(0x558, 0x8000_0011L);
            n.intercept(0x4e);
            n.code("0f01d9");
            runToL1(n);
            assertThat(n.exitCode()).as("#PF of the first fetch").isEqualTo(0x4e);
            assertThat(n.get64(0x80)).isEqualTo(L2);
        }
    }

    @Test
    void memoryThatGoesAwayIsGoneForTheGuestsGuest() {
        try (NestedGuest n = guest()) {
            long more = n.g.host.allocate(4096, 4096);
            n.g.vm.setUserMemoryRegion(1, 0, 0x80_0000, 4096, more);
            HostMemory.put32(more, 0x1234);
            map(n, 0x80_0067);
            page(n);
            // mov ebx, [r8]; out 80h, al; mov ebx, [r8]; vmmcall
            n.code("418b18 e680 418b18 0f01d9");
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(n.g.regs().rbx).isEqualTo(0x1234);
            n.g.vm.setUserMemoryRegion(1, 0, 0x80_0000, 0, more);
            assertThat(n.g.run()).isEqualTo(new Exit.MmioRead(0x80_0000, 4));
            n.g.host.free(more, 4096);
        }
    }

    @Test
    void aPageThatTheHypervisorHasMappedIsNotPopulatedOnceMore() {
        try (NestedGuest n = guest()) {
            n.code("418b18 0f01d9"); // mov ebx, [r8]; vmmcall
            long[] pages = {0x19_0000, 0x1a_0000, Guest64.CODE};
            int[] populations = new int[pages.length];
            for (int i = 0; i < pages.length; i++) {
                populations[i] = populations(n, i, pages[i]);
            }
            // The first one populates whatever all of them need.
            assertThat(populations[2]).isEqualTo(populations[1] - 1);
        }
    }

    /** How many pages a run populates whose guest's guest reads this one, at an address of its own. */
    private static int populations(NestedGuest n, int which, long page) {
        long at = PAGE + ((long) which << 16);
        n.start();
        n.nestedPaging();
        HostMemory.put64(n.g.hva + NestedGuest.NESTED + 0x3000 + (at >>> 12) * 8, page | 0x67);
        Regs r = n.g.regs();
        r.r8 = at;
        n.g.vcpu.setRegs(r);
        int before = n.g.host.populations;
        runToL1(n);
        assertThat(n.exitCode()).isEqualTo(0x81);
        return n.g.host.populations - before;
    }

    @Test
    void theDirtyLogHearsOfTheGuestsGuestAndOfAccessedBitsInItsHypervisorsTables() {
        try (NestedGuest n = guest()) {
            map(n, 0x19_0067);
            page(n);
            // out 80h, al; mov [r8], ebx; out 80h, al; mov [r8], ebx; vmmcall
            n.code("e680 418918 e680 418918 0f01d9");
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            n.g.vm.setUserMemoryRegion(0, 1, 0, Guest64.MEMORY, n.g.hva);
            assertThat(dirty(n, 0x19_0000)).isFalse();
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(dirty(n, 0x19_0000)).isTrue();
            assertThat(dirty(n, 0x19_0000)).as("asked again").isFalse();
            map(n, 0x19_0007);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(dirty(n, 0x19_0000)).isTrue();

            n.start();
            n.nestedPaging();
            map(n, 0x19_0007);
            page(n);
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            dirty(n, 0);
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(dirty(n, NestedGuest.NESTED + 0x3000)).isTrue();
        }
    }

    @Test
    void smallPagesAroundANestedTableStayWhenDirtyLoggingEnds() {
        try (NestedGuest n = guest()) {
            n.g.host.huge = true;
            long more = n.g.host.allocate(2 << 20, 2 << 20);
            n.g.vm.setUserMemoryRegion(1, 0, 0x80_0000, 2 << 20, more);
            HostMemory.copy(n.g.hva + NestedGuest.NESTED + 0x3000, more, 4096);
            HostMemory.put64(n.g.hva + NestedGuest.NESTED + 0x2000, 0x80_0027);
            n.code("0f01d9");
            // mov rax, VMCB; vmload; vmrun; mov dword [801000h], 1; out 80h, al
            n.code(Guest64.CODE, "48c7c000000500 0f01da 0f01d8 c704250010800001000000 e680");
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            assertThat(n.exitCode()).isEqualTo(0x81);
            long small = n.g.vm.stats().get(VmStats.PAGES_4K);
            n.g.vm.setUserMemoryRegion(1, 1, 0x80_0000, 2 << 20, more);
            n.g.vm.setUserMemoryRegion(1, 0, 0x80_0000, 2 << 20, more);
            assertThat(n.g.vm.stats().get(VmStats.PAGES_4K)).isEqualTo(small);
            n.g.vm.setUserMemoryRegion(1, 0, 0x80_0000, 0, more);
            n.g.host.free(more, 2 << 20);
        }
    }

    private static boolean dirty(NestedGuest n, long gpa) {
        byte[] log = new byte[(int) (Guest64.MEMORY >>> 15)];
        n.g.vm.getDirtyLog(0, (from, bytes) -> {
            HostMemory.copyOut(from, log, 0, (int) bytes);
            return 0;
        });
        return (log[(int) (gpa >>> 15)] >>> (gpa >>> 12 & 7) & 1) != 0;
    }

    @Test
    void aStateBelowNestedTablesOutlivesBeingTakenOutAndPutBack() {
        try (NestedGuest n = guest()) {
            map(n, 0x19_0067);
            HostMemory.put32(n.g.hva + 0x19_0000, 0x77);
            page(n);
            n.code("e680 418b18 0f01d9");
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            n.g.vcpu.setNestedState(NestedGuest.idle());
            n.g.vcpu.setNestedState(state);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(n.g.regs().rbx).isEqualTo(0x77);
        }
    }

    @Test
    void whatAClientHasSetOfThePageAttributeTableStandsWhenItPutsAStateBack() {
        try (NestedGuest n = guest()) {
            n.code("e680 0f01d9");
            assertThat(n.g.run()).isInstanceOf(Exit.PortOut.class);
            NestedState state = new NestedState();
            n.g.vcpu.getNestedState(state);
            assertThat(n.g.vcpu.setMsr(Msr.PAT, 0x0505_0505_0505_0505L)).isTrue();
            n.g.vcpu.setNestedState(state);
            assertThat(msr(n, Msr.PAT)).isEqualTo(0x0505_0505_0505_0505L);
            n.g.vcpu.setNestedState(NestedGuest.idle());
            assertThat(msr(n, Msr.PAT)).isEqualTo(0x0505_0505_0505_0505L);
        }
    }

    @Test
    void theGuestsGuestHasAPageAttributeTableOfItsOwn() {
        try (NestedGuest n = guest()) {
            n.put64(0x668, 0x0606_0606_0606_0606L);
            // mov ecx, 277h; rdmsr; mov ebx, eax; mov eax, 04040404h; mov edx, eax; wrmsr; vmmcall
            n.code("b977020000 0f32 89c3 b804040404 89c2 0f30 0f01d9");
            long own = msr(n, Msr.PAT);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(n.g.regs().rbx).isEqualTo(0x0606_0606);
            assertThat(n.get64(0x668)).isEqualTo(0x0404_0404_0404_0404L);
            assertThat(msr(n, Msr.PAT)).isEqualTo(own);
        }
    }

    private static long msr(NestedGuest n, int index) {
        long[] value = new long[1];
        assertThat(n.g.vcpu.getMsr(index, value)).isTrue();
        return value[0];
    }

    @Test
    void aNestedFaultInTheDeliveryOfAnEventTellsWhichOneThatWas() {
        record Row(String code, long event, long injected) {}
        for (Row row : new Row[] {
            new Row("0f0b", 0x8000_0306L, 0),
            new Row("cd40", 0x8000_0440L, 0),
            new Row("90", 0x8000_0040L, 0x8000_0040L),
            new Row("90", 0x7_8000_0b0dL, 0x7_8000_0b0dL),
            new Row("418b18", 0, 0)
        }) {
            try (NestedGuest n = guest()) {
                // L2's table of interrupts lies where nothing is, to which R8 leads too.
                n.segment(0x480, 0, 0, PAGE, 0xfff);
                map(n, 0);
                page(n);
                n.put64(0xa8, row.injected);
                n.code(row.code + "0f01d9");
                runToL1(n);
                assertThat(n.exitCode()).as(row.code).isEqualTo(0x400);
                assertThat(n.get64(0x88)).as(row.code).isEqualTo(row.event);
                assertThat(n.get64(0x578)).as(row.code).isEqualTo(L2);
            }
        }
    }

    @Test
    void directoryPointersOfTheGuestsGuestLieBelowNestedTables() {
        try (NestedGuest n = guest()) {
            map(n, 0x19_0067);
            n.legacy();
            n.put64(0x548, 0x620);
            n.put64(0x558, 0x8000_0031L);
            n.put64(0x550, PAGE);
            HostMemory.put64(n.g.hva + 0x19_0000, 0x3001);
            n.code("bb21000000 0f01d9");
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x81);
            assertThat(n.g.regs().rbx).isEqualTo(0x21);
        }
        // Where nothing is mapped.
        try (NestedGuest n = guest()) {
            n.legacy();
            n.put64(0x548, 0x620);
            n.put64(0x558, 0x8000_0031L);
            n.put64(0x550, PAGE);
            map(n, 0);
            runToL1(n);
            assertThat(n.exitCode()).isEqualTo(0x400);
            assertThat(n.get64(0x78)).isEqualTo(6 | 1L << 33);
        }
    }

    @Test
    void aGuestsGuestThatWritesToTheTablesAboveItFindsItsOwnWork() {
        try (NestedGuest n = guest()) {
            n.flushAtEntry();
            long leaf = NestedGuest.NESTED + 0x3000 + (PAGE >>> 12) * 8;
            HostMemory.put32(n.g.hva + PAGE, 0x11);
            HostMemory.put32(n.g.hva + 0x19_0000, 0x22);
            map(n, PAGE | 0x67);
            page(n);
            // mov ebx, [r8]; mov dword [leaf], 190067h; vmmcall
            n.code("418b18 c70425" + little((int) leaf) + little(0x19_0067) + "0f01d9");
            runToL1(n);
            assertThat(n.g.regs().rbx).isEqualTo(0x11);
            n.put64(0x578, L2);
            again(n);
            assertThat(n.g.regs().rbx).isEqualTo(0x22);
            // The same in a table above, which stays watched: a large page in the place of the last table.
            n.code("c70425" + little((int) NestedGuest.NESTED + 0x2000) + little(0xe7) + "418b18 0f01d9");
            n.put64(0x578, L2);
            again(n);
            n.put64(0x578, L2);
            again(n);
            assertThat(n.g.regs().rbx).isEqualTo(0x11);
        }
    }

    private static void again(NestedGuest n) {
        Regs r = n.g.regs();
        r.rip = Guest64.CODE;
        r.r8 = PAGE;
        n.g.vcpu.setRegs(r);
        n.g.vcpu.setMpState(MpState.RUNNABLE);
        runToL1(n);
        assertThat(n.exitCode()).isEqualTo(0x81);
    }

    private static String little(int v) {
        return "%08x".formatted(Integer.reverseBytes(v));
    }

    /**
     * Two vCPUs whose hypervisors share nested tables: each changes its own entry before each VMRUN, and its guest must see the page that the entry
     * names. Meanwhile dirty logging comes and goes, and memory is taken away and given back.
     */
    @Test
    void hypervisorsOnTwoProcessorsThatEditOneTableAreBothSeen() throws InterruptedException {
        int rounds = Integer.getInteger("slate.nested.rounds", 4_000);
        try (NestedGuest n = guest()) {
            Vcpu other = n.g.vm.createVcpu(1);
            n.code("498b18 0f01d9");
            // mov [rsi], rdx; mov [rax+578h], r12; vmrun; cmp rbx, r10; jne out
            // mov [rsi], rcx; mov [rax+578h], r12; vmrun; cmp rbx, r11; jne out
            // dec r9; jnz to the first; hlt; out: hlt
            n.code(
                    Guest64.CODE,
                    "488916 4c89a078050000 0f01d8 4c39d3 7518"
                            + "48890e 4c89a078050000 0f01d8 4c39db 7506"
                            + "49ffc9 75d7 f4 f4");
            n.flushAtEntry();
            byte[] vmcb = n.vmcb();
            HostMemory.copyIn(vmcb, 0, n.g.hva + 0x5_2000, vmcb.length);
            AtomicReference<Throwable> failed = new AtomicReference<>();
            Thread[] threads = new Thread[2];
            for (int i = 0; i < 2; i++) {
                Vcpu v = i == 0 ? n.g.vcpu : other;
                int who = i;
                if (i == 1) {
                    n.g.start(v, Guest64.CODE, Guest64.STACK - 0x1000);
                    Sregs s = new Sregs();
                    v.getSregs(s);
                    s.efer |= 1 << 12;
                    v.setSregs(s);
                    assertThat(v.setMsr(Msr.VM_HSAVE_PA, 0x5_3000)).isTrue();
                }
                long gpa = PAGE + 0x1000L * i;
                HostMemory.put64(n.g.hva + 0x19_0000 + 0x2000L * i, 0x100 + i);
                HostMemory.put64(n.g.hva + 0x19_1000 + 0x2000L * i, 0x200 + i);
                Regs r = new Regs();
                v.getRegs(r);
                r.rax = i == 0 ? NestedGuest.VMCB : 0x5_2000;
                r.rsi = NestedGuest.NESTED + 0x3000 + (gpa >>> 12) * 8;
                r.rdx = 0x19_0067 + 0x2000L * i;
                r.rcx = 0x19_1067 + 0x2000L * i;
                r.r8 = gpa;
                r.r9 = rounds;
                r.r10 = 0x100 + i;
                r.r11 = 0x200 + i;
                r.r12 = L2;
                v.setRegs(r);
                threads[i] = new Thread(() -> {
                    try {
                        assertThat(v.run(false)).isZero();
                        assertThat(v.exit().value()).isEqualTo(new Exit.Halt());
                        v.getRegs(r);
                        assertThat(r.r9)
                                .as("rounds left, vCPU %d, rbx %x", who, r.rbx)
                                .isZero();
                    } catch (Throwable e) {
                        failed.set(e);
                    }
                });
            }
            for (Thread t : threads) {
                t.start();
            }
            int turns = 0;
            while (threads[0].isAlive() || threads[1].isAlive()) {
                n.g.vm.setUserMemoryRegion(0, turns & 1, 0, Guest64.MEMORY, n.g.hva);
                n.g.vm.hostInvalidateBegin(n.g.hva + 0x10_0000, n.g.hva + 0x1a_0000);
                n.g.vm.hostInvalidateEnd(n.g.hva + 0x10_0000, n.g.hva + 0x1a_0000);
                turns++;
                Thread.onSpinWait();
            }
            for (Thread t : threads) {
                t.join();
            }
            if (failed.get() != null) {
                throw new AssertionError(failed.get());
            }
            other.close();
        }
    }
}
