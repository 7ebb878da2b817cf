package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import jdk.jfr.ValueDescriptor;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code slate run --jfr} writes of examples/hello-kvm.c: a guest that pages, prints by port I/O and ends by MMIO. */
class TracingTest {
    @TempDir
    private Path folder;

    private Map<String, List<RecordedEvent>> record(String knobs) throws Exception {
        Path file = folder.resolve("hello.jfr");
        // Its loop of exits at the end is shortened: each would be several events.
        String source = Files.readString(Host.MODULE.getParent().resolve("examples/hello-kvm.c"));
        Path client = Host.compile("hello-kvm-traced", source.replace("200000", "1000"));
        Map<String, String> environment = Map.of("SLATE_QUIET", "1", "SLATE_SET", knobs, "SLATE_JFR", file.toString());
        Host.Result result = Host.slate(environment, client);
        assertThat(result.status()).as(result.output()).isZero();
        Map<String, List<RecordedEvent>> events = new TreeMap<>();
        for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
            events.computeIfAbsent(event.getEventType().getName(), name -> new ArrayList<>())
                    .add(event);
        }
        // A recording keeps no order: what a thread's buffer held comes when that buffer was full.
        events.values().forEach(all -> all.sort(Comparator.comparing(RecordedEvent::getStartTime)));
        assertThat(events.get("kvm_entry")).hasSameSizeAs(events.get("kvm_exit"));
        assertThat(events.get("kvm_pio").getFirst().getInt("port")).isPositive();
        assertThat(events.get("kvm_mmio"))
                .allSatisfy(e -> assertThat(e.getLong("gpa"))
                        .isEqualTo(events.get("mark_mmio_spte").getFirst().getLong("gfn") << 12
                                | e.getLong("gpa") & 4095));
        assertThat(events.get("kvm_mmu_set_spte"))
                .hasSizeLessThanOrEqualTo(events.get("kvm_page_fault").size());
        return events;
    }

    private static List<String> fields(RecordedEvent event) {
        return event.getFields().stream()
                .map(ValueDescriptor::getName)
                .filter(name -> !List.of("startTime", "duration", "eventThread", "stackTrace")
                        .contains(name))
                .toList();
    }

    @Test
    void underTwoDimensionalPagingTheTdpMmusEntriesAreSeen() throws Exception {
        Map<String, List<RecordedEvent>> events = record("tdp=on");
        RecordedEvent changed = events.get("kvm_tdp_mmu_spte_changed").getFirst();
        assertThat(fields(changed)).containsExactlyInAnyOrder("gfn", "old_spte", "new_spte", "level", "as_id");
        assertThat(changed.getLong("new_spte") & 1).isOne();
        assertThat(events).doesNotContainKeys("kvm_mmu_get_page", "kvm_mmu_pagetable_walk");
    }

    @Test
    void whatTheTranslatorMakesIsSeenAndItsFiguresAreThatOfTheEvents() throws Exception {
        Map<String, List<RecordedEvent>> events = record("cpu.translator=eager");
        List<RecordedEvent> made = events.get("slate_translate");
        assertThat(made).allSatisfy(e -> assertThat(e.getLong("rip")).isBetween(0x10000L, 0x10200L));
        assertThat(events.get("slate_translator")).hasSize(1);
        RecordedEvent figures = events.get("slate_translator").getFirst();
        assertThat(figures.getLong("regions")).isEqualTo(made.size());
        for (String sum : List.of("bytes", "time")) {
            assertThat(made.stream()
                            .mapToLong(e -> ((Number) e.getValue(sum)).longValue())
                            .sum())
                    .as(sum)
                    .isEqualTo(figures.getLong(sum))
                    .isPositive();
        }
        // Its IN and OUT are interpreted, a thousand and a few of them.
        assertThat(figures.getLong("exits_interpret") + figures.getLong("interpreted"))
                .isGreaterThan(1000);
        assertThat(figures.getLong("exits_miss")).isPositive();
    }

    @Test
    void whereAllIsInterpretedNothingIsSeenOfATranslator() throws Exception {
        assertThat(record("cpu.translator=off")).doesNotContainKeys("slate_translate", "slate_translator");
    }

    @Test
    void underShadowPagingTheWalksOfTheGuestsTablesAndTheShadowPagesAreSeen() throws Exception {
        Map<String, List<RecordedEvent>> events = record("tdp=off");
        assertThat(events.get("kvm_mmu_pagetable_walk"))
                .hasSizeGreaterThanOrEqualTo(events.get("kvm_page_fault").size());
        // Four levels, the last entry a page of 2 MiB.
        assertThat(events.get("kvm_mmu_paging_element"))
                .extracting(e -> e.getInt("level"))
                .contains(4, 3, 2);
        assertThat(events.get("kvm_mmu_paging_element"))
                .allSatisfy(e -> assertThat(e.getLong("pte") & 1).isOne());
        assertThat(events.get("kvm_mmu_set_accessed_bit"))
                .hasSizeGreaterThanOrEqualTo(3)
                .doesNotHaveDuplicates();
        RecordedEvent page = events.get("kvm_mmu_get_page").getFirst();
        assertThat(fields(page))
                .containsExactlyInAnyOrder("mmu_valid_gen", "gfn", "role", "root_count", "unsync", "created");
        assertThat(page.getBoolean("created")).isTrue();
        assertThat(page.getInt("role") & 15).as("the root's level").isEqualTo(4);
        assertThat(events).doesNotContainKey("kvm_tdp_mmu_spte_changed");
    }

    /**
     * A guest in real mode whose DS lies on its APIC: it sends itself vector 0x40, ends it in the handler and leaves by a port. Before, its client
     * drives line 4, sends an MSI of vector 0x41 and says where the clock's page is.
     */
    private static final String INTERRUPTED = """
            #include <fcntl.h>
            #include <linux/kvm.h>
            #include <string.h>
            #include <sys/ioctl.h>
            #include <sys/mman.h>
            #define OR(call) if ((call) < 0) return __LINE__
            static const unsigned char code[] = {
                0x66, 0xc7, 0x06, 0xf0, 0x00, 0xff, 0x01, 0x00, 0x00, /* movl $0x1ff, 0xf0: the APIC is on */
                0x66, 0xc7, 0x06, 0x00, 0x03, 0x40, 0x40, 0x04, 0x00, /* movl $0x44040, 0x300: vector 0x40 to myself */
                0xfb, 0xf4,                                           /* sti; hlt */
                0xe6, 0x10};                                          /* out %al, $0x10 */
            static const unsigned char handler[] = {
                0x66, 0xc7, 0x06, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, /* movl $0, 0xb0: the end of the interrupt */
                0xcf};                                                /* iret */
            int main(void) {
              int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
              OR(vm);
              char *memory = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
              struct kvm_userspace_memory_region slot = {0, 0, 0, 0x10000, (unsigned long)memory};
              OR(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
              OR(ioctl(vm, KVM_CREATE_IRQCHIP));
              int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
              OR(vcpu);
              struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
              memcpy(memory + 0x1000, code, sizeof code);
              memcpy(memory + 0x1100, handler, sizeof handler);
              for (int v = 0; v < 256; v++) memcpy(memory + 4 * v, "\\x00\\x11\\x00\\x00", 4);
              struct kvm_sregs sregs;
              OR(ioctl(vcpu, KVM_GET_SREGS, &sregs));
              sregs.cs.base = sregs.cs.selector = 0;
              sregs.ds.base = 0xfee00000;
              OR(ioctl(vcpu, KVM_SET_SREGS, &sregs));
              struct kvm_regs regs = {.rip = 0x1000, .rsp = 0x8000, .rflags = 2};
              OR(ioctl(vcpu, KVM_SET_REGS, &regs));
              struct { struct kvm_msrs head; struct kvm_msr_entry entry; } clock = {{1}, {0x4b564d01, 0, 0x2001}};
              OR(ioctl(vcpu, KVM_SET_MSRS, &clock));
              struct kvm_irq_level line = {{4}, 1};
              OR(ioctl(vm, KVM_IRQ_LINE, &line));
              struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x41};
              ioctl(vm, KVM_SIGNAL_MSI, &msi);
              OR(ioctl(vcpu, KVM_RUN, 0));
              return run->exit_reason == KVM_EXIT_IO ? 0 : 200 + run->exit_reason;
            }
            """;

    @Test
    void theWayOfAnInterruptFromALineOrAMessageToItsEndIsSeen() throws Exception {
        Path file = folder.resolve("interrupts.jfr");
        Path client = Host.compile("interrupted", INTERRUPTED);
        Host.Result result = Host.slate(Map.of("SLATE_QUIET", "1", "SLATE_JFR", file.toString()), client);
        assertThat(result.status()).as(result.output()).isZero();
        Map<String, List<Map<String, Object>>> events = values(file);
        assertThat(events.get("kvm_set_irq")).containsExactly(Map.of("gsi", 4, "level", 1, "irq_source_id", 0));
        assertThat(events.get("kvm_pic_set_irq"))
                .containsExactly(Map.of(
                        "chip", (byte) 0, "pin", (byte) 4, "elcr", (byte) 0, "imr", (byte) 0, "coalesced", false));
        // An entry is masked at first.
        assertThat(events.get("kvm_ioapic_set_irq"))
                .containsExactly(Map.of("e", 0x10000L, "pin", 4, "coalesced", false));
        assertThat(events.get("kvm_msi_set_irq")).containsExactly(Map.of("address", 0xfee00000L, "data", 0x41L));
        assertThat(events.get("kvm_apic_ipi")).containsExactly(Map.of("icr_low", 0x44040, "dest_id", 0));
        assertThat(events.get("kvm_apic_accept_irq"))
                .containsExactly(
                        Map.of("apicid", 0, "dm", (short) 0, "tm", (short) 0, "vec", (byte) 0x41),
                        Map.of("apicid", 0, "dm", (short) 0, "tm", (short) 0, "vec", (byte) 0x40));
        assertThat(events.get("kvm_inj_virq")).contains(Map.of("vector", 0x40, "soft", false, "reinjected", false));
        assertThat(events.get("kvm_eoi")).contains(Map.of("apicid", 0, "vector", 0x40));
        Map<String, Object> clock = events.get("kvm_pvclock_update").getFirst();
        assertThat(clock)
                .containsOnlyKeys(
                        "vcpu_id",
                        "version",
                        "tsc_timestamp",
                        "system_time",
                        "tsc_to_system_mul",
                        "tsc_shift",
                        "flags");
        assertThat((int) clock.get("version") & 1).isZero();
        assertThat((int) clock.get("tsc_to_system_mul")).isNotZero();
    }

    /**
     * A guest in protected mode: a hypercall and a port write, or HLT with interrupts on, whose handler counts and ends them by Hyper-V's MSR. Its client makes
     * Hyper-V's calls, sets a timer that expires once and a periodic one, and asks the debugger's status; then, in a second VM, it calls Xen.
     */
    private static final String ENLIGHTENED = """
            #include <fcntl.h>
            #include <linux/kvm.h>
            #include <string.h>
            #include <sys/ioctl.h>
            #include <sys/mman.h>
            #define OR(call) if ((call) < 0) return __LINE__
            typedef unsigned long long u64;
            static const unsigned char code[] = {0x0f, 0x01, 0xd9, 0xe6, 0x10, 0xf4}; /* vmmcall; out %al, $0x10 */
            static const unsigned char sleeps[] = {0xfb, 0xf4, 0xfa, 0xe6, 0x10};     /* sti; hlt; cli; out %al, $0x10 */
            static const unsigned char handler[] = {
                0xff, 0x05, 0x00, 0x60, 0x00, 0x00, /* incl 0x6000 */
                0xb9, 0x70, 0x00, 0x00, 0x40,       /* mov $0x40000070, %ecx: the end of the interrupt */
                0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30, /* xor %eax, %eax; xor %edx, %edx; wrmsr */
                0xcf};                              /* iret */
            static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[200]; } cpuid, hyperv;
            static int kvm, vm, vcpu;
            static char *memory;
            static struct kvm_run *run;
            static int machine(int irqchip) {
              OR(vm = ioctl(kvm, KVM_CREATE_VM, 0));
              memory = mmap(0, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
              struct kvm_userspace_memory_region slot = {0, 0, 0, 0x10000, (unsigned long)memory};
              OR(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
              if (irqchip) OR(ioctl(vm, KVM_CREATE_IRQCHIP));
              OR(vcpu = ioctl(vm, KVM_CREATE_VCPU, 0));
              run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
              memcpy(memory + 0x1000, code, sizeof code);
              memcpy(memory + 0x1100, sleeps, sizeof sleeps);
              memcpy(memory + 0x1200, handler, sizeof handler);
              for (int v = 0; v < 256; v++) *(u64 *)(memory + 0x2000 + 8 * v) = 0x00008e0000081200;
              *(u64 *)(memory + 0x2808) = 0x00cf9b000000ffff;
              struct kvm_sregs s;
              OR(ioctl(vcpu, KVM_GET_SREGS, &s));
              struct kvm_segment c = {0, 0xffffffff, 8, 11, 1, 0, 1, 1, 0, 1}, d = {0, 0xffffffff, 16, 3, 1, 0, 1, 1, 0, 1};
              s.cs = c;
              s.ds = s.es = s.fs = s.gs = s.ss = d;
              s.gdt.base = 0x2800, s.gdt.limit = 0xf, s.idt.base = 0x2000, s.idt.limit = 0x7ff, s.cr0 |= 1;
              OR(ioctl(vcpu, KVM_SET_SREGS, &s));
              return 0;
            }
            static int call(u64 input, u64 first, u64 second) {
              struct kvm_regs r = {.rip = 0x1000, .rsp = 0x8000, .rflags = 2, .rax = (unsigned)input, .rdx = input >> 32, .rcx = (unsigned)first,
                  .rbx = first >> 32, .rsi = (unsigned)second, .rdi = second >> 32};
              OR(ioctl(vcpu, KVM_SET_REGS, &r));
              OR(ioctl(vcpu, KVM_RUN, 0));
              OR(ioctl(vcpu, KVM_GET_REGS, &r));
              return run->exit_reason == KVM_EXIT_IO && r.rax == 0 ? 0 : __LINE__;
            }
            static int interrupted(void) {
              struct kvm_regs r = {.rip = 0x1100, .rsp = 0x8000, .rflags = 2};
              for (int before = *(volatile int *)(memory + 0x6000); *(volatile int *)(memory + 0x6000) == before;) {
                OR(ioctl(vcpu, KVM_SET_REGS, &r));
                OR(ioctl(vcpu, KVM_RUN, 0));
                if (run->exit_reason != KVM_EXIT_IO) return __LINE__;
              }
              return 0;
            }
            static struct { struct kvm_msrs head; struct kvm_msr_entry entry; } m;
            static int set(unsigned msr, u64 v) {
              m.head.nmsrs = 1, m.entry.index = msr, m.entry.data = v;
              return ioctl(vcpu, KVM_SET_MSRS, &m) == 1 ? 0 : -1;
            }
            static u64 get(unsigned msr) {
              m.head.nmsrs = 1, m.entry.index = msr;
              return ioctl(vcpu, KVM_GET_MSRS, &m) == 1 ? m.entry.data : 0;
            }
            #define IS0(call) do { int line = call; if (line) return line; } while (0)
            int main(void) {
              kvm = open("/dev/kvm", O_RDWR);
              IS0(machine(1));
              cpuid.head.nent = hyperv.head.nent = 200;
              OR(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid));
              OR(ioctl(kvm, KVM_GET_SUPPORTED_HV_CPUID, &hyperv));
              int n = 0;
              for (unsigned i = 0; i < cpuid.head.nent; i++)
                if (cpuid.entries[i].function >> 28 != 4) cpuid.entries[n++] = cpuid.entries[i];
              for (unsigned i = 0; i < hyperv.head.nent; i++) cpuid.entries[n++] = hyperv.entries[i];
              cpuid.head.nent = n;
              OR(ioctl(vcpu, KVM_SET_CPUID2, &cpuid));
              struct kvm_enable_cap synic = {.cap = KVM_CAP_HYPERV_SYNIC2};
              OR(ioctl(vcpu, KVM_ENABLE_CAP, &synic));
              struct kvm_lapic_state apic;
              OR(ioctl(vcpu, KVM_GET_LAPIC, &apic));
              *(int *)(apic.regs + 0xf0) = 0x1ff;
              OR(ioctl(vcpu, KVM_SET_LAPIC, &apic));
              OR(set(0x40000000, 0x8100ull << 48));
              OR(set(0x40000092, 0x51));
              OR(set(0x40000083, 0x5001));
              u64 *p = (u64 *)(memory + 0x4000);
              IS0(call(0xb | 1 << 16, 0x52, 1));
              p[0] = 0x53, p[1] = 0, p[2] = 1, p[3] = 1;
              IS0(call(0x15 | 1 << 17, 0x4000, 0));
              p[0] = 0xabc000, p[1] = 1, p[2] = 1;
              IS0(call(2, 0x4000, 0));
              p[0] = 0xdef000, p[1] = 0, p[2] = 0, p[3] = 1, p[4] = 1;
              IS0(call(0x13 | 1 << 17, 0x4000, 0));
              IS0(interrupted());
              OR(set(0x400000b1, get(0x40000020) + 10000000));
              OR(set(0x400000b0, 2 << 16 | 1));
              IS0(interrupted());
              memset(memory + 0x5000, 0, 0x1000);
              OR(set(0x400000b3, 20000));
              OR(set(0x400000b2, 2 << 16 | 3));
              IS0(interrupted());
              OR(set(0x400000b2, 0));
              OR(set(0x400000f2, 7));
              if (get(0x400000f2) != 7) return __LINE__;
              IS0(machine(0));
              struct kvm_xen_hvm_config xen = {.flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL, .msr = 0x40000000};
              OR(ioctl(vm, KVM_XEN_HVM_CONFIG, &xen));
              struct kvm_regs r = {.rip = 0x1000, .rsp = 0x8000, .rflags = 2, .rax = 17, .rbx = 0xb, .rcx = 0xc, .rdx = 0xd, .rsi = 0x5, .rdi = 0xd1, .rbp = 0xb9};
              OR(ioctl(vcpu, KVM_SET_REGS, &r));
              OR(ioctl(vcpu, KVM_RUN, 0));
              return run->exit_reason == KVM_EXIT_XEN ? 0 : __LINE__;
            }
            """;

    @Test
    void theCallsSourcesAndTimersOfHyperVAndACallOfXenAreSeen() throws Exception {
        Path file = folder.resolve("enlightened.jfr");
        Path client = Host.compile("enlightened", ENLIGHTENED);
        Host.Result result = Host.slate(
                Map.of("SLATE_QUIET", "1", "SLATE_SET", "cpu.vendor=amd", "SLATE_JFR", file.toString()), client);
        assertThat(result.status()).as(result.output()).isZero();
        Map<String, List<Map<String, Object>>> events = values(file);
        assertThat(events.get("kvm_hv_hypercall"))
                .extracting(e -> e.get("code"), e -> e.get("fast"), e -> e.get("var_cnt"), e -> e.get("ingpa"))
                .containsExactly(
                        tuple((short) 0xb, true, (short) 0, 0x52L),
                        tuple((short) 0x15, false, (short) 1, 0x4000L),
                        tuple((short) 2, false, (short) 0, 0x4000L),
                        tuple((short) 0x13, false, (short) 1, 0x4000L));
        assertThat(events.get("kvm_hv_hypercall").getFirst())
                .containsOnlyKeys("code", "fast", "var_cnt", "rep_cnt", "rep_idx", "ingpa", "outgpa")
                .containsEntry("outgpa", 1L);
        assertThat(events.get("kvm_hv_hypercall_done"))
                .hasSize(4)
                .allSatisfy(e -> assertThat(e).isEqualTo(Map.of("result", 0L)));
        assertThat(events.get("kvm_hv_send_ipi")).containsExactly(Map.of("vector", 0x52, "processor_mask", 1L));
        assertThat(events.get("kvm_hv_send_ipi_ex"))
                .containsExactly(Map.of("vector", 0x53, "format", 0L, "valid_bank_mask", 1L));
        assertThat(events.get("kvm_hv_flush_tlb"))
                .containsExactly(Map.of("processor_mask", 1L, "address_space", 0xabc000L, "flags", 1L));
        assertThat(events.get("kvm_hv_flush_tlb_ex"))
                .containsExactly(Map.of("valid_bank_mask", 1L, "format", 0L, "address_space", 0xdef000L, "flags", 0L));
        assertThat(events.get("kvm_hv_synic_set_msr"))
                .contains(
                        Map.of("vcpu_id", 0, "msr", 0x40000092, "data", 0x51L, "host", true),
                        Map.of("vcpu_id", 0, "msr", 0x40000083, "data", 0x5001L, "host", true));
        assertThat(events.get("kvm_hv_synic_set_irq"))
                .contains(Map.of("vcpu_id", 0, "sint", 2, "vector", 0x51, "ret", 1));
        assertThat(events.get("kvm_hv_synic_send_eoi"))
                .contains(Map.of("vcpu_id", 0, "sint", 0, "vector", 0x51, "ret", 0));
        assertThat(events.get("kvm_hv_notify_acked_sint")).contains(Map.of("vcpu_id", 0, "sint", 2));
        assertThat(events.get("kvm_hv_stimer_set_config"))
                .containsExactly(
                        Map.of("vcpu_id", 0, "timer_index", 0, "config", 0x20001L, "host", true),
                        Map.of("vcpu_id", 0, "timer_index", 1, "config", 0x20003L, "host", true),
                        Map.of("vcpu_id", 0, "timer_index", 1, "config", 0L, "host", true));
        Map<String, Object> once = events.get("kvm_hv_stimer_set_count").getFirst();
        assertThat(once).containsEntry("timer_index", 0).containsEntry("host", true);
        assertThat(events.get("kvm_hv_stimer_start_one_shot")).anySatisfy(e -> {
            assertThat(e).containsEntry("timer_index", 0).containsEntry("count", once.get("count"));
            assertThat((long) e.get("time_now")).isLessThan((long) e.get("count"));
        });
        assertThat(events.get("kvm_hv_stimer_start_periodic")).isNotEmpty().allSatisfy(e -> {
            assertThat(e).containsEntry("timer_index", 1);
            assertThat((long) e.get("exp_time") - (long) e.get("time_now")).isBetween(1L, 20_000L);
        });
        assertThat(events.get("kvm_hv_stimer_callback"))
                .contains(Map.of("vcpu_id", 0, "timer_index", 0), Map.of("vcpu_id", 0, "timer_index", 1));
        assertThat(events.get("kvm_hv_stimer_expiration"))
                .contains(
                        Map.of("vcpu_id", 0, "timer_index", 0, "direct", 0, "msg_send_result", 0),
                        Map.of("vcpu_id", 0, "timer_index", 1, "direct", 0, "msg_send_result", 0));
        assertThat(events.get("kvm_hv_stimer_cleanup")).contains(Map.of("vcpu_id", 0, "timer_index", 1));
        Map<String, Object> status = Map.of("vcpu_id", 0, "vp_index", 0, "msr", 0x400000f2, "data", 7L);
        assertThat(events.get("kvm_hv_syndbg_set_msr")).containsExactly(status);
        assertThat(events.get("kvm_hv_syndbg_get_msr")).containsExactly(status);
        assertThat(events.get("kvm_xen_hypercall"))
                .containsExactly(
                        Map.of("nr", 17L, "a0", 0xbL, "a1", 0xcL, "a2", 0xdL, "a3", 5L, "a4", 0xd1L, "a5", 0xb9L));
    }

    /** The fields of all events of a recording, in the order of time. */
    private static Map<String, List<Map<String, Object>>> values(Path file) throws IOException {
        Map<String, List<Map<String, Object>>> events = new TreeMap<>();
        List<RecordedEvent> all = new ArrayList<>(RecordingFile.readAllEvents(file));
        all.sort(Comparator.comparing(RecordedEvent::getStartTime));
        for (RecordedEvent event : all) {
            Map<String, Object> values = new TreeMap<>();
            for (String field : fields(event)) {
                values.put(field, event.getValue(field));
            }
            events.computeIfAbsent(event.getEventType().getName(), name -> new ArrayList<>())
                    .add(values);
        }
        return events;
    }
}
