package dev.slate.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.library.dependencies.SliceAssignment;
import com.tngtech.archunit.library.dependencies.SliceIdentifier;
import com.tngtech.archunit.library.dependencies.SlicesRuleDefinition;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;

/** The arrows between packages within a module, as docs/decisions/0024 has them: the compiler holds modules only. */
final class PackageArrowsTest {
    private static final String KVM = "dev.slate.kvm";

    /** What of kvm's top package may know everything, and is known to nothing inside. The rest of it are plain values. */
    private static final Set<String> FACADE =
            Set.of("Kvm", "Vm", "Vcpu", "VcpuState", "Cap", "Interrupts", "Xen", "RunObserverFactory");

    private static final String FACADE_PART = "the façade";
    private static final String VALUES_PART = "the values";

    /** From the ground up: a package knows packages on lower floors only. */
    private static final List<Set<String>> KVM_FLOORS = List.of(
            Set.of(VALUES_PART),
            Set.of("host", "event", "setting", "tracepoint"),
            Set.of("clock", "cpuid", "dirty", "mode"),
            Set.of("io", "memslot", "stats"),
            Set.of("mmu"),
            Set.of("irqchip", "rmap", "smm"),
            Set.of("mmu.shadow", "mmu.tdp", "nested", "pmu", "pv"),
            Set.of("hyperv", "xen"),
            Set.of("msr"),
            Set.of("state"),
            Set.of("run"),
            Set.of(FACADE_PART));

    @SuppressWarnings("NullAway.Init") // set before all tests
    private static JavaClasses classes;

    @BeforeAll
    static void readTheClasses() {
        classes = new ClassFileImporter()
                .importPaths(ArchitectureTest.MODULES.stream()
                        .map(module -> Shell.root().resolve(module).resolve("target/classes"))
                        .toList());
    }

    /** The part of its module that a class belongs to: its package's name, shortened where nothing is lost by that. */
    private static String part(JavaClass type) {
        String name = type.getPackageName();
        if (name.equals(KVM)) {
            String outermost = type.getName().substring(KVM.length() + 1).replaceFirst("\\$.*", "");
            return FACADE.contains(outermost) ? FACADE_PART : VALUES_PART;
        }
        if (name.startsWith(KVM + ".")) {
            return name.substring(KVM.length() + 1);
        }
        // An instruction works on the processor whole: these three know each other.
        return Set.of("dev.slate.cpu", "dev.slate.cpu.exec", "dev.slate.cpu.mmu")
                        .contains(name)
                ? "the processor"
                : name;
    }

    private static boolean isIn(String module, JavaClass type) {
        String name = type.getPackageName() + ".";
        return name.startsWith("dev.slate." + module + ".");
    }

    private static SliceAssignment partsOf(String module) {
        return new SliceAssignment() {
            @Override
            public SliceIdentifier getIdentifierOf(JavaClass type) {
                return isIn(module, type) ? SliceIdentifier.of(part(type)) : SliceIdentifier.ignore();
            }

            @Override
            public String getDescription() {
                return "the packages of " + module;
            }
        };
    }

    @ParameterizedTest
    @FieldSource("dev.slate.cli.ArchitectureTest#MODULES")
    void packagesKnowEachOtherInOneDirectionOnly(String module) {
        SlicesRuleDefinition.slices()
                .assignedFrom(partsOf(module))
                .should()
                .beFreeOfCycles()
                .check(classes);
    }

    private static int floor(String part) {
        for (int floor = 0; floor < KVM_FLOORS.size(); floor++) {
            if (KVM_FLOORS.get(floor).contains(part)) {
                return floor;
            }
        }
        throw new AssertionError(part + " of kvm is on no floor: say in KVM_FLOORS what it may know");
    }

    @Test
    void aPackageOfTheHypervisorKnowsLowerFloorsOnly() {
        List<String> upwards = new ArrayList<>();
        TreeSet<String> seen = new TreeSet<>();
        for (JavaClass type : classes) {
            if (!isIn("kvm", type)) {
                continue;
            }
            String from = part(type);
            seen.add(from);
            for (Dependency dependency : type.getDirectDependenciesFromSelf()) {
                JavaClass target = dependency.getTargetClass().getBaseComponentType();
                String to = isIn("kvm", target) ? part(target) : from;
                if (!to.equals(from) && floor(to) >= floor(from)) {
                    upwards.add(from + " → " + to + ": " + dependency.getDescription());
                }
            }
        }
        assertThat(upwards).isEmpty();
        TreeSet<String> stated = new TreeSet<>();
        KVM_FLOORS.forEach(stated::addAll);
        assertThat(seen).as("packages with a floor").isEqualTo(stated);
    }

    @Test
    void theProcessorsGroundFloorKnowsNoProcessor() {
        for (JavaClass type : classes) {
            if (Set.of("dev.slate.cpu.mem", "dev.slate.cpu.decode").contains(type.getPackageName())) {
                assertThat(type.getDirectDependenciesFromSelf())
                        .noneMatch(
                                dependency -> part(dependency.getTargetClass()).equals("the processor"));
            }
        }
    }
}
