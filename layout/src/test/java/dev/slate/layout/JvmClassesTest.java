package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import dev.slate.layout.jvm.FfmLayouts;
import dev.slate.layout.jvm.JvmClasses;
import java.lang.classfile.ClassFile;
import java.lang.constant.ClassDesc;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openjdk.jol.info.ClassLayout;

/** JVM classes: what JOL's model says against what the running JVM does. */
final class JvmClassesTest {
    private static final int CLASSES = 10_000;
    private static final String[] TYPES = {
        "B", "C", "S", "I", "J", "F", "D", "Z", "Ljava/lang/Object;", "[I", "Ljava/lang/String;"
    };

    @TempDir
    private Path folder = Path.of("");

    private static final class Loader extends ClassLoader {
        Class<?> define(String name, byte[] bytes) {
            return defineClass(name, bytes, 0, bytes.length);
        }
    }

    @Test
    void tenThousandRandomClassesLieInTheRunningJvmAsTheModelSays() throws Exception {
        if (!defaultLayout())
            Tools.skip("needs a JVM with the default object layout: run it without -XX options of the layout");
        long seed = Long.getLong("slate.seed", 1);
        System.out.println("random classes: -Dslate.seed=" + seed);
        SplittableRandom random = new SplittableRandom(seed);
        System.setProperty(
                "jol.skipDynamicAttach", "true"); // JOL then asks Unsafe, which is enough for offsets and sizes
        System.setProperty("jol.skipHotspotSAAttach", "true");
        Loader loader = new Loader();
        List<Class<?>> all = new ArrayList<>();
        // Written one by one into one folder, read back by name.
        for (int i = 0; i < CLASSES; i++) {
            String name = "C" + i;
            Class<?> parent = i == 0 || random.nextInt(3) == 0 ? Object.class : all.get(random.nextInt(i));
            int fields = random.nextInt(12);
            byte[] bytes = ClassFile.of().build(ClassDesc.of(name), builder -> {
                builder.withSuperclass(ClassDesc.of(parent.getName()));
                for (int f = 0; f < fields; f++) {
                    builder.withField(
                            "f" + f,
                            ClassDesc.ofDescriptor(TYPES[random.nextInt(TYPES.length)]),
                            random.nextInt(10) == 0 ? ClassFile.ACC_STATIC : 0);
                }
            });
            Files.write(folder.resolve(name + ".class"), bytes);
            all.add(loader.define(name, bytes));
        }
        List<String> wrong = new ArrayList<>();
        int compared = 0;
        try (JvmClasses classes = JvmClasses.open(folder.toString())) {
            for (Class<?> type : all) {
                if (!(classes.find(type.getName()) instanceof Aggregate aggregate))
                    throw new AssertionError(type + " was not found");
                ClassLayout jol = ClassLayout.parseClass(type);
                if (jol.instanceSize() != aggregate.size())
                    wrong.add(
                            type.getName() + " has " + jol.instanceSize() + " bytes by JOL, read: " + aggregate.size());
                Map<String, Member> members = new HashMap<>();
                for (Member member : aggregate.members()) members.put(String.valueOf(member.name()), member);
                for (Class<?> host = type; host != null && host != Object.class; host = host.getSuperclass()) {
                    for (Field field : host.getDeclaredFields()) {
                        if (Modifier.isStatic(field.getModifiers())) continue;
                        String name = host == type ? field.getName() : host.getName() + "." + field.getName();
                        Member member = members.get(name);
                        long truth = offset(field);
                        compared++;
                        if (member == null || member.byteOffset() != truth)
                            wrong.add(type.getName() + ": " + name + " lies at " + truth + ", read: " + member);
                    }
                }
            }
        }
        System.out.println(CLASSES + " classes, " + compared
                + " fields and all sizes compared with the running JVM and JOL, " + wrong.size() + " different");
        assertThat(wrong).isEmpty();
    }

    private static Object unsafe() throws ReflectiveOperationException {
        Field field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
        field.setAccessible(true);
        return field.get(null);
    }

    /** Where the running JVM keeps a field. */
    private static long offset(Field field) throws ReflectiveOperationException {
        Object unsafe = unsafe();
        return (Long)
                unsafe.getClass().getMethod("objectFieldOffset", Field.class).invoke(unsafe, field);
    }

    @SuppressWarnings("UnusedVariable") // only its place matters
    private static final class OneInt {
        private int field;
    }

    /** Whether objects here have a header of 12 bytes and references of 4, as the model assumes. */
    private static boolean defaultLayout() throws ReflectiveOperationException {
        Object unsafe = unsafe();
        Object scale =
                unsafe.getClass().getMethod("arrayIndexScale", Class.class).invoke(unsafe, Object[].class);
        return offset(OneInt.class.getDeclaredField("field")) == 12 && scale.equals(4);
    }

    @Test
    void classesOfThePlatformAreFoundWithoutBeingLoaded() {
        try (JvmClasses classes = JvmClasses.open("")) {
            assertThat(classes.find("java.util.HashMap")).isInstanceOfSatisfying(Aggregate.class, a -> {
                assertThat(a.size()).isEqualTo(48);
                assertThat(a.members().getFirst().name()).isEqualTo("(object header)");
                assertThat(a.members().stream().map(Member::name))
                        .contains("java.util.AbstractMap.keySet", "threshold", "loadFactor");
            });
            assertThat(classes.find("no.such.Type")).isNull();
        }
        assertThat(catchThrowable(() -> JvmClasses.open("/no/such/folder")))
                .isInstanceOf(LayoutException.class)
                .hasMessageContaining("/no/such/folder");
    }

    @Test
    void anFfmLayoutsPaddingIsAHole() {
        Aggregate aggregate = new FfmLayouts("test")
                .aggregate(MemoryLayout.structLayout(
                                ValueLayout.JAVA_INT.withName("a"),
                                MemoryLayout.paddingLayout(4),
                                ValueLayout.JAVA_LONG.withName("b"),
                                MemoryLayout.sequenceLayout(3, ValueLayout.JAVA_SHORT)
                                        .withName("c"),
                                MemoryLayout.paddingLayout(2))
                        .withName("s"));
        assertThat(aggregate.size()).isEqualTo(24);
        assertThat(aggregate.layout().hole(0)).isEqualTo(4);
        assertThat(aggregate.layout().padding()).isEqualTo(2);
        assertThat(aggregate.members().get(2).byteSize()).isEqualTo(6);
    }
}
