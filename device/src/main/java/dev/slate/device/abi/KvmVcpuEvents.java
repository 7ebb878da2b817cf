package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.inner;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u8;
import static dev.slate.device.abi.Struct.u8s;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.VcpuEvents;

/** {@code struct kvm_vcpu_events}. */
public final class KvmVcpuEvents {
    public static final Struct LAYOUT = Struct.of(
            "kvm_vcpu_events",
            inner("exception", u8("injected"), u8("nr"), u8("has_error_code"), u8("pending"), u32("error_code")),
            inner("interrupt", u8("injected"), u8("nr"), u8("soft"), u8("shadow")),
            inner("nmi", u8("injected"), u8("pending"), u8("masked"), u8("pad")),
            u32("sipi_vector"),
            u32("flags"),
            inner("smi", u8("smm"), u8("pending"), u8("smm_inside_nmi"), u8("latched_init")),
            inner("triple_fault", u8("pending")),
            u8s("reserved", 26),
            u8("exception_has_payload"),
            u64("exception_payload"));
    /** Size in bytes. */
    public static final long BYTES = LAYOUT.bytes();

    private static final long EXCEPTION_INJECTED = LAYOUT.at("exception.injected");
    private static final long EXCEPTION_NR = LAYOUT.at("exception.nr");
    private static final long EXCEPTION_HAS_ERROR_CODE = LAYOUT.at("exception.has_error_code");
    private static final long EXCEPTION_PENDING = LAYOUT.at("exception.pending");
    private static final long EXCEPTION_ERROR_CODE = LAYOUT.at("exception.error_code");
    private static final long INTERRUPT_INJECTED = LAYOUT.at("interrupt.injected");
    private static final long INTERRUPT_NR = LAYOUT.at("interrupt.nr");
    private static final long INTERRUPT_SOFT = LAYOUT.at("interrupt.soft");
    private static final long INTERRUPT_SHADOW = LAYOUT.at("interrupt.shadow");
    private static final long NMI_INJECTED = LAYOUT.at("nmi.injected");
    private static final long NMI_PENDING = LAYOUT.at("nmi.pending");
    private static final long NMI_MASKED = LAYOUT.at("nmi.masked");
    private static final long SIPI_VECTOR = LAYOUT.at("sipi_vector");
    private static final long FLAGS = LAYOUT.at("flags");
    private static final long SMI_SMM = LAYOUT.at("smi.smm");
    private static final long SMI_PENDING = LAYOUT.at("smi.pending");
    private static final long SMI_SMM_INSIDE_NMI = LAYOUT.at("smi.smm_inside_nmi");
    private static final long SMI_LATCHED_INIT = LAYOUT.at("smi.latched_init");
    private static final long TRIPLE_FAULT_PENDING = LAYOUT.at("triple_fault.pending");
    private static final long EXCEPTION_HAS_PAYLOAD = LAYOUT.at("exception_has_payload");
    private static final long EXCEPTION_PAYLOAD = LAYOUT.at("exception_payload");

    private KvmVcpuEvents() {}

    /** Reads the structure at {@code hva}. */
    public static void read(long hva, VcpuEvents into) {
        into.exceptionInjected = HostMemory.get8(hva + EXCEPTION_INJECTED);
        into.exceptionNr = HostMemory.get8(hva + EXCEPTION_NR);
        into.exceptionHasErrorCode = HostMemory.get8(hva + EXCEPTION_HAS_ERROR_CODE);
        into.exceptionPending = HostMemory.get8(hva + EXCEPTION_PENDING);
        into.exceptionErrorCode = HostMemory.get32(hva + EXCEPTION_ERROR_CODE);
        into.interruptInjected = HostMemory.get8(hva + INTERRUPT_INJECTED);
        into.interruptNr = HostMemory.get8(hva + INTERRUPT_NR);
        into.interruptSoft = HostMemory.get8(hva + INTERRUPT_SOFT);
        into.interruptShadow = HostMemory.get8(hva + INTERRUPT_SHADOW);
        into.nmiInjected = HostMemory.get8(hva + NMI_INJECTED);
        into.nmiPending = HostMemory.get8(hva + NMI_PENDING);
        into.nmiMasked = HostMemory.get8(hva + NMI_MASKED);
        into.sipiVector = HostMemory.get32(hva + SIPI_VECTOR);
        into.flags = HostMemory.get32(hva + FLAGS);
        into.smm = HostMemory.get8(hva + SMI_SMM);
        into.smiPending = HostMemory.get8(hva + SMI_PENDING);
        into.smmInsideNmi = HostMemory.get8(hva + SMI_SMM_INSIDE_NMI);
        into.smiLatchedInit = HostMemory.get8(hva + SMI_LATCHED_INIT);
        into.tripleFaultPending = HostMemory.get8(hva + TRIPLE_FAULT_PENDING);
        into.exceptionHasPayload = HostMemory.get8(hva + EXCEPTION_HAS_PAYLOAD);
        into.exceptionPayload = HostMemory.get64(hva + EXCEPTION_PAYLOAD);
    }

    /** Writes the structure at {@code hva}. */
    public static void write(long hva, VcpuEvents from) {
        HostMemory.fill(hva, BYTES, 0);
        HostMemory.put8(hva + EXCEPTION_INJECTED, from.exceptionInjected);
        HostMemory.put8(hva + EXCEPTION_NR, from.exceptionNr);
        HostMemory.put8(hva + EXCEPTION_HAS_ERROR_CODE, from.exceptionHasErrorCode);
        HostMemory.put8(hva + EXCEPTION_PENDING, from.exceptionPending);
        HostMemory.put32(hva + EXCEPTION_ERROR_CODE, from.exceptionErrorCode);
        HostMemory.put8(hva + INTERRUPT_INJECTED, from.interruptInjected);
        HostMemory.put8(hva + INTERRUPT_NR, from.interruptNr);
        HostMemory.put8(hva + INTERRUPT_SOFT, from.interruptSoft);
        HostMemory.put8(hva + INTERRUPT_SHADOW, from.interruptShadow);
        HostMemory.put8(hva + NMI_INJECTED, from.nmiInjected);
        HostMemory.put8(hva + NMI_PENDING, from.nmiPending);
        HostMemory.put8(hva + NMI_MASKED, from.nmiMasked);
        HostMemory.put32(hva + SIPI_VECTOR, from.sipiVector);
        HostMemory.put32(hva + FLAGS, from.flags);
        HostMemory.put8(hva + SMI_SMM, from.smm);
        HostMemory.put8(hva + SMI_PENDING, from.smiPending);
        HostMemory.put8(hva + SMI_SMM_INSIDE_NMI, from.smmInsideNmi);
        HostMemory.put8(hva + SMI_LATCHED_INIT, from.smiLatchedInit);
        HostMemory.put8(hva + TRIPLE_FAULT_PENDING, from.tripleFaultPending);
        HostMemory.put8(hva + EXCEPTION_HAS_PAYLOAD, from.exceptionHasPayload);
        HostMemory.put64(hva + EXCEPTION_PAYLOAD, from.exceptionPayload);
    }
}
