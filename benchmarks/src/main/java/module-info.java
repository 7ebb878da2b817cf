/** JMH benchmarks. */
@org.jspecify.annotations.NullMarked
module dev.slate.benchmarks {
    requires static org.jspecify;
    requires dev.slate.cpu;
    requires dev.slate.kvm;
    requires dev.slate.device;
    requires dev.slate.layout;
    requires jmh.core;
}
