package dev.slate.kvm.run;

/** What an exit to the client left open; the next run of the vCPU begins with it. */
final class Completion {
    static final int NONE = 0;
    static final int PIO_IN = 1;
    static final int PIO_OUT = 2;
    static final int PIO_INS = 3;
    static final int MMIO_READ = 4;
    static final int MMIO_WRITE = 5;
    static final int RDMSR = 6;
    static final int WRMSR = 7;
    static final int HYPERCALL = 8;
    static final int HYPERV_HYPERCALL = 9;
    static final int HYPERV_SYNDBG = 10;
    static final int XEN_HYPERCALL = 11;

    private Completion() {}
}
