package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.lock.LockFile;
import dev.slate.layout.text.Json;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Compares layouts with a file that states them. */
@Command(
        name = "check",
        sortOptions = false,
        description = {
            "Compares layouts with a lock file that is kept in a repository: sizes, places, members that must share a cache line, locks that"
                    + " must not. Without FILE, the files that the lock file names (from FILE).",
            "",
            "Exit status: 0 if all holds, 1 if something does not, 2 for a wrong option, 3 if a file cannot be read.",
            ""
        },
        footer = {
            "",
            "example: slate layout check layout.lock build/app.o",
            "example: slate layout check layout.lock build/app.o --add kvm_vcpu",
            "example: slate layout check layout.lock build/app.o --update"
        })
final class CheckCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "LOCKFILE")
    private Path lock = Path.of("");

    @Parameters(index = "1..*", paramLabel = "FILE")
    private List<String> paths = List.of();

    @Option(names = "--update", description = "Write sizes and places as they are into the lock file.")
    private boolean update;

    @Option(
            names = "--add",
            paramLabel = "TYPE",
            split = ",",
            description = "State these types in the lock file, which is made if need be.")
    private List<String> add = List.of();

    @Option(
            names = "--format",
            paramLabel = "text|github",
            defaultValue = "text",
            description = "github writes annotations for a workflow.")
    private String format = "text";

    @Mixin
    private SourceOptions files = new SourceOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            if (!format.equals("text") && !format.equals("github")) {
                throw new LayoutException("--format", "\"" + format + "\" is not known; text and github are");
            }
            List<String> names =
                    paths.isEmpty() && Files.exists(lock) ? LockFile.read(lock).sources() : paths;
            if (names.isEmpty())
                throw new LayoutException(lock.toString(), "name a file to compare with, or state one: from FILE");
            List<LayoutSource> sources = new ArrayList<>();
            try {
                for (String name : names) sources.add(files.open(name));
                return add.isEmpty() ? check(sources) : add(sources);
            } finally {
                for (LayoutSource source : sources) source.close();
            }
        });
    }

    private int add(List<LayoutSource> sources) throws java.io.IOException {
        boolean exists = Files.exists(lock);
        List<String> stated = exists ? LockFile.read(lock).names() : List.of();
        StringBuilder text = new StringBuilder(
                exists ? Files.readString(lock) : "# A lock file of slate layout: see docs/layout.md\n");
        int added = 0;
        for (String name : add) {
            Aggregate found = null;
            for (LayoutSource source : sources) {
                if (found == null && !FileOptions.find(source, name).isEmpty()) found = FileOptions.need(source, name);
            }
            if (found == null)
                throw new LayoutException(sources.getLast().name(), FileOptions.missing(sources.getLast(), name));
            // The name that was given says which type of several is meant; otherwise the full one stays true
            // when another comes.
            String key = FileOptions.bare(name).matches("[^:]*\\.[^:]*:[^:].*")
                    ? FileOptions.bare(name)
                    : String.valueOf(found.qualifiedName());
            if (stated.contains(key) || stated.contains(FileOptions.bare(name))) {
                System.out.println(lock + ": already states " + key);
                continue;
            }
            text.append('\n').append(LockFile.state(found, key));
            added++;
        }
        Files.writeString(lock, text);
        System.out.println(lock + ": states " + added + " more");
        return 0;
    }

    private int check(List<LayoutSource> sources) throws java.io.IOException {
        LockFile file = LockFile.read(lock);
        if (update) {
            String text = file.updated(sources);
            boolean changed = !text.equals(Files.readString(lock));
            Files.writeString(lock, text);
            System.out.println(lock + (changed ? ": updated" : ": already as things are"));
            file = LockFile.read(lock);
        }
        List<LockFile.Finding> findings = file.check(sources, files.lineSize());
        if (files.json()) System.out.print(Json.write(tree(findings)));
        else if (format.equals("github")) github(findings);
        else text(findings);
        System.out.flush();
        return findings.isEmpty() ? 0 : LayoutCommand.FOUND;
    }

    private void text(List<LockFile.Finding> findings) {
        for (LockFile.Finding finding : findings) {
            System.out.println(lock + ":" + finding.line() + ": " + finding.message());
            if (finding.fix() != null)
                System.out.println(
                        "    if that is meant, the line is: " + finding.fix().strip());
        }
        if (findings.isEmpty()) System.out.println(lock + ": all holds");
        else
            System.out.println(findings.size() + " found; `slate layout check " + lock
                    + " --update` takes sizes and places as they are");
    }

    /** The format of GitHub's workflow commands: percent, carriage return and line feed are escaped. */
    private void github(List<LockFile.Finding> findings) {
        for (LockFile.Finding finding : findings) {
            String message = finding.message()
                    + (finding.fix() == null
                            ? ""
                            : "; if that is meant, the line is: "
                                    + finding.fix().strip());
            System.out.println("::error file=" + lock + ",line=" + finding.line() + ",title=layout::"
                    + message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"));
        }
    }

    private static List<Object> tree(List<LockFile.Finding> findings) {
        List<Object> all = new ArrayList<>();
        for (LockFile.Finding finding : findings) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("line", finding.line());
            one.put("message", finding.message());
            one.put("fix", finding.fix());
            all.add(one);
        }
        return all;
    }
}
