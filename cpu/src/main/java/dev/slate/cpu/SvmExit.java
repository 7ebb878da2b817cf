package dev.slate.cpu;

/**
 * Exit codes of AMD's hardware virtualization (APM 2 appendix C). Below {@link #INTERCEPTS} a code is also the number of the intercept's bit:
 * the VMCB's intercept vectors are six words of 32 bits in the order of the codes.
 */
public final class SvmExit {
    public static final int CR0_READ = 0x00;
    public static final int CR0_WRITE = 0x10;
    public static final int DR0_READ = 0x20;
    public static final int DR0_WRITE = 0x30;
    /** Exceptions: this and the vector, 0..31. */
    public static final int EXCEPTION = 0x40;

    public static final int INTR = 0x60;
    public static final int NMI = 0x61;
    public static final int SMI = 0x62;
    public static final int INIT = 0x63;
    public static final int VINTR = 0x64;
    /** A write of CR0 that changes more than TS and MP. */
    public static final int CR0_SEL_WRITE = 0x65;

    public static final int IDTR_READ = 0x66;
    public static final int GDTR_READ = 0x67;
    public static final int LDTR_READ = 0x68;
    public static final int TR_READ = 0x69;
    public static final int IDTR_WRITE = 0x6a;
    public static final int GDTR_WRITE = 0x6b;
    public static final int LDTR_WRITE = 0x6c;
    public static final int TR_WRITE = 0x6d;
    public static final int RDTSC = 0x6e;
    public static final int RDPMC = 0x6f;
    public static final int PUSHF = 0x70;
    public static final int POPF = 0x71;
    public static final int CPUID = 0x72;
    public static final int RSM = 0x73;
    public static final int IRET = 0x74;
    /** INT n. */
    public static final int SWINT = 0x75;

    public static final int INVD = 0x76;
    public static final int PAUSE = 0x77;
    public static final int HLT = 0x78;
    public static final int INVLPG = 0x79;
    public static final int INVLPGA = 0x7a;
    public static final int IOIO = 0x7b;
    public static final int MSR = 0x7c;
    public static final int TASK_SWITCH = 0x7d;
    public static final int FERR_FREEZE = 0x7e;
    public static final int SHUTDOWN = 0x7f;
    public static final int VMRUN = 0x80;
    public static final int VMMCALL = 0x81;
    public static final int VMLOAD = 0x82;
    public static final int VMSAVE = 0x83;
    public static final int STGI = 0x84;
    public static final int CLGI = 0x85;
    public static final int SKINIT = 0x86;
    public static final int RDTSCP = 0x87;
    /** INT1. */
    public static final int ICEBP = 0x88;
    /** WBINVD and WBNOINVD. */
    public static final int WBINVD = 0x89;

    public static final int MONITOR = 0x8a;
    public static final int MWAIT = 0x8b;
    public static final int MWAIT_ARMED = 0x8c;
    public static final int XSETBV = 0x8d;
    public static final int INVPCID = 0xa2;

    /** A nested page fault; no intercept is asked. */
    public static final int NPF = 0x400;

    /** Intercepts there is room for: {@link #WORDS} words. */
    public static final int INTERCEPTS = 0xc0;
    /** Words of intercepts. */
    public static final int WORDS = INTERCEPTS / 32;

    /** VMEXIT_INVALID: VMRUN refused the state; all 64 bits. */
    public static final long INVALID = -1;

    // EXITINTINFO and EVENTINJ (APM 2 15.20).
    /** Type in bits 8 to 10: an external or virtual interrupt. */
    public static final int EVENT_INTR = 0;

    public static final int EVENT_NMI = 2 << 8;
    public static final int EVENT_EXCEPTION = 3 << 8;
    /** INT n. */
    public static final int EVENT_SOFTWARE = 4 << 8;

    /** The bits that hold the type. */
    public static final int EVENT_TYPE = 7 << 8;
    /** An error code stands in the upper half. */
    public static final int EVENT_ERROR_CODE = 1 << 11;

    public static final int EVENT_VALID = 1 << 31;

    private SvmExit() {}
}
