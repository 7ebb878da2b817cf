package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/** The bytes of a file: mapped piece by piece as they are asked for, or on the heap when they had to be unpacked. */
public final class Image implements AutoCloseable {
    private final String name;
    private final @Nullable FileChannel channel;
    private final byte @Nullable [] bytes;
    private final long start;
    private final long size;
    private final String path;

    /** What is shorter is copied: a process may have only so many mappings, and an archive has thousands of sections. */
    private static final int WORTH_MAPPING = 1 << 16;

    private Image(
            String name, String path, @Nullable FileChannel channel, byte @Nullable [] bytes, long start, long size) {
        this.name = name;
        this.path = path;
        this.channel = channel;
        this.bytes = bytes;
        this.start = start;
        this.size = size;
    }

    /** Opens a file for reading. */
    public static Image open(Path path) {
        try {
            if (Files.isDirectory(path)) throw new LayoutException(path.toString(), "is a directory, not a file");
            if (Files.exists(path) && !Files.isReadable(path)) {
                throw new LayoutException(
                        path.toString(), "you may not read it; its owner or root may: chmod +r, or run as them");
            }
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
            return new Image(path.toString(), path.toString(), channel, null, 0, size);
        } catch (IOException e) {
            throw new LayoutException(path.toString(), Trouble.reading(e));
        }
    }

    /** Bytes that are in memory already. */
    public static Image of(String name, byte[] bytes) {
        return new Image(name, name, null, bytes, 0, bytes.length);
    }

    public String name() {
        return name;
    }

    /** The path of the file that it is, or that it is a part of. */
    public String path() {
        return path;
    }

    /** A part of it as a file of its own: a member of an archive. Closing the part closes the whole. */
    public Image part(String partName, long offset, long length) {
        if (offset < 0 || length < 0 || length > size - offset)
            throw new LayoutException(name, offset, partName + " of " + length + " bytes leaves the file");
        return new Image(partName, path, channel, bytes, start + offset, length);
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
            return ByteBuffer.wrap(bytes, (int) (start + offset), (int) length).slice();
        if (channel == null) throw new IllegalStateException("an image has bytes or a channel");
        try {
            if (length >= WORTH_MAPPING) return channel.map(FileChannel.MapMode.READ_ONLY, start + offset, length);
            ByteBuffer copy = ByteBuffer.allocate((int) length);
            while (copy.hasRemaining() && channel.read(copy, start + offset + copy.position()) >= 0) {}
            return copy.flip();
        } catch (IOException e) {
            throw new LayoutException(name, offset, what + " " + Trouble.reading(e));
        }
    }

    @Override
    public void close() {
        if (channel == null) return;
        try {
            channel.close();
        } catch (IOException e) {
            throw new LayoutException(name, Trouble.reading(e));
        }
    }
}
