package dev.slate.cpu.decode;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The generated sources say what the instruction table says. */
class TableFreshnessTest {
    private static String source(String name) throws IOException {
        return Files.readString(
                Operations.folder().resolve("../java/dev/slate/cpu/decode").resolve(name));
    }

    @Test
    void generatedSourcesAreWhatTheTableSays() throws IOException {
        Operations operations = Operations.read();
        Encodings encodings = Encodings.read(operations);
        String how = "run OpSource.main and DecodeTableSource.main in the folder cpu";
        assertThat(source("Op.java")).as(how).isEqualTo(OpSource.constants(operations));
        assertThat(source("OpNames.java")).as(how).isEqualTo(OpSource.names(operations));
        assertThat(source("OpFlags.java")).as(how).isEqualTo(OpSource.flags(operations));
        assertThat(source("DecodeTable.java")).as(how).isEqualTo(DecodeTableSource.table(encodings));
        assertThat(source("DecodeText.java")).as(how).isEqualTo(DecodeTableSource.text(encodings));
    }

    @Test
    void everyOperationHasAnEncoding() throws IOException {
        Operations operations = Operations.read();
        Set<String> missing = new HashSet<>();
        operations.inOrder().forEach(o -> missing.add(o.name()));
        Encodings.read(operations).rows().forEach(r -> missing.remove(r.operation.name()));
        assertThat(missing).containsExactlyInAnyOrder("INVALID", "OVERLONG");
    }

    @Test
    void everyRowCanBeReached() throws IOException {
        // A row is dead when an earlier one of its opcode asks for nothing more and is always offered.
        var rows = Encodings.read(Operations.read()).rows();
        for (int i = 0; i < rows.size(); i++) {
            for (int j = 0; j < i; j++) {
                var earlier = rows.get(j);
                var row = rows.get(i);
                if (earlier.map == row.map && earlier.opcode == row.opcode && !earlier.values.containsKey("if")) {
                    int[] a = DecodeTableSource.key(earlier);
                    int[] b = DecodeTableSource.key(row);
                    assertThat((a[0] & ~b[0]) == 0 && (b[1] & a[0]) == a[1])
                            .as("encodings.isa:%d hides encodings.isa:%d", earlier.line, row.line)
                            .isFalse();
                }
            }
        }
    }

    @Test
    void conditionalOperationsStandInTheOrderOfTheirConditionCodes() {
        assertThat(Op.JO & 15).isZero();
        assertThat(Op.CMOVO & 15).isZero();
        assertThat(Op.SETO & 15).isZero();
        assertThat(Op.condition(Op.JNLE)).isEqualTo(15);
        assertThat(Op.condition(Op.CMOVZ)).isEqualTo(4);
    }
}
