package dev.slate.device;

import dev.slate.kvm.Errno;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import org.jspecify.annotations.Nullable;

/** The module parameters under {@code /sys/module/kvm*}: Slate's knobs under the kernel's names, and what holds for Slate always. */
final class Parameters {
    private Parameters() {}

    /** MODULE.NAME of the parameter whose file {@code path} is; null: it is none. */
    private static @Nullable String name(String path) {
        String[] parts = path.split("/+");
        // "", sys, module, MODULE, parameters, NAME
        return parts.length == 6 && "module".equals(parts[2]) && "parameters".equals(parts[4])
                ? parts[3] + "." + parts[5]
                : null;
    }

    /** Whether the file can be written. */
    static boolean writable(String path, Kvm kvm) {
        String parameter = name(path);
        return parameter != null && kvm.parameters().text(parameter) != null;
    }

    /** Writes a parameter. @throws dev.slate.kvm.KvmException as {@link dev.slate.kvm.host.ModuleParameters#write} */
    static void write(String path, String value, Kvm kvm) {
        String parameter = name(path);
        if (parameter == null) {
            throw Errno.ENOENT.raise();
        }
        kvm.parameters().write(parameter, value);
    }

    /** Content of the file at {@code path}; null: there is no such file. */
    static @Nullable String text(String path, Kvm kvm) {
        String parameter = name(path);
        if (parameter == null || parameter.startsWith("kvm_intel.")) {
            return null;
        }
        String live = kvm.parameters().text(parameter);
        if (live != null) {
            return live;
        }
        Knobs knobs = kvm.knobs();
        for (Knobs.Knob knob : Knobs.all()) {
            if (knob.parameter().equals(parameter)) {
                String value = knobs.value(knob);
                return switch (value) {
                    case "on" -> "Y\n";
                    case "off" -> "N\n";
                    default -> value + "\n";
                };
            }
        }
        return switch (parameter) {
            // The guest's tables are walked as AMD's processors walk them, so the module is kvm_amd: the knob tdp
            // is its npt.
            case "kvm.tdp_mmu" -> knobs.on(Knobs.TDP) ? "Y\n" : "N\n";
            case "kvm_amd.nested", "kvm_amd.avic", "kvm_amd.sev", "kvm.enable_vmware_backdoor", "kvm.ignore_msrs" ->
                parameter.equals("kvm_amd.nested") ? "0\n" : "N\n";
            case "kvm.force_emulation_prefix" -> "N\n";
            default -> null;
        };
    }
}
