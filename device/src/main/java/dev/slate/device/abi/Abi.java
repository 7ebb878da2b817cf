package dev.slate.device.abi;

import static dev.slate.device.abi.Struct.inner;
import static dev.slate.device.abi.Struct.u16;
import static dev.slate.device.abi.Struct.u32;
import static dev.slate.device.abi.Struct.u32s;
import static dev.slate.device.abi.Struct.u64;
import static dev.slate.device.abi.Struct.u64s;
import static dev.slate.device.abi.Struct.u8;
import static dev.slate.device.abi.Struct.u8s;
import static dev.slate.device.abi.Struct.union;

/** The layouts of the small structures, those that no carrier of {@code dev.slate.kvm} answers to. */
public final class Abi {
    public static final Struct USERSPACE_MEMORY_REGION = Struct.of(
            "kvm_userspace_memory_region",
            u32("slot"),
            u32("flags"),
            u64("guest_phys_addr"),
            u64("memory_size"),
            u64("userspace_addr"));
    public static final Struct DIRTY_LOG =
            Struct.of("kvm_dirty_log", u32("slot"), u32("padding1"), u64("dirty_bitmap"));
    public static final Struct CLEAR_DIRTY_LOG =
            Struct.of("kvm_clear_dirty_log", u32("slot"), u32("num_pages"), u64("first_page"), u64("dirty_bitmap"));
    public static final Struct ENABLE_CAP =
            Struct.of("kvm_enable_cap", u32("cap"), u32("flags"), u64s("args", 4), u8s("pad", 64));
    /** The mask's bytes follow, without the compiler's alignment of them. */
    public static final Struct SIGNAL_MASK = Struct.of("kvm_signal_mask", u32("len"));

    public static final Struct GUEST_DEBUG =
            Struct.of("kvm_guest_debug", u32("control"), u32("pad"), inner("arch", u64s("debugreg", 8)));
    public static final Struct TRANSLATION = Struct.of(
            "kvm_translation",
            u64("linear_address"),
            u64("physical_address"),
            u8("valid"),
            u8("writeable"),
            u8("usermode"),
            u8s("pad", 5));
    public static final Struct X86_MCE = Struct.of(
            "kvm_x86_mce",
            u64("status"),
            u64("addr"),
            u64("misc"),
            u64("mcg_status"),
            u8("bank"),
            u8s("pad1", 7),
            u64s("pad2", 3));
    public static final Struct INTERRUPT = Struct.of("kvm_interrupt", u32("irq"));
    public static final Struct IRQ_LEVEL = Struct.of("kvm_irq_level", union(u32("irq"), u32("status")), u32("level"));
    /** The state is that of the chip: {@code struct kvm_pic_state} or {@code kvm_ioapic_state}. */
    public static final Struct IRQCHIP =
            Struct.of("kvm_irqchip", u32("chip_id"), u32("pad"), union("chip", u8s("dummy", 512)));

    public static final Struct PIT_CONFIG = Struct.of("kvm_pit_config", u32("flags"), u32s("pad", 15));
    private static final Struct PIT_CHANNEL_STATE = Struct.of(
            "kvm_pit_channel_state",
            u32("count"),
            u16("latched_count"),
            u8("count_latched"),
            u8("status_latched"),
            u8("status"),
            u8("read_state"),
            u8("write_state"),
            u8("write_latch"),
            u8("rw_mode"),
            u8("mode"),
            u8("bcd"),
            u8("gate"),
            u64("count_load_time"));
    public static final Struct PIT_STATE = Struct.of("kvm_pit_state", PIT_CHANNEL_STATE.array("channels", 3));
    public static final Struct PIT_STATE2 =
            Struct.of("kvm_pit_state2", PIT_CHANNEL_STATE.array("channels", 3), u32("flags"), u32s("reserved", 9));
    public static final Struct REINJECT_CONTROL =
            Struct.of("kvm_reinject_control", u8("pit_reinject"), u8s("reserved", 31));
    /** Entries follow. */
    public static final Struct IRQ_ROUTING = Struct.of("kvm_irq_routing", u32("nr"), u32("flags"));

    public static final Struct IRQ_ROUTING_ENTRY = Struct.of(
            "kvm_irq_routing_entry",
            u32("gsi"),
            u32("type"),
            u32("flags"),
            u32("pad"),
            union(
                    "u",
                    inner("irqchip", u32("irqchip"), u32("pin")),
                    inner("msi", u32("address_lo"), u32("address_hi"), u32("data"), u32("pad")),
                    u32s("pad", 8)));
    public static final Struct MSI = Struct.of(
            "kvm_msi", u32("address_lo"), u32("address_hi"), u32("data"), u32("flags"), u32("devid"), u8s("pad", 12));
    public static final Struct IRQFD =
            Struct.of("kvm_irqfd", u32("fd"), u32("gsi"), u32("flags"), u32("resamplefd"), u8s("pad", 16));
    public static final Struct IOEVENTFD = Struct.of(
            "kvm_ioeventfd", u64("datamatch"), u64("addr"), u32("len"), u32("fd"), u32("flags"), u8s("pad", 36));
    public static final Struct HYPERV_EVENTFD =
            Struct.of("kvm_hyperv_eventfd", u32("conn_id"), u32("fd"), u32("flags"), u32s("padding", 3));
    public static final Struct XEN_HVM_CONFIG = Struct.of(
            "kvm_xen_hvm_config",
            u32("flags"),
            u32("msr"),
            u64("blob_addr_32"),
            u64("blob_addr_64"),
            u8("blob_size_32"),
            u8("blob_size_64"),
            u8s("pad2", 30));
    /** {@code struct kvm_xen_vcpu_attr} is the same but for what its union holds. */
    public static final Struct XEN_ATTR =
            Struct.of("kvm_xen_hvm_attr", u16("type"), Struct.u16s("pad", 3), union("u", u64s("pad", 8)));

    public static final Struct XEN_EVTCHN =
            Struct.of("kvm_irq_routing_xen_evtchn", u32("port"), u32("vcpu"), u32("priority"));
    public static final Struct COALESCED_MMIO_ZONE =
            Struct.of("kvm_coalesced_mmio_zone", u64("addr"), u32("size"), union(u32("pad"), u32("pio")));
    public static final Struct TPR_ACCESS_CTL =
            Struct.of("kvm_tpr_access_ctl", u32("enabled"), u32("flags"), u32s("reserved", 8));
    public static final Struct VAPIC_ADDR = Struct.of("kvm_vapic_addr", u64("vapic_addr"));
    public static final Struct MP_STATE = Struct.of("kvm_mp_state", u32("mp_state"));
    public static final Struct MSR_ENTRY = Struct.of("kvm_msr_entry", u32("index"), u32("reserved"), u64("data"));
    /** Entries follow. */
    public static final Struct MSRS = Struct.of("kvm_msrs", u32("nmsrs"), u32("pad"));
    /** Indices follow. */
    public static final Struct MSR_LIST = Struct.of("kvm_msr_list", u32("nmsrs"));

    public static final Struct MSR_FILTER_RANGE =
            Struct.of("kvm_msr_filter_range", u32("flags"), u32("nmsrs"), u32("base"), Struct.gap(4), u64("bitmap"));
    public static final Struct MSR_FILTER =
            Struct.of("kvm_msr_filter", u32("flags"), Struct.gap(4), MSR_FILTER_RANGE.array("ranges", 16));
    /** Events follow, 64 bits each. */
    public static final Struct PMU_EVENT_FILTER = Struct.of(
            "kvm_pmu_event_filter",
            u32("action"),
            u32("nevents"),
            u32("fixed_counter_bitmap"),
            u32("flags"),
            Struct.gap(16));

    public static final Struct CPUID_ENTRY = Struct.of(
            "kvm_cpuid_entry", u32("function"), u32("eax"), u32("ebx"), u32("ecx"), u32("edx"), u32("padding"));
    public static final Struct CPUID_ENTRY2 = Struct.of(
            "kvm_cpuid_entry2",
            u32("function"),
            u32("index"),
            u32("flags"),
            u32("eax"),
            u32("ebx"),
            u32("ecx"),
            u32("edx"),
            u32s("padding", 3));
    /** Entries follow; {@code struct kvm_cpuid} is the same. */
    public static final Struct CPUID2 = Struct.of("kvm_cpuid2", u32("nent"), u32("padding"));

    public static final Struct XCR = Struct.of("kvm_xcr", u32("xcr"), u32("reserved"), u64("value"));
    public static final Struct XCRS =
            Struct.of("kvm_xcrs", u32("nr_xcrs"), u32("flags"), XCR.array("xcrs", 16), u64s("padding", 16));
    public static final Struct XSAVE = Struct.of("kvm_xsave", u32s("region", 1024));
    public static final Struct LAPIC_STATE = Struct.of("kvm_lapic_state", u8s("regs", 1024));
    public static final Struct DEVICE_ATTR =
            Struct.of("kvm_device_attr", u32("flags"), u32("group"), u64("attr"), u64("addr"));
    public static final Struct CREATE_DEVICE = Struct.of("kvm_create_device", u32("type"), u32("fd"), u32("flags"));
    public static final Struct STATS_HEADER = Struct.of(
            "kvm_stats_header",
            u32("flags"),
            u32("name_size"),
            u32("num_desc"),
            u32("id_offset"),
            u32("desc_offset"),
            u32("data_offset"));
    /** The name follows. */
    public static final Struct STATS_DESC =
            Struct.of("kvm_stats_desc", u32("flags"), u16("exponent"), u16("size"), u32("offset"), u32("bucket_size"));

    private Abi() {}
}
