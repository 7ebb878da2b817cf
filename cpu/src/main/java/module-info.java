/** The processor: what silicon does. Knows nothing of KVM. */
@org.jspecify.annotations.NullMarked
module dev.slate.cpu {
    requires static org.jspecify;
}
