/** Traces and debuggers over a running guest. Nothing of it is loaded unless a client was started with one of them. */
@org.jspecify.annotations.NullMarked
module dev.slate.debug {
    requires static org.jspecify;
    requires dev.slate.cpu;
    requires transitive dev.slate.kvm;

    exports dev.slate.debug;
    exports dev.slate.debug.gdb;
}
