package dev.slate.benchmarks.speed;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * One VM whose vCPUs all stand before the first round of the same work, each with the guest's memory to itself.
 *
 * <p>The guest lies at fixed addresses. So only vCPU 0 boots it, to its B; the others are what it is then: its registers, and a copy of its
 * memory, which lies in the VM's one slot {@link #window} bytes further for each. The copy's page tables have the copy's physical addresses, so
 * that the same linear addresses lead there.
 *
 * <p>Of one thread, but for those that it starts and awaits itself.
 */
final class MachineOfCopies implements AutoCloseable {
    private static final long LARGE_PAGE = 2 << 20;
    private static final long HOST_PAGE = 4096;

    // Entries of page tables (SDM 3A 4.5).
    private static final int ENTRIES = 512;
    private static final long PRESENT = 1;
    private static final long LARGE = 1 << 7;
    private static final long ADDRESS = 0x000f_ffff_ffff_f000L;
    private static final int PML4 = 4;
    private static final int PAGE_TABLE = 1;

    private final Work work;
    private final Kvm kvm;
    private final Vm vm;
    private final List<Vcpu> vcpus = new ArrayList<>();
    /** Bytes from one vCPU's memory to the next one's: whole large pages, which are what the guest maps. */
    private final long window;
    /** Host address and bytes of the slot. */
    private final long hva;

    private final long bytes;

    /**
     * Boots the guest and copies it.
     *
     * @param count vCPUs, at least 1
     * @param rounds of each
     * @throws IOException the guest is not there
     * @throws IllegalStateException it did not come to its B
     */
    MachineOfCopies(InSlate slate, Work work, int count, long rounds) throws IOException {
        this.work = work;
        kvm = slate.kvm();
        window = (work.memory() + LARGE_PAGE - 1) & -LARGE_PAGE;
        bytes = count * window;
        hva = kvm.host().allocate(bytes, LARGE_PAGE);
        for (long at = 0; at < window; at += HOST_PAGE) {
            // As copies do: what the host gives at a first access would be in the one's time and not in the others'.
            HostMemory.put8(hva + at, 0);
        }
        slate.load(work, rounds, hva);
        vm = kvm.createVm(0);
        vm.createIrqchip();
        vm.setUserMemoryRegion(0, 0, 0, bytes, hva);
        Vcpu first = vm.createVcpu(0);
        vcpus.add(first);
        InSlate.enter(first, kvm);
        InSlate.awaitCharacter(first, work, 'B');
        // RIP is behind the OUT of an exit when the next run has completed it.
        int errno = first.run(true);
        if (errno != Errno.EINTR.number()) {
            throw new IllegalStateException(
                    work.name() + ": errno " + errno + " from a run that was to complete an OUT only");
        }
        for (int id = 1; id < count; id++) {
            HostMemory.copy(hva, hva + id * window, window);
            vcpus.add(copy(first, id));
        }
    }

    /** A vCPU with the state of {@code from}, on the memory of window {@code id}. */
    private Vcpu copy(Vcpu from, int id) {
        Vcpu to = vm.createVcpu(id);
        to.setCpuid(from.getCpuid());
        Sregs own = new Sregs();
        to.getSregs(own);
        Sregs sregs = new Sregs();
        from.getSregs(sregs);
        moveTables(sregs.cr3 & ADDRESS, PML4, id * window);
        sregs.cr3 += id * window;
        // Which of the processors starts the machine stands there.
        sregs.apicBase = own.apicBase;
        to.setSregs(sregs);
        to.setXcr0(from.getXcr0());
        byte[] xsave = new byte[from.xsaveBytes()];
        from.getXsave(xsave);
        to.setXsave(xsave);
        Regs regs = new Regs();
        from.getRegs(regs);
        to.setRegs(regs);
        to.setMpState(MpState.RUNNABLE);
        return to;
    }

    /**
     * Has the copy of a table, and of those below it, lead into the copy. What leads out of the guest's memory leads nowhere then: there are the
     * others' windows. No table may stand in two places of the tree.
     *
     * @param table its guest-physical address as the guest wrote it
     * @param level {@link #PML4} to {@link #PAGE_TABLE}
     * @param offset of the copy
     */
    private void moveTables(long table, int level, long offset) {
        for (int i = 0; i < ENTRIES; i++) {
            long at = hva + offset + table + 8L * i;
            long entry = HostMemory.get64(at);
            if ((entry & PRESENT) == 0) {
                continue;
            }
            long target = entry & ADDRESS;
            if (target >= window) {
                HostMemory.put64(at, 0);
                continue;
            }
            if (level > PAGE_TABLE && (entry & LARGE) == 0) {
                moveTables(target, level - 1, offset);
            }
            HostMemory.put64(at, entry + offset);
        }
    }

    /**
     * Runs all vCPUs at once, each on a thread of its own, from their B to their E, and then has each say its answer. Once only.
     *
     * @throws IllegalStateException a vCPU did not end as it should
     */
    Took run() throws InterruptedException {
        double wall;
        double processor;
        try (ExecutorService threads = Executors.newFixedThreadPool(vcpus.size())) {
            List<Callable<Boolean>> runs = new ArrayList<>();
            for (Vcpu vcpu : vcpus) {
                runs.add(() -> {
                    InSlate.awaitCharacter(vcpu, work, 'E');
                    return true;
                });
            }
            double processorBegin = Side.processorTime(ProcessHandle.current());
            long begin = System.nanoTime();
            List<Future<Boolean>> ended = threads.invokeAll(runs);
            wall = (System.nanoTime() - begin) / 1e9;
            processor = Side.processorTime(ProcessHandle.current()) - processorBegin;
            for (int id = 0; id < ended.size(); id++) {
                try {
                    ended.get(id).get();
                } catch (ExecutionException e) {
                    throw new IllegalStateException("vCPU " + id + " of " + vcpus.size(), e.getCause());
                }
            }
        }
        List<String> answers = new ArrayList<>();
        for (Vcpu vcpu : vcpus) {
            answers.add(InSlate.line(vcpu, work));
        }
        return new Took(wall, processor, answers);
    }

    @Override
    public void close() {
        vcpus.forEach(Vcpu::close);
        vm.close();
        kvm.host().free(hva, bytes);
    }

    /**
     * What it took from when all were at their B to when all were at their E.
     *
     * @param wall seconds
     * @param processor seconds of processor time, user's and system's, of the whole process
     * @param answers of each vCPU
     */
    record Took(double wall, double processor, List<String> answers) {}
}
