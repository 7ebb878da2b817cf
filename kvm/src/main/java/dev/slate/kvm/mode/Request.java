package dev.slate.kvm.mode;

/** Numbers of the requests that can be posted to a vCPU ({@code KVM_REQ_*}), 0..63. */
public final class Request {
    /** Drop every cached translation before guest memory is touched again. */
    public static final int TLB_FLUSH = 0;
    /** The VM is dead: every further run fails with EIO. */
    public static final int VM_DEAD = 1;
    /** Leave HLT and look at what is pending. */
    public static final int UNBLOCK = 2;

    /** The client is to hear of an access to the task priority. */
    public static final int REPORT_TPR_ACCESS = 9;

    public static final int TRIPLE_FAULT = 10;
    public static final int CLOCK_UPDATE = 12;
    /** An event (exception, interrupt, NMI) waits to be injected. */
    public static final int EVENT = 14;

    public static final int STEAL_UPDATE = 16;
    public static final int NMI = 17;
    public static final int SMI = 20;
    /** The client is to hear of the end of an interrupt of its I/O APIC. */
    public static final int IOAPIC_EOI_EXIT = 28;
    /** The guest says that it has crashed (Hyper-V's CRASH_CTL). */
    public static final int HV_CRASH = 26;
    /** The client is to hear of a synthetic MSR. */
    public static final int HV_EXIT = 29;
    /** A synthetic timer has something to do. */
    public static final int HV_STIMER = 30;
    /** The guest wants a reset (Hyper-V's RESET). */
    public static final int HV_RESET = 31;
    /** Drop what was cached of the guest's own tables. */
    public static final int TLB_FLUSH_GUEST = 35;
    /** The roots were replaced: load them anew. */
    public static final int MMU_FREE_OBSOLETE_ROOTS = 39;
    /** Not KVM's: another vCPU has the memory to itself; stay outside until it is done. */
    public static final int BUS_LOCK = 60;

    private Request() {}
}
