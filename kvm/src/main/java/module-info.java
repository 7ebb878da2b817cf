/** The hypervisor: what kvm.ko does. Knows nothing of file descriptors and decodes no instruction. */
@org.jspecify.annotations.NullMarked
@SuppressWarnings("module") // the lab measures structures by themselves; it is compiled later
module dev.slate.kvm {
    requires static transitive org.jspecify;
    requires transitive dev.slate.cpu;
    requires jdk.jfr;

    exports dev.slate.kvm;
    exports dev.slate.kvm.cpuid;
    exports dev.slate.kvm.dirty;
    exports dev.slate.kvm.host;
    exports dev.slate.kvm.memslot;
    exports dev.slate.kvm.mmu to
            dev.slate.lab;
    exports dev.slate.kvm.mode;
    exports dev.slate.kvm.rmap to
            dev.slate.lab;
    exports dev.slate.kvm.stats;
    exports dev.slate.kvm.tracepoint;
}
