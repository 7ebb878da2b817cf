package dev.slate.benchmarks;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.VcpuExit;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;

/**
 * A virtual machine with one vCPU in 64-bit mode, made through the Java API: 2 MiB of memory at 0 for page tables, code and
 * stack, and the benchmark's own memory at 1 GiB. Guest-virtual addresses are guest-physical ones.
 */
final class SmallGuest implements AutoCloseable {
    /** Guest-physical address of the benchmark's own memory. */
    static final long DATA = 1L << 30;

    private static final int LOW_BYTES = 2 << 20;
    private static final int PML4 = 0x1000;
    private static final int PDPT = 0x2000;
    private static final int PAGE_DIRECTORY = 0x3000;
    private static final int DATA_DIRECTORY = 0x4000;
    /** Page tables of the data, where the guest maps it by small pages. */
    private static final int DATA_TABLES = 0x10_0000;

    private static final int CODE = 0x10000;
    private static final int PRESENT_WRITABLE = 3;
    private static final int LARGE = 1 << 7;

    final ArenaHost host = new ArenaHost();
    final Vm vm;
    final Vcpu vcpu;
    final long dataBytes;
    final long dataHva;

    private final long low;
    private final long runArea;

    /**
     * Makes the machine.
     *
     * @param dataBytes size of the memory at {@link #DATA}, a multiple of 2 MiB, at most 1 GiB, or 0
     * @param code what the vCPU runs; it should never end
     */
    SmallGuest(long dataBytes, byte[] code) {
        this(dataBytes, code, Knobs.standard());
    }

    /** With knobs of its own. */
    SmallGuest(long dataBytes, byte[] code, Knobs knobs) {
        this(dataBytes, code, knobs, false);
    }

    /** @param smallPages the guest's own tables map the data by 4 KiB; then it is at most 512 MiB */
    SmallGuest(long dataBytes, byte[] code, Knobs knobs, boolean smallPages) {
        this.dataBytes = dataBytes;
        Kvm kvm = new Kvm(host, knobs);
        vm = kvm.createVm(0);
        low = host.allocate(LOW_BYTES, 4096);
        HostMemory.put64(low + PML4, PDPT | PRESENT_WRITABLE);
        HostMemory.put64(low + PDPT, PAGE_DIRECTORY | PRESENT_WRITABLE);
        HostMemory.put64(low + PDPT + 8, DATA_DIRECTORY | PRESENT_WRITABLE);
        HostMemory.put64(low + PAGE_DIRECTORY, PRESENT_WRITABLE | LARGE);
        for (long at = 0; at < dataBytes; at += 2 << 20) {
            long table = DATA_TABLES + (at >> 21) * 4096;
            long entry = smallPages ? table | PRESENT_WRITABLE : DATA + at | PRESENT_WRITABLE | LARGE;
            HostMemory.put64(low + DATA_DIRECTORY + (at >> 21) * 8, entry);
            for (int page = 0; smallPages && page < 512; page++) {
                HostMemory.put64(low + table + 8 * page, DATA + at + 4096L * page | PRESENT_WRITABLE);
            }
        }
        HostMemory.copyIn(code, 0, low + CODE, code.length);
        vm.setUserMemoryRegion(0, 0, 0, LOW_BYTES, low);
        dataHva = dataBytes == 0 ? 0 : host.allocate(dataBytes, 2 << 20);
        if (dataBytes != 0) {
            mapData(0);
        }
        runArea = host.allocate(Kvm.RUN_AREA_PAGES * 4096L, 4096);
        vcpu = vm.createVcpu(0, runArea);
        enterLongMode(vcpu, DATA);
    }

    /** Another vCPU that runs the same code. @param r8 what its register R8 holds: for {@link #touchLoop} its part of the memory; the first vCPU has {@link #DATA} */
    Vcpu addVcpu(int id, long r8) {
        Vcpu another = vm.createVcpu(id);
        enterLongMode(another, r8);
        return another;
    }

    private static void enterLongMode(Vcpu vcpu, long r8) {
        Sregs sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.setFlat64(PML4);
        vcpu.setSregs(sregs);
        Regs regs = new Regs();
        regs.rip = CODE;
        regs.rsp = 0x20000;
        regs.r8 = r8;
        regs.rflags = 2;
        vcpu.setRegs(regs);
    }

    /** Puts the benchmark's memory into slot 1, which drops every mapping of it when it was there. */
    void mapData(int flags) {
        vm.setUserMemoryRegion(1, flags, DATA, dataBytes, dataHva);
    }

    /** Takes slot 1 away: every SPTE on it is zapped. */
    void unmapData() {
        vm.setUserMemoryRegion(1, 0, DATA, 0, dataHva);
    }

    /** Adds one-page slots that the guest never touches, below and above the benchmark's, until there are {@code count} in all. */
    void fillSlots(int count) {
        for (int slot = 2; slot < count; slot++) {
            long gpa = (slot % 2 == 0 ? LOW_BYTES : DATA + (1L << 40)) + ((long) slot << 13);
            vm.setUserMemoryRegion(slot, 0, gpa, 4096, low);
        }
    }

    /** Runs to the guest's next {@code in}. */
    void runToExit() {
        int error = vcpu.run(false);
        if (error != 0 || vcpu.exit().reason != VcpuExit.IO) {
            throw new IllegalStateException("run gave errno " + error + ", exit reason " + vcpu.exit().reason);
        }
    }

    @Override
    public void close() {
        vcpu.close();
        vm.close();
        host.free(runArea, Kvm.RUN_AREA_PAGES * 4096L);
        host.free(low, LOW_BYTES);
        if (dataBytes != 0) {
            host.free(dataHva, dataBytes);
        }
    }

    /** {@code 1: in $0x40,%al; jmp 1b}. */
    static byte[] inForEver() {
        return bytes(0xe4, 0x40, 0xeb, 0xfc);
    }

    /**
     * Adds numbers {@code count} times, then reads a port, for ever:
     * {@code 1: mov $count,%ecx; 2: add %rcx,%rax; dec %ecx; jnz 2b; in $0x40,%al; jmp 1b}.
     */
    static byte[] addLoop(int count) {
        return bytes(
                0xb9,
                count,
                count >> 8,
                count >> 16,
                count >> 24,
                0x48,
                0x01,
                0xc8,
                0xff,
                0xc9,
                0x75,
                0xf9,
                0xe4,
                0x40,
                0xeb,
                0xf0);
    }

    /**
     * Writes one word to each of {@code pages} pages from the address in R8 on, then reads a port, for ever:
     * {@code 1: mov %r8,%rdi; mov $pages,%ecx; 2: mov %rcx,(%rdi); add $4096,%rdi; dec %ecx; jnz 2b; in $0x40,%al; jmp 1b}.
     */
    static byte[] touchLoop(int pages) {
        return bytes(
                0x4c,
                0x89,
                0xc7,
                0xb9,
                pages,
                pages >> 8,
                pages >> 16,
                pages >> 24,
                0x48,
                0x89,
                0x0f,
                0x48,
                0x81,
                0xc7,
                0,
                0x10,
                0,
                0,
                0xff,
                0xc9,
                0x75,
                0xf2,
                0xe4,
                0x40,
                0xeb,
                0xe6);
    }

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return bytes;
    }
}
