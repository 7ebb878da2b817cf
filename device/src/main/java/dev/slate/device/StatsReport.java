package dev.slate.device;

import dev.slate.cpu.TranslationFigures;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.Vm;
import dev.slate.kvm.memslot.SlotLookup;
import dev.slate.kvm.stats.Stat;
import dev.slate.kvm.stats.StatBlock;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The statistics of all VMs of the process, and how their memslots were found, for {@code slate run --stats}. Sums, but for peaks. */
final class StatsReport {
    private static final Map<String, Long> VALUES = new LinkedHashMap<>();
    private static int vmCount;
    private static int vcpuCount;

    private StatsReport() {}

    /** Counts a VM that ends, or still lives when the process ends. */
    static synchronized void add(Vm vm) {
        vmCount++;
        add("VM", vm.stats());
        SlotLookup.Counts slots = vm.slotLookups();
        VALUES.merge("vCPU slot_lookups", slots.lookups(), Long::sum);
        VALUES.merge("vCPU slot_hits", slots.hits(), Long::sum);
        VALUES.merge("vCPU slot_probes", slots.probes(), Long::sum);
        for (int id = 0; id < Kvm.MAX_VCPU_IDS; id++) {
            Vcpu vcpu = vm.vcpu(id);
            if (vcpu != null) {
                vcpuCount++;
                add("vCPU", vcpu.stats());
                TranslationFigures translation = vcpu.translation();
                for (int i = 0; translation != null && i < TranslationFigures.NAMES.size(); i++) {
                    VALUES.merge("vCPU " + TranslationFigures.NAMES.get(i), translation.get(i), Long::sum);
                }
            }
        }
    }

    private static void add(String of, StatBlock block) {
        List<Stat> schema = block.schema();
        for (Stat stat : schema) {
            if (stat.values() == 1) {
                long value = block.get(stat.offset());
                VALUES.merge(of + " " + stat.name(), value, stat.kind() == Stat.PEAK ? Math::max : Long::sum);
            }
        }
    }

    /** The table, without counters that stayed 0. */
    static synchronized String text() {
        StringBuilder text = new StringBuilder("slate: statistics of ")
                .append(vmCount)
                .append(vmCount == 1 ? " VM, " : " VMs, ")
                .append(vcpuCount)
                .append(vcpuCount == 1 ? " vCPU" : " vCPUs")
                .append(" (counters that stayed 0 are left out)");
        VALUES.forEach((name, value) -> {
            if (value != 0) {
                text.append(String.format(Locale.ROOT, "%n  %-36s %,20d", name, value));
            }
        });
        return text.toString();
    }
}
