/** The processor: what silicon does. Knows nothing of KVM. */
@org.jspecify.annotations.NullMarked
module dev.slate.cpu {
    requires static transitive org.jspecify;

    exports dev.slate.cpu;
    exports dev.slate.cpu.decode;
    exports dev.slate.cpu.mem;
    exports dev.slate.cpu.mmu;
    exports dev.slate.cpu.translate;
}
