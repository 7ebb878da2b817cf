package dev.slate.cpu;

/**
 * Why {@link Cpu#run} came back. Small ints, because the hot loop returns one; names follow the AMD exit codes (APM 2 appendix C).
 * On every exit {@code state.rip} is the exiting instruction's own address unless the constant says otherwise; {@link ExitInfo#nextRip}
 * is the one after it.
 */
public final class CpuExit {
    /** Not an exit: the block ended and the processor goes on. */
    public static final int NONE = 0;
    /** The kick word is not zero. rip is the next instruction. */
    public static final int INTR = 1;
    /** The nested page-fault handler asked to leave ({@link Hypervisor#LEAVE}); nothing of the instruction has happened. */
    public static final int NPF = 2;
    /** An MMIO access waits for its answer ({@link Hypervisor#mmioRead} said no); nothing of the instruction has happened. */
    public static final int MMIO = 3;
    /** IN, OUT, INS or OUTS: see {@code Cpu.io*}. */
    public static final int IOIO = 4;

    public static final int CPUID = 5;
    /** RDMSR or WRMSR: {@link ExitInfo#info} is 1 for WRMSR; ECX, EDX:EAX are in the registers. */
    public static final int MSR = 6;

    public static final int HLT = 7;
    /** VMCALL or VMMCALL: {@link ExitInfo#info} is 1 for VMMCALL. */
    public static final int VMMCALL = 8;
    /** Triple fault. */
    public static final int SHUTDOWN = 9;
    /** A valid instruction that this processor lacks: {@link ExitInfo#bytes}, {@link ExitInfo#byteCount} of them. */
    public static final int UNIMPLEMENTED = 10;
    /** A #DB or #BP that {@code Cpu.guestDebug} intercepts: {@code exitInfo} = vector, {@code exitInfo2} = the DR6 bits. */
    public static final int DEBUG = 11;
    /** The guest can take an interrupt and the hypervisor had asked to be told. rip is the next instruction. */
    public static final int IRQ_WINDOW = 12;
    /** MONITOR: {@code exitInfo} 0; MWAIT: 1. */
    public static final int MONITOR_MWAIT = 13;

    public static final int XSETBV = 14;
    /** CR8 was written, with the new value in {@code exitInfo}; already in {@code state.cr8}; rip is the next instruction. */
    public static final int CR8_WRITE = 15;
    /** RSM outside SMM is #UD; inside it leaves to the hypervisor. */
    public static final int RSM = 16;

    public static final int INVD = 17;
    /** A completed instruction asked for a stop ({@code Cpu.stop}): MMIO writes went out. rip is the next instruction. */
    public static final int STOPPED = 18;
    /** The guest can take an NMI and the hypervisor had asked to be told. rip is the next instruction. */
    public static final int NMI_WINDOW = 19;

    /**
     * A locked operation over the end of an aligned 16 bytes: nothing of it has happened. It is to be run again with {@link
     * Controls#ownsBus} set, while no other processor runs (AMD's bus-lock exit, APM 2 15.14.5).
     */
    public static final int BUS_LOCK = 20;

    /**
     * A guest's hypervisor wants to hear of this ({@link Intercepts}): {@link ExitInfo#code} and what belongs to it. Nothing of the instruction
     * has happened.
     */
    public static final int INTERCEPT = 21;

    /**
     * VMRUN, VMLOAD, VMSAVE, STGI, CLGI or SKINIT with EFER.SVME set and at privilege 0: {@link ExitInfo#code} says which ({@link
     * SvmExit#VMRUN} ...), {@link ExitInfo#info} is rAX.
     */
    public static final int SVM = 22;

    /** RDPMC: ECX says of which counter. Whether it may be read at all has been looked at. */
    public static final int RDPMC = 23;

    private static final String[] NAMES = {
        "none",
        "intr",
        "npf",
        "mmio",
        "ioio",
        "cpuid",
        "msr",
        "hlt",
        "vmmcall",
        "shutdown",
        "unimplemented",
        "debug",
        "irq_window",
        "monitor_mwait",
        "xsetbv",
        "cr8_write",
        "rsm",
        "invd",
        "stopped",
        "nmi_window",
        "bus_lock",
        "intercept",
        "svm",
        "rdpmc"
    };

    private CpuExit() {}

    /** The name of an exit code, as traces and messages print it. */
    public static String name(int exit) {
        return exit >= 0 && exit < NAMES.length ? NAMES[exit] : "exit " + exit;
    }

    /** Number of exit codes: handler arrays are this long. */
    public static int count() {
        return NAMES.length;
    }
}
