/** The hypervisor: what kvm.ko does. Knows nothing of file descriptors and decodes no instruction. */
@org.jspecify.annotations.NullMarked
module dev.slate.kvm {
    requires static org.jspecify;
    requires dev.slate.cpu;
}
