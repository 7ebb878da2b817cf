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

    /** Marks below this are failures. */
    private static final int FIRST_PHASE = 100;

    @Override
    public Took run(Work work, long rounds) throws IOException {
        return run(new Kvm(new ArenaHost(), knobs), work, rounds);
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
        byte[] image = Files.readAllBytes(guests.resolve(work.guest() + ".bin"));
        long hva = kvm.host().allocate(work.memory(), 2 << 20);
        HostMemory.copyIn(image, 0, hva + IMAGE, image.length);
        long[] parameters = work.parameters(rounds);
        for (int i = 0; i < parameters.length; i++) {
            HostMemory.put64(hva + PARAMETERS + 8L * i, parameters[i]);
        }
        vm.setUserMemoryRegion(0, 0, 0, work.memory(), hva);
        enter(vcpu, kvm);
        Took took = run(vcpu, work);
        kvm.host().free(hva, work.memory());
        return took;
    }

    private static Took run(Vcpu vcpu, Work work) {
        double begin = 0;
        double seconds = 0;
        boolean right = false;
        StringBuilder answer = new StringBuilder();
        for (; ; ) {
            int errno = vcpu.run(false);
            if (errno != 0 || !(vcpu.exit().value() instanceof Exit.PortOut out)) {
                throw new IllegalStateException(
                        work.name() + ": errno " + errno + ", " + vcpu.exit().value());
            }
            int character = HostMemory.get8(vcpu.portData());
            if (out.port() == MARK && HostMemory.get32(vcpu.portData()) >= FIRST_PHASE) {
                continue;
            }
            if (out.port() != CHARACTER) {
                throw new IllegalStateException(work.name() + " ended with mark " + character);
            }
            switch (character) {
                case 'B' -> begin = Side.processorTime(ProcessHandle.current());
                case 'E' -> {
                    seconds = Side.processorTime(ProcessHandle.current()) - begin;
                    right = true;
                }
                case '\n' -> {
                    if (!right) {
                        throw new IllegalStateException(work.name() + ": its rounds gave different answers");
                    }
                    return new Took(seconds, answer.toString());
                }
                default -> answer.append((char) character);
            }
        }
    }

    /** As guests/README.md says: 32-bit protected mode, flat segments, EBX at the parameters. */
    private static void enter(Vcpu vcpu, Kvm kvm) {
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
