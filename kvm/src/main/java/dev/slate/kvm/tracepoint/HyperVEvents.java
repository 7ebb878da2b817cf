package dev.slate.kvm.tracepoint;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.MemoryAddress;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Unsigned;

/** The event types of Hyper-V's interface, after the manner of {@link Events}. */
@SuppressWarnings({"checkstyle:MemberName", "MemberName", "unused"})
final class HyperVEvents {
    private HyperVEvents() {}

    @Name("kvm_hv_hypercall")
    @Description("A guest calls Hyper-V")
    @Category("KVM")
    @StackTrace(false)
    static final class Hypercall extends Event {
        @MemoryAddress
        short rep_cnt;

        @MemoryAddress
        short rep_idx;

        @MemoryAddress
        long ingpa;

        @MemoryAddress
        long outgpa;

        @MemoryAddress
        short code;

        @MemoryAddress
        short var_cnt;

        boolean fast;
    }

    @Name("kvm_hv_hypercall_done")
    @Description("A call of Hyper-V has its result")
    @Category("KVM")
    @StackTrace(false)
    static final class HypercallDone extends Event {
        @MemoryAddress
        long result;
    }

    @Name("kvm_hv_notify_acked_sint")
    @Description("A source of a synthetic interrupt controller may be raised again")
    @Category("KVM")
    @StackTrace(false)
    static final class NotifyAckedSint extends Event {
        int vcpu_id;

        @Unsigned
        int sint;
    }

    @Name("kvm_hv_synic_set_irq")
    @Description("A source of a synthetic interrupt controller is raised")
    @Category("KVM")
    @StackTrace(false)
    static final class SynicSetIrq extends Event {
        int vcpu_id;

        @Unsigned
        int sint;

        int vector;

        int ret;
    }

    @Name("kvm_hv_synic_send_eoi")
    @Description("A guest ends an interrupt whose vector may be a source's")
    @Category("KVM")
    @StackTrace(false)
    static final class SynicSendEoi extends Event {
        int vcpu_id;

        @Unsigned
        int sint;

        int vector;

        int ret;
    }

    @Name("kvm_hv_synic_set_msr")
    @Description("An MSR of a synthetic interrupt controller is written")
    @Category("KVM")
    @StackTrace(false)
    static final class SynicSetMsr extends Event {
        int vcpu_id;

        @MemoryAddress
        int msr;

        @MemoryAddress
        long data;

        boolean host;
    }

    @Name("kvm_hv_stimer_set_config")
    @Description("A synthetic timer is configured")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerSetConfig extends Event {
        int vcpu_id;

        int timer_index;

        @MemoryAddress
        long config;

        boolean host;
    }

    @Name("kvm_hv_stimer_set_count")
    @Description("A synthetic timer gets its count")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerSetCount extends Event {
        int vcpu_id;

        int timer_index;

        @Unsigned
        long count;

        boolean host;
    }

    @Name("kvm_hv_stimer_start_periodic")
    @Description("A periodic synthetic timer starts")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerStartPeriodic extends Event {
        int vcpu_id;

        int timer_index;

        @Unsigned
        long time_now;

        @Unsigned
        long exp_time;
    }

    @Name("kvm_hv_stimer_start_one_shot")
    @Description("A synthetic timer starts that expires once")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerStartOneShot extends Event {
        int vcpu_id;

        int timer_index;

        @Unsigned
        long time_now;

        @Unsigned
        long count;
    }

    @Name("kvm_hv_stimer_callback")
    @Description("The time of a synthetic timer is over")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerCallback extends Event {
        int vcpu_id;

        int timer_index;
    }

    @Name("kvm_hv_stimer_expiration")
    @Description("A synthetic timer tells the guest that it has expired")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerExpiration extends Event {
        int vcpu_id;

        int timer_index;

        int direct;

        int msg_send_result;
    }

    @Name("kvm_hv_stimer_cleanup")
    @Description("A synthetic timer stops")
    @Category("KVM")
    @StackTrace(false)
    static final class StimerCleanup extends Event {
        int vcpu_id;

        int timer_index;
    }

    @Name("kvm_hv_flush_tlb")
    @Description("A guest has the TLBs of some processors flushed")
    @Category("KVM")
    @StackTrace(false)
    static final class FlushTlb extends Event {
        @MemoryAddress
        long processor_mask;

        @MemoryAddress
        long address_space;

        @MemoryAddress
        long flags;
    }

    @Name("kvm_hv_flush_tlb_ex")
    @Description("A guest has the TLBs of a set of processors flushed")
    @Category("KVM")
    @StackTrace(false)
    static final class FlushTlbEx extends Event {
        @MemoryAddress
        long valid_bank_mask;

        @MemoryAddress
        long format;

        @MemoryAddress
        long address_space;

        @MemoryAddress
        long flags;
    }

    @Name("kvm_hv_send_ipi")
    @Description("A guest sends an interrupt to some processors")
    @Category("KVM")
    @StackTrace(false)
    static final class SendIpi extends Event {
        @MemoryAddress
        int vector;

        @MemoryAddress
        long processor_mask;
    }

    @Name("kvm_hv_send_ipi_ex")
    @Description("A guest sends an interrupt to a set of processors")
    @Category("KVM")
    @StackTrace(false)
    static final class SendIpiEx extends Event {
        @MemoryAddress
        int vector;

        @MemoryAddress
        long format;

        @MemoryAddress
        long valid_bank_mask;
    }

    @Name("kvm_hv_syndbg_set_msr")
    @Description("An MSR of the synthetic debugger is written")
    @Category("KVM")
    @StackTrace(false)
    static final class SyndbgSetMsr extends Event {
        int vcpu_id;

        @Unsigned
        int vp_index;

        @MemoryAddress
        int msr;

        @MemoryAddress
        long data;
    }

    @Name("kvm_hv_syndbg_get_msr")
    @Description("An MSR of the synthetic debugger is read")
    @Category("KVM")
    @StackTrace(false)
    static final class SyndbgGetMsr extends Event {
        int vcpu_id;

        @Unsigned
        int vp_index;

        @MemoryAddress
        int msr;

        @MemoryAddress
        long data;
    }
}
