package dev.slate.debug.gdb;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Disassembler;
import dev.slate.cpu.decode.Mode;
import dev.slate.debug.LinearMemory;
import dev.slate.kvm.stats.Stat;
import dev.slate.kvm.stats.VcpuStats;
import org.jspecify.annotations.Nullable;

/** gdb's {@code monitor} commands: what its protocol has no packets for. */
final class Monitor {
    private static final int MOST_INSTRUCTIONS = 1000;
    private static final String HELP = """
            monitor help                     this
            monitor vcpus                    the vCPUs: thread, id, VM, privilege and mode, rip
            monitor system                   control and debug registers, EFER, descriptor tables
            monitor stats                    the current vCPU's statistics that are not zero
            monitor translate ADDRESS        guest physical address of a linear one
            monitor disassemble [ADDRESS [N]]  N instructions (10) from ADDRESS (rip) on, in the current mode
            Addresses are hexadecimal.
            """;

    private final Debugger debugger;
    private final Disassembler disassembler = new Disassembler();

    Monitor(Debugger debugger) {
        this.debugger = debugger;
    }

    /** What gdb prints. */
    String answer(String command, @Nullable VcpuDebug current) {
        String[] words = command.split("\\s+");
        if (words[0].isEmpty() || words[0].equals("help")) {
            return HELP;
        }
        if (words[0].equals("vcpus")) {
            return vcpus();
        }
        if (current == null) {
            return "There is no vCPU.\n";
        }
        try {
            return switch (words[0]) {
                case "system" -> system(current);
                case "stats" -> stats(current);
                case "translate" ->
                    words.length == 2 ? translate(current, address(words[1])) : "usage: monitor translate ADDRESS\n";
                case "disassemble" -> disassemble(current, words);
                default -> "No such command: " + words[0] + ". `monitor help` lists them.\n";
            };
        } catch (NumberFormatException e) {
            return "A number is wanted: " + command + "\n";
        }
    }

    private static long address(String word) {
        return Long.parseUnsignedLong(word.startsWith("0x") ? word.substring(2) : word, 16);
    }

    private String vcpus() {
        StringBuilder out = new StringBuilder();
        for (VcpuDebug v : debugger.vcpus()) {
            out.append(String.format("%3d  %s", v.thread, v.name()));
            boolean seen = v.inspect(
                    s -> out.append(String.format("  cpl %d, %s, rip %x%n", s.cpl, mode(s), VcpuDebug.linearRip(s))));
            if (!seen) {
                out.append("  busy\n");
            }
        }
        return out.toString();
    }

    private static String mode(CpuState s) {
        if (s.mode64()) {
            return "64-bit";
        }
        boolean big = s.codeMode() == Mode.BITS32;
        if (s.longMode()) {
            return "compatibility, " + (big ? "32-bit" : "16-bit");
        }
        if (!s.protectedMode()) {
            return big ? "real, 32-bit code" : "real";
        }
        return s.virtual8086() ? "virtual-8086" : "protected, " + (big ? "32-bit" : "16-bit");
    }

    /** What {@code info registers system} would show: gdb takes no groups of x86 registers from a target. */
    private static String system(VcpuDebug v) {
        StringBuilder out = new StringBuilder();
        v.inspect(s -> Registers.appendSystem(s, out));
        return out.isEmpty() ? "The vCPU is busy.\n" : out.toString();
    }

    private static String stats(VcpuDebug v) {
        StringBuilder out = new StringBuilder();
        for (Stat stat : VcpuStats.SCHEMA) {
            long value = v.vcpu.stats().get(stat.offset());
            if (value != 0) {
                out.append(String.format("%-28s %d%n", stat.name(), value));
            }
        }
        return out.toString();
    }

    private static String translate(VcpuDebug v, long la) {
        String[] text = {"The vCPU is busy.\n"};
        v.inspect(s -> {
            long gpa = v.memory(s).physical(la);
            text[0] = gpa == LinearMemory.NOT_MAPPED
                    ? String.format("%x is not mapped%n", la)
                    : String.format("%x -> %x%n", la, gpa);
        });
        return text[0];
    }

    private String disassemble(VcpuDebug v, String[] words) {
        int count = words.length > 2 ? Math.min(Integer.parseInt(words[2]), MOST_INSTRUCTIONS) : 10;
        StringBuilder out = new StringBuilder();
        v.inspect(s -> {
            long la = words.length > 1 ? address(words[1]) : VcpuDebug.linearRip(s);
            byte[] bytes = new byte[15];
            for (int i = 0; i < count; i++) {
                int available = v.memory(s).read(la, bytes, bytes.length);
                if (available == 0) {
                    out.append(String.format("%x  (no memory)%n", la));
                    return;
                }
                String text = disassembler.one(bytes, 0, available, la, s.codeMode());
                out.append(String.format("%x  %s%n", la, text));
                la += disassembler.length();
            }
        });
        return out.toString();
    }
}
