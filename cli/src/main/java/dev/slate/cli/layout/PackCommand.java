package dev.slate.cli.layout;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Flat;
import dev.slate.layout.LayoutException;
import dev.slate.layout.LayoutSource;
import dev.slate.layout.compare.DiffText;
import dev.slate.layout.compare.TypeDiff;
import dev.slate.layout.density.HeatFile;
import dev.slate.layout.pack.Packer;
import dev.slate.layout.text.Json;
import dev.slate.layout.text.LayoutJson;
import dev.slate.layout.text.PaholeText;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Proposes an order of members. */
@Command(
        name = "pack",
        sortOptions = false,
        description = {
            "Proposes an order of a struct's members: the smallest size; with --keep-groups the smallest that only"
                    + " moves members into holes; with --hot the named ones in as few cache lines as possible. Locks are"
                    + " kept in lines of their own. Shows the proposal and the diff. Nothing is proposed where nothing is"
                    + " gained, or where the rules of the language and platform do not come to the layout that the file"
                    + " has.",
            "",
            "Exit status: 0, 2 for a wrong option, 3 if a file cannot be read or has no such type.",
            ""
        },
        footer = {"", "example: slate layout pack kvm_vcpu kvm.o --hot mode,requests,guest_debug"})
final class PackCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "TYPE")
    private String type = "";

    @Parameters(index = "1", paramLabel = "FILE")
    private String file = "";

    @Option(names = "--keep-groups", description = "Only move members into holes; neighbours stay neighbours.")
    private boolean keepGroups;

    @Option(
            names = "--hot",
            paramLabel = "MEMBER",
            split = ",",
            description =
                    "Members that should share as few lines as possible; or a file of slate heat's, for those that at"
                            + " least half of the exits of some reason touch.")
    private List<String> hot = List.of();

    @Option(
            names = "--cpus",
            paramLabel = "N",
            defaultValue = "64",
            description = "Processors of the machine whose slabs are computed.")
    private int cpus;

    @Mixin
    private FileOptions files = new FileOptions();

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            PrintStream out = FileOptions.out();
            try (LayoutSource source = files.open(file)) {
                Aggregate now = FileOptions.need(source, type);
                HeatFile heat = hot.size() == 1 && Files.isRegularFile(Path.of(hot.getFirst()))
                        ? HeatFile.read(Path.of(hot.getFirst()))
                        : null;
                Set<String> members = heat == null ? new LinkedHashSet<>(hot) : hot(heat, now);
                Packer.Wish wish = new Packer.Wish(keepGroups, members, files.lineSize());
                Packer.Proposal proposal = Packer.pack(now, wish);
                DiffText diff = new DiffText(new TypeDiff(now, proposal.aggregate(), files.lineSize()), 0, cpus);
                HeatComparison exits = heat == null
                        ? null
                        : HeatComparison.of(heat, hot.getFirst(), type, now, proposal.aggregate(), files.lineSize());
                if (files.json()) {
                    Map<String, Object> tree = new LinkedHashMap<>();
                    tree.put(
                            "proposal", proposal.made() ? LayoutJson.of(proposal.aggregate(), files.lineSize()) : null);
                    tree.put("notes", proposal.notes());
                    if (proposal.made()) tree.put("diff", diff.json());
                    if (proposal.made() && exits != null) tree.put("exits", exits.json(HeatComparison.ENOUGH));
                    out.append(Json.write(tree));
                } else if (!proposal.made()) {
                    out.append(String.valueOf(now.qualifiedName())).append(" stays as it is, ");
                    out.append(now.sizeKnown() ? now.size() + " bytes\n" : "of unknown size\n");
                    for (String note : proposal.notes()) out.append(note).append('\n');
                } else {
                    StringBuilder text = new StringBuilder();
                    new PaholeText(text, new PaholeText.Options(false, false, files.lineSize(), false))
                            .write(proposal.aggregate());
                    out.append(text).append('\n');
                    for (String note : proposal.notes())
                        out.append("note: ").append(note).append('\n');
                    out.append(diff.text());
                    if (exits != null) out.append(exits.text(HeatComparison.ENOUGH));
                }
            }
            out.flush();
            return 0;
        });
    }

    /** Members of {@code now} that half of the exits of some reason touch. */
    private Set<String> hot(HeatFile heat, Aggregate now) {
        Set<String> members = HeatComparison.table(heat, hot.getFirst(), type, null, files.lineSize())
                .hot(HeatComparison.ENOUGH);
        // Counted in another build, perhaps, with members that this one lacks.
        members.retainAll(Flat.members(now).stream().map(Flat::path).toList());
        if (members.isEmpty()) {
            throw new LayoutException(
                    hot.getFirst(),
                    "has no reason with " + HeatComparison.ENOUGH + " exits or more that touch " + type);
        }
        return members;
    }
}
