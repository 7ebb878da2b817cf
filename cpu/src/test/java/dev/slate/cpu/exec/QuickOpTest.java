package dev.slate.cpu.exec;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.decode.Op;
import dev.slate.cpu.decode.RowBytes;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.junit.jupiter.api.Test;

final class QuickOpTest {
    private static final int CASES = 150_000;
    private static final long SEED = Long.getLong("slate.seed", 1);

    private final Scratch image = new Scratch(SiliconCase.IMAGE_BYTES);
    private final BitSet seen = new BitSet();

    @Test
    void aQuickFormDoesWhatThePlainOneDoes() throws IOException {
        List<String> differences = new ArrayList<>();
        long features = ImplementedFeatures.COMPLETE;
        try (InterpretedCase plain = new InterpretedCase(features, 0);
                InterpretedCase quick = new InterpretedCase(features, 0)) {
            SiliconGenerator generator = new SiliconGenerator(
                    SEED, new RowBytes(features), plain, new SiliconComparison(false, false), false);
            SiliconCase in = new SiliconCase().at(image.hva());
            for (int i = 0; i < CASES; i++) {
                Block b = generator.next(in, i % 3, SiliconCase.CODE);
                if (!note(b)) {
                    continue;
                }
                plain.runPlain(in, b, i % 3 != 0);
                quick.run(in, b, i % 3 != 0);
                if (!outcome(plain).equals(outcome(quick))) {
                    differences.add(Op.name(Insn.op(b.code[0])) + " at " + in.text() + ": " + outcome(plain) + " / "
                            + outcome(quick));
                }
            }
        }
        assertThat(differences).as("plain / quick, seed " + SEED).isEmpty();
        BitSet missed = new BitSet();
        missed.set(0, QuickOp.END - QuickOp.FIRST);
        missed.clear(QuickOp.NOP - QuickOp.FIRST); // what does nothing is not generated
        missed.andNot(seen);
        assertThat(missed).as("quick forms (from FIRST on) that no case had").isEqualTo(new BitSet());
    }

    /** Whether an instruction of the block has a quick form; those are noted. */
    private boolean note(Block b) {
        boolean any = false;
        for (int i = 0; i < b.count; i++) {
            int form = Insn.op(QuickOp.quick(b.code[i * Insn.WORDS], b.mode));
            if (form >= QuickOp.FIRST) {
                seen.set(form - QuickOp.FIRST);
                any = true;
            }
        }
        return any;
    }

    private static String outcome(InterpretedCase c) {
        byte[] window = new byte[SiliconCase.WINDOW_BYTES];
        HostMemory.copyOut(c.window, window, 0, window.length);
        return "trap %d error %d address %x rip %x after %d flags %x sum %x gpr %s window %s"
                .formatted(
                        c.trap,
                        c.error,
                        c.address,
                        c.rip,
                        c.completed,
                        c.s.rflags(),
                        c.sum,
                        Arrays.toString(c.s.gpr),
                        Arrays.toString(window));
    }

    @Test
    void memoryHasNoQuickFormWhereASegmentOrTheAddressSizeWouldChangeTheAddress() {
        long load = Insn.word0(Op.MOV, 3, 3, 3, Insn.FORM_R_RM, Insn.MEM, 3, 0, 0, 1, Insn.NO_REG, 0, 0);
        long fromFs = Insn.word0(Op.MOV, 3, 3, 4, Insn.FORM_R_RM, Insn.MEM, 4, 0, 0, 1, Insn.NO_REG, 0, 0);
        long by32Bits = Insn.word0(Op.MOV, 3, 2, 3, Insn.FORM_R_RM, Insn.MEM, 4, 0, 0, 1, Insn.NO_REG, 0, 0);
        assertThat(Insn.op(QuickOp.quick(load, Mode.BITS64))).isEqualTo(QuickOp.MOV_RM_64);
        assertThat(QuickOp.quick(load, Mode.BITS32)).isEqualTo(load);
        assertThat(QuickOp.quick(fromFs, Mode.BITS64)).isEqualTo(fromFs);
        assertThat(QuickOp.quick(by32Bits, Mode.BITS64)).isEqualTo(by32Bits);
    }
}
