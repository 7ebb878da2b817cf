package dev.slate.kvm.tracepoint;

/**
 * KVM's tracepoints of Hyper-V's interface. As with {@link Tracepoints}, call sites ask {@link Tracepoints#ON} first.
 *
 * <p>Any thread.
 */
public final class HyperVTracepoints {
    private HyperVTracepoints() {}

    /** {@code kvm_hv_hypercall}. @param ingpa and {@code outgpa}: addresses, or with a fast call the input itself */
    public static void hypercall(int code, boolean fast, int varCnt, int repCnt, int repIdx, long ingpa, long outgpa) {
        HyperVEvents.Hypercall e = new HyperVEvents.Hypercall();
        e.code = (short) code;
        e.fast = fast;
        e.var_cnt = (short) varCnt;
        e.rep_cnt = (short) repCnt;
        e.rep_idx = (short) repIdx;
        e.ingpa = ingpa;
        e.outgpa = outgpa;
        e.commit();
    }

    /** {@code kvm_hv_hypercall_done}. */
    public static void hypercallDone(long result) {
        HyperVEvents.HypercallDone e = new HyperVEvents.HypercallDone();
        e.result = result;
        e.commit();
    }

    /** {@code kvm_hv_notify_acked_sint}. */
    public static void notifyAckedSint(int vcpuId, int sint) {
        HyperVEvents.NotifyAckedSint e = new HyperVEvents.NotifyAckedSint();
        e.vcpu_id = vcpuId;
        e.sint = sint;
        e.commit();
    }

    /** {@code kvm_hv_synic_set_irq}. @param ret how many APICs took it; 0: it became one with an interrupt that waited */
    public static void synicSetIrq(int vcpuId, int sint, int vector, int ret) {
        HyperVEvents.SynicSetIrq e = new HyperVEvents.SynicSetIrq();
        e.vcpu_id = vcpuId;
        e.sint = sint;
        e.vector = vector;
        e.ret = ret;
        e.commit();
    }

    /** {@code kvm_hv_synic_send_eoi}. KVM, too, leaves {@code sint} and {@code ret} as they are. */
    public static void synicSendEoi(int vcpuId, int vector) {
        HyperVEvents.SynicSendEoi e = new HyperVEvents.SynicSendEoi();
        e.vcpu_id = vcpuId;
        e.vector = vector;
        e.commit();
    }

    /** {@code kvm_hv_synic_set_msr}. */
    public static void synicSetMsr(int vcpuId, int msr, long data, boolean host) {
        HyperVEvents.SynicSetMsr e = new HyperVEvents.SynicSetMsr();
        e.vcpu_id = vcpuId;
        e.msr = msr;
        e.data = data;
        e.host = host;
        e.commit();
    }

    /** {@code kvm_hv_stimer_set_config}. */
    public static void stimerSetConfig(int vcpuId, int timerIndex, long config, boolean host) {
        HyperVEvents.StimerSetConfig e = new HyperVEvents.StimerSetConfig();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.config = config;
        e.host = host;
        e.commit();
    }

    /** {@code kvm_hv_stimer_set_count}. */
    public static void stimerSetCount(int vcpuId, int timerIndex, long count, boolean host) {
        HyperVEvents.StimerSetCount e = new HyperVEvents.StimerSetCount();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.count = count;
        e.host = host;
        e.commit();
    }

    /** {@code kvm_hv_stimer_start_periodic}. Times are the partition's, in units of 100 ns. */
    public static void stimerStartPeriodic(int vcpuId, int timerIndex, long timeNow, long expTime) {
        HyperVEvents.StimerStartPeriodic e = new HyperVEvents.StimerStartPeriodic();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.time_now = timeNow;
        e.exp_time = expTime;
        e.commit();
    }

    /** {@code kvm_hv_stimer_start_one_shot}. Times are the partition's, in units of 100 ns. */
    public static void stimerStartOneShot(int vcpuId, int timerIndex, long timeNow, long count) {
        HyperVEvents.StimerStartOneShot e = new HyperVEvents.StimerStartOneShot();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.time_now = timeNow;
        e.count = count;
        e.commit();
    }

    /** {@code kvm_hv_stimer_callback}. */
    public static void stimerCallback(int vcpuId, int timerIndex) {
        HyperVEvents.StimerCallback e = new HyperVEvents.StimerCallback();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.commit();
    }

    /** {@code kvm_hv_stimer_expiration}. @param result 0: the guest has been told */
    public static void stimerExpiration(int vcpuId, int timerIndex, boolean direct, int result) {
        HyperVEvents.StimerExpiration e = new HyperVEvents.StimerExpiration();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.direct = direct ? 1 : 0;
        e.msg_send_result = result;
        e.commit();
    }

    /** {@code kvm_hv_stimer_cleanup}. */
    public static void stimerCleanup(int vcpuId, int timerIndex) {
        HyperVEvents.StimerCleanup e = new HyperVEvents.StimerCleanup();
        e.vcpu_id = vcpuId;
        e.timer_index = timerIndex;
        e.commit();
    }

    /** {@code kvm_hv_flush_tlb}. */
    public static void flushTlb(long processorMask, long addressSpace, long flags) {
        HyperVEvents.FlushTlb e = new HyperVEvents.FlushTlb();
        e.processor_mask = processorMask;
        e.address_space = addressSpace;
        e.flags = flags;
        e.commit();
    }

    /** {@code kvm_hv_flush_tlb_ex}. */
    public static void flushTlbEx(long validBankMask, long format, long addressSpace, long flags) {
        HyperVEvents.FlushTlbEx e = new HyperVEvents.FlushTlbEx();
        e.valid_bank_mask = validBankMask;
        e.format = format;
        e.address_space = addressSpace;
        e.flags = flags;
        e.commit();
    }

    /** {@code kvm_hv_send_ipi}. */
    public static void sendIpi(int vector, long processorMask) {
        HyperVEvents.SendIpi e = new HyperVEvents.SendIpi();
        e.vector = vector;
        e.processor_mask = processorMask;
        e.commit();
    }

    /** {@code kvm_hv_send_ipi_ex}. */
    public static void sendIpiEx(int vector, long format, long validBankMask) {
        HyperVEvents.SendIpiEx e = new HyperVEvents.SendIpiEx();
        e.vector = vector;
        e.format = format;
        e.valid_bank_mask = validBankMask;
        e.commit();
    }

    /** {@code kvm_hv_syndbg_set_msr}. */
    public static void syndbgSetMsr(int vcpuId, int vpIndex, int msr, long data) {
        HyperVEvents.SyndbgSetMsr e = new HyperVEvents.SyndbgSetMsr();
        e.vcpu_id = vcpuId;
        e.vp_index = vpIndex;
        e.msr = msr;
        e.data = data;
        e.commit();
    }

    /** {@code kvm_hv_syndbg_get_msr}. */
    public static void syndbgGetMsr(int vcpuId, int vpIndex, int msr, long data) {
        HyperVEvents.SyndbgGetMsr e = new HyperVEvents.SyndbgGetMsr();
        e.vcpu_id = vcpuId;
        e.vp_index = vpIndex;
        e.msr = msr;
        e.data = data;
        e.commit();
    }
}
