package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.mem.HostMemory;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What a client's start may not need, as no AOT cache holds it: it is written, read from a jar, verified and linked each time. */
@SuppressWarnings("UnusedMethod") // of functional interfaces only the shape counts
class StartTest {
    private static final List<String> MODULES = List.of("cpu", "kvm", "debug", "device");
    private static final String BEHIND = "-- behind --";

    private static Path classes(String module) {
        return Host.MODULE.getParent().resolve(module).resolve("target/classes");
    }

    /** Runs a class of this one's in a JVM of its own. */
    private static String java(Class<?> main, List<String> options, List<String> arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getProperty("java.home") + "/bin/java"));
        command.addAll(options);
        String path = String.join(
                ":", MODULES.stream().map(module -> classes(module).toString()).toList());
        command.addAll(List.of("-cp", path + ":" + Host.MODULE.resolve("target/test-classes"), main.getName()));
        command.addAll(arguments);
        Host.Result result = Host.run(Map.of(), command);
        assertThat(result.status()).as(result.output()).isZero();
        return result.output();
    }

    /** What the training run does, and then the start. */
    static final class Memory {
        private static final class Statics {
            static Object ofNothing() {
                return Statics.class;
            }

            static Object ofBoth(long a, Object b) {
                return b;
            }
        }

        private interface OfNothing {
            Object call();
        }

        private interface OfBoth {
            Object call(long a, Object b);
        }

        /** Shapes of the JDK's own method references, which the cache holds. */
        private static Object[] linkTheJdks() {
            OfNothing ofNothing = Statics::ofNothing;
            OfBoth ofBoth = Statics::ofBoth;
            return new Object[] {ofNothing, ofBoth};
        }

        public static void main(String[] arguments) throws ReflectiveOperationException {
            HandleShapes.link();
            linkTheJdks();
            ByteBuffer buffer = ByteBuffer.allocateDirect(64); // not a segment, which would start what is to be seen
            Field address = Buffer.class.getDeclaredField("address");
            address.setAccessible(true);
            long hva = address.getLong(buffer);
            System.out.println(BEHIND);
            HostMemory.put8(hva, 1);
            HostMemory.put16(hva, 1);
            HostMemory.put32(hva, 1);
            HostMemory.put64(hva, HostMemory.get8(hva) + HostMemory.get16(hva) + HostMemory.get32(hva));
            HostMemory.putVolatile32(hva, HostMemory.getVolatile32(hva));
            HostMemory.putVolatile64(hva, HostMemory.getVolatile64(hva));
            HostMemory.fill(hva + 32, 8, 0);
            HostMemory.copy(hva, hva + 32, 8);
            System.out.println(buffer.get(0)); // lives until here
        }
    }

    @Test
    void theHostsMemoryAsksForNoShapeOfAMethodHandleThatTheCacheDoesNotHold() throws Exception {
        String output = java(
                Memory.class,
                List.of(
                        "-Djava.lang.invoke.MethodHandle.TRACE_RESOLVE=true",
                        "--enable-native-access=ALL-UNNAMED",
                        "--add-opens=java.base/java.nio=ALL-UNNAMED"),
                List.of());
        int behind = output.indexOf(BEHIND);
        assertThat(behind).as(output).isPositive();
        assumeTrue(
                output.substring(0, behind).contains("DirectMethodHandle$Holder") && output.contains("(fail)"),
                "needs a JDK that says which shapes it has to make (java.lang.invoke.MethodHandle.TRACE_RESOLVE)");
        assertThat(output.substring(behind).lines().filter(line -> line.endsWith("(fail)")))
                .isEmpty();
    }

    /** Links classes: their methods are verified. */
    static final class Linking {
        public static void main(String[] arguments) throws ReflectiveOperationException {
            int methods = 0;
            for (String name : arguments) {
                methods += Class.forName(name, false, Linking.class.getClassLoader())
                        .getDeclaredMethods()
                        .length;
            }
            System.out.println(BEHIND + methods);
        }
    }

    @Test
    void noMethodIsProvenByLoadingAnEventOfTheRecorder() throws Exception {
        List<String> names = new ArrayList<>();
        for (String module : MODULES) {
            Path folder = classes(module);
            try (Stream<Path> files = Files.walk(folder)) {
                files.map(file -> folder.relativize(file).toString())
                        .filter(file -> file.endsWith(".class") && !file.matches(".*(package|module)-info.*"))
                        .filter(file -> !file.matches(".*/tracepoint/\\w*Events.*")) // which are events
                        .map(file -> file.substring(0, file.length() - 6).replace('/', '.'))
                        .forEach(names::add);
            }
        }
        assertThat(names).contains("dev.slate.kvm.tracepoint.Tracepoints").hasSizeGreaterThan(400);
        String output = java(Linking.class, List.of("-Xlog:class+load=info"), names);
        assertThat(output).contains("dev.slate.kvm.tracepoint.Tracepoints source:", BEHIND);
        assertThat(output.lines()
                        .filter(line -> line.matches(".*tracepoint\\.\\w*Events\\$.*|.* jdk\\.jfr\\.Event .*")))
                .isEmpty();
    }
}
