package dev.slate.cpu;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.translate.x64.NoFaults;
import dev.slate.cpu.translate.x64.X64Translator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** The same with every block translated when it is first entered. */
final class ModifiedTranslatedCodeTest extends ModifiedCodeTest {
    private X64Translator translator;

    @BeforeEach
    void translate() {
        translator = NoFaults.translator(memory.cpu, 1, new TranslationBudget(1 << 20));
        assumeTrue(translator != null, "this host allows no executable memory");
        memory.cpu.translator(translator);
    }

    @AfterEach
    void giveBack() {
        memory.cpu.close();
    }
}
