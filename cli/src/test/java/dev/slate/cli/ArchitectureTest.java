package dev.slate.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.attribute.CodeAttribute;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the compiler cannot hold the modules to. */
final class ArchitectureTest {
    /** HotSpot compiles no method with more bytes of bytecode (-XX:HugeMethodLimit). */
    private static final int HUGE_METHOD = 8000;

    private static final int LONG_FILE_LINES = 800;

    /** All that a distribution or a test of others is made of. */
    static final List<String> MODULES =
            List.of("layout", "cpu", "kvm", "junit", "debug", "device", "conformance", "lab", "cli");

    /** Where raw memory and native calls may be. */
    private static final String[] UNSAFE_PACKAGES = {"dev.slate.cpu.mem..", "dev.slate.kvm.host..", "dev.slate.device.."
    };

    private static final DescribedPredicate<JavaAccess<?>> RAW_MEMORY =
            DescribedPredicate.describe("raw memory or native code", access -> {
                String owner = access.getTargetOwner().getName();
                String name = access.getTarget().getName();
                return (owner.equals("java.lang.foreign.MemorySegment")
                                && (name.equals("reinterpret") || name.equals("ofAddress")))
                        || owner.equals("java.lang.foreign.Linker")
                        || owner.equals("java.lang.foreign.SymbolLookup")
                        || owner.startsWith("sun.misc.Unsafe")
                        || (owner.equals("java.lang.System") && (name.equals("load") || name.equals("loadLibrary")));
            });

    @SuppressWarnings("NullAway.Init") // set before all tests
    private static JavaClasses classes;

    @BeforeAll
    static void read_the_classes() {
        classes = new ClassFileImporter()
                .importPaths(MODULES.stream().map(ArchitectureTest::classFolder).toList());
    }

    private static Path classFolder(String module) {
        return Shell.root().resolve(module).resolve("target/classes");
    }

    private static List<Path> files(String folder, String suffix) throws IOException {
        List<Path> found = new ArrayList<>();
        for (String module : MODULES) {
            Path start = Shell.root().resolve(module).resolve(folder);
            if (Files.exists(start)) {
                try (Stream<Path> files = Files.walk(start)) {
                    files.filter(file -> file.toString().endsWith(suffix)).forEach(found::add);
                }
            }
        }
        assertThat(found).isNotEmpty();
        return found;
    }

    @Test
    void raw_memory_and_native_code_stay_in_the_packages_that_are_for_them() {
        noClasses()
                .that()
                .resideOutsideOfPackages(UNSAFE_PACKAGES)
                .should()
                .accessTargetWhere(RAW_MEMORY)
                .check(classes);
    }

    @Test
    void no_name_says_nothing() {
        noClasses()
                .should()
                .haveNameMatching(".*(Impl|Manager|Helper|Util|Utils)(\\$.*)?")
                .check(classes);
    }

    @Test
    void every_method_is_small_enough_for_the_JIT() throws IOException {
        List<String> huge = new ArrayList<>();
        for (Path file : files("target/classes", ".class")) {
            ClassModel model = ClassFile.of().parse(file);
            for (MethodModel method : model.methods()) {
                int length = method.findAttribute(java.lang.classfile.Attributes.code())
                        .map(CodeAttribute::codeLength)
                        .orElse(0);
                // A static initializer runs once.
                if (length >= HUGE_METHOD && !method.methodName().equalsString("<clinit>")) {
                    huge.add(model.thisClass().asInternalName() + "."
                            + method.methodName().stringValue() + ": " + length + " bytes");
                }
            }
        }
        assertThat(huge).isEmpty();
    }

    @Test
    void every_package_says_what_it_owns() throws IOException {
        TreeSet<Path> packages = new TreeSet<>();
        for (Path file : files("src/main/java", ".java")) {
            if (!file.endsWith("module-info.java")) {
                packages.add(file.resolveSibling("package-info.java"));
            }
        }
        assertThat(packages).allSatisfy(file -> assertThat(file).exists());
    }

    @Test
    void no_source_file_is_so_long_that_it_asks_to_be_split() throws IOException {
        List<String> longFiles = new ArrayList<>();
        for (Path file : files("src/main/java", ".java")) {
            long lines = Files.readAllLines(file).size();
            if (lines > LONG_FILE_LINES) {
                longFiles.add(Shell.root().relativize(file) + ": " + lines + " lines");
            }
        }
        assertThat(longFiles).isEmpty();
    }
}
