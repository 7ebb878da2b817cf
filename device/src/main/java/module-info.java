/** The /dev/kvm binary interface, translated to the hypervisor's API and back, and nothing else. */
@org.jspecify.annotations.NullMarked
module dev.slate.device {
    requires static transitive org.jspecify;
    requires dev.slate.cpu;
    requires transitive dev.slate.kvm;
    requires dev.slate.debug;
    requires jdk.jfr;

    exports dev.slate.device.stats;
}
