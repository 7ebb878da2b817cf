package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.Cpu;
import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.attribute.CodeAttribute;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

final class MethodSizeTest {
    /** HotSpot compiles no larger method (-XX:+DontCompileHugeMethods). */
    private static final int HOTSPOT_LIMIT = 8000;

    @Test
    void noMethodIsTooLargeForHotSpotToCompile() throws IOException, URISyntaxException {
        Path classes = Path.of(
                Cpu.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        List<String> large = new ArrayList<>();
        int methods = 0;
        try (Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
                ClassModel c = ClassFile.of().parse(file);
                for (MethodModel m : c.methods()) {
                    boolean initializer = m.methodName().equalsString("<clinit>");
                    int size =
                            m.code().map(k -> ((CodeAttribute) k).codeLength()).orElse(0);
                    methods++;
                    if (size >= HOTSPOT_LIMIT && !initializer) {
                        large.add(c.thisClass().asInternalName() + "."
                                + m.methodName().stringValue() + " " + size);
                    }
                }
            }
        }
        assertThat(methods).isGreaterThan(100);
        assertThat(large).isEmpty();
    }
}
