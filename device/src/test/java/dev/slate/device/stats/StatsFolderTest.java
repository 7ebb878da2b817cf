package dev.slate.device.stats;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class StatsFolderTest {
    @TempDir
    private Path root;

    private Path folder(String name) throws Exception {
        Path folder = root.resolve(name);
        Files.createDirectories(folder.resolve("vcpu0"));
        Files.writeString(folder.resolve("exits"), "1\n");
        Files.writeString(folder.resolve("vcpu0/guest_mode"), "0\n");
        return folder;
    }

    @Test
    void foldersOfProcessesThatAreGoneAreDeletedAndNothingElseIs() throws Exception {
        long self = ProcessHandle.current().pid();
        Path mine = folder(self + "-4");
        Path old = folder(self + "-5");
        Files.setLastModifiedTime(old, FileTime.fromMillis(System.currentTimeMillis() - 3_600_000));
        Path gone = folder("2147483647-4");
        Path other = folder("something");
        StatsFolder.clean(root);
        assertThat(mine).exists();
        assertThat(old).doesNotExist();
        assertThat(gone).doesNotExist();
        assertThat(other).exists();
    }

    @Test
    void noRootIsNoError() {
        StatsFolder.clean(root.resolve("none"));
        assertThat(root.resolve("none")).doesNotExist();
    }
}
