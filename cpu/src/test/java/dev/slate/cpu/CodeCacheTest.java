package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.mem.HostMemory;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Which decoded blocks are there still when they are asked for again. */
class CodeCacheTest {
    private static final int CODE = 0x20_0000;
    /** A quarter of what the table holds at first: some places have more than one, few have more than four. */
    private static final int BLOCKS = 1000;

    private final PhysicalMemory memory = new PhysicalMemory(8 << 20);

    CodeCacheTest() {
        memory.mapAll();
        memory.longMode(0x1000);
        HostMemory.fill(memory.hva(CODE), 4 << 20, 0xf4); // hlt, each a block
    }

    @AfterEach
    void close() {
        memory.close();
    }

    @Test
    void blocksThatHaveOnePlaceInTheTableDoNotPushEachOtherOut() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        CodeCache code = new CodeCache(memory.cpu);
        long[] rips = random.longs(BLOCKS, CODE, CODE + (4L << 20)).toArray();
        Block[] blocks = new Block[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = code.find(rips[i]);
        }
        memory.cpu.serialize(); // past the jump cache
        int again = 0;
        for (int i = 0; i < BLOCKS; i++) {
            again += code.find(rips[i]) == blocks[i] ? 0 : 1;
        }
        // With one block for each place it would be a fifth.
        assertThat(again).as("decoded anew, seed " + seed).isLessThan(BLOCKS / 12);
    }

    @Test
    void anInstructionThatCrossesPagesIsDecodedAnewOnlyWhenItsBytesHaveChanged() {
        CodeCache code = new CodeCache(memory.cpu);
        long at = CODE + 0x1ffffe;
        long hva = memory.hva((int) at);
        HostMemory.put8(hva, 0xb8); // mov $1,%eax
        HostMemory.put32(hva + 1, 1);
        Block first = code.find(at);
        memory.cpu.serialize();
        assertThat(code.find(at)).isSameAs(first);
        HostMemory.put8(hva + 2, 2);
        memory.cpu.serialize();
        Block second = code.find(at);
        assertThat(second).isNotSameAs(first);
        assertThat(second.byteLength).isEqualTo(5);
        HostMemory.put8(hva, 0xf4);
        // There is no other page now, and it does not need one.
        HostMemory.put64(memory.hva(0x3000 + 8 * (int) (at + 2 >>> 21)), 0);
        memory.cpu.flushTlb();
        assertThat(code.find(at).byteLength).isEqualTo(1);
    }
}
