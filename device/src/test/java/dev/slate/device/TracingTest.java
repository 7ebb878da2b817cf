package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

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
        Map<String, List<Map<String, Object>>> events = new TreeMap<>();
        for (RecordedEvent event : RecordingFile.readAllEvents(file)) {
            Map<String, Object> values = new TreeMap<>();
            for (String field : fields(event)) {
                values.put(field, event.getValue(field));
            }
            events.computeIfAbsent(event.getEventType().getName(), name -> new ArrayList<>())
                    .add(values);
        }
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
}
