package dev.slate.layout.btf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.ArrayType;
import dev.slate.layout.BaseType;
import dev.slate.layout.Distinct;
import dev.slate.layout.EnumType;
import dev.slate.layout.FunctionType;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.Member;
import dev.slate.layout.PointerType;
import dev.slate.layout.QualifiedType;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * BTF, whole or split. A split BTF counts its types and its strings on from those of its base (Documentation/bpf/btf.rst, section 6).
 * Opening it walks the type section once to find where each type starts; a type is decoded when somebody asks for it.
 */
public final class Btf implements LayoutSource, TypeTable {
    private static final int MAGIC = 0xeb9f;
    private static final int INT = 1;
    private static final int PTR = 2;
    private static final int ARRAY = 3;
    private static final int STRUCT = 4;
    private static final int UNION = 5;
    private static final int ENUM = 6;
    private static final int FWD = 7;
    private static final int TYPEDEF = 8;
    private static final int VOLATILE = 9;
    private static final int CONST = 10;
    private static final int RESTRICT = 11;
    private static final int FUNC = 12;
    private static final int FUNC_PROTO = 13;
    private static final int VAR = 14;
    private static final int DATASEC = 15;
    private static final int FLOAT = 16;
    private static final int DECL_TAG = 17;
    private static final int TYPE_TAG = 18;
    private static final int ENUM64 = 19;

    private final String file;
    private final @Nullable Btf base;
    private final int lineSize;
    private final byte[] types;
    private final ByteBuffer in;
    private final byte[] strings;
    private final long typesAt;
    private final int firstId;
    private final int firstString;
    private final int[] starts;
    private final int count;
    private final Type[] known;
    private int pointerSize;

    /**
     * Reads the bytes of a {@code .BTF} section or of a file of {@code /sys/kernel/btf}.
     *
     * @param base the BTF that this one continues, null if it is whole
     * @param lineSize bytes of a cache line, which an alignment that was lost is rounded up to where the offsets allow
     */
    public Btf(String file, ByteBuffer bytes, @Nullable Btf base, int lineSize) {
        this.file = file;
        this.base = base;
        this.lineSize = lineSize;
        if (bytes.limit() < 24) throw new LayoutException(file, 0, "BTF of " + bytes.limit() + " bytes has no header");
        ByteBuffer head = bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        if (Short.toUnsignedInt(head.getShort(0)) != MAGIC) {
            head.order(ByteOrder.BIG_ENDIAN);
            if (Short.toUnsignedInt(head.getShort(0)) != MAGIC)
                throw new LayoutException(file, 0, "no BTF: the magic number is missing");
        }
        if (head.get(2) != 1) throw new LayoutException(file, 2, "BTF of version " + head.get(2) + "; only 1 is known");
        long header = Integer.toUnsignedLong(head.getInt(4));
        typesAt = header + Integer.toUnsignedLong(head.getInt(8));
        types = part(bytes, header, head.getInt(8), head.getInt(12), "the type section");
        strings = part(bytes, header, head.getInt(16), head.getInt(20), "the string section");
        if (strings.length == 0 && base == null) throw new LayoutException(file, header, "the string section is empty");
        if (strings.length > 0 && strings[strings.length - 1] != 0) {
            throw new LayoutException(file, header, "the string section does not end with a zero");
        }
        in = ByteBuffer.wrap(types).order(head.order());
        firstId = base == null ? 1 : base.firstId + base.count;
        firstString = base == null ? 0 : base.firstString + base.strings.length;
        int[] found = new int[Math.max(16, types.length / 24)];
        int n = 0;
        int at = 0;
        while (at < types.length) {
            if (n == found.length) found = Arrays.copyOf(found, n * 2);
            found[n++] = at;
            at = end(at);
        }
        starts = found;
        count = n;
        known = new Type[n];
        pointerSize = base == null ? 0 : base.pointerSize;
    }

    private byte[] part(ByteBuffer bytes, long header, int offset, int length, String what) {
        long start = header + Integer.toUnsignedLong(offset);
        long size = Integer.toUnsignedLong(length);
        if (start + size > bytes.limit()) {
            throw new LayoutException(
                    file, start, what + " of " + size + " bytes leaves the BTF, which has " + bytes.limit() + " bytes");
        }
        byte[] out = new byte[(int) size];
        bytes.get((int) start, out);
        return out;
    }

    /** Where the type that starts at {@code at} ends; checks that it does so inside the section. */
    private int end(int at) {
        if (types.length - at < 12) throw broken(at, "a type is cut off");
        int info = in.getInt(at + 4);
        int kind = info >>> 24 & 0x1f;
        int entries = info & 0xffff;
        long size = 12L
                + switch (kind) {
                    case INT, VAR, DECL_TAG -> 4;
                    case ARRAY -> 12;
                    case STRUCT, UNION, DATASEC, ENUM64 -> 12L * entries;
                    case ENUM, FUNC_PROTO -> 8L * entries;
                    case PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG -> 0;
                    default -> throw broken(at, "type kind " + kind + " is not known");
                };
        if (size > types.length - at) throw broken(at, "a type of " + size + " bytes leaves the type section");
        return at + (int) size;
    }

    private LayoutException broken(int at, String what) {
        return new LayoutException(file, typesAt + at, what);
    }

    @Override
    public String name() {
        return file;
    }

    @Override
    public String file() {
        return file;
    }

    @Override
    public String format() {
        return "BTF";
    }

    @Override
    public Language language() {
        return Language.C;
    }

    @Override
    public boolean statesAlignment() {
        return false;
    }

    /** How many types there are, with the base's and without void. */
    public int typeCount() {
        return firstId + count - 1;
    }

    @Override
    public int addressSize() {
        if (pointerSize == 0) pointerSize = findPointerSize();
        return pointerSize;
    }

    /** BTF does not say how wide a pointer is, but C's long is as wide on every Linux. */
    private int findPointerSize() {
        for (int i = 0; i < count; i++) {
            int at = starts[i];
            if ((in.getInt(at + 4) >>> 24 & 0x1f) != INT) continue;
            String name = string(in.getInt(at), at);
            if ("long int".equals(name)
                    || "long".equals(name)
                    || "long unsigned int".equals(name)
                    || "unsigned long".equals(name)) {
                int size = in.getInt(at + 8);
                if (size == 4 || size == 8) return size;
            }
        }
        return base == null ? 8 : base.addressSize();
    }

    private @Nullable String string(int offset, int at) {
        if (offset == 0) return null;
        if (Integer.compareUnsigned(offset, firstString) < 0) {
            if (base == null) throw broken(at, "a name lies before the string section");
            return base.string(offset, at);
        }
        int start = offset - firstString;
        if (start < 0 || start >= strings.length) {
            throw broken(
                    at,
                    "a name lies behind the end of the string section"
                            + (base == null ? " (a module's BTF continues the kernel's: name it with --base)" : ""));
        }
        int end = start;
        while (strings[end] != 0) end++;
        return new String(strings, start, end - start, StandardCharsets.UTF_8);
    }

    @Override
    public @Nullable Type type(long id) {
        if (id == 0) return null;
        if (id < firstId) {
            if (base != null) return base.type(id);
            throw new LayoutException(file, "there is no type " + id);
        }
        long index = id - firstId;
        if (index >= count) {
            throw new LayoutException(
                    file,
                    "there is no type " + id + "; the last is " + typeCount()
                            + (base == null ? " (a split BTF needs --base)" : ""));
        }
        Type type = known[(int) index];
        if (type == null) {
            type = decode((int) id, starts[(int) index]);
            known[(int) index] = type;
        }
        return type;
    }

    private Type decode(int id, int at) {
        int info = in.getInt(at + 4);
        int kind = info >>> 24 & 0x1f;
        int entries = info & 0xffff;
        boolean flag = info < 0;
        long third = Integer.toUnsignedLong(in.getInt(at + 8)); // a size or a type
        return switch (kind) {
            case INT ->
                new BaseType(
                        this,
                        id,
                        string(in.getInt(at), at),
                        in.getInt(at + 12) & 0xff,
                        (in.getInt(at + 12) >>> 24 & 1) != 0 ? BaseType.Encoding.SIGNED : BaseType.Encoding.UNSIGNED);
            case FLOAT -> new BaseType(this, id, string(in.getInt(at), at), (int) Math.min(third, 1024) * 8);
            case PTR -> new PointerType(this, id, PointerType.Kind.POINTER, null, third, 0);
            case ARRAY ->
                new ArrayType(
                        this,
                        id,
                        Integer.toUnsignedLong(in.getInt(at + 12)),
                        new long[] {Integer.toUnsignedLong(in.getInt(at + 20))},
                        false);
            case STRUCT, UNION -> new Aggregate(this, id, kindOf(kind), string(in.getInt(at), at), third, false);
            case FWD -> new Aggregate(this, id, kindOf(flag ? UNION : STRUCT), string(in.getInt(at), at), 0, true);
            case ENUM, ENUM64 -> enumeration(id, at, kind, entries, flag, third);
            case TYPEDEF -> new TypedefType(this, id, string(in.getInt(at), at), third);
            case VOLATILE -> new QualifiedType(this, id, QualifiedType.Kind.VOLATILE, third);
            case CONST -> new QualifiedType(this, id, QualifiedType.Kind.CONST, third);
            case RESTRICT -> new QualifiedType(this, id, QualifiedType.Kind.RESTRICT, third);
            case TYPE_TAG -> new QualifiedType(this, id, QualifiedType.Kind.TAG, third);
            case FUNC_PROTO -> function(id, at, entries, third);
            default ->
                throw broken(
                        at,
                        "type " + id + " is a function, a variable or a section (kind " + kind
                                + "), where a type is needed");
        };
    }

    private static Aggregate.Kind kindOf(int kind) {
        return kind == UNION ? Aggregate.Kind.UNION : Aggregate.Kind.STRUCT;
    }

    private EnumType enumeration(int id, int at, int kind, int entries, boolean signed, long size) {
        List<EnumType.Value> values = new ArrayList<>(entries);
        for (int i = 0; i < entries; i++) {
            int entry = at + 12 + i * (kind == ENUM ? 8 : 12);
            long value;
            if (kind == ENUM) {
                value = signed ? in.getInt(entry + 4) : Integer.toUnsignedLong(in.getInt(entry + 4));
            } else {
                value = Integer.toUnsignedLong(in.getInt(entry + 4)) | (long) in.getInt(entry + 8) << 32;
            }
            String name = string(in.getInt(entry), entry);
            values.add(new EnumType.Value(name == null ? "" : name, value));
        }
        return new EnumType(this, id, string(in.getInt(at), at), size == 0 ? 4 : size, signed, values);
    }

    private FunctionType function(int id, int at, int entries, long result) {
        List<FunctionType.Parameter> parameters = new ArrayList<>(entries);
        boolean variadic = false;
        for (int i = 0; i < entries; i++) {
            int entry = at + 12 + i * 8;
            int type = in.getInt(entry + 4);
            if (type == 0) variadic = true;
            else
                parameters.add(
                        new FunctionType.Parameter(string(in.getInt(entry), entry), Integer.toUnsignedLong(type)));
        }
        return new FunctionType(this, id, result, parameters, variadic);
    }

    @Override
    public Contents contents(Aggregate aggregate) {
        if (aggregate.declaration()) return new Contents(List.of(), 0);
        int at = starts[(int) aggregate.id() - firstId];
        int info = in.getInt(at + 4);
        int entries = info & 0xffff;
        boolean bitfields = info < 0;
        List<Aggregate.Entry> members = new ArrayList<>(entries);
        int seen = 0;
        long greatest = 0;
        for (int i = 0; i < entries; i++) {
            int entry = at + 12 + i * 12;
            long place = Integer.toUnsignedLong(in.getInt(entry + 8));
            int fieldBits = bitfields ? (int) (place >>> 24) : 0;
            long bitOffset = bitfields ? place & 0xffffff : place;
            Type declared = type(Integer.toUnsignedLong(in.getInt(entry + 4)));
            Type type = Type.strip(declared);
            long size = Type.sizeOf(type);
            long byteOffset = bitOffset / 8;
            int fieldOffset = 0;
            if (fieldBits != 0 && size != 0 && (type instanceof BaseType || type instanceof EnumType)) {
                // A storage unit lies at a multiple of its size, however the struct is packed.
                byteOffset = bitOffset / (size * 8) * size;
                fieldOffset = (int) (bitOffset - byteOffset * 8);
            }
            long alignment = 0;
            long natural = Type.naturalAlignment(type);
            greatest = Math.max(greatest, natural);
            if (size != 0) {
                alignment = inferAlignment((int) byteOffset, natural, seen);
                seen = (int) (byteOffset + size);
            }
            checkPlace(aggregate, entry, bitOffset, fieldBits, byteOffset, size);
            members.add(new Member(
                    string(in.getInt(entry), entry),
                    declared,
                    Member.Role.FIELD,
                    byteOffset,
                    bitOffset,
                    fieldBits,
                    fieldOffset,
                    size,
                    alignment,
                    Aggregate.Access.NONE,
                    false,
                    0));
        }
        return new Contents(members, inferAlignment((int) aggregate.size(), Math.max(greatest, 1), seen));
    }

    /** A member that leaves its aggregate is no layout; C has none but flexible arrays, which have no size. */
    private void checkPlace(Aggregate aggregate, int entry, long bitOffset, int bits, long byteOffset, long size) {
        long end = bits != 0 ? (bitOffset + bits + 7) / 8 : byteOffset + size;
        if (end > aggregate.size()) {
            throw broken(
                    entry,
                    "a member of " + aggregate.kind().word() + " " + aggregate.name() + " ends at byte " + end
                            + ", behind its size of " + aggregate.size());
        }
    }

    /**
     * BTF does not keep the alignment that was asked for. A gap wider than natural alignment explains means that some was: the next
     * power of two above the gap, or a whole cache line where the offset allows it.
     */
    private int inferAlignment(int offset, long natural, int smallest) {
        int gap = offset - smallest;
        int alignment = gap != 0 && offset % 2 == 0 ? 1 << (32 - Integer.numberOfLeadingZeros(gap)) : 0;
        if (alignment <= natural || alignment == 1) return 0;
        if (alignment < lineSize && lineSize % alignment == 0 && offset % lineSize == 0) return lineSize;
        return alignment;
    }

    @Override
    public void forEachAggregate(Consumer<Aggregate> each, Consumer<LayoutException> leftOut) {
        Distinct distinct = new Distinct();
        for (long id = 1; id <= typeCount(); id++) {
            int kind = kind(id);
            if (kind != STRUCT && kind != UNION) continue;
            try {
                if (type(id) instanceof Aggregate aggregate && aggregate.name() != null && distinct.first(aggregate))
                    each.accept(aggregate);
            } catch (LayoutException e) {
                leftOut.accept(e);
            }
        }
    }

    private int kind(long id) {
        if (id < firstId && base != null) return base.kind(id);
        return in.getInt(starts[(int) id - firstId] + 4) >>> 24 & 0x1f;
    }

    @Override
    public Map<String, List<Type>> find(Collection<String> names) {
        Map<String, List<Type>> found = new LinkedHashMap<>();
        for (String name : names) {
            List<Type> types = new ArrayList<>();
            find(name.getBytes(StandardCharsets.UTF_8), types, new Distinct());
            // A struct is meant before a typedef or an enum of its name.
            if (types.stream().anyMatch(t -> t instanceof Aggregate)) types.removeIf(t -> !(t instanceof Aggregate));
            found.put(name, types.isEmpty() || types.getFirst() instanceof Aggregate ? types : types.subList(0, 1));
        }
        return found;
    }

    private void find(byte[] wanted, List<Type> types, Distinct distinct) {
        if (base != null) base.find(wanted, types, distinct);
        for (int i = 0; i < count; i++) {
            int at = starts[i];
            int kind = in.getInt(at + 4) >>> 24 & 0x1f;
            if (kind != STRUCT && kind != UNION && kind != ENUM && kind != ENUM64 && kind != TYPEDEF) continue;
            if (!named(in.getInt(at), wanted)) continue;
            Type type = type(firstId + (long) i);
            if (type != null && !(type instanceof Aggregate a && !distinct.first(a))) types.add(type);
        }
    }

    /** Whether some name lies behind its strings: it is a module's, and continues the kernel's. */
    public boolean continuesAnother() {
        if (base != null) return false;
        for (int i = 0; i < count; i++) {
            int offset = in.getInt(starts[i]);
            if (offset < 0 || offset >= strings.length) return true;
        }
        return false;
    }

    private boolean named(int offset, byte[] wanted) {
        if (Integer.compareUnsigned(offset, firstString) < 0) return base != null && base.named(offset, wanted);
        int start = offset - firstString;
        if (start < 0 || start + wanted.length >= strings.length || strings[start + wanted.length] != 0) return false;
        return Arrays.equals(strings, start, start + wanted.length, wanted, 0, wanted.length);
    }

    @Override
    public void close() {}
}
