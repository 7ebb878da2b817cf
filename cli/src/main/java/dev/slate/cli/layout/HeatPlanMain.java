package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.elf.Trouble;
import dev.slate.layout.elf.Unpack;
import dev.slate.layout.file.LayoutFiles;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Turns the options of {@code slate heat}, lines NAME=VALUE on standard input, into what the part inside the client knows nothing of:
 * the type's size and members, and the addresses of functions. What is wrong with them is said before the client starts.
 */
public final class HeatPlanMain {
    private static final Set<String> REGISTERS = Set.of(
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
            "r15");

    private static final Pattern SYMBOL_LINE = Pattern.compile("([0-9a-fA-F]{1,16}) [a-zA-Z?] (\\S+)(\\s.*)?");
    private static final int FUNCTION = 2;

    private HeatPlanMain() {}

    /** Ends the JVM with 0, 2 for a wrong option, or 3 for a file that cannot be read or lacks what was named. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.exit(LayoutCommand.guarded(() -> {
            try {
                out.print(plan(new String(System.in.readAllBytes(), StandardCharsets.UTF_8)));
                return 0;
            } catch (IllegalArgumentException e) {
                System.err.println("slate: heat: " + e.getMessage());
                System.err.println("       `slate help heat` says more.");
                return LayoutCommand.USAGE;
            }
        }));
    }

    /** @throws IllegalArgumentException an option is missing or wrong */
    static String plan(String options) {
        String types = null;
        String type = null;
        String symbols = null;
        String output = null;
        Path base = null;
        List<String> places = new ArrayList<>();
        for (String line : options.lines().toList()) {
            int eq = line.indexOf('=');
            if (eq < 0) throw new IllegalArgumentException("an option's value has more than one line: " + line);
            String value = line.substring(eq + 1);
            if (value.isBlank()) throw new IllegalArgumentException("--" + line.substring(0, eq) + " is empty");
            switch (line.substring(0, eq)) {
                case "types" -> types = value;
                case "type" -> type = value;
                case "symbols" -> symbols = value;
                case "output" -> output = value;
                case "base" -> base = Path.of(value);
                default -> places.add(value);
            }
        }
        if (types == null || type == null || places.isEmpty()) {
            throw new IllegalArgumentException(
                    "--types FILE, --type TYPE and --at FUNCTION:REGISTER say what is counted; "
                            + (types == null ? "--types" : type == null ? "--type" : "--at") + " is missing");
        }
        StringBuilder plan = new StringBuilder();
        LayoutFiles.Options how = new LayoutFiles.Options(null, base, 64, LayoutFiles.Options.DEFAULT.threads());
        try (LayoutSource source = LayoutFiles.open(types, how)) {
            Aggregate aggregate = FileOptions.need(source, type);
            if (!aggregate.sizeKnown() || aggregate.size() == 0 || aggregate.definition() == null) {
                throw new LayoutException(types, type + " has no bytes that could be counted");
            }
            plan.append("type=").append(FileOptions.bare(type)).append('\n');
            plan.append("size=").append(aggregate.size()).append('\n');
            for (Flat f : Flat.deep(aggregate)) {
                plan.append("field=").append(f.offset()).append(' ').append(f.end() - f.offset());
                plan.append(' ').append(f.path()).append('\n');
            }
        }
        Path file = Path.of(output == null ? FileOptions.bare(type) + ".heat" : output)
                .toAbsolutePath();
        Path folder = file.getParent();
        if (Files.isDirectory(file) || folder == null || !Files.isWritable(Files.exists(file) ? file : folder)) {
            throw new IllegalArgumentException("--output " + file + ": that file can't be written");
        }
        plan.append("output=").append(file).append('\n');
        Map<String, SortedSet<Long>> functions = null;
        String from = symbols == null ? types : symbols;
        for (String place : places) {
            int colon = place.lastIndexOf(':');
            String name = colon < 0 ? place : place.substring(0, colon);
            String register = place.substring(colon + 1);
            if (colon <= 0 || !REGISTERS.contains(register)) {
                throw new IllegalArgumentException("--at " + place
                        + ": FUNCTION:REGISTER is wanted, with a 64-bit register, for instance kvm_vcpu_reset:rdi");
            }
            long address;
            if (name.startsWith("0x")) {
                address = address(place, name.substring(2));
            } else {
                if (functions == null) functions = functions(from);
                address = function(functions, from, name);
            }
            plan.append("at=").append(Long.toHexString(address)).append(' ').append(register);
            plan.append(' ').append(name).append('\n');
        }
        return plan.toString();
    }

    private static long address(String place, String digits) {
        try {
            return Long.parseUnsignedLong(digits, 16);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("--at " + place + ": 0x" + digits + " is no address");
        }
    }

    private static long function(Map<String, SortedSet<Long>> functions, String from, String name) {
        SortedSet<Long> found = functions.get(name);
        if (found == null) {
            List<String> parts = functions.keySet().stream()
                    .filter(f -> f.startsWith(name + "."))
                    .limit(5)
                    .toList();
            throw new LayoutException(
                    from,
                    "has no function " + name
                            + (parts.isEmpty() ? "" : "; it has " + String.join(", ", parts))
                            + ". The compiler may have put it into its callers: name one of those; a loadable module's"
                            + " function is named by its address, --at 0x...:REGISTER, from the guest's /proc/kallsyms");
        }
        if (found.size() > 1) {
            List<String> all =
                    found.stream().map(a -> "0x" + Long.toHexString(a)).toList();
            throw new LayoutException(
                    from,
                    "has " + found.size() + " functions " + name + ", at " + String.join(", ", all)
                            + ": name one by its address");
        }
        return found.first();
    }

    /** Functions and their addresses, of an ELF file or of nm's lines. */
    private static Map<String, SortedSet<Long>> functions(String file) {
        Map<String, SortedSet<Long>> found = new TreeMap<>();
        try (Image image = open(file)) {
            if (ElfFile.isElf(image)) {
                ElfFile elf = ElfFile.of(image);
                if (elf.relocatable()) {
                    throw new LayoutException(
                            file,
                            "is not linked, so its functions have no addresses: give --symbols, or an address from the"
                                    + " guest's /proc/kallsyms, --at 0x...:REGISTER");
                }
                for (ElfFile.Symbol s : elf.symbols()) {
                    if (s.section() != 0 && s.type() <= FUNCTION && !s.name().isEmpty())
                        add(found, s.name(), s.value());
                }
                if (found.isEmpty()) {
                    throw new LayoutException(file, "has no symbols: give the kernel's System.map as --symbols");
                }
                return found;
            }
        }
        try {
            for (String line : Files.readAllLines(Path.of(file), StandardCharsets.ISO_8859_1)) {
                Matcher m = SYMBOL_LINE.matcher(line);
                if (m.matches()) add(found, m.group(2), Long.parseUnsignedLong(m.group(1), 16));
            }
        } catch (IOException e) {
            throw new LayoutException(file, Trouble.reading(e));
        }
        if (found.isEmpty()) {
            throw new LayoutException(file, "is neither a System.map nor nm's output nor an ELF file");
        }
        if (found.values().stream().allMatch(a -> a.last() == 0)) {
            throw new LayoutException(
                    file, "has 0 for every address, as /proc/kallsyms has for whoever is not root: read it as root");
        }
        return found;
    }

    private static Image open(String file) {
        return Unpack.kernel(Image.open(Path.of(file)));
    }

    private static void add(Map<String, SortedSet<Long>> to, String name, long address) {
        to.computeIfAbsent(name, n -> new TreeSet<>()).add(address);
    }
}
