package dev.slate.lab.lines;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Member;
import dev.slate.layout.jvm.JvmClasses;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.Opcode;
import java.lang.classfile.instruction.ArrayLoadInstruction;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.lang.reflect.AccessFlag;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Loads the processor, the hypervisor and the lab's machine a second time, with a call of {@link LineRecorder} at each access to native memory (at the
 * start of the methods of {@code HostMemory}) and to memslots (at each read of their fields and arrays).
 *
 * <p>The classes of the program itself stay as they are.
 */
public final class CountingLoader extends ClassLoader implements AutoCloseable {
    private static final String[] INSTRUMENTED = {"dev.slate.cpu.", "dev.slate.kvm.", "dev.slate.lab.workload."};
    private static final String MEMORY = "dev.slate.cpu.mem.HostMemory";
    private static final String STATS = "dev.slate.kvm.stats.VcpuStats";
    private static final String MEMSLOTS = "dev.slate.kvm.memslot.";

    private static final ClassDesc RECORDER = ClassDesc.of(LineRecorder.class.getName());
    private static final MethodTypeDesc AT = MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_long);
    private static final MethodTypeDesc COUNTED = MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_int);
    private static final MethodTypeDesc RANGE =
            MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_long, ConstantDescs.CD_long);
    private static final MethodTypeDesc FIELD =
            MethodTypeDesc.of(ConstantDescs.CD_void, ConstantDescs.CD_Object, ConstantDescs.CD_int);
    private static final MethodTypeDesc ELEMENT = MethodTypeDesc.of(
            ConstantDescs.CD_void, ConstantDescs.CD_Object, ConstantDescs.CD_int, ConstantDescs.CD_int);

    private final JvmClasses layouts;
    private final Map<String, Map<String, Integer>> offsets = new HashMap<>();

    public CountingLoader() {
        super(CountingLoader.class.getClassLoader());
        try {
            layouts = JvmClasses.open(Path.of(dev.slate.kvm.Kvm.class
                            .getProtectionDomain()
                            .getCodeSource()
                            .getLocation()
                            .toURI())
                    .toString());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** An instance of an instrumented class that has a constructor without parameters. */
    public Object create(String className) {
        try {
            return loadClass(className).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("can't make an instrumented " + className, e);
        }
    }

    @Override
    public void close() {
        layouts.close();
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        for (String prefix : INSTRUMENTED) {
            if (name.startsWith(prefix)) {
                synchronized (getClassLoadingLock(name)) {
                    Class<?> loaded = findLoadedClass(name);
                    return loaded != null ? loaded : findClass(name);
                }
            }
        }
        return super.loadClass(name, resolve);
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
        byte[] bytes;
        try {
            // In a named module the parent's resources are found through the class itself only.
            Class<?> original = Class.forName(name, false, getParent());
            try (InputStream file =
                    original.getResourceAsStream(name.substring(name.lastIndexOf('.') + 1) + ".class")) {
                if (file == null) {
                    throw new ClassNotFoundException(name);
                }
                bytes = file.readAllBytes();
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        byte[] instrumented = instrument(name, bytes);
        return defineClass(name, instrumented, 0, instrumented.length);
    }

    private byte[] instrument(String name, byte[] bytes) {
        ClassFile classFile = ClassFile.of();
        ClassModel model = classFile.parse(bytes);
        if (name.equals(MEMORY) || name.equals(STATS)) {
            return classFile.transformClass(model, ClassTransform.transformingMethods((builder, element) -> {
                if (element instanceof CodeModel code) {
                    MethodModel method = code.parent().orElseThrow();
                    builder.transformCode(
                            code, method.flags().has(AccessFlag.PUBLIC) ? new Noted(method) : CodeTransform.ACCEPT_ALL);
                } else {
                    builder.with(element);
                }
            }));
        }
        boolean ofMemslots = name.startsWith(MEMSLOTS);
        return classFile.transformClass(
                model,
                ClassTransform.transformingMethodBodies((code, element) -> noteSlots(code, element, ofMemslots)));
    }

    /** A method of HostMemory that says first what it touches, or one of VcpuStats that says what it counts. */
    private record Noted(MethodModel method) implements CodeTransform {
        @Override
        public void atStart(CodeBuilder code) {
            switch (method.methodName().stringValue()) {
                case "add" -> code.iload(1).invokestatic(RECORDER, "counted", COUNTED);
                case "copy" -> {
                    code.lload(0).lload(4).invokestatic(RECORDER, "touch", RANGE);
                    code.lload(2).lload(4).invokestatic(RECORDER, "touch", RANGE);
                }
                case "copyOut" -> code.lload(0).iload(4).i2l().invokestatic(RECORDER, "touch", RANGE);
                case "copyIn" -> code.lload(2).iload(4).i2l().invokestatic(RECORDER, "touch", RANGE);
                case "fill" -> code.lload(0).lload(2).invokestatic(RECORDER, "touch", RANGE);
                default -> {
                    if (method.flags().has(AccessFlag.STATIC)
                            && method.methodTypeSymbol().parameterCount() > 0
                            && method.methodTypeSymbol().parameterType(0).equals(ConstantDescs.CD_long)) {
                        code.lload(0).invokestatic(RECORDER, "touch", AT);
                    }
                }
            }
        }

        @Override
        public void accept(CodeBuilder code, CodeElement element) {
            code.with(element);
        }
    }

    private void noteSlots(CodeBuilder code, CodeElement element, boolean ofMemslots) {
        if (element instanceof FieldInstruction field && field.opcode() == Opcode.GETFIELD) {
            String owner = field.owner().asInternalName().replace('/', '.');
            Integer offset =
                    owner.startsWith(MEMSLOTS) ? offset(owner, field.name().stringValue()) : null;
            if (offset != null) {
                code.dup().loadConstant(offset).invokestatic(RECORDER, "field", FIELD);
            }
        } else if (ofMemslots && element instanceof ArrayLoadInstruction load) {
            code.dup2().loadConstant(load.opcode() == Opcode.LALOAD ? 3 : 2).invokestatic(RECORDER, "element", ELEMENT);
        }
        code.with(element);
    }

    /** Where HotSpot lays a field; null: the class is not one whose objects are laid out. */
    private @Nullable Integer offset(String owner, String field) {
        return offsets.computeIfAbsent(owner, this::layout).get(field);
    }

    private Map<String, Integer> layout(String owner) {
        Map<String, Integer> fields = new HashMap<>();
        if (layouts.find(owner) instanceof Aggregate type) {
            for (Member member : type.members()) {
                if (member.name() != null) {
                    fields.put(member.name(), (int) member.byteOffset());
                }
            }
        }
        return fields;
    }
}
