package dev.slate.layout.dwarf;

/** The attributes that a layout needs (DWARF 5, table 7.5). */
final class At {
    static final int SIBLING = 0x01;
    static final int NAME = 0x03;
    static final int BYTE_SIZE = 0x0b;
    static final int BIT_OFFSET = 0x0c;
    static final int BIT_SIZE = 0x0d;
    static final int LANGUAGE = 0x13;
    static final int COMP_DIR = 0x1b;
    static final int DISCR_LIST = 0x3d;
    static final int ENCODING = 0x3e;
    static final int LOWER_BOUND = 0x22;
    static final int ABSTRACT_ORIGIN = 0x31;
    static final int ARTIFICIAL = 0x34;
    static final int DECL_FILE = 0x3a;
    static final int DECL_LINE = 0x3b;
    static final int DATA_LOCATION = 0x50;
    static final int GNU_TEMPLATE_NAME = 0x2110;
    static final int GNU_DWO_ID = 0x2131;
    static final int DISCR = 0x15;
    static final int DISCRIMINANT_VALUE = 0x16;
    static final int CONST_VALUE = 0x1c;
    static final int CONTAINING_TYPE = 0x1d;
    static final int UPPER_BOUND = 0x2f;
    static final int ACCESSIBILITY = 0x32;
    static final int COUNT = 0x37;
    static final int DATA_MEMBER_LOCATION = 0x38;
    static final int DECLARATION = 0x3c;
    static final int EXTERNAL = 0x3f;
    static final int SPECIFICATION = 0x47;
    static final int TYPE = 0x49;
    static final int VIRTUALITY = 0x4c;
    static final int SIGNATURE = 0x69;
    static final int DATA_BIT_OFFSET = 0x6b;
    static final int ENUM_CLASS = 0x6d;
    static final int STR_OFFSETS_BASE = 0x72;
    static final int ALIGNMENT = 0x88;
    static final int GNU_VECTOR = 0x2107;
    static final int GNU_DWO_NAME = 0x2130;
    static final int DWO_NAME = 0x76;

    private At() {}
}
