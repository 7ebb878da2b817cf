/** Experiments: variants of a structure side by side on a workload. */
@org.jspecify.annotations.NullMarked
module dev.slate.lab {
    requires static transitive org.jspecify;
    requires dev.slate.conformance;
    requires dev.slate.cpu;
    requires dev.slate.kvm;
    requires dev.slate.layout;
    requires transitive HdrHistogram;
    requires tools.jackson.databind;

    exports dev.slate.lab;
    exports dev.slate.lab.experiments;
    exports dev.slate.lab.lines;
    exports dev.slate.lab.report;
}
