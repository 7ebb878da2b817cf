/* The structures of KVM's interface that Slate reads and writes, as this machine's linux/kvm.h has them. Compiled with -g, so that
 * `slate layout check` can compare them with kvm-abi.lock. */
#include <linux/kvm.h>

union {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_sregs2 sregs2;
	struct kvm_segment segment;
	struct kvm_dtable dtable;
	struct kvm_fpu fpu;
	struct kvm_xsave xsave;
	struct kvm_xcr xcr;
	struct kvm_xcrs xcrs;
	struct kvm_msr_entry msr_entry;
	struct kvm_msrs *msrs;
	struct kvm_msr_list *msr_list;
	struct kvm_cpuid_entry2 cpuid_entry2;
	struct kvm_cpuid2 *cpuid2;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_mp_state mp_state;
	struct kvm_run run;
	struct kvm_userspace_memory_region region;
	struct kvm_dirty_log dirty_log;
	struct kvm_clear_dirty_log clear_dirty_log;
	struct kvm_dirty_gfn dirty_gfn;
	struct kvm_enable_cap enable_cap;
	struct kvm_irqfd irqfd;
	struct kvm_ioeventfd ioeventfd;
	struct kvm_irq_level irq_level;
	struct kvm_irqchip irqchip;
	struct kvm_lapic_state lapic;
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	struct kvm_signal_mask *signal_mask;
	struct kvm_translation translation;
	struct kvm_guest_debug guest_debug;
	struct kvm_stats_header stats_header;
	struct kvm_stats_desc *stats_desc;
	struct kvm_device_attr device_attr;
	struct kvm_create_device create_device;
	struct kvm_interrupt interrupt;
	struct kvm_coalesced_mmio coalesced;
	struct kvm_msi msi;
} kvm_abi;
