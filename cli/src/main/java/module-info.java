/** The slate command. */
@org.jspecify.annotations.NullMarked
module dev.slate.cli {
    requires static org.jspecify;
    requires dev.slate.conformance;
    requires dev.slate.lab;
    requires dev.slate.layout;
    requires dev.slate.kvm;
    requires dev.slate.device;
    requires info.picocli;
    requires me.tongfei.progressbar;
    requires tools.jackson.databind;

    opens dev.slate.cli to
            info.picocli;
    opens dev.slate.cli.layout to
            info.picocli;
    opens dev.slate.cli.option to
            info.picocli;
}
