/** A JUnit extension for tests that run guests. */
@org.jspecify.annotations.NullMarked
module dev.slate.junit {
    requires static org.jspecify;
    requires transitive dev.slate.kvm;
    requires transitive org.junit.jupiter.api;

    exports dev.slate.junit;
}
