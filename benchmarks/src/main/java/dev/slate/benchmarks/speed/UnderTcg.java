package dev.slate.benchmarks.speed;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** QEMU's TCG, with the processor that has all that TCG offers: qemu64, the default, has no AVX. */
record UnderTcg(Path guests) implements Side {
    static final String QEMU = "qemu-system-x86_64";

    static boolean isInstalled() {
        String path = System.getenv("PATH");
        return path != null
                && Arrays.stream(path.split(":"))
                        .anyMatch(f -> Files.isExecutable(Path.of(f).resolve(QEMU)));
    }

    @Override
    public Took run(Work work, long rounds) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(QEMU, "-accel", "tcg", "-cpu", "max", "-machine", "pc", "-m"));
        command.add((work.memory() >> 20) + "M");
        command.addAll(List.of("-display", "none", "-nodefaults", "-no-reboot", "-bios"));
        command.add(guests.resolve("reset-rom.bin").toString());
        command.add("-device");
        command.add("loader,file=" + guests.resolve(work.guest() + ".bin") + ",addr=" + IMAGE + ",force-raw=on");
        long[] parameters = work.parameters(rounds);
        for (int i = 0; i < parameters.length; i++) {
            command.add("-device");
            command.add("loader,addr=" + (PARAMETERS + 8L * i) + ",data=" + parameters[i] + ",data-len=8");
        }
        command.addAll(List.of("-chardev", "stdio,id=c", "-device", "isa-debugcon,iobase=0xe9,chardev=c"));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .redirectInput(Path.of("/dev/null").toFile())
                .start();
        try (InputStream out = process.getInputStream()) {
            double begin = 0;
            double seconds = 0;
            boolean right = false;
            StringBuilder answer = new StringBuilder();
            for (int c; (c = out.read()) >= 0 && c != '\n'; ) {
                if (c == 'B') {
                    begin = Side.processorTime(process.toHandle());
                } else if (c == 'E') {
                    seconds = Side.processorTime(process.toHandle()) - begin;
                    right = true;
                } else {
                    answer.append((char) c);
                }
            }
            if (!right || answer.isEmpty()) {
                throw new IllegalStateException(QEMU + " did not finish " + work.name() + ": " + answer);
            }
            return new Took(seconds, answer.toString());
        } finally {
            // The guest has halted, for nothing ends the machine.
            process.destroyForcibly().waitFor();
        }
    }
}
