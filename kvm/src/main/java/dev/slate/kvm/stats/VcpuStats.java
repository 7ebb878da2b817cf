package dev.slate.kvm.stats;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.host.HostServices;
import java.util.List;

/** A vCPU's statistics: KVM 6.1's forty-five, in its order. Counted only by the thread that runs the vCPU. */
public final class VcpuStats extends StatBlock {
    /** The rows. */
    public static final List<Stat> SCHEMA = new Table()
            .counter("halt_successful_poll")
            .counter("halt_attempted_poll")
            .counter("halt_poll_invalid")
            .counter("halt_wakeup")
            .nanos("halt_poll_success_ns")
            .nanos("halt_poll_fail_ns")
            .nanos("halt_wait_ns")
            .logHistogramNanos("halt_poll_success_hist")
            .logHistogramNanos("halt_poll_fail_hist")
            .logHistogramNanos("halt_wait_hist")
            .bool("blocking")
            .counter("pf_taken")
            .counter("pf_fixed")
            .counter("pf_emulate")
            .counter("pf_spurious")
            .counter("pf_fast")
            .counter("pf_mmio_spte_created")
            .counter("pf_guest")
            .counter("tlb_flush")
            .counter("invlpg")
            .counter("exits")
            .counter("io_exits")
            .counter("mmio_exits")
            .counter("signal_exits")
            .counter("irq_window_exits")
            .counter("nmi_window_exits")
            .counter("l1d_flush")
            .counter("halt_exits")
            .counter("request_irq_exits")
            .counter("irq_exits")
            .counter("host_state_reload")
            .counter("fpu_reload")
            .counter("insn_emulation")
            .counter("insn_emulation_fail")
            .counter("hypercalls")
            .counter("irq_injections")
            .counter("nmi_injections")
            .counter("req_event")
            .counter("nested_run")
            .counter("directed_yield_attempted")
            .counter("directed_yield_successful")
            .counter("preemption_reported")
            .counter("preemption_other")
            .bool("guest_mode")
            .counter("notify_window_exits")
            .build();

    public static final int HALT_SUCCESSFUL_POLL = offset(SCHEMA, "halt_successful_poll");
    public static final int HALT_ATTEMPTED_POLL = offset(SCHEMA, "halt_attempted_poll");
    public static final int HALT_POLL_INVALID = offset(SCHEMA, "halt_poll_invalid");
    public static final int HALT_WAKEUP = offset(SCHEMA, "halt_wakeup");
    public static final int HALT_POLL_SUCCESS_NS = offset(SCHEMA, "halt_poll_success_ns");
    public static final int HALT_POLL_FAIL_NS = offset(SCHEMA, "halt_poll_fail_ns");
    public static final int HALT_WAIT_NS = offset(SCHEMA, "halt_wait_ns");
    public static final int HALT_POLL_SUCCESS_HIST = offset(SCHEMA, "halt_poll_success_hist");
    public static final int HALT_POLL_FAIL_HIST = offset(SCHEMA, "halt_poll_fail_hist");
    public static final int HALT_WAIT_HIST = offset(SCHEMA, "halt_wait_hist");
    public static final int BLOCKING = offset(SCHEMA, "blocking");
    public static final int PF_TAKEN = offset(SCHEMA, "pf_taken");
    public static final int PF_FIXED = offset(SCHEMA, "pf_fixed");
    public static final int PF_EMULATE = offset(SCHEMA, "pf_emulate");
    public static final int PF_SPURIOUS = offset(SCHEMA, "pf_spurious");
    public static final int PF_FAST = offset(SCHEMA, "pf_fast");
    public static final int PF_MMIO_SPTE_CREATED = offset(SCHEMA, "pf_mmio_spte_created");
    public static final int PF_GUEST = offset(SCHEMA, "pf_guest");
    public static final int TLB_FLUSH = offset(SCHEMA, "tlb_flush");
    public static final int INVLPG = offset(SCHEMA, "invlpg");
    public static final int EXITS = offset(SCHEMA, "exits");
    public static final int IO_EXITS = offset(SCHEMA, "io_exits");
    public static final int MMIO_EXITS = offset(SCHEMA, "mmio_exits");
    public static final int SIGNAL_EXITS = offset(SCHEMA, "signal_exits");
    public static final int IRQ_WINDOW_EXITS = offset(SCHEMA, "irq_window_exits");
    public static final int NMI_WINDOW_EXITS = offset(SCHEMA, "nmi_window_exits");
    public static final int L1D_FLUSH = offset(SCHEMA, "l1d_flush");
    public static final int HALT_EXITS = offset(SCHEMA, "halt_exits");
    public static final int REQUEST_IRQ_EXITS = offset(SCHEMA, "request_irq_exits");
    public static final int IRQ_EXITS = offset(SCHEMA, "irq_exits");
    public static final int HOST_STATE_RELOAD = offset(SCHEMA, "host_state_reload");
    public static final int FPU_RELOAD = offset(SCHEMA, "fpu_reload");
    public static final int INSN_EMULATION = offset(SCHEMA, "insn_emulation");
    public static final int INSN_EMULATION_FAIL = offset(SCHEMA, "insn_emulation_fail");
    public static final int HYPERCALLS = offset(SCHEMA, "hypercalls");
    public static final int IRQ_INJECTIONS = offset(SCHEMA, "irq_injections");
    public static final int NMI_INJECTIONS = offset(SCHEMA, "nmi_injections");
    public static final int REQ_EVENT = offset(SCHEMA, "req_event");
    public static final int NESTED_RUN = offset(SCHEMA, "nested_run");
    public static final int DIRECTED_YIELD_ATTEMPTED = offset(SCHEMA, "directed_yield_attempted");
    public static final int DIRECTED_YIELD_SUCCESSFUL = offset(SCHEMA, "directed_yield_successful");
    public static final int PREEMPTION_REPORTED = offset(SCHEMA, "preemption_reported");
    public static final int PREEMPTION_OTHER = offset(SCHEMA, "preemption_other");
    public static final int GUEST_MODE = offset(SCHEMA, "guest_mode");
    public static final int NOTIFY_WINDOW_EXITS = offset(SCHEMA, "notify_window_exits");

    /** All zero. @throws dev.slate.kvm.KvmException ENOMEM */
    public VcpuStats(HostServices host) {
        super(host, SCHEMA);
    }

    /** Counts one. */
    public void add(int offset) {
        long at = hva + offset;
        HostMemory.put64(at, HostMemory.get64(at) + 1);
    }

    /** Adds to a counter. */
    public void add(int offset, long delta) {
        long at = hva + offset;
        HostMemory.put64(at, HostMemory.get64(at) + delta);
    }

    /** Sets an instant value. */
    public void set(int offset, long value) {
        HostMemory.put64(hva + offset, value);
    }

    /** Counts a duration in a logarithmic histogram: bucket 0 holds 0, bucket n holds 2^(n-1) to 2^n - 1, the last all above. */
    public void histogram(int offset, long nanos) {
        int bucket = Math.min(Long.SIZE - Long.numberOfLeadingZeros(nanos), 31);
        add(offset + bucket * Long.BYTES);
    }
}
