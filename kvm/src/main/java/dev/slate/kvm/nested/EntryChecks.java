package dev.slate.kvm.nested;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.EntryState;
import dev.slate.cpu.SvmExit;

/** What VMRUN refuses with VMEXIT_INVALID (APM 2 15.5.1, 15.20), beside the states that {@link EntryState} knows. Pure functions. */
final class EntryChecks {
    static final long EFER_VALID =
            CpuState.EFER_SCE | CpuState.EFER_LME | CpuState.EFER_LMA | CpuState.EFER_NX | CpuState.EFER_SVME;

    private static final int IOPM_BYTES = 3 * 4096;
    private static final int MSRPM_BYTES = 2 * 4096;
    private static final int NMI = 2;

    private EntryChecks() {}

    /**
     * The control area.
     *
     * @param host the hypervisor's state, of which CR0, CR4 and EFER count
     * @param nestedPaging whether that is offered
     * @param physicalBits of the guest's addresses
     */
    static boolean control(Vmcb v, Vmcb host, boolean nestedPaging, int physicalBits) {
        return (v.get32(SvmExit.VMRUN >>> 5 << 2) >>> SvmExit.VMRUN & 1) != 0
                && v.get32(Vmcb.ASID) != 0
                && (!v.nestedPaging() || nestedPaging && nested(v, host, physicalBits))
                // No flush by ASID is offered.
                && (v.bytes[Vmcb.TLB_CONTROL] & 0xfe) == 0
                && inside(v.get64(Vmcb.IOPM_BASE), IOPM_BYTES, physicalBits)
                && inside(v.get64(Vmcb.MSRPM_BASE), MSRPM_BYTES, physicalBits)
                && event(v.get32(Vmcb.EVENT_INJ));
    }

    /** Nested paging (APM 2 15.25.3, 15.25.4): the tables have the format of the hypervisor's own, so that it must have paging. */
    private static boolean nested(Vmcb v, Vmcb host, int physicalBits) {
        boolean wide = (host.get64(Vmcb.EFER) & CpuState.EFER_LME) != 0;
        return (host.get64(Vmcb.CR0) & CpuState.CR0_PG) != 0
                && v.get64(Vmcb.NESTED_CR3) >>> (wide ? physicalBits : 32) == 0
                && EntryState.validPat(v.get64(Vmcb.G_PAT));
    }

    private static boolean inside(long base, int bytes, int physicalBits) {
        long page = base & ~0xfffL;
        return page >>> physicalBits == 0 && page + bytes - 1 >>> physicalBits == 0;
    }

    /** The low word of EVENTINJ: interrupt, NMI, exception and software interrupt are the types there are. */
    private static boolean event(int word) {
        if ((word & SvmExit.EVENT_VALID) == 0) {
            return true;
        }
        int vector = word & 0xff;
        return switch (word & SvmExit.EVENT_TYPE) {
            case SvmExit.EVENT_INTR, SvmExit.EVENT_NMI, SvmExit.EVENT_SOFTWARE -> true;
            case SvmExit.EVENT_EXCEPTION -> vector < 32 && vector != NMI;
            default -> false;
        };
    }

    /**
     * The state, loaded into {@code s}.
     *
     * @param eferLacking bits of EFER whose feature the guest lacks
     * @param cr4Allowed bits that CR4 can have
     */
    static boolean state(CpuState s, long eferLacking, long cr4Allowed, int physicalBits) {
        boolean wide = (s.efer & CpuState.EFER_LME) != 0 && (s.cr0 & CpuState.CR0_PG) != 0;
        return (s.efer & CpuState.EFER_SVME) != 0
                && (s.efer & (~EFER_VALID | eferLacking)) == 0
                && !(wide && s.cr3 >>> physicalBits != 0)
                && EntryState.legal(s, cr4Allowed);
    }
}
