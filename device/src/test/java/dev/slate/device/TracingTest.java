package dev.slate.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
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
}
