package dev.slate.cli.layout;

import dev.slate.layout.compare.ObjectSizes;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import dev.slate.layout.elf.Unpack;
import dev.slate.layout.text.Json;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Growth function by function. */
@Command(
        name = "bloat",
        sortOptions = false,
        description = {
            "Writes which functions and objects grew, shrank, came and went between two files, as the kernel's bloat-o-meter does.",
            "",
            "Exit status: 0, 2 for a wrong option, 3 if a file cannot be read.",
            ""
        },
        footer = {"", "example: slate layout bloat kvm-before.ko kvm-after.ko"})
final class BloatCommand implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "BEFORE")
    private Path before = Path.of("");

    @Parameters(index = "1", paramLabel = "AFTER")
    private Path after = Path.of("");

    @Option(names = "--json", description = "Write JSON.")
    private boolean json;

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            ObjectSizes.Bloat bloat = ObjectSizes.bloat(symbols(before), symbols(after));
            System.out.print(json ? Json.write(tree(bloat)) : ObjectSizes.text(bloat));
            System.out.flush();
            return 0;
        });
    }

    private static Map<String, Long> symbols(Path path) {
        try (ElfFile elf = ElfFile.of(Unpack.kernel(Image.open(path)))) {
            return ObjectSizes.symbols(elf);
        }
    }

    private static Map<String, Object> tree(ObjectSizes.Bloat bloat) {
        List<Object> deltas = new ArrayList<>();
        for (ObjectSizes.Delta delta : bloat.deltas()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("name", delta.name());
            one.put("before", delta.before());
            one.put("after", delta.after());
            one.put("change", delta.change());
            deltas.add(one);
        }
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("before", bloat.before());
        tree.put("after", bloat.after());
        tree.put("up", bloat.up());
        tree.put("down", bloat.down());
        tree.put("symbols", deltas);
        return tree;
    }
}
