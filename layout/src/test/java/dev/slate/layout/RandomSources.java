package dev.slate.layout;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Makes random types in C, C++ and Rust: every scalar, complex numbers, vectors, atomics, bit fields, attributes, bases. */
final class RandomSources {
    /** A declaration inside a type; a nameless one has an empty name. */
    record Field(String name, String text, boolean bits) {}

    /** A random type: what stands before and after its members, and those in their order. */
    record Made(String name, String open, List<Field> fields, String close, String after) {
        String source(String as, List<Field> order, String mark) {
            StringBuilder text = new StringBuilder(open.replace(mark, as)).append('\n');
            for (Field field : order) text.append("    ").append(field.text()).append('\n');
            return text.append(close.replace(mark, as))
                    .append('\n')
                    .append(after.replace(mark, as))
                    .append('\n')
                    .toString();
        }
    }

    static final String MARK = "@NAME@";

    static final String C_HEAD = """
            #include <stddef.h>
            #include <stdio.h>
            enum colour { RED, GREEN };
            typedef float vec4 __attribute__((vector_size(16)));
            typedef double vec8 __attribute__((vector_size(32)));
            typedef int vec2 __attribute__((vector_size(8)));
            typedef struct { int a; char b; } pair;
            typedef int wide_int __attribute__((aligned(16)));
            """;
    static final String CXX_HEAD = """
            #include <cstddef>
            #include <cstdio>
            enum colour { RED, GREEN };
            enum class mode : unsigned char { R, W };
            typedef float vec4 __attribute__((vector_size(16)));
            struct empty {}; struct empty2 {}; struct pair { int a; char b; };
            struct made { int a; char b; made() {} };
            struct speaks { virtual ~speaks() {} int a; char b; };
            """;
    private static final String[] SCALARS = {
        "char",
        "signed char",
        "short",
        "int",
        "long",
        "long long",
        "unsigned char",
        "unsigned short",
        "unsigned",
        "unsigned long",
        "float",
        "double",
        "long double",
        "void *",
        "enum colour",
        "__int128"
    };
    private static final String[] BIT_TYPES = {"unsigned char", "short", "int", "unsigned", "long", "unsigned long"};
    private static final int[] BIT_WIDTHS = {8, 16, 32, 32, 64, 64};
    private static final String[] C_ONLY = {
        "_Bool",
        "double _Complex",
        "float _Complex",
        "long double _Complex",
        "vec4",
        "vec8",
        "vec2",
        "_Atomic int",
        "_Atomic(pair)",
        "_Atomic(long)",
        "wide_int",
        "pair"
    };
    private static final String[] CXX_ONLY = {
        "bool",
        "mode",
        "vec4",
        "empty",
        "pair",
        "made",
        "int pair::*",
        "int (pair::*)(int)",
        "speaks",
        "wchar_t",
        "char16_t"
    };
    private static final String[] RUST = {
        "u8",
        "i16",
        "u32",
        "i64",
        "u128",
        "f32",
        "f64",
        "bool",
        "char",
        "usize",
        "(u8, u32)",
        "[u16; 3]",
        "Option<Box<u8>>",
        "&'static str",
        "[(u8, u16); 2]",
        "Option<u8>",
        "()"
    };

    private RandomSources() {}

    private static String declare(String type, String name, SplittableRandom random) {
        if (type.contains("(pair::*)")) return "int (pair::*" + name + ")(int)";
        if (type.equals("wide_int"))
            return type + " " + name; // its size is no multiple of its alignment: no arrays of it
        if (random.nextInt(8) == 0) return type + " " + name + "[" + (1 + random.nextInt(4)) + "]";
        if (random.nextInt(24) == 0) return type + " " + name + "[2][" + (1 + random.nextInt(3)) + "]";
        if (random.nextInt(24) == 0) return "void (*" + name + "[2])(int)";
        return type + " " + name;
    }

    private static String scalar(SplittableRandom random, String[] special) {
        if (random.nextInt(4) == 0) return special[random.nextInt(special.length)];
        return SCALARS[random.nextInt(SCALARS.length)];
    }

    /** A field of C or C++; the attributes are those of both. */
    private static Field field(
            SplittableRandom random, String name, String[] special, List<String> earlier, boolean cxx) {
        int kind = random.nextInt(20);
        if (kind < 3) {
            int type = random.nextInt(BIT_TYPES.length);
            int width = 1 + random.nextInt(BIT_WIDTHS[type]);
            return new Field(name, BIT_TYPES[type] + " " + name + " : " + width + ";", true);
        }
        if (kind == 3 && random.nextInt(4) == 0) return new Field("", "int : " + random.nextInt(12) + ";", true);
        if (kind == 4)
            return new Field(
                    "", "struct { " + scalar(random, SCALARS) + " x" + name + "; char y" + name + "; };", false);
        if (kind == 5)
            return new Field(
                    "", "union { " + scalar(random, SCALARS) + " x" + name + "; short y" + name + "; };", false);
        if (kind == 6)
            return new Field(name, "struct { char x; " + scalar(random, SCALARS) + " y; } " + name + ";", false);
        if (kind == 7 && !earlier.isEmpty())
            return new Field(name, "struct " + earlier.get(random.nextInt(earlier.size())) + " " + name + ";", false);
        if (kind == 8 && random.nextInt(3) == 0) {
            String align = (cxx ? "alignas(" : "_Alignas(") + (16 << random.nextInt(3)) + ") ";
            return new Field(name, align + "int " + name + ";", false);
        }
        if (kind == 9 && random.nextInt(3) == 0)
            return new Field(name, scalar(random, SCALARS) + " " + name + " __attribute__((packed));", false);
        if (kind == 10 && cxx && random.nextInt(2) == 0) {
            String[] types = {"empty", "empty2", "made", "pair"};
            return new Field(name, "[[no_unique_address]] " + types[random.nextInt(4)] + " " + name + ";", false);
        }
        return new Field(name, declare(scalar(random, special), name, random) + ";", false);
    }

    private static List<Field> fields(SplittableRandom random, String[] special, List<String> earlier, boolean cxx) {
        List<Field> fields = new ArrayList<>();
        int count = 1 + random.nextInt(9);
        for (int i = 0; i < count; i++) fields.add(field(random, "m" + i, special, earlier, cxx));
        // A compiler refuses a struct of nothing but nameless members.
        fields.add(new Field("end", "char end;", false));
        return fields;
    }

    static Made c(SplittableRandom random, int number, List<String> earlier) {
        List<Field> fields = fields(random, C_ONLY, earlier, false);
        String attribute = switch (random.nextInt(12)) {
            case 0 -> " __attribute__((packed))";
            case 1 -> " __attribute__((aligned(32)))";
            default -> "";
        };
        return new Made(
                "s" + number,
                "struct " + MARK + " {",
                fields,
                "}" + attribute + ";",
                "struct " + MARK + " v_" + MARK + ";");
    }

    static Made cxx(SplittableRandom random, int number, List<String> earlier) {
        List<Field> fields = fields(random, CXX_ONLY, earlier, true);
        List<String> bases = new ArrayList<>();
        for (String base : new String[] {"pair", "made", "speaks", "empty"})
            if (random.nextInt(9) == 0) bases.add((random.nextInt(6) == 0 ? "virtual " : "") + base);
        StringBuilder open = new StringBuilder("struct " + MARK);
        for (int i = 0; i < bases.size(); i++)
            open.append(i == 0 ? " : " : ", ").append(bases.get(i));
        open.append(" {");
        if (random.nextInt(5) == 0) open.append(" virtual void hear() {}");
        if (random.nextInt(4) == 0) open.append(" " + MARK + "() {}");
        String attribute = random.nextInt(14) == 0 && bases.isEmpty() ? " __attribute__((packed))" : "";
        String close = "}" + attribute + ";";
        return new Made(
                "s" + number,
                open.toString(),
                fields,
                close,
                "static " + MARK + " *v_" + MARK + " = new " + MARK + ";");
    }

    static Made rust(SplittableRandom random, int number, List<String> earlier) {
        List<Field> fields = new ArrayList<>();
        int count = 1 + random.nextInt(8);
        for (int i = 0; i < count; i++) {
            String type = random.nextInt(6) == 0 && !earlier.isEmpty()
                    ? earlier.get(random.nextInt(earlier.size()))
                    : RUST[random.nextInt(RUST.length)];
            if (random.nextInt(10) == 0) type = "[" + type + "; " + (1 + random.nextInt(3)) + "]";
            fields.add(new Field("m" + i, "pub m" + i + ": " + type + ",", false));
        }
        String shape = switch (random.nextInt(8)) {
            case 0 -> "#[repr(C, align(32))] ";
            case 1, 2 -> "";
            default -> "#[repr(C)] ";
        };
        return new Made("s" + number, shape + "pub struct " + MARK + " {", fields, "}", "");
    }
}
