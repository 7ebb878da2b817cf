import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.constantpool.InvokeDynamicEntry;
import java.lang.classfile.constantpool.MemberRefEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;

/**
 * Makes one class list of those that training runs recorded, the same in every build: what all the runs have in common, sorted.
 *
 * <p>Classes and lambdas come from the runs. Which fields and methods a run resolves does not: that goes by the clock, since a busy
 * machine calls guests out and the collector's threads clean up when they come to it. All that our classes name are listed, and none
 * that the JDK's do. Call sites of lambdas, which a start would pay for, are listed of all classes, where the runs linked them.
 *
 * <p>Runs on the runtime that takes the cache, with the class path of the training: the numbers are of its constant pools.
 */
final class ClassList {
    private ClassList() {}

    /** @param files the list to be made, then those of the runs */
    public static void main(String[] files) throws IOException {
        TreeSet<String> common = lines(files[1]);
        for (int run = 2; run < files.length; run++) {
            common.retainAll(lines(files[run]));
        }
        List<String> classes =
                common.stream().filter(line -> !line.startsWith("@")).toList();
        List<String> made = new ArrayList<>(classes);
        common.stream()
                .filter(line -> line.startsWith("@lambda"))
                .map(String::stripTrailing)
                .forEach(made::add);
        for (String name : classes) {
            String resolved = resolved(name, common);
            if (!resolved.isEmpty()) {
                made.add("@cp " + name + resolved);
            }
        }
        Files.write(Path.of(files[0]), made);
    }

    /** The lines of a list, with one of their own for each resolved entry. */
    private static TreeSet<String> lines(String list) throws IOException {
        TreeSet<String> lines = new TreeSet<>();
        for (String line : Files.readAllLines(Path.of(list))) {
            String[] words = line.split(" ");
            if (words[0].equals("@cp")) {
                for (int i = 2; i < words.length; i++) {
                    lines.add("@cp " + words[1] + " " + words[i]);
                }
            } else if (!words[0].startsWith("#")) {
                line = line.replaceFirst(" id: \\d+$", "");
                // A lambda's line comes as often as there are such lambdas; they differ in blanks at the end here.
                while (!lines.add(line)) {
                    line += " ";
                }
            }
        }
        return lines;
    }

    /** The entries of the constant pool of class {@code name} that are to be resolved in the cache, with a blank before each. */
    private static String resolved(String name, TreeSet<String> common) throws IOException {
        StringBuilder entries = new StringBuilder();
        URL file = ClassLoader.getSystemResource(name + ".class");
        if (file == null) { // written by the JVM itself
            return "";
        }
        boolean ours = !file.getProtocol().equals("jrt");
        try (InputStream in = file.openStream()) {
            for (PoolEntry entry : ClassFile.of().parse(in.readAllBytes()).constantPool()) {
                boolean wanted =
                        switch (entry) {
                            case InvokeDynamicEntry _ -> common.contains("@cp " + name + " " + entry.index());
                            case MemberRefEntry _ -> ours;
                            default -> false;
                        };
                if (wanted) {
                    entries.append(' ').append(entry.index());
                }
            }
        }
        return entries.toString();
    }
}
