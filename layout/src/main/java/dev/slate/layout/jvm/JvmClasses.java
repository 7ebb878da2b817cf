package dev.slate.layout.jvm;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Member;
import dev.slate.layout.MemoryTable;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import java.io.IOException;
import java.lang.classfile.Annotation;
import java.lang.classfile.AnnotationValue;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.FieldModel;
import java.lang.classfile.attribute.RuntimeVisibleAnnotationsAttribute;
import java.lang.constant.ClassDesc;
import java.lang.reflect.AccessFlag;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.openjdk.jol.datamodel.Model64;
import org.openjdk.jol.info.ClassData;
import org.openjdk.jol.info.ClassLayout;
import org.openjdk.jol.info.FieldData;
import org.openjdk.jol.info.FieldLayout;
import org.openjdk.jol.layouters.HotSpotLayouter;

/**
 * Layouts of the instances of JVM classes, as HotSpot 25 with its default options (64 bits, compressed references and class
 * pointers, objects on multiples of 8) lays them out, by JOL's model of it. Class files are read; no class is loaded or initialised.
 */
public final class JvmClasses implements LayoutSource {
    private static final int HOTSPOT = 25;

    private final String classPath;
    private final List<Path> roots = new ArrayList<>();
    private final List<FileSystem> jars = new ArrayList<>();
    private final Map<String, ClassModel> classes = new HashMap<>();
    private final HotSpotLayouter layouter = new HotSpotLayouter(new Model64(true, true, 8), HOTSPOT);
    private final MemoryTable table;
    private final Map<String, Type> types = new HashMap<>();

    private JvmClasses(String classPath) {
        this.classPath = classPath;
        this.table = new MemoryTable("jvm:" + classPath, 4, TypeTable.Language.JAVA);
    }

    /**
     * Opens a class path of folders and jar files, separated by colons; the platform's own classes are always there.
     *
     * @throws LayoutException if an entry does not exist
     */
    public static JvmClasses open(String classPath) {
        JvmClasses opened = new JvmClasses(classPath);
        for (String entry : classPath.split(":")) {
            if (entry.isEmpty()) continue;
            Path path = Path.of(entry);
            if (Files.isDirectory(path)) {
                opened.roots.add(path);
            } else if (Files.isRegularFile(path)) {
                try {
                    FileSystem jar = FileSystems.newFileSystem(path);
                    opened.jars.add(jar);
                    opened.roots.add(jar.getPath("/"));
                } catch (IOException | java.nio.file.ProviderNotFoundException e) {
                    throw new LayoutException(entry, "is no folder and no jar file: " + e.getMessage());
                }
            } else {
                throw new LayoutException(entry, "no such folder or jar file");
            }
        }
        return opened;
    }

    @Override
    public String name() {
        return "jvm:" + classPath;
    }

    @Override
    public String format() {
        return "JVM";
    }

    @Override
    public void forEachAggregate(Consumer<Aggregate> each) {
        List<Path> all = roots.isEmpty() ? List.of(platform().getPath("/modules/java.base")) : roots;
        for (Path root : all) {
            try (Stream<Path> files = Files.walk(root)) {
                List<Path> sorted = files.filter(f -> f.toString().endsWith(".class"))
                        .filter(f -> !f.toString().endsWith("-info.class"))
                        .filter(f -> !f.toString().startsWith("/META-INF"))
                        .sorted(Comparator.comparing(Path::toString))
                        .toList();
                for (Path file : sorted) {
                    ClassModel model = parse(file);
                    if (model.flags().has(AccessFlag.INTERFACE)) continue;
                    each.accept(aggregate(model));
                }
            } catch (IOException e) {
                throw new LayoutException(root.toString(), "cannot be read: " + e.getMessage());
            }
        }
    }

    @Override
    public @Nullable Type find(String name) {
        ClassModel model = classOf(name.replace('.', '/'));
        return model == null ? null : aggregate(model);
    }

    private static FileSystem platform() {
        return FileSystems.getFileSystem(URI.create("jrt:/"));
    }

    private @Nullable ClassModel classOf(String internalName) {
        ClassModel known = classes.get(internalName);
        if (known != null) return known;
        Path file = locate(internalName);
        if (file == null) return null;
        ClassModel model = parse(file);
        classes.put(internalName, model);
        return model;
    }

    private @Nullable Path locate(String internalName) {
        for (Path root : roots) {
            Path file = root.resolve(internalName + ".class");
            if (Files.isRegularFile(file)) return file;
        }
        int slash = internalName.lastIndexOf('/');
        Path packages = platform()
                .getPath(
                        "/packages",
                        slash < 0 ? "" : internalName.substring(0, slash).replace('/', '.'));
        if (slash < 0 || !Files.isDirectory(packages)) return null;
        try (Stream<Path> modules = Files.list(packages)) {
            return modules.map(
                            m -> platform().getPath("/modules", m.getFileName().toString(), internalName + ".class"))
                    .filter(Files::isRegularFile)
                    .findFirst()
                    .orElse(null);
        } catch (IOException e) {
            throw new LayoutException(packages.toString(), "cannot be read: " + e.getMessage());
        }
    }

    private static ClassModel parse(Path file) {
        try {
            return ClassFile.of(ClassFile.DebugElementsOption.DROP_DEBUG).parse(Files.readAllBytes(file));
        } catch (IOException e) {
            throw new LayoutException(file.toString(), "cannot be read: " + e.getMessage());
        } catch (IllegalArgumentException e) {
            throw new LayoutException(file.toString(), "is no class file: " + e.getMessage());
        }
    }

    private Aggregate aggregate(ClassModel model) {
        try {
            return place(model);
        } catch (IllegalArgumentException e) {
            throw new LayoutException(
                    name(), model.thisClass().asInternalName() + " is a broken class file: " + e.getMessage());
        }
    }

    private Aggregate place(ClassModel model) {
        ClassData data = data(model, 0);
        ClassLayout layout = layouter.layout(data);
        String own = data.name();
        List<Member> members = new ArrayList<>();
        members.add(Member.field("(object header)", type("header", layout.headerSize() * 8), 0, layout.headerSize()));
        for (FieldLayout field : layout.fields()) {
            String host = field.hostClass();
            String name = host.equals(own) ? field.shortFieldName() : host + "." + field.shortFieldName();
            members.add(
                    Member.field(name, type(field.typeClass(), (int) field.size() * 8), field.offset(), field.size()));
        }
        return table.aggregate(Aggregate.Kind.CLASS, own, layout.instanceSize(), members, 0);
    }

    private Type type(String name, int bits) {
        return types.computeIfAbsent(name, n -> table.base(n, bits));
    }

    private ClassData data(ClassModel model, int depth) {
        if (depth > 1000)
            throw new LayoutException(name(), model.thisClass().asInternalName() + " is its own superclass");
        String className = model.thisClass().asInternalName().replace('/', '.');
        if (contention(model) != null) {
            throw new LayoutException(
                    name(), className + " is @Contended as a whole, which JOL's model cannot be told");
        }
        ClassData data = new ClassData(className);
        for (FieldModel field : model.fields()) {
            if (field.flags().has(AccessFlag.STATIC)) continue;
            String group = contention(field);
            data.addField(FieldData.create(
                    className,
                    field.fieldName().stringValue(),
                    typeName(field.fieldTypeSymbol()),
                    group != null,
                    group == null ? "" : group));
        }
        String superName = model.superclass().map(s -> s.asInternalName()).orElse(null);
        if (superName == null) return data;
        ClassModel parent = classOf(superName);
        if (parent == null) {
            throw new LayoutException(
                    name(),
                    "the superclass " + superName.replace('/', '.') + " of " + className + " is not on the class path");
        }
        ClassData parentData = data(parent, depth + 1);
        data.addSuperClass(parentData.name());
        data.addSuperClassData(parentData);
        return data;
    }

    private static String typeName(ClassDesc desc) {
        if (desc.isPrimitive()) return desc.displayName();
        String name = desc.descriptorString();
        if (desc.isArray()) return desc.displayName();
        return name.substring(1, name.length() - 1).replace('/', '.');
    }

    /** The group of a {@code @Contended} class or field, "" for none, null if it has no such annotation. */
    private static @Nullable String contention(java.lang.classfile.AttributedElement element) {
        RuntimeVisibleAnnotationsAttribute annotations =
                element.findAttribute(Attributes.runtimeVisibleAnnotations()).orElse(null);
        if (annotations == null) return null;
        for (Annotation annotation : annotations.annotations()) {
            if (!annotation.className().stringValue().equals("Ljdk/internal/vm/annotation/Contended;")) continue;
            if (annotation.elements().isEmpty()) return "";
            return annotation.elements().getFirst().value() instanceof AnnotationValue.OfString s
                    ? s.stringValue()
                    : "";
        }
        return null;
    }

    @Override
    public void close() {
        for (FileSystem jar : jars) {
            try {
                jar.close();
            } catch (IOException e) {
                throw new LayoutException(classPath, "cannot be closed: " + e.getMessage());
            }
        }
    }
}
