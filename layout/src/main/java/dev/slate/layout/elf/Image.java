package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/** The bytes of a file: mapped piece by piece as they are asked for, or on the heap when they had to be unpacked. */
public final class Image implements AutoCloseable {
    private final String name;
    private final @Nullable FileChannel channel;
    private final byte @Nullable [] bytes;
    private final long size;

    private Image(String name, @Nullable FileChannel channel, byte @Nullable [] bytes, long size) {
        this.name = name;
        this.channel = channel;
        this.bytes = bytes;
        this.size = size;
    }

    /** Opens a file for reading. */
    public static Image open(Path path) {
        try {
            if (Files.isDirectory(path)) throw new LayoutException(path.toString(), "is a directory, not a file");
            if (!Files.isRegularFile(path) && Files.exists(path)) {
                byte[] all = Files.readAllBytes(path);
                return of(path.toString(), all);
            }
            FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
            long size = channel.size();
            if (size == 0) {
                // Files of /sys/kernel/btf tell their size; those of /proc do not.
                byte[] all = Files.readAllBytes(path);
                channel.close();
                return of(path.toString(), all);
            }
            return new Image(path.toString(), channel, null, size);
        } catch (NoSuchFileException e) {
            throw new LayoutException(path.toString(), "no such file");
        } catch (IOException e) {
            throw new LayoutException(path.toString(), "cannot be read: " + e.getMessage());
        }
    }

    /** Bytes that are in memory already. */
    public static Image of(String name, byte[] bytes) {
        return new Image(name, null, bytes, bytes.length);
    }

    public String name() {
        return name;
    }

    /** Bytes of the file. */
    public long size() {
        return size;
    }

    /**
     * A read-only view of a range.
     *
     * @throws LayoutException if the range leaves the file, naming {@code what}
     */
    public ByteBuffer slice(long offset, long length, String what) {
        if (offset < 0 || length < 0 || offset > size || length > size - offset) {
            throw new LayoutException(
                    name,
                    offset,
                    what + " of " + length + " bytes leaves the file, which has " + size
                            + " bytes; the file is truncated or broken");
        }
        if (length > Integer.MAX_VALUE) {
            throw new LayoutException(
                    name, offset, what + " of " + length + " bytes; more than 2 GiB are not supported");
        }
        if (bytes != null)
            return ByteBuffer.wrap(bytes, (int) offset, (int) length).slice();
        if (channel == null) throw new IllegalStateException("an image has bytes or a channel");
        try {
            return channel.map(FileChannel.MapMode.READ_ONLY, offset, length);
        } catch (IOException e) {
            throw new LayoutException(name, offset, what + " cannot be mapped: " + e.getMessage());
        }
    }

    @Override
    public void close() {
        if (channel == null) return;
        try {
            channel.close();
        } catch (IOException e) {
            throw new LayoutException(name, "cannot be closed: " + e.getMessage());
        }
    }
}
