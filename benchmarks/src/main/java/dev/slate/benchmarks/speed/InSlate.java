package dev.slate.benchmarks.speed;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Regs;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Slate, in this process, with knobs. */
record InSlate(Path guests, Knobs knobs) implements Side {
    /** The port of guests/README.md's marks. */
    private static final int MARK = 0xf4;

    /** What a guest writes in place of E when its rounds gave different answers. */
    private static final int WRONG = 'X';

    /** Marks below this are failures. */
    private static final int FIRST_PHASE = 100;

    @Override
    public Took run(Work work, long rounds) throws IOException {
        return run(kvm(), work, rounds);
    }

    /** A hypervisor with the knobs, on a host of its own. */
    Kvm kvm() {
        return new Kvm(new ArenaHost(), knobs);
    }

    /** Instructions of one round: what one has more than none. */
    long count(Work work) throws IOException {
        long[] counted = new long[2];
        for (int i = 0; i < 2; i++) {
            Kvm kvm = new Kvm(new ArenaHost());
            Counter counter = new Counter();
            kvm.observeWith(vcpu -> counter);
            run(kvm, work, i);
            counted[i] = counter.instructions;
        }
        return counted[1] - counted[0];
    }

    private Took run(Kvm kvm, Work work, long rounds) throws IOException {
        try (Vm vm = kvm.createVm(0)) {
            vm.createIrqchip();
            try (Vcpu vcpu = vm.createVcpu(0)) {
                return run(kvm, vm, vcpu, work, rounds);
            }
        }
    }

    private Took run(Kvm kvm, Vm vm, Vcpu vcpu, Work work, long rounds) throws IOException {
        long hva = kvm.host().allocate(work.memory(), 2 << 20);
        load(work, rounds, hva);
        vm.setUserMemoryRegion(0, 0, 0, work.memory(), hva);
        enter(vcpu, kvm);
        awaitCharacter(vcpu, work, 'B');
        double begin = Side.processorTime(ProcessHandle.current());
        awaitCharacter(vcpu, work, 'E');
        double seconds = Side.processorTime(ProcessHandle.current()) - begin;
        Took took = new Took(seconds, line(vcpu, work));
        kvm.host().free(hva, work.memory());
        return took;
    }

    /** Writes image and parameters to a guest's memory, which begins at {@code hva}. @throws IOException the image is not there */
    void load(Work work, long rounds, long hva) throws IOException {
        byte[] image = Files.readAllBytes(guests.resolve(work.guest() + ".bin"));
        HostMemory.copyIn(image, 0, hva + IMAGE, image.length);
        long[] parameters = work.parameters(rounds);
        for (int i = 0; i < parameters.length; i++) {
            HostMemory.put64(hva + PARAMETERS + 8L * i, parameters[i]);
        }
    }

    /** Runs the guest until it writes a character, which must be this one. @throws IllegalStateException it is not, or none comes */
    static void awaitCharacter(Vcpu vcpu, Work work, char awaited) {
        int character = nextCharacter(vcpu, work);
        if (character == WRONG) {
            throw new IllegalStateException(work.name() + ": its rounds gave different answers");
        }
        if (character != awaited) {
            throw new IllegalStateException(work.name() + " wrote " + (char) character + ", not " + awaited);
        }
    }

    /** Runs the guest until it has written a line's end, and gives what is before it. @throws IllegalStateException none comes */
    static String line(Vcpu vcpu, Work work) {
        StringBuilder line = new StringBuilder();
        for (int character; (character = nextCharacter(vcpu, work)) != '\n'; ) {
            line.append((char) character);
        }
        return line.toString();
    }

    private static int nextCharacter(Vcpu vcpu, Work work) {
        for (; ; ) {
            int errno = vcpu.run(false);
            if (errno != 0 || !(vcpu.exit().value() instanceof Exit.PortOut out)) {
                throw new IllegalStateException(
                        work.name() + ": errno " + errno + ", " + vcpu.exit().value());
            }
            if (out.port() == CHARACTER) {
                return HostMemory.get8(vcpu.portData());
            }
            int mark = HostMemory.get32(vcpu.portData());
            if (out.port() != MARK || mark < FIRST_PHASE) {
                throw new IllegalStateException(work.name() + " ended with mark " + mark);
            }
        }
    }

    /** As guests/README.md says: 32-bit protected mode, flat segments, EBX at the parameters. */
    static void enter(Vcpu vcpu, Kvm kvm) {
        vcpu.setCpuid(kvm.supportedCpuid());
        Sregs sregs = new Sregs();
        vcpu.getSregs(sregs);
        sregs.setFlat32();
        vcpu.setSregs(sregs);
        Regs regs = new Regs();
        regs.rip = IMAGE;
        regs.rbx = PARAMETERS;
        regs.rflags = 2;
        vcpu.setRegs(regs);
        vcpu.setMpState(MpState.RUNNABLE);
    }

    /** Counts instructions by running one at a time. */
    private static final class Counter implements RunObserver {
        long instructions;

        @Override
        public int run(Cpu cpu, boolean one) {
            for (; ; ) {
                int code = cpu.runOne();
                instructions++;
                if (one || code != CpuExit.NONE) {
                    return code;
                }
                if (HostMemory.get32(cpu.kickAddress) != 0) {
                    return CpuExit.INTR;
                }
            }
        }
    }
}
