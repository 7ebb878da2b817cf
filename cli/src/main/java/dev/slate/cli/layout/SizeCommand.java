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

/** Section sizes. */
@Command(
        name = "size",
        sortOptions = false,
        description = {
            "Writes the bytes of text, data and bss of each file as binutils' size does, and for two files the difference.",
            "",
            "Exit status: 0, 2 for a wrong option, 3 if a file cannot be read.",
            ""
        },
        footer = {"", "example: slate layout size kvm-before.ko kvm-after.ko"})
final class SizeCommand implements Callable<Integer> {
    @Parameters(paramLabel = "FILE", arity = "1..*")
    private List<Path> paths = List.of();

    @Option(names = "--json", description = "Write JSON.")
    private boolean json;

    @Override
    public Integer call() {
        return LayoutCommand.guarded(() -> {
            List<ObjectSizes.Sections> all = new ArrayList<>();
            List<Object> tree = new ArrayList<>();
            StringBuilder text = new StringBuilder("   text\t   data\t    bss\t    dec\t    hex\tfilename\n");
            for (Path path : paths) {
                try (ElfFile elf = ElfFile.of(Unpack.kernel(Image.open(path)))) {
                    ObjectSizes.Sections s = ObjectSizes.sections(elf);
                    all.add(s);
                    text.append(String.format(
                            "%7d\t%7d\t%7d\t%7d\t%7x\t%s%n", s.text(), s.data(), s.bss(), s.total(), s.total(), path));
                    Map<String, Object> one = new LinkedHashMap<>();
                    one.put("file", path.toString());
                    one.put("text", s.text());
                    one.put("data", s.data());
                    one.put("bss", s.bss());
                    one.put("total", s.total());
                    tree.add(one);
                }
            }
            if (all.size() == 2) {
                ObjectSizes.Sections a = all.getFirst();
                ObjectSizes.Sections b = all.getLast();
                text.append(String.format(
                        "%+7d\t%+7d\t%+7d\t%+7d\t\tdifference%n",
                        b.text() - a.text(), b.data() - a.data(), b.bss() - a.bss(), b.total() - a.total()));
            }
            System.out.print(json ? Json.write(tree) : text);
            System.out.flush();
            return 0;
        });
    }
}
