package dev.slate.cpu.decode;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Runs objdump over a file and compares each line with the disassembler: length, mnemonic and operands. What objdump prints beside
 * the instruction itself is dropped on both sides: prefixes without effect, symbols, comments.
 */
final class ObjdumpComparison {
    private static final Set<String> PREFIXES = Set.of(
            "lock",
            "rep",
            "repz",
            "repnz",
            "bnd",
            "notrack",
            "data16",
            "data32",
            "addr32",
            "addr16",
            "cs",
            "ds",
            "es",
            "ss",
            "fs",
            "gs",
            "xacquire",
            "xrelease");
    // Instruction sets that the table does not have: AVX-512 with its mask registers, TSX, MPX, XOP, FMA4,
    // 3DNow!, and others.
    private static final Pattern ABSENT = Pattern.compile(
            "k(mov|ortest|test|unpck|or|and|xor|xnor|not|add|shift).*|xtest.*|xbegin.*|xend.*|xabort.*|bnd.*|\\{evex\\}.*|femms"
                    + "|vf(n)?m(add|sub)\\w*(ss|sd|ps|pd) +[xy]mm\\d+,[xy]mm\\d+,[^,]*,.*|vprot.*|vpcmov.*|vpperm.*|frstpm.*|llwpcb.*|tile.*|pvalidate|tpause.*|umwait.*|umonitor.*|encl[su]|incssp.*|saveprevssp|rstorssp.*|wrssd.*|wrssq.*|setssbsy|clrssbsy.*|rmpadjust|vmgexit");

    private final int mode;
    private final Disassembler disassembler = new Disassembler();
    private final Map<String, Integer> differences = new TreeMap<>();
    private final Map<String, String> examples = new TreeMap<>();
    private int compared;
    private int absent;

    ObjdumpComparison(int mode) {
        this.mode = mode;
    }

    /** Instructions compared. */
    int compared() {
        return compared;
    }

    /** Instructions left out because they belong to instruction sets that the table does not have, or are bad to objdump. */
    int absent() {
        return absent;
    }

    /** One line for each kind of difference: count, objdump's mnemonic, an example. */
    List<String> differences() {
        List<String> lines = new ArrayList<>();
        differences.forEach((k, n) -> lines.add(n + " x " + k + ": " + examples.get(k)));
        return lines;
    }

    /** Whether this machine has an objdump. */
    static boolean isThere() throws InterruptedException {
        try {
            return new ProcessBuilder("objdump", "--version")
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start()
                            .waitFor()
                    == 0;
        } catch (IOException e) {
            return false;
        }
    }

    /** Compares everything that {@code objdump OPTION... FILE} prints. */
    void run(String... optionsAndFile) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("objdump", "-M", "intel", "--insn-width=15"));
        command.addAll(List.of(optionsAndFile));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().put("LC_ALL", "C");
        Process process = builder.start();
        try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int tab = line.indexOf('\t');
                int second = line.indexOf('\t', tab + 1);
                if (second > 0 && line.charAt(tab - 1) == ':') {
                    compare(
                            line,
                            line.substring(0, tab - 1).trim(),
                            line.substring(tab + 1, second).trim(),
                            line.substring(second + 1));
                }
            }
        }
        if (process.waitFor() != 0) {
            throw new IOException(String.join(" ", command) + " failed");
        }
    }

    private void compare(String line, String addressText, String bytesText, String text) {
        int count = (bytesText.length() + 1) / 3;
        byte[] code = new byte[count + Decoder.MAX_LENGTH];
        for (int i = 0; i < count; i++) {
            code[i] = (byte) Integer.parseInt(bytesText, i * 3, i * 3 + 2, 16);
        }
        String theirs = plain(text);
        boolean evex = count > 2 && code[0] == 0x62 && (mode == Mode.BITS64 || code[1] < -0x40);
        // "fstsw" and the like are FWAIT and another instruction; prefixes alone stand before something that objdump
        // could not join.
        boolean joined = code[0] == (byte) 0x9b && count > 1;
        if (evex
                || joined
                || theirs.contains("(bad)")
                || theirs.startsWith(".byte")
                || !theirs.matches(".*[a-z0-9)].*")
                || theirs.startsWith("rex")
                || theirs.equals("repz")
                || ABSENT.matcher(theirs).matches()
                || xop(code)) {
            absent++;
            return;
        }
        compared++;
        long address = Long.parseUnsignedLong(addressText, 16);
        String mine = plain(disassembler.one(code, 0, code.length, address, mode));
        if (strict(mine, text)) {
            return;
        }
        if (disassembler.length() != count) {
            difference("length of " + word(theirs), line + " => " + disassembler.length() + " " + mine);
        } else if (!mine.equals(theirs) && !sameTarget(mine, theirs)) {
            difference(word(theirs), line + " => " + mine);
        }
    }

    private static boolean xop(byte[] code) {
        return code[0] == (byte) 0x8f && (code[1] & 0x38) != 0;
    }

    /** Slate refuses where silicon does and objdump does not: LOCK, loads of CS, segment registers 6 and 7. */
    private static boolean strict(String mine, String text) {
        return mine.equals("(bad)") && (text.contains("lock ") || text.contains("?") || text.contains("mov    cs,"))
                || mine.startsWith("enter") && text.contains("enter");
    }

    /** Branch targets are printed without 0x, and objdump does not wrap them in 16-bit code. */
    private static boolean sameTarget(String mine, String theirs) {
        int space = theirs.indexOf(' ');
        if (space < 0
                || !word(mine).equals(word(theirs))
                || !theirs.matches("(j|call|loop|xbegin)\\S* (0x)?[0-9a-f]+")) {
            return false;
        }
        long target = Long.parseUnsignedLong(theirs.substring(space + 1).replace("0x", ""), 16);
        long ours = Long.parseUnsignedLong(mine.substring(mine.indexOf(' ') + 1).replace("0x", ""), 16);
        return target == ours || (short) target == ours << 48 >> 48;
    }

    private static String word(String text) {
        int space = text.indexOf(' ');
        return space < 0 ? text : text.substring(0, space);
    }

    private static String plain(String text) {
        int cut = text.indexOf('#');
        String s = cut < 0 ? text : text.substring(0, cut);
        cut = s.indexOf('<');
        s = (cut < 0 ? s : s.substring(0, cut)).trim().replaceAll(" +", " ");
        while (s.indexOf(' ') > 0 && (PREFIXES.contains(word(s)) || s.startsWith("rex"))) {
            s = s.substring(s.indexOf(' ') + 1);
        }
        return s;
    }

    private void difference(String kind, String example) {
        differences.merge(kind, 1, Integer::sum);
        examples.putIfAbsent(kind, example);
    }
}
