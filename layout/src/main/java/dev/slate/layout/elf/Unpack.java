package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.DataFormatException;
import java.util.zip.GZIPInputStream;
import java.util.zip.Inflater;
import org.tukaani.xz.LZMAInputStream;
import org.tukaani.xz.SingleXZInputStream;

/**
 * Unpacks what kernels and sections are packed with: gzip, xz, lzma, lz4 and zstd. No unpacked thing may be larger than
 * {@link #LIMIT}, so that a small broken file cannot fill the memory.
 */
public final class Unpack {
    /** The most bytes that something may unpack to. */
    public static final long LIMIT = 1L << 30;

    private Unpack() {}

    /**
     * The kernel inside an x86 boot image ("The Linux/x86 Boot Protocol", fields setup_sects, payload_offset, payload_length), or
     * the image itself when it is no boot image; any of it may be wrapped in gzip or xz, as modules are.
     */
    public static Image kernel(Image image) {
        Image at = image;
        for (int wraps = 0; wraps < 3; wraps++) {
            if (at.size() < 8) return at;
            ByteBuffer head =
                    at.slice(0, Math.min(at.size(), 0x260), "the file's head").order(ByteOrder.LITTLE_ENDIAN);
            if (head.limit() >= 0x250 && head.getInt(0x202) == 0x53726448) { // "HdrS"
                if (Short.toUnsignedInt(head.getShort(0x206)) < 0x208) {
                    throw new LayoutException(
                            at.name(), 0x206, "a boot image older than protocol 2.08 names no payload");
                }
                int setup = head.get(0x1f1) & 0xff;
                long start = ((setup == 0 ? 4 : setup) + 1) * 512L + Integer.toUnsignedLong(head.getInt(0x248));
                long length = Integer.toUnsignedLong(head.getInt(0x24c));
                at = unpack(at, at.slice(start, length, "the boot image's payload"), start);
            } else if (packed(head)) {
                at = unpack(at, at.slice(0, at.size(), "the file"), 0);
            } else {
                return at;
            }
        }
        return at;
    }

    private static boolean packed(ByteBuffer head) {
        int magic = Integer.reverseBytes(head.getInt(0));
        return (magic >>> 16) == 0x1f8b || magic == 0xfd377a58 || magic == 0x28b52ffd || magic == 0x02214c18;
    }

    private static Image unpack(Image image, ByteBuffer in, long offset) {
        byte[] packed = new byte[in.remaining()];
        in.get(0, packed);
        if (packed.length < 8)
            throw new LayoutException(image.name(), offset, "a payload of " + packed.length + " bytes");
        int magic = Integer.reverseBytes(
                ByteBuffer.wrap(packed).order(ByteOrder.LITTLE_ENDIAN).getInt(0));
        try {
            byte[] out;
            if ((magic >>> 16) == 0x1f8b) {
                out = drain(new GZIPInputStream(new ByteArrayInputStream(packed)));
            } else if (magic == 0xfd377a58) {
                out = drain(new SingleXZInputStream(new ByteArrayInputStream(packed)));
            } else if ((magic >>> 24) == 0x5d) {
                out = drain(new LZMAInputStream(new ByteArrayInputStream(packed)));
            } else if (magic == 0x02214c18) {
                out = Lz4.legacy(packed);
            } else if (magic == 0x28b52ffd) {
                out = Zstd.decompress(packed, LIMIT);
            } else if (magic == 0x7f454c46) {
                out = packed;
            } else {
                throw new IOException(
                        "packed in a way that is not known (its first bytes are " + Integer.toHexString(magic) + ")");
            }
            return Image.of(image.name(), out);
        } catch (IOException e) {
            throw new LayoutException(image.name(), offset, "the packed kernel cannot be unpacked: " + e.getMessage());
        }
    }

    private static byte[] drain(InputStream in) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream(1 << 20);
        byte[] buffer = new byte[1 << 16];
        for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
            out.write(buffer, 0, n);
            if (out.size() > LIMIT) throw new IOException("it unpacks to more than " + LIMIT + " bytes");
        }
        return out.toByteArray();
    }

    /** Inflates a zlib stream of known unpacked size. */
    static byte[] zlib(ByteBuffer in, long size) throws IOException {
        // Deflate packs 258 bytes into 2 bits at best: a claim beyond that is made up, and memory is not spent on it.
        if (size > in.remaining() * 1040L + 1040)
            throw new IOException("it claims to unpack to " + size + " bytes, more than it can hold");
        byte[] out = new byte[checkedSize(size)];
        try (Inflater inflater = new Inflater()) {
            inflater.setInput(in);
            int at = 0;
            while (at < out.length && !inflater.finished()) {
                int n = inflater.inflate(out, at, out.length - at);
                if (n == 0 && (inflater.needsInput() || inflater.needsDictionary())) break;
                at += n;
            }
            if (at != out.length) throw new IOException("it unpacks to " + at + " bytes instead of " + out.length);
        } catch (DataFormatException e) {
            throw new IOException(String.valueOf(e.getMessage()), e);
        }
        return out;
    }

    /** Unpacks a zstd frame of known unpacked size. */
    static byte[] zstd(ByteBuffer in, long size) throws IOException {
        byte[] packed = new byte[in.remaining()];
        in.get(packed);
        byte[] out = Zstd.decompress(packed, checkedSize(size));
        if (out.length != size) throw new IOException("it unpacks to " + out.length + " bytes instead of " + size);
        return out;
    }

    private static int checkedSize(long size) throws IOException {
        if (size < 0 || size > LIMIT)
            throw new IOException("it claims to unpack to " + size + " bytes, more than " + LIMIT);
        return (int) size;
    }
}
