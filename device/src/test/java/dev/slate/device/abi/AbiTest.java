package dev.slate.device.abi;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.device.Host;
import dev.slate.device.Ioctls;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Layouts and numbers against what the C compiler says of linux/kvm.h. */
class AbiTest {
    private static final List<Struct> STRUCTS = List.of(
            KvmRegs.LAYOUT,
            KvmSregs.SEGMENT,
            KvmSregs.TABLE,
            KvmSregs.LAYOUT,
            KvmSregs2.LAYOUT,
            KvmFpu.LAYOUT,
            KvmDebugRegs.LAYOUT,
            KvmClockData.LAYOUT,
            KvmVcpuEvents.LAYOUT,
            KvmRun.SYNC_REGS,
            KvmRun.LAYOUT,
            Abi.USERSPACE_MEMORY_REGION,
            Abi.DIRTY_LOG,
            Abi.CLEAR_DIRTY_LOG,
            Abi.ENABLE_CAP,
            Abi.SIGNAL_MASK,
            Abi.GUEST_DEBUG,
            Abi.TRANSLATION,
            Abi.X86_MCE,
            Abi.INTERRUPT,
            Abi.MP_STATE,
            Abi.MSR_ENTRY,
            Abi.MSRS,
            Abi.MSR_LIST,
            Abi.MSR_FILTER_RANGE,
            Abi.MSR_FILTER,
            Abi.PMU_EVENT_FILTER,
            Abi.CPUID_ENTRY,
            Abi.CPUID_ENTRY2,
            Abi.CPUID2,
            Abi.XCR,
            Abi.XCRS,
            Abi.XSAVE,
            Abi.LAPIC_STATE,
            Abi.DEVICE_ATTR,
            Abi.CREATE_DEVICE,
            Abi.STATS_HEADER,
            Abi.STATS_DESC);

    @Test
    void everyStructHasTheSizeAndTheOffsetsThatTheCompilerGivesIt() throws Exception {
        StringBuilder lines = new StringBuilder();
        Map<String, String> ours = new TreeMap<>();
        for (Struct s : STRUCTS) {
            lines.append("printf(\"%s %%zu\\n\", sizeof(struct %s));%n".formatted(s.name(), s.name()));
            ours.put(s.name(), Long.toString(s.bytes()));
            s.fields().forEach((field, place) -> {
                lines.append(
                        ("printf(\"%s.%s %%zu %%zu\\n\", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));%n")
                                .formatted(s.name(), field, s.name(), field, s.name(), field));
                ours.put(s.name() + "." + field, place.offset() + " " + place.bytes());
            });
        }
        assertThat(print("structs", lines.toString())).isEqualTo(ours);
    }

    @Test
    void everyIoctlHasTheNumberThatTheCompilerGivesIt() throws Exception {
        // Younger than some headers: as KVM's API document defines it, over gpa, size, flags and five words of padding.
        StringBuilder lines = new StringBuilder("""
                #ifndef KVM_PRE_FAULT_MEMORY
                #define KVM_PRE_FAULT_MEMORY _IOWR(KVMIO, 0xd5, __u64[8])
                #endif
                """);
        Map<String, String> ours = new TreeMap<>();
        Ioctls.numbers().forEach((name, number) -> {
            lines.append("printf(\"%s %%08x\\n\", (unsigned)KVM_%s);%n".formatted(name, name));
            ours.put(name, "%08x".formatted(number));
        });
        assertThat(ours).hasSizeGreaterThan(70);
        assertThat(print("ioctls", lines.toString())).isEqualTo(ours);
    }

    @Test
    void noTwoIoctlsShareANumber() {
        assertThat(new ArrayList<>(Ioctls.numbers().values())).doesNotHaveDuplicates();
    }

    private static Map<String, String> print(String name, String statements) throws Exception {
        var program = Host.compile(
                name,
                "#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n" + statements
                        + "return 0; }\n");
        Host.Result result = Host.run(Map.of(), List.of(program.toString()));
        assertThat(result.status()).isZero();
        Map<String, String> said = new TreeMap<>();
        result.output().lines().forEach(line -> {
            int space = line.indexOf(' ');
            said.put(line.substring(0, space), line.substring(space + 1));
        });
        return said;
    }
}
