package dev.slate.lab.experiments;

/** The kinds of exits that guests/exit-latency has a loop for, with its numbers. */
enum ExitKind {
    EMPTY(0, "nothing (two RDTSC)", 1000),
    CPUID(1, "CPUID", 1000),
    PIO(2, "IN, to the client and back", 1000),
    MMIO(3, "MMIO read, to the client and back", 1000),
    TSC_DEADLINE(4, "WRMSR TSC_DEADLINE", 1000),
    CR0_WP(5, "CR0.WP toggle", 1000),
    INVLPG(6, "INVLPG", 1000),
    GUEST_FAULT(7, "#PF for the guest", 1000),
    PAGE_FAULT(8, "page fault for the hypervisor", 1024),
    HLT_PENDING(9, "HLT, interrupt pending", 1000),
    HLT_TIMER(10, "HLT to deadline + handler", 100);

    private final int number;
    private final String label;
    private final int samples;

    ExitKind(int number, String label, int samples) {
        this.number = number;
        this.label = label;
        this.samples = samples;
    }

    /** The guest's parameter. */
    int number() {
        return number;
    }

    String label() {
        return label;
    }

    /** In a batch. */
    int samples() {
        return samples;
    }
}
