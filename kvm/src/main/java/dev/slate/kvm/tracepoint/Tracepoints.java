package dev.slate.kvm.tracepoint;

import dev.slate.cpu.TranslationFigures;
import jdk.jfr.FlightRecorder;

/**
 * KVM's tracepoints. Each call site asks {@link #ON} first, which the JIT knows to be constant: where nothing is traced, nothing of this is
 * compiled in and no class of JFR is loaded.
 *
 * <p>Any thread. An event whose type no recording wants costs an object that the JIT removes.
 */
public final class Tracepoints {
    /** Switches tracing on when it is {@code true} before the first VM: a recording then gets what it asks for. */
    public static final String PROPERTY = "slate.tracepoints";

    /** Whether the process traces at all. */
    public static final boolean ON = Boolean.getBoolean(PROPERTY);

    /** {@code KVM_ISA_SVM}. */
    private static final int ISA_SVM = 2;

    /** {@code KVM_TRACE_MMIO_*}. */
    public static final int MMIO_READ_UNSATISFIED = 0;

    public static final int MMIO_READ = 1;
    public static final int MMIO_WRITE = 2;

    /** {@code RET_PF_*}. */
    public static final int RET_PF_FIXED = 4;

    public static final int RET_PF_SPURIOUS = 5;

    private Tracepoints() {}

    /** {@code kvm_entry}. */
    public static void entry(int vcpuId, long rip, boolean immediateExit) {
        Events.Entry e = new Events.Entry();
        e.vcpu_id = vcpuId;
        e.rip = rip;
        e.immediate_exit = immediateExit;
        e.commit();
    }

    /** {@code kvm_exit}. @param reason AMD's exit code (APM 2 appendix C), info1 and info2 as it defines them */
    public static void exit(int vcpuId, int reason, long rip, long info1, long info2) {
        Events.Exit e = new Events.Exit();
        e.exit_reason = reason;
        e.guest_rip = rip;
        e.isa = ISA_SVM;
        e.info1 = info1;
        e.info2 = info2;
        e.vcpu_id = vcpuId;
        e.commit();
    }

    /** {@code kvm_page_fault}. */
    public static void pageFault(int vcpuId, long rip, long address, long errorCode) {
        Events.PageFault e = new Events.PageFault();
        e.vcpu_id = vcpuId;
        e.guest_rip = rip;
        e.fault_address = address;
        e.error_code = errorCode;
        e.commit();
    }

    /** {@code kvm_pio}. @param value of the first item, as far as it is known: what goes out, or what has come in */
    public static void pio(boolean out, int port, int size, int count, int value) {
        Events.Pio e = new Events.Pio();
        e.rw = out ? 1 : 0;
        e.port = port;
        e.size = size;
        e.count = count;
        e.val = value;
        e.commit();
    }

    /** {@code kvm_mmio}. */
    public static void mmio(int type, int bytes, long gpa, long value) {
        Events.Mmio e = new Events.Mmio();
        e.type = type;
        e.len = bytes;
        e.gpa = gpa;
        e.val = value;
        e.commit();
    }

    /** {@code kvm_mmu_spte_requested}. */
    public static void spteRequested(long gfn, long hva, int level) {
        Events.SpteRequested e = new Events.SpteRequested();
        e.gfn = gfn;
        e.pfn = hva >>> 12;
        e.level = (byte) level;
        e.commit();
    }

    /** {@code kvm_mmu_set_spte}. */
    public static void setSpte(long gfn, long sptep, long spte, int level, boolean readable, boolean executable) {
        Events.SetSpte e = new Events.SetSpte();
        e.gfn = gfn;
        e.spte = spte;
        e.sptep = sptep;
        e.level = (byte) level;
        e.r = readable;
        e.x = executable;
        e.u = (byte) (readable ? 1 : 0);
        e.commit();
    }

    /** {@code kvm_tdp_mmu_spte_changed}. */
    public static void spteChanged(int asId, long gfn, int level, long oldSpte, long newSpte) {
        Events.SpteChanged e = new Events.SpteChanged();
        e.gfn = gfn;
        e.old_spte = oldSpte;
        e.new_spte = newSpte;
        e.level = (byte) level;
        e.as_id = (byte) asId;
        e.commit();
    }

    /** {@code kvm_mmu_split_huge_page}. */
    public static void splitHugePage(long gfn, long spte, int level, int errno) {
        Events.SplitHugePage e = new Events.SplitHugePage();
        e.gfn = gfn;
        e.spte = spte;
        e.level = level;
        e.errno = errno;
        e.commit();
    }

    /** {@code fast_page_fault}. */
    public static void fastPageFault(
            int vcpuId, long gpa, long errorCode, long sptep, long oldSpte, long newSpte, int ret) {
        Events.FastPageFault e = new Events.FastPageFault();
        e.vcpu_id = vcpuId;
        e.cr2_or_gpa = gpa;
        e.error_code = (int) errorCode;
        e.sptep = sptep;
        e.old_spte = oldSpte;
        e.new_spte = newSpte;
        e.ret = ret;
        e.commit();
    }

    /** {@code mark_mmio_spte}. @param access what the guest's tables allow under shadow paging: 2 writes, 4 user mode */
    public static void markMmioSpte(long sptep, long gfn, int access, long generation) {
        Events.MarkMmioSpte e = new Events.MarkMmioSpte();
        e.sptep = sptep;
        e.gfn = gfn;
        e.access = access;
        e.gen = (int) generation;
        e.commit();
    }

    /** {@code handle_mmio_page_fault}. @param addr linear address; 0 with two-dimensional paging, as KVM has it */
    public static void handleMmioPageFault(long addr, long gfn, int access) {
        Events.HandleMmioPageFault e = new Events.HandleMmioPageFault();
        e.addr = addr;
        e.gfn = gfn;
        e.access = access;
        e.commit();
    }

    /** {@code check_mmio_spte}. @param generation of the memslots now, as far as an SPTE keeps it */
    public static void checkMmioSpte(long spte, long generation, long spteGeneration) {
        Events.CheckMmioSpte e = new Events.CheckMmioSpte();
        e.kvm_gen = (int) generation;
        e.spte_gen = (int) spteGeneration;
        e.spte = spte;
        e.commit();
    }

    // ------------------------------------------------------------------ the shadow MMU's walks of the guest's tables

    /** {@code kvm_mmu_pagetable_walk}. */
    public static void pagetableWalk(long addr, int errorCode) {
        Events.PagetableWalk e = new Events.PagetableWalk();
        e.addr = addr;
        e.pferr = errorCode;
        e.commit();
    }

    /** {@code kvm_mmu_paging_element}. */
    public static void pagingElement(long pte, int level) {
        Events.PagingElement e = new Events.PagingElement();
        e.pte = pte;
        e.level = level;
        e.commit();
    }

    /** {@code kvm_mmu_set_accessed_bit}. */
    public static void setAccessedBit(long gpa) {
        Events.SetAccessedBit e = new Events.SetAccessedBit();
        e.gpa = gpa;
        e.commit();
    }

    /** {@code kvm_mmu_set_dirty_bit}. */
    public static void setDirtyBit(long gpa) {
        Events.SetDirtyBit e = new Events.SetDirtyBit();
        e.gpa = gpa;
        e.commit();
    }

    /** {@code kvm_mmu_walker_error}. */
    public static void walkerError(int errorCode) {
        Events.WalkerError e = new Events.WalkerError();
        e.pferr = errorCode;
        e.commit();
    }

    // ------------------------------------------------------------------ its pages

    /** A shadow page as the events show it. */
    public record ShadowPage(int generation, long gfn, int role, int rootCount, boolean unsync) {}

    /** {@code kvm_mmu_get_page}. */
    public static void getPage(ShadowPage page, boolean created) {
        Events.GetPage e = new Events.GetPage();
        e.created = created;
        e.show(page);
        e.commit();
    }

    /** {@code kvm_mmu_sync_page}. */
    public static void syncPage(ShadowPage page) {
        Events.SyncPage e = new Events.SyncPage();
        e.show(page);
        e.commit();
    }

    /** {@code kvm_mmu_unsync_page}. */
    public static void unsyncPage(ShadowPage page) {
        Events.UnsyncPage e = new Events.UnsyncPage();
        e.show(page);
        e.commit();
    }

    /** {@code kvm_mmu_prepare_zap_page}. */
    public static void prepareZapPage(ShadowPage page) {
        Events.PrepareZapPage e = new Events.PrepareZapPage();
        e.show(page);
        e.commit();
    }

    /** {@code kvm_mmu_zap_all_fast}. */
    public static void zapAllFast(int generation, long pages) {
        Events.ZapAllFast e = new Events.ZapAllFast();
        e.mmu_valid_gen = (byte) generation;
        e.mmu_used_pages = (int) pages;
        e.commit();
    }

    // ------------------------------------------------------------------ interrupts

    /** {@code kvm_set_irq}. @param source {@code KVM_*_IRQ_SOURCE_ID}: 0 the client, 1 irqfds with resampling, 2 the PIT */
    public static void setIrq(int gsi, boolean level, int source) {
        Events.SetIrq e = new Events.SetIrq();
        e.gsi = gsi;
        e.level = level ? 1 : 0;
        e.irq_source_id = source;
        e.commit();
    }

    /** {@code kvm_pic_set_irq}. @param coalesced it became one with an interrupt that waited */
    public static void picSetIrq(int chip, int pin, int elcr, int imr, boolean coalesced) {
        Events.PicSetIrq e = new Events.PicSetIrq();
        e.chip = (byte) chip;
        e.pin = (byte) pin;
        e.elcr = (byte) elcr;
        e.imr = (byte) imr;
        e.coalesced = coalesced;
        e.commit();
    }

    /** {@code kvm_ioapic_set_irq}. @param entry of the redirection table, before the interrupt */
    public static void ioApicSetIrq(long entry, int pin, boolean coalesced) {
        Events.IoApicSetIrq e = new Events.IoApicSetIrq();
        e.e = entry;
        e.pin = pin;
        e.coalesced = coalesced;
        e.commit();
    }

    /** {@code kvm_msi_set_irq}. */
    public static void msiSetIrq(long address, int data) {
        Events.MsiSetIrq e = new Events.MsiSetIrq();
        e.address = address;
        e.data = data & 0xffff_ffffL;
        e.commit();
    }

    /** {@code kvm_apic_ipi}. */
    public static void apicIpi(int icrLow, int destination) {
        Events.ApicIpi e = new Events.ApicIpi();
        e.icr_low = icrLow;
        e.dest_id = destination;
        e.commit();
    }

    /** {@code kvm_apic_accept_irq}. @param mode delivery mode; the event has it as in an ICR, at bit 8 */
    public static void apicAcceptIrq(int vcpuId, int mode, boolean levelTriggered, int vector) {
        Events.ApicAcceptIrq e = new Events.ApicAcceptIrq();
        e.apicid = vcpuId;
        e.dm = (short) (mode << 8);
        e.tm = (short) (levelTriggered ? 1 : 0);
        e.vec = (byte) vector;
        e.commit();
    }

    /** {@code kvm_inj_virq}. */
    public static void injVirq(int vector, boolean soft, boolean reinjected) {
        Events.InjVirq e = new Events.InjVirq();
        e.vector = vector;
        e.soft = soft;
        e.reinjected = reinjected;
        e.commit();
    }

    /** {@code kvm_eoi}. @param vector -1: nothing was in service */
    public static void eoi(int vcpuId, int vector) {
        Events.Eoi e = new Events.Eoi();
        e.apicid = vcpuId;
        e.vector = vector;
        e.commit();
    }

    /** {@code kvm_pv_eoi}. */
    public static void pvEoi(int vcpuId, int vector) {
        Events.PvEoi e = new Events.PvEoi();
        e.apicid = vcpuId;
        e.vector = vector;
        e.commit();
    }

    /** {@code kvm_xen_hypercall}. @param parameters six */
    public static void xenHypercall(long nr, long[] parameters) {
        Events.XenHypercall e = new Events.XenHypercall();
        e.nr = nr;
        e.a0 = parameters[0];
        e.a1 = parameters[1];
        e.a2 = parameters[2];
        e.a3 = parameters[3];
        e.a4 = parameters[4];
        e.a5 = parameters[5];
        e.commit();
    }

    /** {@code kvm_pvclock_update}: what the guest's page holds now. */
    public static void pvclockUpdate(
            int vcpuId, int version, long tscTimestamp, long systemTime, int multiplier, int shift, int flags) {
        Events.PvclockUpdate e = new Events.PvclockUpdate();
        e.vcpu_id = vcpuId;
        e.version = version;
        e.tsc_timestamp = tscTimestamp;
        e.system_time = systemTime;
        e.tsc_to_system_mul = multiplier;
        e.tsc_shift = (byte) shift;
        e.flags = (byte) flags;
        e.commit();
    }

    // ------------------------------------------------------------------ the translator: no tracepoints of KVM's

    /** {@code slate_translate}. @param address host address of the code */
    public static void translated(int vcpuId, long rip, int guestBytes, long address, int bytes, long nanos) {
        Events.Translate e = new Events.Translate();
        e.vcpu_id = vcpuId;
        e.rip = rip;
        e.guest_bytes = guestBytes;
        e.address = address;
        e.bytes = bytes;
        e.time = nanos;
        e.commit();
    }

    /** {@code slate_translation_invalidated}. @param page linear address */
    public static void translationInvalidated(int vcpuId, long page, int regions) {
        Events.TranslationInvalidated e = new Events.TranslationInvalidated();
        e.vcpu_id = vcpuId;
        e.page = page;
        e.regions = regions;
        e.commit();
    }

    /** {@code slate_translations_reset}. */
    public static void translationsReset(int vcpuId, int regions) {
        Events.TranslationsReset e = new Events.TranslationsReset();
        e.vcpu_id = vcpuId;
        e.regions = regions;
        e.commit();
    }

    /** Has {@code hook}, which calls {@link #translator}, run on a thread of JFR's whenever a recording ends or its file is full. */
    public static void atEndOfRecording(Runnable hook) {
        FlightRecorder.addPeriodicEvent(Events.TranslatorFigures.class, hook);
    }

    /** The opposite of {@link #atEndOfRecording}; whether that had been called. */
    public static boolean notAtEndOfRecording(Runnable hook) {
        return FlightRecorder.removePeriodicEvent(hook);
    }

    /** {@code slate_translator}: what a vCPU's translator has done until now. */
    public static void translator(int vcpuId, TranslationFigures f) {
        Events.TranslatorFigures e = new Events.TranslatorFigures();
        e.vcpu_id = vcpuId;
        e.regions = f.regions;
        e.bytes = f.bytes;
        e.time = f.nanos;
        e.invalidations = f.invalidations;
        e.cache_resets = f.resets;
        e.entries = f.entries;
        e.interpreted = f.interpreted;
        e.memory = f.memory;
        e.exits_cross = f.exits[0];
        e.exits_kick = f.exits[1];
        e.exits_miss = f.exits[2];
        e.exits_interpret = f.exits[3];
        e.exits_link = f.exits[4];
        e.exits_vectors = f.exits[5];
        e.exits_fault = f.exits[6];
        e.exits_lookup = f.exits[7];
        e.exits_invlpg = f.exits[8];
        e.commit();
    }
}
