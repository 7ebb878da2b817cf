/** Runs public test suites on Slate and keeps the score board. */
@org.jspecify.annotations.NullMarked
module dev.slate.conformance {
    requires static org.jspecify;
    requires tools.jackson.databind;

    exports dev.slate.conformance;
}
