package dev.slate.kvm;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Feature;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Encodings that the instruction table knows, as many of a rare operation as of a common one: what garbage needs to get behind the
 * decoder. Found by trying random bytes of the shape of an instruction, so a seed gives the same pool as long as the table is the same.
 */
final class EncodingPool {
    private static final int TRIES = 150_000;
    private static final int MOST_OF_ONE = 24;
    private static final int[] PREFIXES = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

    private final List<List<byte[]>> byOperation = new ArrayList<>();

    /** @param mode a {@link dev.slate.cpu.decode.Mode} */
    EncodingPool(int mode, SplittableRandom random) {
        Decoder decoder = new Decoder(Feature.ALL);
        Scratch scratch = new Scratch(64);
        List<List<byte[]>> operations = new ArrayList<>();
        byte[] bytes = new byte[Decoder.MAX_LENGTH];
        for (int i = 0; i < TRIES; i++) {
            shape(bytes, mode, random);
            HostMemory.copyIn(bytes, 0, scratch.hva(), bytes.length);
            Block block = decoder.decodeOne(scratch.hva(), bytes.length, mode);
            long word = block.code[0];
            int op = Insn.op(word);
            if (op == Op.INVALID) {
                continue;
            }
            while (operations.size() <= op) {
                operations.add(new ArrayList<>());
            }
            if (operations.get(op).size() < MOST_OF_ONE) {
                operations.get(op).add(java.util.Arrays.copyOf(bytes, Insn.length(word)));
            }
        }
        operations.removeIf(List::isEmpty);
        byOperation.addAll(operations);
    }

    static void shape(byte[] to, int mode, SplittableRandom random) {
        random.nextBytes(to);
        int at = 0;
        while (at < 3 && random.nextInt(4) == 0) {
            to[at++] = (byte) PREFIXES[random.nextInt(PREFIXES.length)];
        }
        if (mode == dev.slate.cpu.decode.Mode.BITS64 && random.nextInt(3) == 0) {
            to[at++] = (byte) (0x40 | random.nextInt(16));
        }
        switch (random.nextInt(8)) {
            case 0, 1, 2 -> to[at] = 0x0f;
            case 3 -> {
                to[at] = 0x0f;
                to[at + 1] = 0x38;
            }
            case 4 -> {
                to[at] = 0x0f;
                to[at + 1] = 0x3a;
            }
            default -> {}
        }
    }

    /** Number of operations in it. */
    int operations() {
        return byOperation.size();
    }

    byte[] any(SplittableRandom random) {
        List<byte[]> some = byOperation.get(random.nextInt(byOperation.size()));
        return some.get(random.nextInt(some.size()));
    }
}
