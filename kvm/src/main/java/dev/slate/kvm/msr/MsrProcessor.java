package dev.slate.kvm.msr;

import dev.slate.kvm.hyperv.HvMsr;

/** What a vCPU's MSRs need of the vCPU around them. Guarded by its mutex. */
public interface MsrProcessor {
    long apicBase();

    /** False: refused. */
    boolean setApicBase(long value, boolean host);

    /** The register's value, through {@link MsrFile#value}; false: refused. */
    boolean readX2apic(int index, MsrFile into);

    boolean writeX2apic(int index, long value);

    long tscDeadline();

    void setTscDeadline(long value);

    /** The client writes IA32_TSC: vCPUs of one VM that are written alike are kept in step. */
    void synchronizeTsc(long value);

    /** Whether a guest may read PLATFORM_INFO. */
    boolean platformInfoReadable();

    /** Whether MISC_ENABLE's MWAIT bit shows in CPUID. */
    boolean mwaitFollowsMiscEnable();

    /** Whether a KVM_FEATURE_* is open to the guest. */
    boolean pvFeature(int feature);

    /** A kvmclock MSR (system time, wall clock) was written. */
    void writeClock(int index, long value);

    /** What a kvmclock MSR holds. */
    long readClock(int index);

    /** What an MSR of a paravirtual feature that the guest has holds. */
    long readPv(int index);

    /** False: refused. */
    boolean writePv(int index, long value);

    /** A synthetic MSR of Hyper-V's ({@link HvMsr#holds}), through {@link MsrFile#value}; false: refused. */
    boolean readHyperV(int index, boolean host, MsrFile into);

    boolean writeHyperV(int index, long value, boolean host);

    /** Whether it is a performance counter or its event select, and the guest has it. */
    boolean isCounter(int index);

    long readCounter(int index);

    void writeCounter(int index, long value);

    /** The MSR by which a guest asks for Xen's hypercall page; 0: none. It hides what else has its number. */
    int hypercallPageMsr();

    /** {@link MsrFile#OK}, {@link MsrFile#REFUSED} or {@link MsrFile#FAULT}. */
    int writeHypercallPage(long value);

    /** 32 bits. */
    long smbase();

    void setSmbase(long value);

    /** System management interrupts taken since RESET. */
    long smiCount();

    void setSmiCount(long value);

    /** Whether guests can have guests at all. */
    boolean nested();

    /** EFER has changed: translations and decoded code are void. */
    void modeChanged(boolean host);
}
