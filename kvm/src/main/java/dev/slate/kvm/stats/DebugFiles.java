package dev.slate.kvm.stats;

import dev.slate.cpu.TranslationFigures;
import dev.slate.kvm.Errno;
import dev.slate.kvm.clock.VcpuTsc;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What KVM shows of a VM in debugfs ({@code /sys/kernel/debug/kvm/PID-FD/}): a file for each statistic, those of vCPUs summed up,
 * {@code mmu_rmaps_stat}, and a folder {@code vcpuN} for each vCPU. Where code is translated, there are Slate's own {@link
 * TranslationFigures}, too.
 *
 * <p>Any thread; the VM must not be closed meanwhile. Nothing is kept: a text is made when it is asked for.
 */
public final class DebugFiles {
    /** {@code svm->tsc_scaling_ratio} has 32 bits of fraction (APM 2 15.30.5). */
    private static final int SCALING_BITS = 32;

    private static final String[] PAGE_SIZES = {"4K", "2M", "1G"};

    /** A VM, as far as its files show it. */
    public interface Machine {
        /** The VM's counters. */
        VmStats stats();

        /** Null where no memslot has rmaps. */
        @Nullable
        ShadowFigures shadowFigures();

        /** Whether vCPUs have local APICs in the kernel. */
        boolean localApics();

        /** Exclusive upper bound of vCPU ids. */
        int processors();

        /** A vCPU, or null. */
        @Nullable
        Processor processor(int id);
    }

    /**
     * A vCPU of a {@link Machine}, at this moment.
     *
     * @param tscRatio guest TSC per host TSC, with 48 bits of fraction
     * @param translation null where no code is translated
     */
    public record Processor(
            VcpuStats stats,
            long tscOffset,
            long tscRatio,
            @Nullable TranslationFigures translation) {}

    private final Machine vm;

    /** The files of a VM. */
    public DebugFiles(Machine vm) {
        this.vm = vm;
    }

    /** Names of the VM's files, the folders of its vCPUs included ({@code vcpu0/tsc-offset}). */
    public List<String> names() {
        List<String> names = new ArrayList<>();
        for (Stat s : VmStats.SCHEMA) {
            names.add(s.name());
        }
        for (Stat s : VcpuStats.SCHEMA) {
            names.add(s.name());
        }
        names.add("mmu_rmaps_stat");
        boolean translates = false;
        for (int id = 0; id < vm.processors(); id++) {
            Processor vcpu = vm.processor(id);
            if (vcpu == null) {
                continue;
            }
            if (vcpu.translation() != null && !translates) {
                translates = true;
                names.addAll(TranslationFigures.NAMES);
            }
            String folder = "vcpu" + id + "/";
            names.add(folder + "guest_mode");
            names.add(folder + "tsc-offset");
            if (vm.localApics()) {
                names.add(folder + "lapic_timer_advance_ns");
            }
            names.add(folder + "tsc-scaling-ratio");
            names.add(folder + "tsc-scaling-ratio-frac-bits");
        }
        return names;
    }

    /** Content of the file; null: there is none of that name. */
    public @Nullable String read(String name) {
        if (name.equals("mmu_rmaps_stat")) {
            return rmaps(vm.shadowFigures());
        }
        int slash = name.indexOf('/');
        if (slash >= 0) {
            return name.startsWith("vcpu") ? vcpuFile(name.substring(4, slash), name.substring(slash + 1)) : null;
        }
        Stat row = row(VmStats.SCHEMA, name);
        if (row != null) {
            return vm.stats().get(row.offset()) + "\n";
        }
        row = row(VcpuStats.SCHEMA, name);
        return row == null ? translation(name) : sum(row) + "\n";
    }

    private @Nullable String translation(String name) {
        int figure = TranslationFigures.NAMES.indexOf(name);
        if (figure < 0) {
            return null;
        }
        boolean found = false;
        long sum = 0;
        for (int id = 0; id < vm.processors(); id++) {
            Processor vcpu = vm.processor(id);
            if (vcpu != null && vcpu.translation() != null) {
                found = true;
                sum += vcpu.translation().get(figure);
            }
        }
        return found ? sum + "\n" : null;
    }

    /** KVM's table of how many pages of each size have how many SPTEs; nothing where no memslot has rmaps. */
    private static String rmaps(@Nullable ShadowFigures figures) {
        if (figures == null) {
            return "";
        }
        StringBuilder text = new StringBuilder("Rmap_Count:\t0\t1\t");
        long[][] levels = figures.rmaps();
        for (int i = 2; i < levels[0].length; i++) {
            text.append(1 << i - 1).append('-').append((1 << i) - 1).append('\t');
        }
        text.append('\n');
        for (int level = 0; level < levels.length; level++) {
            text.append("Level=").append(PAGE_SIZES[level]).append(":\t");
            for (long count : levels[level]) {
                text.append(count).append('\t');
            }
            text.append('\n');
        }
        return text.toString();
    }

    /** Whether {@link #clear} takes the file: instant values can only be read. */
    public static boolean clearable(String name) {
        Stat row = row(VmStats.SCHEMA, name);
        row = row != null ? row : row(VcpuStats.SCHEMA, name);
        return row != null && row.kind() != Stat.INSTANT;
    }

    /** A write of 0 to a {@link #clearable} file: the counter starts again. What is counted at that moment may be lost or come back. */
    public void clear(String name) {
        Stat row = row(VmStats.SCHEMA, name);
        if (row != null) {
            vm.stats().clear(row.offset());
            return;
        }
        row = row(VcpuStats.SCHEMA, name);
        if (row == null) {
            throw Errno.ENOENT.raise();
        }
        for (int id = 0; id < vm.processors(); id++) {
            Processor vcpu = vm.processor(id);
            if (vcpu != null) {
                vcpu.stats().clear(row.offset());
            }
        }
    }

    /** Of a histogram KVM shows the first value. */
    private long sum(Stat row) {
        long sum = 0;
        for (int id = 0; id < vm.processors(); id++) {
            Processor vcpu = vm.processor(id);
            if (vcpu != null) {
                StatBlock stats = vcpu.stats();
                sum += stats.get(row.offset());
            }
        }
        return sum;
    }

    private @Nullable String vcpuFile(String number, String name) {
        Processor vcpu;
        try {
            vcpu = vm.processor(Integer.parseInt(number));
        } catch (NumberFormatException e) {
            return null;
        }
        if (vcpu == null) {
            return null;
        }
        return switch (name) {
            case "guest_mode" -> vcpu.stats().get(VcpuStats.GUEST_MODE) + "\n";
            case "tsc-offset" -> vcpu.tscOffset() + "\n";
            // A timer here is late by what a thread's wake-up takes; nothing is done in advance.
            case "lapic_timer_advance_ns" -> vm.localApics() ? "0\n" : null;
            case "tsc-scaling-ratio" -> (vcpu.tscRatio() >>> VcpuTsc.FRACTION_BITS - SCALING_BITS) + "\n";
            case "tsc-scaling-ratio-frac-bits" -> SCALING_BITS + "\n";
            default -> null;
        };
    }

    private static @Nullable Stat row(List<Stat> schema, String name) {
        for (Stat s : schema) {
            if (s.name().equals(name)) {
                return s;
            }
        }
        return null;
    }
}
