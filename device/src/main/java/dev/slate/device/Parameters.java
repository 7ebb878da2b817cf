package dev.slate.device;

import dev.slate.kvm.Knobs;
import org.jspecify.annotations.Nullable;

/** The module parameters under {@code /sys/module/kvm*}: Slate's knobs under the kernel's names, and what holds for Slate always. */
final class Parameters {
    private Parameters() {}

    /** Content of the file at {@code path}; null: there is no such file. */
    static @Nullable String text(String path, Knobs knobs) {
        String[] parts = path.split("/+");
        // "", sys, module, MODULE, parameters, NAME
        if (parts.length != 6 || !"module".equals(parts[2]) || !"parameters".equals(parts[4])) {
            return null;
        }
        String parameter = parts[3] + "." + parts[5];
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
            // The guest's tables are walked as AMD's processors walk them, so the module is kvm_amd: the knob tdp is
            // its npt.
            case "kvm.tdp_mmu" -> knobs.on(Knobs.TDP) ? "Y\n" : "N\n";
            case "kvm_amd.nested", "kvm_amd.avic", "kvm_amd.sev", "kvm.enable_vmware_backdoor", "kvm.ignore_msrs" ->
                parameter.equals("kvm_amd.nested") ? "0\n" : "N\n";
            case "kvm.nx_huge_pages", "kvm.force_emulation_prefix" -> "N\n";
            default -> null;
        };
    }
}
