/** A program that runs a guest. */
module org.example.consumer {
    requires dev.slate.kvm;

    exports org.example;
}
