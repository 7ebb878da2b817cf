package dev.slate.device.abi;

import static dev.slate.cpu.mem.HostMemory.get16;
import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.get8;
import static dev.slate.cpu.mem.HostMemory.put16;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;
import static dev.slate.cpu.mem.HostMemory.put8;
import static dev.slate.device.abi.Struct.gap;
import static dev.slate.device.abi.Struct.inner;
import static dev.slate.device.abi.Struct.u16;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u64s;
import static dev.slate.device.abi.Struct.u8;
import static dev.slate.device.abi.Struct.u8s;
import static dev.slate.device.abi.Struct.union;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.VcpuExit;

/** {@code struct kvm_run}, the first page of a vCPU's run area: what the client and KVM_RUN tell each other. */
public final class KvmRun {
    /** {@code struct kvm_sync_regs}. */
    public static final Struct SYNC_REGS = Struct.of(
            "kvm_sync_regs", KvmRegs.LAYOUT.as("regs"), KvmSregs.LAYOUT.as("sregs"), KvmVcpuEvents.LAYOUT.as("events"));

    /** {@code struct kvm_hyperv_exit}. */
    public static final Struct HYPERV = Struct.of(
            "kvm_hyperv_exit",
            u32("type"),
            u32("pad1"),
            union(
                    "u",
                    inner("synic", u32("msr"), u32("pad2"), u64("control"), u64("evt_page"), u64("msg_page")),
                    inner("hcall", u64("input"), u64("result"), u64s("params", 2)),
                    inner(
                            "syndbg",
                            u32("msr"),
                            u32("pad2"),
                            u64("control"),
                            u64("status"),
                            u64("send_page"),
                            u64("recv_page"),
                            u64("pending_page"))));

    /** {@code struct kvm_xen_exit}. */
    public static final Struct XEN = Struct.of(
            "kvm_xen_exit",
            u32("type"),
            gap(4),
            union("u", inner("hcall", u32("longmode"), u32("cpl"), u64("input"), u64("result"), u64s("params", 6))));

    public static final Struct LAYOUT = Struct.of(
            "kvm_run",
            u8("request_interrupt_window"),
            u8("immediate_exit"),
            u8s("padding1", 6),
            u32("exit_reason"),
            u8("ready_for_interrupt_injection"),
            u8("if_flag"),
            u16("flags"),
            u64("cr8"),
            u64("apic_base"),
            union(
                    inner("hw", u64("hardware_exit_reason")),
                    inner("fail_entry", u64("hardware_entry_failure_reason"), u32("cpu"), gap(4)),
                    inner("ex", u32("exception"), u32("error_code")),
                    inner("io", u8("direction"), u8("size"), u16("port"), u32("count"), u64("data_offset")),
                    inner("debug", inner("arch", u32("exception"), u32("pad"), u64("pc"), u64("dr6"), u64("dr7"))),
                    inner("mmio", u64("phys_addr"), u8s("data", 8), u32("len"), u8("is_write"), gap(3)),
                    inner("hypercall", u64("nr"), u64s("args", 6), u64("ret"), u32("longmode"), gap(4)),
                    inner("tpr_access", u64("rip"), u32("is_write"), u32("pad")),
                    inner("internal", u32("suberror"), u32("ndata"), u64s("data", 16)),
                    inner("system_event", u32("type"), u32("ndata"), u64s("data", 16)),
                    inner("eoi", u8("vector")),
                    inner("msr", u8("error"), u8s("pad", 7), u32("reason"), u32("index"), u64("data")),
                    HYPERV.as("hyperv"),
                    XEN.as("xen"),
                    u8s("padding", 256)),
            u64("kvm_valid_regs"),
            u64("kvm_dirty_regs"),
            union("s", SYNC_REGS.as("regs"), u8s("padding", 2048)));

    private static final long REQUEST_INTERRUPT_WINDOW = LAYOUT.at("request_interrupt_window");
    private static final long IMMEDIATE_EXIT = LAYOUT.at("immediate_exit");
    private static final long EXIT_REASON = LAYOUT.at("exit_reason");
    private static final long READY_FOR_INTERRUPT_INJECTION = LAYOUT.at("ready_for_interrupt_injection");
    private static final long IF_FLAG = LAYOUT.at("if_flag");
    private static final long FLAGS = LAYOUT.at("flags");
    private static final long CR8 = LAYOUT.at("cr8");
    private static final long APIC_BASE = LAYOUT.at("apic_base");
    private static final long HW_REASON = LAYOUT.at("hw.hardware_exit_reason");
    private static final long FAIL_CPU = LAYOUT.at("fail_entry.cpu");
    private static final long IO_DIRECTION = LAYOUT.at("io.direction");
    private static final long IO_SIZE = LAYOUT.at("io.size");
    private static final long IO_PORT = LAYOUT.at("io.port");
    private static final long IO_COUNT = LAYOUT.at("io.count");
    private static final long IO_DATA_OFFSET = LAYOUT.at("io.data_offset");
    private static final long DEBUG_EXCEPTION = LAYOUT.at("debug.arch.exception");
    private static final long DEBUG_PC = LAYOUT.at("debug.arch.pc");
    private static final long DEBUG_DR6 = LAYOUT.at("debug.arch.dr6");
    private static final long DEBUG_DR7 = LAYOUT.at("debug.arch.dr7");
    private static final long MMIO_PHYS_ADDR = LAYOUT.at("mmio.phys_addr");
    private static final long MMIO_DATA = LAYOUT.at("mmio.data");
    private static final long MMIO_LEN = LAYOUT.at("mmio.len");
    private static final long MMIO_IS_WRITE = LAYOUT.at("mmio.is_write");
    private static final long HYPERCALL_NR = LAYOUT.at("hypercall.nr");
    private static final long HYPERCALL_ARGS = LAYOUT.at("hypercall.args");
    private static final long HYPERCALL_RET = LAYOUT.at("hypercall.ret");
    private static final long HYPERCALL_LONGMODE = LAYOUT.at("hypercall.longmode");
    private static final long TPR_RIP = LAYOUT.at("tpr_access.rip");
    private static final long TPR_IS_WRITE = LAYOUT.at("tpr_access.is_write");
    private static final long INTERNAL_SUBERROR = LAYOUT.at("internal.suberror");
    private static final long INTERNAL_NDATA = LAYOUT.at("internal.ndata");
    private static final long INTERNAL_DATA = LAYOUT.at("internal.data");
    private static final long SYSTEM_EVENT_TYPE = LAYOUT.at("system_event.type");
    private static final long SYSTEM_EVENT_NDATA = LAYOUT.at("system_event.ndata");
    private static final long EOI_VECTOR = LAYOUT.at("eoi.vector");
    private static final long MSR_ERROR = LAYOUT.at("msr.error");
    private static final long MSR_REASON = LAYOUT.at("msr.reason");
    private static final long MSR_INDEX = LAYOUT.at("msr.index");
    private static final long MSR_DATA = LAYOUT.at("msr.data");
    private static final long HYPERV_TYPE = LAYOUT.at("hyperv.type");
    private static final long HYPERV_DATA = LAYOUT.at("hyperv.u");
    private static final long XEN_TYPE = LAYOUT.at("xen.type");
    private static final long XEN_LONGMODE = LAYOUT.at("xen.u.hcall.longmode");
    private static final long XEN_CPL = LAYOUT.at("xen.u.hcall.cpl");
    private static final long XEN_INPUT = LAYOUT.at("xen.u.hcall.input");
    private static final long XEN_RESULT = LAYOUT.at("xen.u.hcall.result");
    private static final long XEN_PARAMS = LAYOUT.at("xen.u.hcall.params");
    private static final int XEN_HCALL = 1;
    private static final long VALID_REGS = LAYOUT.at("kvm_valid_regs");
    private static final long DIRTY_REGS = LAYOUT.at("kvm_dirty_regs");
    /** Where {@code s.regs} begins. */
    public static final long SYNC = LAYOUT.at("s");

    public static final long SYNC_REGS_REGS = SYNC + SYNC_REGS.at("regs");
    public static final long SYNC_REGS_SREGS = SYNC + SYNC_REGS.at("sregs");
    public static final long SYNC_REGS_EVENTS = SYNC + SYNC_REGS.at("events");

    private KvmRun() {}

    public static boolean immediateExit(long run) {
        return get8(run + IMMEDIATE_EXIT) != 0;
    }

    public static long validRegs(long run) {
        return get64(run + VALID_REGS);
    }

    public static long dirtyRegs(long run) {
        return get64(run + DIRTY_REGS);
    }

    public static void setDirtyRegs(long run, long bits) {
        put64(run + DIRTY_REGS, bits);
    }

    /** Takes over what the client says before KVM_RUN: its answer to the last exit included. */
    public static void read(long run, VcpuExit exit) {
        exit.requestInterruptWindow = get8(run + REQUEST_INTERRUPT_WINDOW) != 0;
        exit.cr8 = get64(run + CR8);
        switch (exit.reason) {
            case VcpuExit.MMIO -> {
                if (!exit.mmioIsWrite) {
                    HostMemory.copyOut(run + MMIO_DATA, exit.mmioData, 0, 8);
                }
            }
            case VcpuExit.HYPERCALL -> exit.hypercallRet = get64(run + HYPERCALL_RET);
            case VcpuExit.XEN -> exit.xenResult = get64(run + XEN_RESULT);
            case VcpuExit.HYPERV -> {
                for (int i = 0; i < VcpuExit.HYPERV_WORDS; i++) {
                    exit.hypervData[i] = get64(run + HYPERV_DATA + 8L * i);
                }
            }
            case VcpuExit.X86_RDMSR, VcpuExit.X86_WRMSR -> {
                exit.msrError = get8(run + MSR_ERROR);
                exit.msrData = get64(run + MSR_DATA);
            }
            default -> {}
        }
    }

    /** What every return from KVM_RUN tells. */
    public static void writeState(long run, VcpuExit exit) {
        put8(run + READY_FOR_INTERRUPT_INJECTION, exit.readyForInterruptInjection ? 1 : 0);
        put8(run + IF_FLAG, exit.ifFlag ? 1 : 0);
        put16(run + FLAGS, exit.flags);
        put64(run + CR8, exit.cr8);
        put64(run + APIC_BASE, exit.apicBase);
    }

    /** The exit reason alone. */
    public static void writeReason(long run, int reason) {
        put32(run + EXIT_REASON, reason);
    }

    /** The exit reason and what belongs to it. */
    public static void writeExit(long run, VcpuExit exit) {
        put32(run + EXIT_REASON, exit.reason);
        switch (exit.reason) {
            case VcpuExit.IO -> {
                put8(run + IO_DIRECTION, exit.ioDirection);
                put8(run + IO_SIZE, exit.ioSize);
                put16(run + IO_PORT, exit.ioPort);
                put32(run + IO_COUNT, exit.ioCount);
                put64(run + IO_DATA_OFFSET, exit.ioDataOffset);
            }
            case VcpuExit.MMIO -> {
                put64(run + MMIO_PHYS_ADDR, exit.mmioPhysAddr);
                HostMemory.copyIn(exit.mmioData, 0, run + MMIO_DATA, 8);
                put32(run + MMIO_LEN, exit.mmioLen);
                put8(run + MMIO_IS_WRITE, exit.mmioIsWrite ? 1 : 0);
            }
            case VcpuExit.UNKNOWN -> put64(run + HW_REASON, exit.hardwareReason);
            case VcpuExit.FAIL_ENTRY -> {
                put64(run + HW_REASON, exit.hardwareReason);
                put32(run + FAIL_CPU, exit.failEntryCpu);
            }
            case VcpuExit.INTERNAL_ERROR -> {
                put32(run + INTERNAL_SUBERROR, exit.internalSuberror);
                put32(run + INTERNAL_NDATA, exit.internalNdata);
                words(run + INTERNAL_DATA, exit.internalData, exit.internalNdata);
            }
            case VcpuExit.HYPERCALL -> {
                put64(run + HYPERCALL_NR, exit.hypercallNr);
                words(run + HYPERCALL_ARGS, exit.hypercallArgs, 6);
                put64(run + HYPERCALL_RET, exit.hypercallRet);
                put32(run + HYPERCALL_LONGMODE, exit.hypercallLongmode ? 1 : 0);
            }
            case VcpuExit.X86_RDMSR, VcpuExit.X86_WRMSR -> {
                put8(run + MSR_ERROR, 0);
                put32(run + MSR_REASON, exit.msrReason);
                put32(run + MSR_INDEX, exit.msrIndex);
                put64(run + MSR_DATA, exit.msrData);
            }
            case VcpuExit.DEBUG -> {
                put32(run + DEBUG_EXCEPTION, exit.debugException);
                put64(run + DEBUG_PC, exit.debugPc);
                put64(run + DEBUG_DR6, exit.debugDr6);
                put64(run + DEBUG_DR7, exit.debugDr7);
            }
            case VcpuExit.SYSTEM_EVENT -> {
                put32(run + SYSTEM_EVENT_TYPE, exit.systemEventType);
                put32(run + SYSTEM_EVENT_NDATA, 0);
            }
            case VcpuExit.XEN -> {
                put32(run + XEN_TYPE, XEN_HCALL);
                put32(run + XEN_LONGMODE, exit.xenLongmode ? 1 : 0);
                put32(run + XEN_CPL, exit.xenCpl);
                put64(run + XEN_INPUT, exit.xenInput);
                words(run + XEN_PARAMS, exit.xenParams, 6);
            }
            case VcpuExit.HYPERV -> {
                put32(run + HYPERV_TYPE, exit.hypervType);
                words(run + HYPERV_DATA, exit.hypervData, VcpuExit.HYPERV_WORDS);
            }
            case VcpuExit.TPR_ACCESS -> {
                put64(run + TPR_RIP, exit.tprRip);
                put32(run + TPR_IS_WRITE, exit.tprIsWrite ? 1 : 0);
            }
            case VcpuExit.IOAPIC_EOI -> put8(run + EOI_VECTOR, exit.eoiVector);
            default -> {}
        }
    }

    private static void words(long hva, long[] from, int count) {
        for (int i = 0; i < count; i++) {
            put64(hva + 8L * i, from[i]);
        }
    }

    // Used by tests to read back what was written.

    /** The exit reason. */
    public static int reason(long run) {
        return get32(run + EXIT_REASON);
    }

    /** The port of an IO exit. */
    public static int ioPort(long run) {
        return get16(run + IO_PORT);
    }
}
