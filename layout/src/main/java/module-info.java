/** Structure layouts read from DWARF, BTF and JVM classes. */
@org.jspecify.annotations.NullMarked
module dev.slate.layout {
    requires static transitive org.jspecify;
    requires org.tukaani.xz;

    exports dev.slate.layout;
    exports dev.slate.layout.btf;
    exports dev.slate.layout.compare;
    exports dev.slate.layout.density;
    exports dev.slate.layout.dwarf;
    exports dev.slate.layout.elf;
    exports dev.slate.layout.file;
    exports dev.slate.layout.jvm;
    exports dev.slate.layout.lock;
    exports dev.slate.layout.pack;
    exports dev.slate.layout.text;
}
