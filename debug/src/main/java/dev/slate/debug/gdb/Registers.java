package dev.slate.debug.gdb;

import dev.slate.cpu.CpuState;

/**
 * The registers as gdb sees them: their order, sizes and description (gdb manual, "Target Descriptions"), read from and written to a
 * processor's state. Numbers are indices into the order of the description.
 */
final class Registers {
    private static final int GENERAL = 16;
    private static final int RIP = 16;
    private static final int EFLAGS = 17;
    private static final int SEGMENTS = 18;
    private static final int ST = 24;
    private static final int FPU_CONTROL = 32;
    private static final int XMM = 40;
    private static final int MXCSR = 56;
    private static final int FS_BASE = 57;
    private static final int GS_BASE = 58;
    private static final int SYSTEM = 59;

    private static final String[] GENERAL_NAMES = {
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"
    };
    /** gdb's order of the general registers in the manuals' numbers. */
    private static final int[] GENERAL_NUMBERS = {
        CpuState.RAX,
        CpuState.RBX,
        CpuState.RCX,
        CpuState.RDX,
        CpuState.RSI,
        CpuState.RDI,
        CpuState.RBP,
        CpuState.RSP,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15
    };

    private static final String[] SEGMENT_NAMES = {"cs", "ss", "ds", "es", "fs", "gs"};
    private static final int[] SEGMENT_NUMBERS = {
        CpuState.CS, CpuState.SS, CpuState.DS, CpuState.ES, CpuState.FS, CpuState.GS
    };
    private static final String[] FPU_NAMES = {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"};
    private static final String[] SYSTEM_NAMES = {
        "cr0",
        "cr2",
        "cr3",
        "cr4",
        "cr8",
        "efer",
        "kernel_gs_base",
        "gdt_base",
        "gdt_limit",
        "idt_base",
        "idt_limit",
        "dr0",
        "dr1",
        "dr2",
        "dr3",
        "dr6",
        "dr7",
        "cpl"
    };

    static final int COUNT = SYSTEM + SYSTEM_NAMES.length;
    static final int LARGEST = 16;

    private static final String DESCRIPTION = describe();

    private Registers() {}

    /** target.xml. */
    static String description() {
        return DESCRIPTION;
    }

    private static String describe() {
        StringBuilder x = new StringBuilder("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n");
        x.append("<target version=\"1.0\">\n<architecture>i386:x86-64</architecture>\n");
        x.append("<feature name=\"org.gnu.gdb.i386.core\">\n<flags id=\"eflags\" size=\"4\">\n");
        String[] flags = {
            "CF", "1", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF", "", "", "NT", "", "RF", "VM", "AC",
            "VIF", "VIP", "ID"
        };
        for (int i = 0; i < flags.length; i++) {
            if (!flags[i].isEmpty()) {
                x.append("<field name=\"")
                        .append(flags[i].equals("1") ? "" : flags[i])
                        .append("\" start=\"");
                x.append(i).append("\" end=\"").append(i).append("\"/>\n");
            }
        }
        x.append("</flags>\n");
        for (String name : GENERAL_NAMES) {
            reg(x, name, 64, name.equals("rbp") || name.equals("rsp") ? "data_ptr" : "int64", "");
        }
        reg(x, "rip", 64, "code_ptr", "");
        reg(x, "eflags", 32, "eflags", "");
        for (String name : SEGMENT_NAMES) {
            reg(x, name, 32, "int32", "");
        }
        for (int i = 0; i < 8; i++) {
            reg(x, "st" + i, 80, "i387_ext", "");
        }
        for (String name : FPU_NAMES) {
            reg(x, name, 32, "int", "float");
        }
        x.append("</feature>\n<feature name=\"org.gnu.gdb.i386.sse\">\n");
        String[][] views = {
            {"v4f", "ieee_single", "4"},
            {"v2d", "ieee_double", "2"},
            {"v16i8", "int8", "16"},
            {"v8i16", "int16", "8"},
            {"v4i32", "int32", "4"},
            {"v2i64", "int64", "2"}
        };
        for (String[] v : views) {
            x.append("<vector id=\"").append(v[0]).append("\" type=\"").append(v[1]);
            x.append("\" count=\"").append(v[2]).append("\"/>\n");
        }
        String[] fields = {"v4_float", "v2_double", "v16_int8", "v8_int16", "v4_int32", "v2_int64"};
        x.append("<union id=\"vec128\">\n");
        for (int i = 0; i < fields.length; i++) {
            x.append("<field name=\"")
                    .append(fields[i])
                    .append("\" type=\"")
                    .append(views[i][0])
                    .append("\"/>\n");
        }
        x.append("<field name=\"uint128\" type=\"uint128\"/>\n</union>\n");
        for (int i = 0; i < 16; i++) {
            reg(x, "xmm" + i, 128, "vec128", "");
        }
        reg(x, "mxcsr", 32, "int", "vector");
        x.append("</feature>\n<feature name=\"org.gnu.gdb.i386.segments\">\n");
        reg(x, "fs_base", 64, "int", "");
        reg(x, "gs_base", 64, "int", "");
        x.append("</feature>\n<feature name=\"dev.slate.system\">\n");
        for (String name : SYSTEM_NAMES) {
            reg(x, name, 64, "int64", "system");
        }
        return x.append("</feature>\n</target>\n").toString();
    }

    private static void reg(StringBuilder x, String name, int bits, String type, String group) {
        x.append("<reg name=\"")
                .append(name)
                .append("\" bitsize=\"")
                .append(bits)
                .append("\" type=\"")
                .append(type);
        x.append(group.isEmpty() ? "" : "\" group=\"" + group).append("\"/>\n");
    }

    /** Appends name and value of each system register, one a line. */
    static void appendSystem(CpuState s, StringBuilder out) {
        for (int i = 0; i < SYSTEM_NAMES.length; i++) {
            out.append(String.format("%-15s 0x%x%n", SYSTEM_NAMES[i], low(s, SYSTEM + i)));
        }
    }

    /** Bytes of a register. */
    static int bytes(int number) {
        if (number == EFLAGS || number >= SEGMENTS && number < ST || number >= FPU_CONTROL && number < XMM) {
            return 4;
        }
        if (number >= ST && number < FPU_CONTROL) {
            return 10;
        }
        return number >= XMM && number < MXCSR ? 16 : number == MXCSR ? 4 : 8;
    }

    /** Reads a register into {@code to}, little-endian; returns its {@link #bytes}. */
    static int read(CpuState s, int number, byte[] to) {
        int bytes = bytes(number);
        long high = 0;
        if (number >= ST && number < FPU_CONTROL) {
            high = s.fpExponent[physical(s, number)];
        } else if (number >= XMM && number < MXCSR) {
            high = s.xmm[4 * (number - XMM) + 1];
        }
        put(to, 0, Math.min(bytes, 8), low(s, number));
        put(to, 8, bytes - 8, high);
        return bytes;
    }

    private static int physical(CpuState s, int number) {
        return (s.fsw >> 11) + (number - ST) & 7;
    }

    private static long low(CpuState s, int number) {
        if (number < GENERAL) {
            return s.gpr[GENERAL_NUMBERS[number]];
        } else if (number == RIP) {
            return s.rip;
        } else if (number == EFLAGS) {
            return s.rflags();
        } else if (number < ST) {
            return s.segSelector[SEGMENT_NUMBERS[number - SEGMENTS]];
        } else if (number < FPU_CONTROL) {
            return s.fpMantissa[physical(s, number)];
        } else if (number < XMM) {
            return fpuControl(s, number - FPU_CONTROL);
        } else if (number < MXCSR) {
            return s.xmm[4 * (number - XMM)];
        } else if (number == MXCSR) {
            return s.mxcsr;
        } else if (number < SYSTEM) {
            return s.segBase[number == FS_BASE ? CpuState.FS : CpuState.GS];
        }
        return system(s, number - SYSTEM);
    }

    private static long fpuControl(CpuState s, int i) {
        return switch (i) {
            case 0 -> s.fcw;
            case 1 -> s.fsw;
            case 2 -> tags(s);
            case 3 -> s.fpCs;
            case 4 -> s.fpIp;
            case 5 -> s.fpDs;
            case 6 -> s.fpDp;
            case 7 -> s.fpOpcode;
            default -> 0;
        };
    }

    /** The full tag word (SDM 1 8.1.7): 0 valid, 1 zero, 2 special, 3 empty. */
    private static int tags(CpuState s) {
        int tags = 0;
        for (int i = 0; i < 8; i++) {
            int exponent = s.fpExponent[i] & 0x7fff;
            int tag;
            if ((s.ftwValid >> i & 1) == 0) {
                tag = 3;
            } else if (exponent == 0 && s.fpMantissa[i] == 0) {
                tag = 1;
            } else {
                tag = exponent == 0x7fff || exponent == 0 || s.fpMantissa[i] >= 0 ? 2 : 0;
            }
            tags |= tag << 2 * i;
        }
        return tags;
    }

    private static long system(CpuState s, int i) {
        return switch (i) {
            case 0 -> s.cr0;
            case 1 -> s.cr2;
            case 2 -> s.cr3;
            case 3 -> s.cr4;
            case 4 -> s.cr8;
            case 5 -> s.efer;
            case 6 -> s.kernelGsBase;
            case 7 -> s.gdtBase;
            case 8 -> s.gdtLimit & 0xffff_ffffL;
            case 9 -> s.idtBase;
            case 10 -> s.idtLimit & 0xffff_ffffL;
            case 11, 12, 13, 14 -> s.dr[i - 11];
            case 15 -> s.dr6;
            case 16 -> s.dr7;
            default -> s.cpl;
        };
    }

    /**
     * Writes a register. What only an instruction with its checks may change (selectors, control registers) is refused unless it is what
     * it was.
     *
     * @return whether the register now has that value
     */
    static boolean write(CpuState s, int number, byte[] from, int at) {
        int bytes = bytes(number);
        long low = get(from, at, Math.min(bytes, 8));
        long high = get(from, at + 8, bytes - 8);
        if (number < GENERAL) {
            s.gpr[GENERAL_NUMBERS[number]] = low;
        } else if (number == RIP) {
            s.rip = low;
        } else if (number == EFLAGS) {
            int mode = CpuState.VM | CpuState.VIF | CpuState.VIP;
            if (((low ^ s.rflags()) & mode) != 0) {
                return false;
            }
            s.setRflags(low);
        } else if (number >= ST && number < FPU_CONTROL) {
            s.fpMantissa[physical(s, number)] = low;
            s.fpExponent[physical(s, number)] = (int) high & 0xffff;
        } else if (number == FPU_CONTROL) {
            s.fcw = (int) low & 0x1f7f | 0x40;
        } else if (number >= XMM && number < MXCSR) {
            s.xmm[4 * (number - XMM)] = low;
            s.xmm[4 * (number - XMM) + 1] = high;
        } else if ((number == FS_BASE || number == GS_BASE) && s.mode64() && low << 16 >> 16 == low) {
            s.segBase[number == FS_BASE ? CpuState.FS : CpuState.GS] = low;
        } else if (number == SYSTEM + 1) {
            s.cr2 = low;
        } else {
            return low(s, number) == low;
        }
        return true;
    }

    private static void put(byte[] to, int at, int bytes, long value) {
        for (int i = 0; i < bytes; i++) {
            to[at + i] = (byte) (value >>> 8 * i);
        }
    }

    private static long get(byte[] from, int at, int bytes) {
        long v = 0;
        for (int i = bytes - 1; i >= 0; i--) {
            v = v << 8 | from[at + i] & 0xff;
        }
        return v;
    }
}
