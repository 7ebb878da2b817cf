package dev.slate.device.stats;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.kvm.Kvm;
import dev.slate.kvm.host.ArenaHost;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
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

    /** A hundred machines have thousands of files: who ends does not wait for them. */
    @Test
    void whatIsBeingWrittenIsGivenUpAtTheEnd() throws Exception {
        CountDownLatch inTheMiddle = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        List<String> said = new CopyOnWriteArrayList<>();
        Kvm kvm = new Kvm(new ArenaHost());
        StatsFolder stats =
                new StatsFolder(kvm.worker(), said::add, root.resolve("kvm").toString(), () -> {
                    inTheMiddle.countDown();
                    try {
                        goOn.await();
                    } catch (InterruptedException e) {
                        Thread.currentThread().interrupt();
                    }
                    return (Integer) unix("uid");
                });
        Files.createDirectories(root.resolve("kvm"));
        Files.writeString(
                root.resolve("kvm/1-2"), "where the machine's folder would be: writing there is an error, and said");
        stats.add(kvm.createVm(0), "1-2");
        inTheMiddle.await();
        Thread ends = new Thread(stats::close);
        ends.start();
        while (ends.getState() != Thread.State.BLOCKED) {
            Thread.onSpinWait();
        }
        goOn.countDown();
        ends.join();
        assertThat(said).isEmpty();
    }

    private Object unix(String attribute) {
        try {
            return Files.getAttribute(root, "unix:" + attribute);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void noRootIsNoError() {
        StatsFolder.clean(root.resolve("none"));
        assertThat(root.resolve("none")).doesNotExist();
    }
}
