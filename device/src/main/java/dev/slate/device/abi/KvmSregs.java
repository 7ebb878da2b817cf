package dev.slate.device.abi;

import static dev.slate.cpu.mem.HostMemory.fill;
import static dev.slate.cpu.mem.HostMemory.get16;
import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.get8;
import static dev.slate.cpu.mem.HostMemory.put16;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;
import static dev.slate.cpu.mem.HostMemory.put8;
import static dev.slate.device.abi.Struct.u16;
import static dev.slate.device.abi.Struct.u16s;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u64s;
import static dev.slate.device.abi.Struct.u8;

import dev.slate.kvm.Segment;
import dev.slate.kvm.Sregs;
import java.lang.foreign.MemoryLayout;
import java.util.Arrays;

/** {@code struct kvm_sregs}, with {@code kvm_segment} and {@code kvm_dtable}. */
public final class KvmSregs {
    public static final Struct SEGMENT = Struct.of(
            "kvm_segment",
            u64("base"),
            u32("limit"),
            u16("selector"),
            u8("type"),
            u8("present"),
            u8("dpl"),
            u8("db"),
            u8("s"),
            u8("l"),
            u8("g"),
            u8("avl"),
            u8("unusable"),
            u8("padding"));
    public static final Struct TABLE = Struct.of("kvm_dtable", u64("base"), u16("limit"), u16s("padding", 3));
    public static final Struct LAYOUT = layout("kvm_sregs", u64s("interrupt_bitmap", 4));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long BASE = SEGMENT.at("base");
    private static final long LIMIT = SEGMENT.at("limit");
    private static final long SELECTOR = SEGMENT.at("selector");
    private static final long TYPE = SEGMENT.at("type");
    private static final long PRESENT = SEGMENT.at("present");
    private static final long DPL = SEGMENT.at("dpl");
    private static final long DB = SEGMENT.at("db");
    private static final long S = SEGMENT.at("s");
    private static final long L = SEGMENT.at("l");
    private static final long G = SEGMENT.at("g");
    private static final long AVL = SEGMENT.at("avl");
    private static final long UNUSABLE = SEGMENT.at("unusable");

    private static final long CS = LAYOUT.at("cs");
    private static final long DS = LAYOUT.at("ds");
    private static final long ES = LAYOUT.at("es");
    private static final long FS = LAYOUT.at("fs");
    private static final long GS = LAYOUT.at("gs");
    private static final long SS = LAYOUT.at("ss");
    private static final long TR = LAYOUT.at("tr");
    private static final long LDT = LAYOUT.at("ldt");
    private static final long GDT_BASE = LAYOUT.at("gdt.base");
    private static final long GDT_LIMIT = LAYOUT.at("gdt.limit");
    private static final long IDT_BASE = LAYOUT.at("idt.base");
    private static final long IDT_LIMIT = LAYOUT.at("idt.limit");
    private static final long CR0 = LAYOUT.at("cr0");
    private static final long CR2 = LAYOUT.at("cr2");
    private static final long CR3 = LAYOUT.at("cr3");
    private static final long CR4 = LAYOUT.at("cr4");
    private static final long CR8 = LAYOUT.at("cr8");
    private static final long EFER = LAYOUT.at("efer");
    private static final long APIC_BASE = LAYOUT.at("apic_base");
    private static final long INTERRUPT_BITMAP = LAYOUT.at("interrupt_bitmap");

    private KvmSregs() {}

    /** The registers that both forms of the structure begin with, and what follows them. */
    static Struct layout(String name, MemoryLayout... rest) {
        MemoryLayout[] registers = {
            SEGMENT.as("cs"),
            SEGMENT.as("ds"),
            SEGMENT.as("es"),
            SEGMENT.as("fs"),
            SEGMENT.as("gs"),
            SEGMENT.as("ss"),
            SEGMENT.as("tr"),
            SEGMENT.as("ldt"),
            TABLE.as("gdt"),
            TABLE.as("idt"),
            u64("cr0"),
            u64("cr2"),
            u64("cr3"),
            u64("cr4"),
            u64("cr8"),
            u64("efer"),
            u64("apic_base")
        };
        MemoryLayout[] all = Arrays.copyOf(registers, registers.length + rest.length);
        System.arraycopy(rest, 0, all, registers.length, rest.length);
        return Struct.of(name, all);
    }

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, Sregs into) {
        readSegment(hva + CS, into.cs);
        readSegment(hva + DS, into.ds);
        readSegment(hva + ES, into.es);
        readSegment(hva + FS, into.fs);
        readSegment(hva + GS, into.gs);
        readSegment(hva + SS, into.ss);
        readSegment(hva + TR, into.tr);
        readSegment(hva + LDT, into.ldt);
        into.gdtBase = get64(hva + GDT_BASE);
        into.gdtLimit = get16(hva + GDT_LIMIT);
        into.idtBase = get64(hva + IDT_BASE);
        into.idtLimit = get16(hva + IDT_LIMIT);
        into.cr0 = get64(hva + CR0);
        into.cr2 = get64(hva + CR2);
        into.cr3 = get64(hva + CR3);
        into.cr4 = get64(hva + CR4);
        into.cr8 = get64(hva + CR8);
        into.efer = get64(hva + EFER);
        into.apicBase = get64(hva + APIC_BASE);
        for (int i = 0; i < 4; i++) {
            into.interruptBitmap[i] = get64(hva + INTERRUPT_BITMAP + 8L * i);
        }
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, Sregs from) {
        fill(hva, BYTES, 0);
        writeSegment(hva + CS, from.cs);
        writeSegment(hva + DS, from.ds);
        writeSegment(hva + ES, from.es);
        writeSegment(hva + FS, from.fs);
        writeSegment(hva + GS, from.gs);
        writeSegment(hva + SS, from.ss);
        writeSegment(hva + TR, from.tr);
        writeSegment(hva + LDT, from.ldt);
        put64(hva + GDT_BASE, from.gdtBase);
        put16(hva + GDT_LIMIT, from.gdtLimit);
        put64(hva + IDT_BASE, from.idtBase);
        put16(hva + IDT_LIMIT, from.idtLimit);
        put64(hva + CR0, from.cr0);
        put64(hva + CR2, from.cr2);
        put64(hva + CR3, from.cr3);
        put64(hva + CR4, from.cr4);
        put64(hva + CR8, from.cr8);
        put64(hva + EFER, from.efer);
        put64(hva + APIC_BASE, from.apicBase);
        for (int i = 0; i < 4; i++) {
            put64(hva + INTERRUPT_BITMAP + 8L * i, from.interruptBitmap[i]);
        }
    }

    private static void readSegment(long hva, Segment into) {
        into.base = get64(hva + BASE);
        into.limit = get32(hva + LIMIT);
        into.selector = get16(hva + SELECTOR);
        into.type = get8(hva + TYPE);
        into.present = get8(hva + PRESENT);
        into.dpl = get8(hva + DPL);
        into.db = get8(hva + DB);
        into.s = get8(hva + S);
        into.l = get8(hva + L);
        into.g = get8(hva + G);
        into.avl = get8(hva + AVL);
        into.unusable = get8(hva + UNUSABLE);
    }

    private static void writeSegment(long hva, Segment from) {
        put64(hva + BASE, from.base);
        put32(hva + LIMIT, from.limit);
        put16(hva + SELECTOR, from.selector);
        put8(hva + TYPE, from.type);
        put8(hva + PRESENT, from.present);
        put8(hva + DPL, from.dpl);
        put8(hva + DB, from.db);
        put8(hva + S, from.s);
        put8(hva + L, from.l);
        put8(hva + G, from.g);
        put8(hva + AVL, from.avl);
        put8(hva + UNUSABLE, from.unusable);
    }
}
