package dev.slate.layout.dwarf;

import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.ElfFile;
import dev.slate.layout.elf.Image;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Finds the {@code .dwo} files, or the {@code .dwp} file, in which a file's units keep their types ({@code -gsplit-dwarf}). */
final class SplitUnits {
    private final Sections file;
    private final Consumer<Sections> add;
    private final List<LayoutException> missing = new ArrayList<>();

    SplitUnits(Sections file, Consumer<Sections> add) {
        this.file = file;
        this.add = add;
    }

    /** Opens them; returns what is missing. */
    List<LayoutException> open() {
        Set<List<String>> names = new LinkedHashSet<>();
        for (Unit.Head head : file.units()) {
            Unit unit = new Session(file, null).unit(head, file);
            if (unit.splitName != null)
                names.add(List.of(unit.splitName, unit.splitFolder == null ? "" : unit.splitFolder));
        }
        if (names.isEmpty()) return missing;
        Path own = Path.of(file.path());
        Path pack = own.resolveSibling(own.getFileName() + ".dwp");
        if (Files.isRegularFile(pack)) {
            add.accept(new Sections(ElfFile.of(Image.open(pack)), pack.toString(), 0));
            return missing;
        }
        for (List<String> name : names) {
            Path path = find(name.getFirst(), name.getLast(), own);
            if (path == null) {
                missing.add(new LayoutException(
                        file.file(),
                        "the types of a unit lie in " + name.getFirst() + " (compiled in " + name.getLast()
                                + "), which is not there; copy it next to this file, or make a .dwp of all (dwp -e)"));
            } else {
                add.accept(new Sections(ElfFile.of(Image.open(path)), path.toString(), 0));
            }
        }
        return missing;
    }

    private static @Nullable Path find(String name, String folder, Path own) {
        try {
            Path path = Path.of(name);
            for (Path place : List.of(
                    folder.isEmpty() ? path : Path.of(folder).resolve(path),
                    own.resolveSibling(path),
                    own.resolveSibling(path.getFileName()))) {
                if (Files.isRegularFile(place)) return place;
            }
        } catch (InvalidPathException e) {
            return null;
        }
        return null;
    }
}
