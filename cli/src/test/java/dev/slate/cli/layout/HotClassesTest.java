package dev.slate.cli.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.LayoutSource;
import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.lock.LockFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The hot classes are as large as layout/locks/hot-classes.lock states; the message tells how to accept a change. */
final class HotClassesTest {
    @Test
    void hotClassesKeepTheLayoutThatIsLocked() {
        Path lock = Path.of(System.getProperty("slate.root", ".."))
                .toAbsolutePath()
                .normalize()
                .resolve("layout/locks/hot-classes.lock");
        LockFile file = LockFile.read(lock);
        List<LayoutSource> sources = new ArrayList<>();
        for (String name : file.sources()) sources.add(LayoutFiles.open(name, LayoutFiles.Options.DEFAULT));
        assertThat(file.check(sources, 64))
                .as("accept with: ./slate layout check layout/locks/hot-classes.lock --update")
                .isEmpty();
        for (LayoutSource source : sources) source.close();
    }
}
