package dev.slate.benchmarks;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Regs;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import dev.slate.kvm.host.ArenaHost;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * Instructions per second of the processor on the loops of guests/cpu-loops, beside QEMU's TCG on the same guest binary: turn by turn,
 * medians. The command is {@code slate speed cpu}.
 *
 * <p>The instructions of a round are counted by stepping through it. A round is timed by the host's clock between the characters that
 * the guest writes before its first and behind its last.
 */
public final class CpuSpeed {
    private static final String[] LOOPS = {"sieve", "hash-scatter", "memcpy", "crc32", "float", "indirect-call"};
    private static final Knobs INTERPRETED = Knobs.parse("cpu.translator=off");
    private static final Knobs TRANSLATED = Knobs.parse("cpu.translator=on");
    private static final int TURNS = 5;
    private static final long MEMORY = 8 << 20;
    private static final long IMAGE = 0x100000;
    private static final long PARAMETERS = 0x8000;
    private static final int CHARACTER = 0xe9;
    /** What one measured run of Slate should take. */
    private static final double SECONDS = 0.6;

    private static final String QEMU = "qemu-system-x86_64";

    private final Path guests;
    private final byte[] image;
    private final boolean qemu;

    private CpuSpeed(Path guests) throws IOException {
        this.guests = guests;
        this.image = Files.readAllBytes(guests.resolve("cpu-loops.bin"));
        this.qemu = onPath(QEMU);
    }

    private static boolean onPath(String program) {
        String path = System.getenv("PATH");
        return path != null
                && Arrays.stream(path.split(":"))
                        .anyMatch(f -> Files.isExecutable(Path.of(f).resolve(program)));
    }

    /**
     * Measures all loops, or those named.
     *
     * @param arguments the folder of the built guests, then names of loops
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        List<String> wanted = List.of(arguments).subList(1, arguments.length);
        for (String name : wanted) {
            if (!List.of(LOOPS).contains(name)) {
                System.err.println(
                        "slate: speed cpu: no such loop: " + name + "; there are " + String.join(", ", LOOPS));
                System.exit(2);
            }
        }
        CpuSpeed speed = new CpuSpeed(Path.of(arguments[0]));
        if (!speed.qemu) {
            System.err.println("slate: " + QEMU + " is not installed, so its column stays empty");
        }
        System.out.println("| loop | instructions a round | interpreted, M/s | translated, M/s | QEMU TCG, M/s |"
                + " translated: time of TCG's |");
        System.out.println("|---|---:|---:|---:|---:|---:|");
        for (int i = 0; i < LOOPS.length; i++) {
            if (wanted.isEmpty() || wanted.contains(LOOPS[i])) {
                speed.measure(i);
            }
        }
    }

    private void measure(int loop) throws IOException, InterruptedException {
        long instructions = count(loop);
        // Two short runs first, for the compiler.
        run(INTERPRETED, loop, rounds(run(INTERPRETED, loop, 1)));
        int rounds = rounds(run(INTERPRETED, loop, 2) / 2);
        run(TRANSLATED, loop, rounds);
        int more = rounds(run(TRANSLATED, loop, rounds) / rounds);
        double[] slate = new double[TURNS];
        double[] translated = new double[TURNS];
        double[] tcg = new double[TURNS];
        for (int i = 0; i < TURNS; i++) {
            slate[i] = run(INTERPRETED, loop, rounds) / rounds;
            translated[i] = run(TRANSLATED, loop, more) / more;
            if (qemu) {
                // As long a run: TCG's is several times faster.
                tcg[i] = runQemu(loop, rounds * 4) / (rounds * 4);
            }
        }
        double interpreted = instructions / median(slate) / 1e6;
        double ours = instructions / median(translated) / 1e6;
        double theirs = qemu ? instructions / median(tcg) / 1e6 : Double.NaN;
        System.out.printf(
                Locale.ROOT,
                "| %s | %,d | %.0f | %.0f | %s | %s |%n",
                LOOPS[loop],
                instructions,
                interpreted,
                ours,
                qemu ? String.format(Locale.ROOT, "%.0f", theirs) : "",
                qemu ? String.format(Locale.ROOT, "%.2f", theirs / ours) : "");
    }

    private static int rounds(double secondsOfOne) {
        return (int) Math.max(1, Math.round(SECONDS / secondsOfOne));
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }

    // ------------------------------------------------------------------ Slate

    /** Instructions of one round: what two rounds have more than one. */
    private long count(int loop) {
        long[] counted = new long[2];
        for (int i = 0; i < 2; i++) {
            Kvm kvm = new Kvm(new ArenaHost());
            Counter counter = new Counter();
            kvm.observeWith(vcpu -> counter);
            run(kvm, loop, i + 1);
            counted[i] = counter.instructions;
        }
        return counted[1] - counted[0];
    }

    /** Seconds of so many rounds. */
    private double run(Knobs knobs, int loop, int rounds) {
        return run(new Kvm(new ArenaHost(), knobs), loop, rounds);
    }

    private double run(Kvm kvm, int loop, int rounds) {
        try (Vm vm = kvm.createVm(0);
                Vcpu vcpu = vm.createVcpu(0)) {
            long hva = kvm.host().allocate(MEMORY, 4096);
            HostMemory.copyIn(image, 0, hva + IMAGE, image.length);
            HostMemory.put64(hva + PARAMETERS, MEMORY);
            HostMemory.put64(hva + PARAMETERS + 8, loop);
            HostMemory.put64(hva + PARAMETERS + 16, rounds);
            vm.setUserMemoryRegion(0, 0, 0, MEMORY, hva);
            enter(vcpu, kvm);
            long begin = 0;
            for (; ; ) {
                int errno = vcpu.run(false);
                if (errno != 0 || !(vcpu.exit().value() instanceof Exit.PortOut out) || out.port() != CHARACTER) {
                    throw new IllegalStateException(
                            "errno " + errno + ", " + vcpu.exit().value());
                }
                int character = HostMemory.get8(vcpu.portData());
                if (character == 'B') {
                    begin = System.nanoTime();
                } else if (character == 'E') {
                    double seconds = (System.nanoTime() - begin) / 1e9;
                    kvm.host().free(hva, MEMORY);
                    return seconds;
                } else {
                    throw new IllegalStateException(LOOPS[loop] + ": a wrong answer");
                }
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
    }

    /** Counts instructions by running one at a time. */
    private static final class Counter implements RunObserver {
        long instructions;

        @Override
        public boolean mayRun() {
            return true;
        }

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

        @Override
        public void exited(Cpu cpu, int code, int outcome) {}

        @Override
        public void close() {}
    }

    // ------------------------------------------------------------------ QEMU

    private double runQemu(int loop, int rounds) throws IOException, InterruptedException {
        List<String> command =
                new ArrayList<>(List.of(QEMU, "-accel", "tcg", "-machine", "pc", "-m", "64", "-display"));
        command.addAll(List.of("none", "-nodefaults", "-no-reboot", "-bios"));
        command.add(guests.resolve("reset-rom.bin").toString());
        command.add("-device");
        command.add("loader,file=" + guests.resolve("cpu-loops.bin") + ",addr=0x100000,force-raw=on");
        long[] parameters = {MEMORY, loop, rounds};
        for (int i = 0; i < parameters.length; i++) {
            command.add("-device");
            command.add("loader,addr=" + (PARAMETERS + 8L * i) + ",data=" + parameters[i] + ",data-len=8");
        }
        command.addAll(List.of("-chardev", "stdio,id=c", "-device", "isa-debugcon,iobase=0xe9,chardev=c"));
        command.addAll(List.of("-device", "isa-debug-exit,iobase=0xf4,iosize=4"));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .redirectInput(Path.of("/dev/null").toFile())
                .start();
        long begin = 0;
        long end = 0;
        try (InputStream out = process.getInputStream()) {
            for (int c; (c = out.read()) >= 0; ) {
                if (c == 'B') {
                    begin = System.nanoTime();
                } else if (c == 'E') {
                    end = System.nanoTime();
                }
            }
        }
        // isa-debug-exit ends with twice the mark plus one.
        if (process.waitFor() != 1 || end == 0) {
            throw new IllegalStateException(QEMU + " did not finish " + LOOPS[loop]);
        }
        return (end - begin) / 1e9;
    }
}
