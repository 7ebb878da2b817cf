package dev.slate.layout.dwarf;

/** The tags that a layout needs (DWARF 5, table 7.3). */
final class Tag {
    static final int ARRAY = 0x01;
    static final int CLASS = 0x02;
    static final int ENUMERATION = 0x04;
    static final int FORMAL_PARAMETER = 0x05;
    static final int MEMBER = 0x0d;
    static final int POINTER = 0x0f;
    static final int REFERENCE = 0x10;
    static final int STRING = 0x12;
    static final int STRUCTURE = 0x13;
    static final int SUBROUTINE = 0x15;
    static final int TYPEDEF = 0x16;
    static final int UNION = 0x17;
    static final int MODULE = 0x1e;
    static final int SET = 0x20;
    static final int FILE = 0x29;
    static final int TEMPLATE_TYPE = 0x2f;
    static final int TEMPLATE_VALUE = 0x30;
    static final int NAMESPACE = 0x39;
    static final int TEMPLATE_ALIAS = 0x43;
    static final int COARRAY = 0x44;
    static final int DYNAMIC = 0x46;
    static final int GNU_TEMPLATE_TEMPLATE = 0x4106;
    static final int GNU_TEMPLATE_PACK = 0x4107;
    static final int UNSPECIFIED_PARAMETERS = 0x18;
    static final int VARIANT = 0x19;
    static final int INHERITANCE = 0x1c;
    static final int MEMBER_POINTER = 0x1f;
    static final int SUBRANGE = 0x21;
    static final int BASE = 0x24;
    static final int CONST = 0x26;
    static final int ENUMERATOR = 0x28;
    static final int PACKED = 0x2d;
    static final int SUBPROGRAM = 0x2e;
    static final int VARIANT_PART = 0x33;
    static final int VOLATILE = 0x35;
    static final int RESTRICT = 0x37;
    static final int INTERFACE = 0x38;
    static final int UNSPECIFIED = 0x3b;
    static final int SHARED = 0x40;
    static final int RVALUE_REFERENCE = 0x42;
    static final int ATOMIC = 0x47;
    static final int SKELETON_UNIT = 0x4a;
    static final int IMMUTABLE = 0x4b;

    private Tag() {}

    /** A struct, class, union or interface. */
    static boolean aggregate(int tag) {
        return tag == STRUCTURE || tag == UNION || tag == CLASS || tag == INTERFACE;
    }

    /** What a qualified name is made of: what can stand around a type and has a name. */
    static boolean scope(int tag) {
        return tag == NAMESPACE || tag == MODULE || tag == SUBPROGRAM || aggregate(tag);
    }

    /** A type that a user can ask for by name. */
    static boolean named(int tag) {
        return aggregate(tag) || tag == TYPEDEF || tag == ENUMERATION;
    }
}
