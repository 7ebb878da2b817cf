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
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.GZIPOutputStream;
import org.jspecify.annotations.Nullable;

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

    /** Linux takes 128 KiB for one variable, with its name. */
    private static final int LONGEST = 131_000;

    /** Functions of Linux: where system calls begin, and where a module has its symbols and is about to run, or goes. */
    private static final String SYSTEM_CALL = "entry_SYSCALL_64";

    private static final String MODULE_BEGINS = "do_init_module";
    private static final String MODULE_ENDS = "free_module";

    private HeatPlanMain() {}

    /** Ends the JVM with 0, 2 for a wrong option, or 3 for a file that cannot be read or lacks what was named. */
    public static void main(String[] arguments) {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.exit(LayoutCommand.guarded(() -> {
            try {
                out.println(packed(plan(new String(System.in.readAllBytes(), StandardCharsets.UTF_8))));
                return 0;
            } catch (IllegalArgumentException e) {
                System.err.println("slate: heat: " + e.getMessage());
                System.err.println("       `slate help heat` says more.");
                return LayoutCommand.USAGE;
            }
        }));
    }

    /** In the form of an environment variable, which Linux bounds. */
    private static String packed(String plan) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(bytes)) {
            out.write(plan.getBytes(StandardCharsets.UTF_8));
        }
        String packed = Base64.getEncoder().encodeToString(bytes.toByteArray());
        if (packed.length() > LONGEST) {
            throw new IllegalArgumentException(
                    "the types have more members than can be told to the program; name fewer types");
        }
        return packed;
    }

    /** @throws IllegalArgumentException an option is missing or wrong */
    static String plan(String options) {
        return new HeatPlanMain().text(options);
    }

    private final List<String> typeFiles = new ArrayList<>();
    private final List<Wanted> wanted = new ArrayList<>();
    private final List<String> ends = new ArrayList<>();
    private @Nullable String symbols;
    private @Nullable String output;
    private @Nullable Path base;
    private long fromExit;
    private long mostExits = 10_000;
    private @Nullable Map<String, SortedSet<Long>> functions;
    private boolean modules;

    /** A type, and where its objects are learnt. */
    private record Wanted(String name, String file, List<String> places) {}

    private String text(String options) {
        for (String line : options.lines().toList()) {
            int eq = line.indexOf('=');
            if (eq < 0) throw new IllegalArgumentException("an option's value has more than one line: " + line);
            String name = line.substring(0, eq);
            String value = line.substring(eq + 1);
            if (value.isBlank()) throw new IllegalArgumentException("--" + name + " is empty");
            switch (name) {
                case "types" -> typeFiles.add(value);
                case "type" ->
                    wanted.add(new Wanted(value, typeFiles.isEmpty() ? "" : typeFiles.getLast(), new ArrayList<>()));
                case "symbols" -> symbols = value;
                case "output" -> output = value;
                case "base" -> base = Path.of(value);
                case "until" -> ends.add(value);
                case "from-exit" -> fromExit = number(name, value, 0);
                case "most-exits" -> mostExits = number(name, value, 1);
                default -> {
                    if (wanted.isEmpty()) {
                        throw new IllegalArgumentException("--at " + value
                                + ": --type is missing; the type whose objects are learnt there is named before it,"
                                + " --type TYPE --at "
                                + value);
                    }
                    wanted.getLast().places.add(value);
                }
            }
        }
        String missing = typeFiles.isEmpty()
                ? "--types"
                : wanted.isEmpty() ? "--type" : wanted.stream().anyMatch(w -> w.places.isEmpty()) ? "--at" : null;
        if (missing != null) {
            throw new IllegalArgumentException(
                    "--types FILE, --type TYPE and --at FUNCTION:REGISTER say what is counted; "
                            + missing + " is missing"
                            + (wanted.size() > 1
                                    ? " for type "
                                            + wanted.stream()
                                                    .filter(w -> w.places.isEmpty())
                                                    .map(Wanted::name)
                                                    .findFirst()
                                                    .orElse("")
                                    : ""));
        }
        StringBuilder plan = new StringBuilder();
        StringBuilder places = new StringBuilder();
        for (int i = 0; i < wanted.size(); i++) {
            Wanted w = wanted.get(i);
            String from = w.file.isEmpty() ? typeFiles.getFirst() : w.file;
            try (LayoutSource source = types(from)) {
                Aggregate aggregate = FileOptions.need(source, w.name);
                if (!aggregate.sizeKnown() || aggregate.size() == 0 || aggregate.definition() == null) {
                    throw new LayoutException(from, w.name + " has no bytes that could be counted");
                }
                plan.append("type=").append(aggregate.size()).append(' ');
                plan.append(FileOptions.bare(w.name)).append('\n');
                for (Flat f : Flat.deep(aggregate)) {
                    plan.append("field=").append(f.offset()).append(' ').append(f.end() - f.offset());
                    plan.append(' ').append(f.path()).append('\n');
                }
                for (String place : w.places) places.append(place(i, place, source));
            }
        }
        for (String place : ends) places.append(place(-1, place, null));
        plan.append(places);
        if (functions != null && functions.containsKey(SYSTEM_CALL)) {
            plan.append("system-call=")
                    .append(hex(function(functions, symbolFile(), SYSTEM_CALL)))
                    .append('\n');
        }
        if (modules) kernel(plan);
        plan.append("from-exit=").append(fromExit).append('\n');
        plan.append("most-exits=").append(mostExits).append('\n');
        Path file = Path.of(output == null ? FileOptions.bare(wanted.getFirst().name) + ".heat" : output)
                .toAbsolutePath();
        Path folder = file.getParent();
        if (Files.isDirectory(file) || folder == null || !Files.isWritable(Files.exists(file) ? file : folder)) {
            throw new IllegalArgumentException("--output " + file + ": that file can't be written");
        }
        return plan.append("output=").append(file).append('\n').toString();
    }

    private LayoutSource types(String file) {
        return LayoutFiles.open(file, new LayoutFiles.Options(null, base, 64, LayoutFiles.Options.DEFAULT.threads()));
    }

    private static long number(String option, String value, long least) {
        try {
            long number = Long.parseLong(value);
            if (number >= least) return number;
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new IllegalArgumentException("--" + option + " " + value + ": a number from " + least + " on is wanted");
    }

    private String symbolFile() {
        return symbols == null ? typeFiles.getFirst() : symbols;
    }

    private Map<String, SortedSet<Long>> needFunctions() {
        Map<String, SortedSet<Long>> known = functions;
        if (known == null) {
            known = functions(symbolFile());
            functions = known;
        }
        return known;
    }

    private static String hex(long address) {
        return Long.toHexString(address);
    }

    /** The line of {@code [MODULE:]FUNCTION:REGISTER[+N | +TYPE.MEMBER]}. */
    private String place(int type, String place, @Nullable LayoutSource source) {
        String option = type < 0 ? "--until " : "--at ";
        int colon = place.lastIndexOf(':');
        int plus = place.indexOf('+', Math.max(colon, 0));
        String name = colon < 0 ? place : place.substring(0, colon);
        String register = place.substring(colon + 1, plus < 0 ? place.length() : plus);
        if (colon <= 0 || !REGISTERS.contains(register) || plus >= 0 && source == null) {
            throw new IllegalArgumentException(option + place
                    + ": FUNCTION:REGISTER is wanted, with a 64-bit register, for instance kvm_vcpu_reset:rdi");
        }
        long offset = plus < 0 || source == null ? 0 : offset(place, place.substring(plus + 1), source);
        String head = "at=" + type + ' ' + register + ' ' + offset + ' ';
        int split = name.indexOf(':');
        if (split >= 0) {
            modules = true;
            return head + "0 " + name.substring(0, split).replace('-', '_') + ' ' + name.substring(split + 1) + '\n';
        }
        if (name.startsWith("0x")) return head + hex(address(place, name.substring(2))) + " - " + name + '\n';
        return head + hex(function(needFunctions(), symbolFile(), name)) + "+ - " + name + '\n';
    }

    /** N, or where TYPE has its MEMBER. */
    private static long offset(String place, String text, LayoutSource source) {
        if (!text.isEmpty() && text.chars().allMatch(c -> c >= '0' && c <= '9')) return number("at", text, 0);
        int dot = text.indexOf('.');
        if (dot <= 0) {
            throw new IllegalArgumentException(
                    "--at " + place + ": behind the + a number of bytes or TYPE.MEMBER is wanted");
        }
        String member = text.substring(dot + 1);
        return Flat.deep(FileOptions.need(source, text.substring(0, dot))).stream()
                .filter(f -> f.path().equals(member))
                .findFirst()
                .orElseThrow(
                        () -> new LayoutException(source.name(), text.substring(0, dot) + " has no member " + member))
                .offset();
    }

    /** How the part in the client finds modules: functions through which they come and go, and members of their descriptions. */
    private void kernel(StringBuilder plan) {
        Map<String, SortedSet<Long>> all = needFunctions();
        for (String name : List.of(SYSTEM_CALL, MODULE_BEGINS, MODULE_ENDS)) {
            if (!all.containsKey(name)) {
                throw new LayoutException(
                        symbolFile(),
                        "lacks " + name
                                + ", by which the guest's kernel and its modules are found: give the symbols of all"
                                + " of the kernel as --symbols, its System.map or what its /proc/kallsyms says");
            }
        }
        plan.append("module-begins=")
                .append(hex(function(all, symbolFile(), MODULE_BEGINS)))
                .append('\n');
        plan.append("module-ends=")
                .append(hex(function(all, symbolFile(), MODULE_ENDS)))
                .append('\n');
        String from = base == null ? typeFiles.getFirst() : base.toString();
        try (LayoutSource source = LayoutFiles.open(from, LayoutFiles.Options.DEFAULT)) {
            plan.append("offsets=");
            for (String member : List.of(
                    "module.name",
                    "module.kallsyms",
                    "mod_kallsyms.symtab",
                    "mod_kallsyms.num_symtab",
                    "mod_kallsyms.strtab")) {
                plan.append(offset(member, member, source)).append(' ');
            }
        }
        plan.setCharAt(plan.length() - 1, '\n');
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
                            + " function is named with the module, --at MODULE:FUNCTION:REGISTER");
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
                            "is not linked, so its functions have no addresses: name the module,"
                                    + " --at MODULE:FUNCTION:REGISTER, and give the kernel's symbols as --symbols");
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
