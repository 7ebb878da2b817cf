package dev.slate.layout;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.layout.file.LayoutFiles;
import dev.slate.layout.lock.LockFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The structures of linux/kvm.h on this machine are those that Slate was written for. */
final class LockedLayoutsTest {
    @TempDir
    private Path folder = Path.of("");

    @Test
    void theKernelsHeaderHasTheLayoutsOfTheLockFile() throws Exception {
        Tools.need("cc");
        if (!Files.exists(Path.of("/usr/include/linux/kvm.h")))
            Tools.skip("needs linux/kvm.h: apt-get install -y linux-libc-dev");
        Path locks = Tools.root().resolve("layout/locks");
        Tools.run(folder, "cc", "-g", "-c", locks.resolve("kvm-abi.c").toString(), "-o", "kvm-abi.o");
        try (LayoutSource source =
                LayoutFiles.open(folder.resolve("kvm-abi.o").toString(), LayoutFiles.Options.DEFAULT)) {
            assertThat(LockFile.read(locks.resolve("kvm-abi.lock")).check(List.of(source), 64))
                    .isEmpty();
        }
    }
}
