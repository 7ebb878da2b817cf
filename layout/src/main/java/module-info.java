/** Structure layouts read from DWARF, BTF and JVM classes. */
@org.jspecify.annotations.NullMarked
module dev.slate.layout {
    requires static transitive org.jspecify;
    requires org.tukaani.xz;

    exports dev.slate.layout;
    exports dev.slate.layout.btf;
    exports dev.slate.layout.dwarf;
    exports dev.slate.layout.elf;
    exports dev.slate.layout.text;
}
