package dev.slate.conformance;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What Slate served for one program, as its shim counts into the file that SLATE_COUNTERS names: 64 bytes of
 * little-endian 64-bit numbers. All zero when the program never reached Slate.
 *
 * @param ioctls ioctls on descriptors of Slate
 * @param exits guest exits handled, those that never reached the client included
 * @param returns KVM_RUN calls that came back to the client
 * @param vms virtual machines created
 * @param vcpus vCPUs created
 */
public record Counters(long ioctls, long exits, long returns, long vms, long vcpus) {
    static final Counters NONE = new Counters(0, 0, 0, 0, 0);

    private static final int FILE_SIZE = 64;

    /** Makes the file that the shim maps and counts into, all zero. */
    static void create(Path file) throws IOException {
        Files.write(file, new byte[FILE_SIZE]);
    }

    /** Reads the file after the program has ended. */
    static Counters read(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        if (bytes.length < FILE_SIZE) {
            throw new IOException(file + " holds " + bytes.length + " bytes, but Slate's counters take " + FILE_SIZE);
        }
        ByteBuffer words = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        return new Counters(
                words.getLong(0), words.getLong(8), words.getLong(16), words.getLong(24), words.getLong(32));
    }

    Counters plus(Counters other) {
        return new Counters(
                ioctls + other.ioctls,
                exits + other.exits,
                returns + other.returns,
                vms + other.vms,
                vcpus + other.vcpus);
    }
}
