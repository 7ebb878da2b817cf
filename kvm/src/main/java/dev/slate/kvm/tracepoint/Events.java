package dev.slate.kvm.tracepoint;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.MemoryAddress;
import jdk.jfr.Name;
import jdk.jfr.Period;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;
import jdk.jfr.Unsigned;

/**
 * The event types: names and fields are those of {@code arch/x86/kvm/trace.h}, {@code mmu/mmutrace.h} and {@code trace/events/kvm.h} of Linux
 * 6.1. Field names are therefore spelt as in C. What the kernel prints in hexadecimal is a {@link MemoryAddress}: for no other content
 * type do the JDK's tools print it so.
 */
@SuppressWarnings({"checkstyle:MemberName", "MemberName", "unused"})
final class Events {
    private Events() {}

    @Name("kvm_entry")
    @Description("A vCPU goes into the guest")
    @Category("KVM")
    @StackTrace(false)
    static final class Entry extends Event {
        @Unsigned
        int vcpu_id;

        @MemoryAddress
        long rip;

        boolean immediate_exit;
    }

    @Name("kvm_exit")
    @Description("A vCPU comes out of the guest; reasons are AMD's exit codes (isa 2)")
    @Category("KVM")
    @StackTrace(false)
    static final class Exit extends Event {
        @MemoryAddress
        int exit_reason;

        @MemoryAddress
        long guest_rip;

        @Unsigned
        int isa;

        @MemoryAddress
        long info1;

        @MemoryAddress
        long info2;

        @MemoryAddress
        int intr_info;

        @MemoryAddress
        int error_code;

        @Unsigned
        int vcpu_id;
    }

    @Name("kvm_page_fault")
    @Description("A nested page fault, or under shadow paging a page fault")
    @Category("KVM")
    @StackTrace(false)
    static final class PageFault extends Event {
        @Unsigned
        int vcpu_id;

        @MemoryAddress
        long guest_rip;

        @MemoryAddress
        long fault_address;

        @MemoryAddress
        long error_code;
    }

    @Name("kvm_pio")
    @Description("Port I/O; rw 1 is OUT")
    @Category("KVM")
    @StackTrace(false)
    static final class Pio extends Event {
        @Unsigned
        int rw;

        @MemoryAddress
        int port;

        @Unsigned
        int size;

        @Unsigned
        int count;

        @MemoryAddress
        int val;
    }

    @Name("kvm_mmio")
    @Description("Memory-mapped I/O; type 0: a read without an answer yet, 1: a read, 2: a write")
    @Category("KVM")
    @StackTrace(false)
    static final class Mmio extends Event {
        @Unsigned
        int type;

        @Unsigned
        int len;

        @MemoryAddress
        long gpa;

        @MemoryAddress
        long val;
    }

    @Name("kvm_mmu_spte_requested")
    @Description("A fault asks for an SPTE; pfn is the host's virtual page here")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SpteRequested extends Event {
        @MemoryAddress
        long gfn;

        @MemoryAddress
        long pfn;

        @Unsigned
        byte level;
    }

    @Name("kvm_mmu_set_spte")
    @Description("A fault has set an SPTE")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SetSpte extends Event {
        @MemoryAddress
        long gfn;

        @MemoryAddress
        long spte;

        @MemoryAddress
        long sptep;

        @Unsigned
        byte level;

        boolean r;
        boolean x;
        byte u;
    }

    @Name("kvm_tdp_mmu_spte_changed")
    @Description("A leaf SPTE of the TDP MMU was set or taken away")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SpteChanged extends Event {
        @MemoryAddress
        long gfn;

        @MemoryAddress
        long old_spte;

        @MemoryAddress
        long new_spte;

        @Unsigned
        byte level;

        @Unsigned
        byte as_id;
    }

    @Name("kvm_mmu_split_huge_page")
    @Description("A large SPTE was split when dirty logging started or cleared")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SplitHugePage extends Event {
        @MemoryAddress
        long gfn;

        @MemoryAddress
        long spte;

        int level;
        int errno;
    }

    @Name("fast_page_fault")
    @Description("A fault that was mended by one compare-and-set; ret 4: fixed, 5: spurious (RET_PF_*)")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class FastPageFault extends Event {
        int vcpu_id;

        @MemoryAddress
        long cr2_or_gpa;

        @MemoryAddress
        int error_code;

        @MemoryAddress
        long sptep;

        @MemoryAddress
        long old_spte;

        @MemoryAddress
        long new_spte;

        int ret;
    }

    @Name("mark_mmio_spte")
    @Description("An SPTE says from now on that no memory is there")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class MarkMmioSpte extends Event {
        @MemoryAddress
        long sptep;

        @MemoryAddress
        long gfn;

        @MemoryAddress
        int access;

        @Unsigned
        int gen;
    }

    @Name("handle_mmio_page_fault")
    @Description("An access found an SPTE that says that no memory is there")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class HandleMmioPageFault extends Event {
        @MemoryAddress
        long addr;

        @MemoryAddress
        long gfn;

        @MemoryAddress
        int access;
    }

    @Name("kvm_mmu_pagetable_walk")
    @Description("The hypervisor walks the guest's page tables for a fault")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class PagetableWalk extends Event {
        @MemoryAddress
        long addr;

        @MemoryAddress
        int pferr;
    }

    @Name("kvm_mmu_paging_element")
    @Description("An entry of the guest's page tables was read")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class PagingElement extends Event {
        @MemoryAddress
        long pte;

        @Unsigned
        int level;
    }

    @Name("kvm_mmu_set_accessed_bit")
    @Description("A walk has set an entry's accessed bit")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SetAccessedBit extends Event {
        @MemoryAddress
        long gpa;
    }

    @Name("kvm_mmu_set_dirty_bit")
    @Description("A walk has set an entry's dirty bit")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SetDirtyBit extends Event {
        @MemoryAddress
        long gpa;
    }

    @Name("kvm_mmu_walker_error")
    @Description("A walk of the guest's page tables ended in a fault for the guest")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class WalkerError extends Event {
        @MemoryAddress
        int pferr;
    }

    /**
     * What the events about a shadow page share ({@code KVM_MMU_PAGE_FIELDS}). No code takes one of them by this type: proving that would load
     * all of them, which no AOT cache holds, from their jar at every start.
     */
    abstract static class ShadowPageEvent extends Event {
        @Unsigned
        byte mmu_valid_gen;

        @MemoryAddress
        long gfn;

        @MemoryAddress
        int role;

        @Unsigned
        int root_count;

        boolean unsync;

        final void show(Tracepoints.ShadowPage page) {
            mmu_valid_gen = (byte) page.generation();
            gfn = page.gfn();
            role = page.role();
            root_count = page.rootCount();
            unsync = page.unsync();
        }
    }

    @Name("kvm_mmu_get_page")
    @Description("A shadow page was found, or made")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class GetPage extends ShadowPageEvent {
        boolean created;
    }

    @Name("kvm_mmu_sync_page")
    @Description("A last-level table of the guest's is read again")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class SyncPage extends ShadowPageEvent {}

    @Name("kvm_mmu_unsync_page")
    @Description("A last-level table of the guest's may be written freely until the next flush")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class UnsyncPage extends ShadowPageEvent {}

    @Name("kvm_mmu_prepare_zap_page")
    @Description("A shadow page is taken out of use")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class PrepareZapPage extends ShadowPageEvent {}

    @Name("kvm_mmu_zap_all_fast")
    @Description("All shadow pages became obsolete at once")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class ZapAllFast extends Event {
        @Unsigned
        byte mmu_valid_gen;

        @Unsigned
        int mmu_used_pages;
    }

    @Name("check_mmio_spte")
    @Description("The generation of an SPTE that says that no memory is there is compared with that of the memslots")
    @Category("KVM MMU")
    @StackTrace(false)
    static final class CheckMmioSpte extends Event {
        @Unsigned
        int kvm_gen;

        @Unsigned
        int spte_gen;

        @MemoryAddress
        long spte;
    }

    @Name("kvm_set_irq")
    @Description("An interrupt line is driven")
    @Category("KVM")
    @StackTrace(false)
    static final class SetIrq extends Event {
        @Unsigned
        int gsi;

        int level;

        int irq_source_id;
    }

    @Name("kvm_pic_set_irq")
    @Description("A pin of the 8259s is driven")
    @Category("KVM")
    @StackTrace(false)
    static final class PicSetIrq extends Event {
        @Unsigned
        byte chip;

        @Unsigned
        byte pin;

        @Unsigned
        byte elcr;

        @Unsigned
        byte imr;

        boolean coalesced;
    }

    @Name("kvm_ioapic_set_irq")
    @Description("A pin of the I/O APIC is driven")
    @Category("KVM")
    @StackTrace(false)
    static final class IoApicSetIrq extends Event {
        @MemoryAddress
        long e;

        int pin;

        boolean coalesced;
    }

    @Name("kvm_msi_set_irq")
    @Description("A message-signalled interrupt is sent")
    @Category("KVM")
    @StackTrace(false)
    static final class MsiSetIrq extends Event {
        @MemoryAddress
        long address;

        @MemoryAddress
        long data;
    }

    @Name("kvm_apic_ipi")
    @Description("A processor writes its interrupt command register")
    @Category("KVM")
    @StackTrace(false)
    static final class ApicIpi extends Event {
        @MemoryAddress
        int icr_low;

        @MemoryAddress
        int dest_id;
    }

    @Name("kvm_apic_accept_irq")
    @Description("An interrupt message reaches a local APIC")
    @Category("KVM")
    @StackTrace(false)
    static final class ApicAcceptIrq extends Event {
        @Unsigned
        int apicid;

        @Unsigned
        short dm;

        @Unsigned
        short tm;

        @Unsigned
        byte vec;
    }

    @Name("kvm_inj_virq")
    @Description("A vCPU is given an interrupt")
    @Category("KVM")
    @StackTrace(false)
    static final class InjVirq extends Event {
        @Unsigned
        int vector;

        boolean soft;

        boolean reinjected;
    }

    @Name("kvm_eoi")
    @Description("A guest ends an interrupt")
    @Category("KVM")
    @StackTrace(false)
    static final class Eoi extends Event {
        @Unsigned
        int apicid;

        int vector;
    }

    @Name("kvm_pv_eoi")
    @Description("A guest has ended an interrupt in memory")
    @Category("KVM")
    @StackTrace(false)
    static final class PvEoi extends Event {
        @Unsigned
        int apicid;

        int vector;
    }

    @Name("kvm_xen_hypercall")
    @Description("A guest calls Xen")
    @Category("KVM")
    @StackTrace(false)
    static final class XenHypercall extends Event {
        @MemoryAddress
        long nr;

        @MemoryAddress
        long a0;

        @MemoryAddress
        long a1;

        @MemoryAddress
        long a2;

        @MemoryAddress
        long a3;

        @MemoryAddress
        long a4;

        @MemoryAddress
        long a5;
    }

    @Name("kvm_pvclock_update")
    @Description("A guest's kvmclock page is written")
    @Category("KVM")
    @StackTrace(false)
    static final class PvclockUpdate extends Event {
        @Unsigned
        int vcpu_id;

        @Unsigned
        int version;

        @Unsigned
        long tsc_timestamp;

        @Unsigned
        long system_time;

        @Unsigned
        int tsc_to_system_mul;

        byte tsc_shift;

        @Unsigned
        byte flags;
    }

    // ------------------------------------------------------------------ the translator: no tracepoints of KVM's

    @Name("slate_translate")
    @Description("A block of guest code has become machine code of the host")
    @Category("Slate's translator")
    @StackTrace(false)
    static final class Translate extends Event {
        @Unsigned
        int vcpu_id;

        @MemoryAddress
        long rip;

        @Unsigned
        int guest_bytes;

        @MemoryAddress
        long address;

        @Unsigned
        int bytes;

        @Timespan
        long time;
    }

    @Name("slate_translation_invalidated")
    @Description("What was made of a guest's page is given up, because the page's bytes have changed")
    @Category("Slate's translator")
    @StackTrace(false)
    static final class TranslationInvalidated extends Event {
        @Unsigned
        int vcpu_id;

        @MemoryAddress
        long page;

        @Unsigned
        int regions;
    }

    @Name("slate_translations_reset")
    @Description("A vCPU has given up all its translations: their memory was full, or others need it")
    @Category("Slate's translator")
    @StackTrace(false)
    static final class TranslationsReset extends Event {
        @Unsigned
        int vcpu_id;

        @Unsigned
        int regions;
    }

    @Name("slate_translator")
    @Description("What a vCPU's translator has done since it began; the fields are slate stat's")
    @Category("Slate's translator")
    @StackTrace(false)
    @Period("endChunk")
    static final class TranslatorFigures extends Event {
        @Unsigned
        int vcpu_id;

        @Unsigned
        long regions;

        @Unsigned
        long bytes;

        @Timespan
        long time;

        @Unsigned
        long invalidations;

        @Unsigned
        long cache_resets;

        @Unsigned
        long entries;

        @Unsigned
        long interpreted;

        @DataAmount
        long memory;

        @Unsigned
        long exits_cross;

        @Unsigned
        long exits_kick;

        @Unsigned
        long exits_miss;

        @Unsigned
        long exits_interpret;

        @Unsigned
        long exits_link;

        @Unsigned
        long exits_vectors;

        @Unsigned
        long exits_fault;

        @Unsigned
        long exits_lookup;

        @Unsigned
        long exits_invlpg;
    }
}
