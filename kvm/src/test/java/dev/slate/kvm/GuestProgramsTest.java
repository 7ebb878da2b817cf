package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The boot-like programs of guests/, through the Java API. Each checks itself, and its last mark is 0. */
class GuestProgramsTest {
    @Test
    void aRealModeProgramReachesLongMode() {
        try (GuestProgram g = new GuestProgram("real-mode", 2, 0x7c00)) {
            assertThat(g.run(g.startReal())).isZero();
            assertThat(g.output.toString()).isEqualTo("real mode\nprotected mode\nreal mode again\nlong mode\n");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "tasks, 'jumps\ncalls\nfaults\nuser\n16 bits\npage tables\ntrap bit\n'",
        "pae, 'paging\nrights\nlarge pages\npointers\n'",
        "v8086, '..........virtual 8086\n'",
        "la57, 'five levels\n'"
    })
    void aProgramRunsToItsGoodEnd(String name, String says) {
        try (GuestProgram g = new GuestProgram(name, 16, GuestProgram.IMAGE)) {
            g.parameters(g.bytes);
            int mark = g.run(g.start32());
            assertThat(mark).as("having said:\n" + g.output).isZero();
            assertThat(g.output.toString()).isEqualTo(says);
        }
    }
}
