package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

/** What the emitter itself promises; that its code is right is a matter of tests that run it. */
final class EmitterTest {
    private static final long LINEAR = 0x20_0000;
    private static final long CODE = 0x7000_0000_0000L;
    private static final long APART = CODE + (1 << 20);

    private final Scratch memory = new Scratch(8192);

    private Emitter emitter() {
        Assembler a = new Assembler();
        a.start(CODE - 0x10_0000);
        return new Emitter(new Stubs(a, false), new Sites(CODE - 0x10_0000), -1, new Shapes(-1), 0);
    }

    private Place page() {
        return new Place(new TranslatedPage(LINEAR, page(memory.hva()), 0, 0, null), LINEAR, 0);
    }

    private static long page(long hva) {
        return hva + 4095 & -4096L;
    }

    private Block block(String code) {
        byte[] bytes = HexFormat.of().parseHex(code);
        long hva = page(memory.hva());
        HostMemory.copyIn(bytes, 0, hva, bytes.length);
        Block b = new Decoder(-1).decode(hva, bytes.length, Mode.BITS64);
        b.rip = LINEAR;
        return b;
    }

    private static byte[] code(Emitter emitter, Place page, Block b) {
        emitter.translate(page, null, b, b, rip -> null, CODE, APART);
        return Arrays.copyOf(emitter.a.buffer, emitter.a.at);
    }

    @Test
    void a_translation_that_was_broken_off_leaves_nothing_behind() {
        // mov (%rsi),%rcx; test %rcx,%rcx; jne +2
        Block b = block("488b0e" + "4885c9" + "7502");
        byte[] fresh = code(emitter(), page(), b);
        Emitter emitter = emitter();
        assertThatThrownBy(() -> emitter.translate(
                        page(),
                        null,
                        b,
                        b,
                        rip -> {
                            throw new InternalError("memory has gone");
                        },
                        CODE,
                        APART))
                .isInstanceOf(InternalError.class);
        emitter.sites.forget(new Sites(0).count());
        assertThat(code(emitter, page(), b)).isEqualTo(fresh);
    }
}
