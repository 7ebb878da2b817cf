/** Structure layouts read from DWARF, BTF and JVM classes. */
@org.jspecify.annotations.NullMarked
module dev.slate.layout {
    requires static org.jspecify;
}
