package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.mem.HostMemory;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Repeated MOVS and STOS over several pages, in both directions, whose pages share places in the TLB or overlap: against a model. */
final class StringPagesTest {
    private static final int BYTES = 16 << 20;
    private static final int CODE = 0x1_0000;
    private static final int FIRST = 0x20_0000;
    /** Pages so far apart have one place in the TLB. */
    private static final int ALIAS = 4 << 20;

    @Test
    void items_are_moved_as_one_by_one_wherever_their_pages_lie() {
        long seed = 20261128;
        SplittableRandom r = new SplittableRandom(seed);
        byte[] model = new byte[BYTES - FIRST];
        byte[] there = new byte[BYTES - FIRST];
        try (PhysicalMemory memory = new PhysicalMemory(BYTES)) {
            memory.mapAll();
            memory.longMode(0x1000);
            CpuState s = memory.cpu.s;
            for (int n = 0; n < 400; n++) {
                boolean moves = r.nextInt(4) != 0;
                boolean down = r.nextBoolean();
                int size = r.nextInt(4);
                int bytes = 1 << size;
                int count = r.nextInt(n % 4 == 0 ? 12_000 >>> size : 40);
                int room = count * bytes + 16;
                int low = 0x1000 + r.nextInt(0x2000);
                int from = low + (down ? room : 0);
                int to = from + (r.nextBoolean() ? ALIAS + r.nextInt(3) * 8 : r.nextInt(-20, 20));
                if (r.nextBoolean()) {
                    int other = from;
                    from = to;
                    to = other;
                }
                int at = CODE;
                for (int b : new int[] {down ? 0xfd : 0xfc, 0xf3, size == 1 ? 0x66 : size == 3 ? 0x48 : 0x3e}) {
                    HostMemory.put8(memory.hva(at++), b);
                }
                HostMemory.put8(memory.hva(at++), (moves ? 0xa4 : 0xaa) | (size == 0 ? 0 : 1));
                HostMemory.put8(memory.hva(at), 0xf4);
                for (int i = 0; i < 200; i++) {
                    long v = r.nextLong();
                    int place = low + r.nextInt(room + 8) + (r.nextBoolean() ? ALIAS : 0);
                    HostMemory.put64(memory.hva(FIRST + place), v);
                }
                HostMemory.copyOut(memory.hva(FIRST), model, 0, model.length);
                long value = r.nextLong();
                s.gpr[CpuState.RAX] = value;
                s.gpr[CpuState.RCX] = count;
                s.gpr[CpuState.RSI] = FIRST + from;
                s.gpr[CpuState.RDI] = FIRST + to;
                s.rip = CODE;
                memory.cpu.tlb.flush();
                memory.cpu.serialize();
                assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
                int step = down ? -bytes : bytes;
                for (int i = 0; i < count; i++, from += step, to += step) {
                    for (int k = 0; k < bytes; k++) {
                        there[k] = moves ? model[from + k] : (byte) (value >>> 8 * k);
                    }
                    System.arraycopy(there, 0, model, to, bytes);
                }
                String name = "case " + n + " of seed " + seed;
                assertThat(s.gpr[CpuState.RDI]).as(name).isEqualTo(FIRST + to);
                assertThat(s.gpr[CpuState.RSI]).as(name).isEqualTo(FIRST + from - (moves ? 0 : (long) step * count));
                HostMemory.copyOut(memory.hva(FIRST), there, 0, there.length);
                assertThat(java.util.Arrays.mismatch(there, model)).as(name).isEqualTo(-1);
            }
        }
    }
}
