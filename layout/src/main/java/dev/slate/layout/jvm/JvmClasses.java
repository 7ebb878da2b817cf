package dev.slate.layout.jvm;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Member;
import dev.slate.layout.MemoryTable;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.elf.Trouble;
import java.io.IOException;
import java.lang.classfile.AttributedElement;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.FieldModel;
import java.lang.constant.ClassDesc;
import java.lang.reflect.AccessFlag;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Layouts of the instances of JVM classes, as HotSpot 25 with its default options lays them out ({@link HotSpotFields}). Class files are read; no class is
 * loaded or initialised.
 */
public final class JvmClasses implements LayoutSource {
    private static final String CONTENDED = "Ljdk/internal/vm/annotation/Contended;";

    /** Classes to whose objects the JVM adds fields that no class file shows (classfile/javaClasses.hpp, "INJECTED_FIELDS"). */
    private static final Set<String> INJECTED = Set.of(
            "java.lang.Class",
            "java.lang.ClassLoader",
            "java.lang.String",
            "java.lang.Module",
            "java.lang.InternalError",
            "java.lang.StackFrameInfo",
            "java.lang.invoke.MemberName",
            "java.lang.invoke.ResolvedMethodName",
            "java.lang.invoke.MethodHandleNatives$CallSiteContext",
            "java.security.AccessControlContext",
            "jdk.internal.vm.StackChunk");

    private final String classPath;
    private final List<Path> roots = new ArrayList<>();
    private final List<FileSystem> jars = new ArrayList<>();
    private final Map<String, ClassModel> classes = new HashMap<>();
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
                    throw new LayoutException(entry, "is no folder and no jar file");
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
    public void forEachAggregate(Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        List<Path> all = roots.isEmpty() ? List.of(platform().getPath("/modules/java.base")) : roots;
        for (Path root : all) {
            try (Stream<Path> files = Files.walk(root)) {
                List<Path> sorted = files.filter(f -> f.toString().endsWith(".class"))
                        .filter(f -> !f.toString().endsWith("-info.class"))
                        .filter(f -> !f.toString().startsWith("/META-INF"))
                        .sorted(Comparator.comparing(Path::toString))
                        .toList();
                for (Path file : sorted) {
                    try {
                        ClassModel model = parse(file);
                        if (model.flags().has(AccessFlag.INTERFACE)) continue;
                        each.accept(aggregate(model));
                    } catch (LayoutException e) {
                        leftOut.accept(e);
                    }
                }
            } catch (IOException e) {
                throw new LayoutException(root.toString(), Trouble.reading(e));
            }
        }
    }

    @Override
    public Map<String, List<Type>> find(Collection<String> names) {
        Map<String, List<Type>> found = new LinkedHashMap<>();
        for (String name : names) {
            ClassModel model = classOf(name.replace('.', '/'));
            found.put(name, model == null ? List.of() : List.of(aggregate(model)));
        }
        return found;
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
            throw new LayoutException(packages.toString(), Trouble.reading(e));
        }
    }

    private static ClassModel parse(Path file) {
        try {
            return ClassFile.of(ClassFile.DebugElementsOption.DROP_DEBUG).parse(Files.readAllBytes(file));
        } catch (IOException e) {
            throw new LayoutException(file.toString(), Trouble.reading(e));
        } catch (IllegalArgumentException e) {
            throw new LayoutException(file.toString(), "is no class file");
        }
    }

    private Aggregate aggregate(ClassModel model) {
        try {
            return place(model);
        } catch (IllegalArgumentException e) {
            throw new LayoutException(name(), model.thisClass().asInternalName() + " is a broken class file");
        }
    }

    private Aggregate place(ClassModel model) {
        List<ClassModel> line = new ArrayList<>();
        for (ClassModel at = model; at != null; ) {
            line.addFirst(at);
            if (line.size() > 1000) throw new LayoutException(name(), dotted(model) + " is its own superclass");
            String above = at.superclass().map(c -> c.asInternalName()).orElse(null);
            at = above == null ? null : parent(above, dotted(at));
        }
        HotSpotFields fields = new HotSpotFields();
        for (ClassModel at : line) fields.add(fieldsOf(at));
        String own = dotted(model);
        List<Member> members = new ArrayList<>();
        members.add(Member.field("(object header)", type("header", HotSpotFields.HEADER), 0, HotSpotFields.HEADER));
        for (HotSpotFields.Placed placed : fields.placed()) {
            HotSpotFields.Field field = placed.field();
            String name = field.host().equals(own) ? field.name() : field.host() + "." + field.name();
            members.add(Member.field(name, type(field.type(), field.size()), placed.offset(), field.size()));
        }
        return table.aggregate(Aggregate.Kind.CLASS, own, fields.size(), members, 0);
    }

    private static String dotted(ClassModel model) {
        return model.thisClass().asInternalName().replace('/', '.');
    }

    private List<HotSpotFields.Field> fieldsOf(ClassModel model) {
        String host = dotted(model);
        if (INJECTED.contains(host)) {
            throw new LayoutException(
                    name(), "the JVM adds fields of its own to " + host + ", which no class file shows");
        }
        refuseContended(model, host);
        List<HotSpotFields.Field> fields = new ArrayList<>();
        for (FieldModel field : model.fields()) {
            if (field.flags().has(AccessFlag.STATIC)) continue;
            refuseContended(field, host);
            ClassDesc type = field.fieldTypeSymbol();
            fields.add(new HotSpotFields.Field(
                    host,
                    field.fieldName().stringValue(),
                    typeName(type),
                    HotSpotFields.sizeOf(type.descriptorString().charAt(0)),
                    !type.isPrimitive()));
        }
        return fields;
    }

    /** Only the platform's own classes may ask for lines of their own; what the JVM then does is not modelled. */
    private void refuseContended(AttributedElement element, String host) {
        element.findAttribute(Attributes.runtimeVisibleAnnotations())
                .filter(all -> all.annotations().stream()
                        .anyMatch(a -> a.className().stringValue().equals(CONTENDED)))
                .ifPresent(all -> {
                    throw new LayoutException(name(), host + " uses @Contended, which is not modelled");
                });
    }

    private Type type(String name, int bytes) {
        return types.computeIfAbsent(name, n -> table.base(n, bytes * 8));
    }

    private ClassModel parent(String internalName, String of) {
        ClassModel parent = classOf(internalName);
        if (parent == null) {
            throw new LayoutException(
                    name(),
                    "the superclass " + internalName.replace('/', '.') + " of " + of + " is not on the class path");
        }
        return parent;
    }

    private static String typeName(ClassDesc desc) {
        if (desc.isPrimitive() || desc.isArray()) return desc.displayName();
        String descriptor = desc.descriptorString();
        return descriptor.substring(1, descriptor.length() - 1).replace('/', '.');
    }

    @Override
    public void close() {
        for (FileSystem jar : jars) {
            try {
                jar.close();
            } catch (IOException e) {
                throw new LayoutException(classPath, Trouble.reading(e));
            }
        }
    }
}
